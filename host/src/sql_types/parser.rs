//! The grammar: a type, and whether it may be null.

mod containers;
mod times;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};

use super::dialect::{Dialect, Extended, Metadata};
use super::error::{SqlTypeError, quote};
use super::lexer::{Lexer, Token};
use super::names::{self, DecimalWidth, Named};
use super::{MAX_DEPTH, MAX_TEXT_BYTES};

/// A type with what was said about null.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) data_type: DataType,
    pub(super) nullable: bool,
    /// What makes the type more than its storage.
    metadata: Metadata,
    /// Levels of containers, 0 for a plain type.
    depth: usize,
}

impl Parsed {
    /// A type without a mark.
    fn unmarked(data_type: DataType, depth: usize) -> Self {
        Self { data_type, nullable: false, metadata: Metadata::new(), depth }
    }

    fn extended((data_type, metadata): Extended) -> Self {
        Self { metadata, ..Self::unmarked(data_type, 0) }
    }

    /// A field of this type.
    pub(super) fn into_field(self, name: &str) -> Field {
        Field::new(name, self.data_type, self.nullable).with_metadata(self.metadata)
    }
}

/// What a type is when neither `NULL` nor `NOT NULL` is written.
#[derive(Debug, Clone, Copy)]
enum Unmarked {
    Nullable,
    NotNull,
}

impl Unmarked {
    fn nullable_if(nullable: bool) -> Self {
        if nullable { Self::Nullable } else { Self::NotNull }
    }
}

/// Reads the whole of `text` as one type.
pub(super) fn parse(text: &str, dialect: Dialect) -> Result<Parsed, SqlTypeError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(SqlTypeError::TooLong { limit: MAX_TEXT_BYTES, requested: text.len() });
    }
    let mut parser = Parser { lexer: Lexer::new(text)?, dialect };
    let parsed = parser.marked_type(Unmarked::nullable_if(dialect.nullable_at_top()), 0)?;
    match parser.lexer.token() {
        Token::End => Ok(parsed),
        _ => Err(parser.lexer.unexpected("the end of the type")),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    dialect: Dialect,
}

impl<'a> Parser<'a> {
    /// `[nullable | non-null] type {[]} [NULL | NOT NULL]`, `above` containers deep.
    fn marked_type(&mut self, unmarked: Unmarked, above: usize) -> Result<Parsed, SqlTypeError> {
        self.check_depth(above)?;
        let mut mark = self.prefix_mark()?;
        let mut parsed = self.base_type(above)?;
        while *self.lexer.token() == Token::Punctuation('[') {
            self.lexer.advance()?;
            self.expect(']', "`]`")?;
            let depth = parsed.depth + 1;
            self.check_depth(above + depth)?;
            parsed.nullable = true;
            let item = parsed.into_field(Field::LIST_FIELD_DEFAULT_NAME);
            parsed = Parsed::unmarked(DataType::List(Arc::new(item)), depth);
        }
        if self.take_word("NULL")? {
            mark = Some(true);
        } else if self.take_word("NOT")? {
            self.expect_word("NULL", "`NULL` after `NOT`")?;
            mark = Some(false);
        }
        let by_itself = parsed.nullable || parsed.data_type == DataType::Null;
        parsed.nullable = by_itself || mark.unwrap_or(matches!(unmarked, Unmarked::Nullable));
        Ok(parsed)
    }

    /// arrow-rs writes nullability in front: `non-null Int32`, formerly `nullable Int32`.
    fn prefix_mark(&mut self) -> Result<Option<bool>, SqlTypeError> {
        let next = self.lexer.peek_next();
        if self.at_word("NON") && next == Token::Punctuation('-') {
            self.lexer.advance()?;
            self.lexer.advance()?;
            self.expect_word("NULL", "`non-null`")?;
            return Ok(Some(false));
        }
        if self.at_word("NULLABLE") && matches!(next, Token::Word(_)) {
            self.lexer.advance()?;
            return Ok(Some(true));
        }
        Ok(None)
    }

    fn base_type(&mut self, above: usize) -> Result<Parsed, SqlTypeError> {
        let position = self.lexer.position();
        let Token::Word(word) = *self.lexer.token() else {
            return Err(self.lexer.unexpected("a type"));
        };
        let Some(named) = names::lookup(word) else {
            let suggestion = names::suggestion(word);
            return Err(SqlTypeError::UnknownType { position, name: quote(word), suggestion });
        };
        self.lexer.advance()?;
        let inside = Unmarked::nullable_if(self.dialect.nullable_inside());
        let data_type = match named {
            Named::Array => return self.list(inside, DataType::List, above),
            Named::List => return self.list(Unmarked::Nullable, DataType::List, above),
            Named::LargeList => return self.list(Unmarked::Nullable, DataType::LargeList, above),
            Named::FixedSizeList => return self.fixed_size_list(above),
            Named::Map => return self.map(above),
            Named::Tuple => return self.structure(inside, above),
            Named::Struct => return self.structure(Unmarked::Nullable, above),
            Named::Nullable => {
                self.expect('(', "`(`")?;
                let inner = self.marked_type(Unmarked::Nullable, above + 1)?;
                self.expect(')', "`)`")?;
                return Ok(Parsed { nullable: true, ..inner });
            }
            Named::NotSupported { name, hint } => {
                return Err(SqlTypeError::NotSupported { position, name, hint });
            }
            Named::Json => return Ok(Parsed::extended(self.dialect.json())),
            Named::Uuid => return Ok(Parsed::extended(self.dialect.uuid())),
            Named::TimestampTz => return Ok(Parsed::extended(self.dialect.timestamp_tz())),
            Named::Interval if !self.at_open() => return Ok(Parsed::extended(self.dialect.interval())),
            Named::Vector => return self.vector(above),
            Named::DatabendBytes { name, extension, hint } => {
                let extended = self.dialect.databend_bytes(extension);
                return extended.map(Parsed::extended).ok_or(SqlTypeError::NotSupported {
                    position,
                    name,
                    hint,
                });
            }
            Named::Plain(data_type) => data_type,
            Named::Integer(data_type) => self.integer(data_type)?,
            Named::Text => {
                self.take_word("VARYING")?;
                self.declared_length()?;
                self.dialect.text()
            }
            Named::Bytes => {
                self.take_word("VARYING")?;
                self.declared_length()?;
                self.dialect.bytes()
            }
            Named::Double => {
                self.take_word("PRECISION")?;
                DataType::Float64
            }
            Named::Timestamp => self.timestamp()?,
            Named::Time => self.time_of_day()?,
            Named::Date(data_type) => self.date(data_type)?,
            Named::SizedTime(width) => self.sized_time(width)?,
            Named::Duration => self.duration()?,
            Named::Interval => self.interval()?,
            Named::Decimal(width) => match self.dialect.text_decimal() {
                Some(extended) if width.is_none() && !self.at_open() => {
                    return Ok(Parsed::extended(extended));
                }
                _ => self.decimal(width)?,
            },
            Named::FixedSizeBinary => {
                let close = self.open()?;
                let bytes =
                    self.number("the width of a fixed-size binary in bytes", 1, i64::from(i32::MAX))?;
                self.close(close)?;
                DataType::FixedSizeBinary(to_i32(bytes))
            }
        };
        Ok(Parsed::unmarked(data_type, 0))
    }

    /// `(n)` after `VECTOR`.
    fn vector(&mut self, above: usize) -> Result<Parsed, SqlTypeError> {
        self.check_depth(above + 1)?;
        let close = self.open()?;
        let length = self.number("the length of a vector", 1, i64::from(i32::MAX))?;
        self.close(close)?;
        Ok(Parsed { depth: 1, ..Parsed::extended(self.dialect.vector(to_i32(length))) })
    }

    fn integer(&mut self, signed: DataType) -> Result<DataType, SqlTypeError> {
        if !self.take_word("UNSIGNED")? {
            return Ok(signed);
        }
        Ok(match signed {
            DataType::Int8 => DataType::UInt8,
            DataType::Int16 => DataType::UInt16,
            DataType::Int32 => DataType::UInt32,
            _ => DataType::UInt64,
        })
    }

    /// `(n)` after `VARCHAR`, read and forgotten as Databend does.
    fn declared_length(&mut self) -> Result<(), SqlTypeError> {
        if *self.lexer.token() == Token::Punctuation('(') {
            self.lexer.advance()?;
            self.number("a length", 0, i64::MAX)?;
            self.expect(')', "`)`")?;
        }
        Ok(())
    }

    fn decimal(&mut self, width: Option<DecimalWidth>) -> Result<DataType, SqlTypeError> {
        let max = width.unwrap_or(DecimalWidth::Bits256).max_precision();
        let close = match self.lexer.token() {
            Token::Punctuation('(' | '<' | '[') => self.open()?,
            _ => return Err(self.lexer.unexpected("`(precision, scale)` after the decimal type")),
        };
        let precision = self.number("the precision of a decimal", 1, i64::from(max))?;
        let mut scale = 0;
        if *self.lexer.token() == Token::Punctuation(',') {
            self.lexer.advance()?;
            // Only a type named by its width is Arrow's, whose scale may be negative.
            let min = if width.is_some() { -precision } else { 0 };
            scale = self.number("the scale of a decimal", min, precision)?;
        }
        self.close(close)?;
        // Both were checked against bounds that fit.
        let (precision, scale) = (precision as u8, scale as i8);
        let width = width.unwrap_or(if precision <= self.dialect.narrow_decimal_digits() {
            DecimalWidth::Bits128
        } else {
            DecimalWidth::Bits256
        });
        Ok(match width {
            DecimalWidth::Bits32 => DataType::Decimal32(precision, scale),
            DecimalWidth::Bits64 => DataType::Decimal64(precision, scale),
            DecimalWidth::Bits128 => DataType::Decimal128(precision, scale),
            DecimalWidth::Bits256 => DataType::Decimal256(precision, scale),
        })
    }

    /// A whole number between `min` and `max`, with a sign if `min` allows one.
    fn number(&mut self, what: &'static str, min: i64, max: i64) -> Result<i64, SqlTypeError> {
        let position = self.lexer.position();
        let negative = min < 0 && *self.lexer.token() == Token::Punctuation('-');
        if negative {
            self.lexer.advance()?;
        }
        let Token::Number(digits) = *self.lexer.token() else {
            return Err(self.lexer.unexpected("a number"));
        };
        let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
        self.lexer.advance()?;
        match signed.parse() {
            Ok(number) if (min..=max).contains(&number) => Ok(number),
            _ => Err(SqlTypeError::OutOfRange { position, what, min, max, found: quote(&signed) }),
        }
    }

    /// Opens the parameters of a type and returns what closes them.
    fn open(&mut self) -> Result<char, SqlTypeError> {
        self.open_optional()?.ok_or_else(|| self.lexer.unexpected("`(` or `[`"))
    }

    fn open_optional(&mut self) -> Result<Option<char>, SqlTypeError> {
        let close = match self.lexer.token() {
            Token::Punctuation('(') => ')',
            // `TIMESTAMP[]` is an array of timestamps.
            Token::Punctuation('[') if self.lexer.peek_next() != Token::Punctuation(']') => ']',
            _ => return Ok(None),
        };
        self.lexer.advance()?;
        Ok(Some(close))
    }

    /// Whether the parameters of a type follow.
    fn at_open(&self) -> bool {
        match self.lexer.token() {
            Token::Punctuation('(' | '<') => true,
            Token::Punctuation('[') => self.lexer.peek_next() != Token::Punctuation(']'),
            _ => false,
        }
    }

    fn open_container(&mut self) -> Result<char, SqlTypeError> {
        let close = match self.lexer.token() {
            Token::Punctuation('(') => ')',
            Token::Punctuation('<') => '>',
            _ => return Err(self.lexer.unexpected("`(` or `<`")),
        };
        self.lexer.advance()?;
        Ok(close)
    }

    fn close(&mut self, close: char) -> Result<(), SqlTypeError> {
        self.expect(
            close,
            match close {
                ')' => "`)`",
                '>' => "`>`",
                _ => "`]`",
            },
        )
    }

    fn expect(&mut self, punctuation: char, expected: &'static str) -> Result<(), SqlTypeError> {
        if *self.lexer.token() != Token::Punctuation(punctuation) {
            return Err(self.lexer.unexpected(expected));
        }
        self.lexer.advance()
    }

    fn at_word(&self, keyword: &str) -> bool {
        matches!(self.lexer.token(), Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn take_word(&mut self, keyword: &str) -> Result<bool, SqlTypeError> {
        let found = self.at_word(keyword);
        if found {
            self.lexer.advance()?;
        }
        Ok(found)
    }

    fn expect_word(&mut self, keyword: &str, expected: &'static str) -> Result<(), SqlTypeError> {
        if self.take_word(keyword)? { Ok(()) } else { Err(self.lexer.unexpected(expected)) }
    }

    fn check_depth(&self, depth: usize) -> Result<(), SqlTypeError> {
        if depth > MAX_DEPTH {
            return Err(SqlTypeError::TooDeep { limit: MAX_DEPTH, position: self.lexer.position() });
        }
        Ok(())
    }
}

/// For a number that was checked against `i32::MAX`.
fn to_i32(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
