//! The grammar: a type, its containers, and whether it may be null.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};

use super::dialect::{Dialect, Extended, Metadata};
use super::error::{SqlTypeError, quote};
use super::lexer::{Lexer, Token};
use super::names::{self, DecimalWidth, Named, TimeWidth};
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

    /// What follows `TIMESTAMP`: `(6)`, `(Microsecond, Some("UTC"))`, `[us, tz=UTC]`, `WITH TIME ZONE`.
    fn timestamp(&mut self) -> Result<DataType, SqlTypeError> {
        let mut unit = TimeUnit::Microsecond;
        let mut zone = None;
        if let Some(close) = self.open_optional()? {
            unit = self.unit_or_digits()?;
            if *self.lexer.token() == Token::Punctuation(',') {
                self.lexer.advance()?;
                zone = self.time_zone()?;
            }
            self.close(close)?;
        }
        if self.take_word("WITH")? {
            self.time_zone_words()?;
            zone.get_or_insert_with(|| "UTC".to_owned());
        } else if self.take_word("WITHOUT")? {
            self.time_zone_words()?;
        }
        Ok(DataType::Timestamp(unit, zone.map(Into::into)))
    }

    /// `tz=Europe/Paris`, `"UTC"`, `Some("UTC")` or `None`.
    fn time_zone(&mut self) -> Result<Option<String>, SqlTypeError> {
        if self.take_word("TZ")? {
            self.expect('=', "`=` after `tz`")?;
            let raw = self.lexer.raw_until(']')?;
            if raw.is_empty() {
                return Err(self.lexer.unexpected("a time zone"));
            }
            return Ok(Some(raw.to_owned()));
        }
        if self.take_word("NONE")? {
            return Ok(None);
        }
        let wrapped = self.take_word("SOME")?;
        if wrapped {
            self.expect('(', "`(` after `Some`")?;
        }
        let Token::Quoted(zone) = self.lexer.token().clone() else {
            return Err(self.lexer.unexpected("a time zone in quotes"));
        };
        if zone.is_empty() {
            return Err(self.lexer.unexpected("a time zone"));
        }
        self.lexer.advance()?;
        if wrapped {
            self.expect(')', "`)`")?;
        }
        Ok(Some(zone))
    }

    fn time_zone_words(&mut self) -> Result<(), SqlTypeError> {
        self.expect_word("TIME", "`TIME ZONE`")?;
        self.expect_word("ZONE", "`ZONE` after `TIME`")
    }

    fn time_of_day(&mut self) -> Result<DataType, SqlTypeError> {
        let unit = match self.open_optional()? {
            Some(close) => {
                let unit = self.unit_or_digits()?;
                self.close(close)?;
                unit
            }
            None => TimeUnit::Microsecond,
        };
        if self.take_word("WITHOUT")? {
            self.time_zone_words()?;
        }
        Ok(match unit {
            TimeUnit::Second | TimeUnit::Millisecond => DataType::Time32(unit),
            TimeUnit::Microsecond | TimeUnit::Nanosecond => DataType::Time64(unit),
        })
    }

    /// pyarrow writes a date's unit: `date32[day]`, `date64[ms]`.
    fn date(&mut self, data_type: DataType) -> Result<DataType, SqlTypeError> {
        if *self.lexer.token() == Token::Punctuation('[') && self.lexer.peek_next() != Token::Punctuation(']')
        {
            self.lexer.advance()?;
            let (unit, expected) = match data_type {
                DataType::Date32 => ("DAY", "`day`"),
                _ => ("MS", "`ms`"),
            };
            self.expect_word(unit, expected)?;
            self.expect(']', "`]`")?;
        }
        Ok(data_type)
    }

    fn sized_time(&mut self, width: TimeWidth) -> Result<DataType, SqlTypeError> {
        let Some(close) = self.open_optional()? else {
            // arrow_udf says no unit and means this one.
            return Ok(match width {
                TimeWidth::Bits32 => DataType::Time32(TimeUnit::Millisecond),
                TimeWidth::Bits64 => DataType::Time64(TimeUnit::Microsecond),
            });
        };
        let unexpected = self.lexer.unexpected(match width {
            TimeWidth::Bits32 => "`s` or `ms`",
            TimeWidth::Bits64 => "`us` or `ns`",
        });
        let unit = self.unit()?;
        let data_type = match (width, unit) {
            (TimeWidth::Bits32, TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
            (TimeWidth::Bits64, TimeUnit::Microsecond | TimeUnit::Nanosecond) => DataType::Time64(unit),
            _ => return Err(unexpected),
        };
        self.close(close)?;
        Ok(data_type)
    }

    fn duration(&mut self) -> Result<DataType, SqlTypeError> {
        let Some(close) = self.open_optional()? else {
            return Ok(DataType::Duration(TimeUnit::Microsecond));
        };
        let unit = self.unit()?;
        self.close(close)?;
        Ok(DataType::Duration(unit))
    }

    fn interval(&mut self) -> Result<DataType, SqlTypeError> {
        let Some(close) = self.open_optional()? else {
            return Ok(DataType::Interval(IntervalUnit::MonthDayNano));
        };
        let unit = match self.lexer.token() {
            Token::Word(word) if word.eq_ignore_ascii_case("MonthDayNano") => IntervalUnit::MonthDayNano,
            Token::Word(word) if word.eq_ignore_ascii_case("DayTime") => IntervalUnit::DayTime,
            Token::Word(word) if word.eq_ignore_ascii_case("YearMonth") => IntervalUnit::YearMonth,
            _ => return Err(self.lexer.unexpected("`MonthDayNano`, `DayTime` or `YearMonth`")),
        };
        self.lexer.advance()?;
        self.close(close)?;
        Ok(DataType::Interval(unit))
    }

    /// `(T)` or `<[name:] T>` after the name of a list type.
    fn list(
        &mut self,
        unmarked: Unmarked,
        build: impl Fn(Arc<Field>) -> DataType,
        above: usize,
    ) -> Result<Parsed, SqlTypeError> {
        let close = self.open_container()?;
        let (item, depth) = self.item(unmarked, close, above)?;
        self.close(close)?;
        Ok(Parsed::unmarked(build(item), depth + 1))
    }

    /// `(T, n)`, `(n x T)` or `<item: T>[n]`.
    fn fixed_size_list(&mut self, above: usize) -> Result<Parsed, SqlTypeError> {
        const WHAT: &str = "the length of a fixed-size list";
        let max = i64::from(i32::MAX);
        let close = self.open_container()?;
        let mut length = None;
        if matches!(self.lexer.token(), Token::Number(_)) {
            length = Some(self.number(WHAT, 1, max)?);
            self.expect_word("X", "`x` between the length and the type")?;
        }
        let (item, depth) = self.item(Unmarked::Nullable, close, above)?;
        if length.is_none() && *self.lexer.token() == Token::Punctuation(',') {
            self.lexer.advance()?;
            length = Some(self.number(WHAT, 1, max)?);
        }
        self.close(close)?;
        let length = match length {
            Some(length) => length,
            None => {
                self.expect('[', "`[` and the length of the fixed-size list")?;
                let length = self.number(WHAT, 1, max)?;
                self.expect(']', "`]`")?;
                length
            }
        };
        Ok(Parsed::unmarked(DataType::FixedSizeList(item, to_i32(length)), depth + 1))
    }

    fn item(
        &mut self,
        unmarked: Unmarked,
        close: char,
        above: usize,
    ) -> Result<(Arc<Field>, usize), SqlTypeError> {
        let named = close == '>' && self.lexer.peek_next() == Token::Punctuation(':');
        let name = if named { self.field_name()? } else { Field::LIST_FIELD_DEFAULT_NAME.to_owned() };
        let item = self.marked_type(unmarked, above + 1)?;
        let depth = item.depth;
        Ok((Arc::new(item.into_field(&name)), depth))
    }

    fn map(&mut self, above: usize) -> Result<Parsed, SqlTypeError> {
        let close = self.open_container()?;
        let unmarked = Unmarked::nullable_if(close == '>' || self.dialect.nullable_inside());
        let position = self.lexer.position();
        let key = self.marked_type(Unmarked::NotNull, above + 1)?;
        if key.nullable {
            return Err(SqlTypeError::Unexpected {
                position,
                found: "a nullable type".to_owned(),
                expected: "a map key that cannot be NULL",
            });
        }
        self.expect(',', "`,` and the type of the map's values")?;
        let value = self.marked_type(unmarked, above + 1)?;
        self.close(close)?;
        let depth = key.depth.max(value.depth) + 1;
        let fields = Fields::from(vec![key.into_field("key"), value.into_field("value")]);
        let entries = Field::new("entries", DataType::Struct(fields), false);
        Ok(Parsed::unmarked(DataType::Map(Arc::new(entries), false), depth))
    }

    /// `(T, ..)`, `(name T, ..)` or `<name: T, ..>`; a comma may follow the last field.
    fn structure(&mut self, unmarked: Unmarked, above: usize) -> Result<Parsed, SqlTypeError> {
        let close = self.open_container()?;
        let mut fields: Vec<Field> = Vec::new();
        let mut names = HashSet::new();
        let mut depth = 0;
        loop {
            let name = if self.at_field_name() { self.field_name()? } else { (fields.len() + 1).to_string() };
            let parsed = self.marked_type(unmarked, above + 1)?;
            depth = depth.max(parsed.depth);
            if !names.insert(name.clone()) {
                return Err(SqlTypeError::DuplicateName {
                    position: self.lexer.position(),
                    name: quote(&name),
                });
            }
            fields.push(parsed.into_field(&name));
            if *self.lexer.token() != Token::Punctuation(',') {
                break;
            }
            self.lexer.advance()?;
            if *self.lexer.token() == Token::Punctuation(close) {
                break;
            }
        }
        self.close(close)?;
        Ok(Parsed::unmarked(DataType::Struct(Fields::from(fields)), depth + 1))
    }

    /// Whether the current token names a field: it is quoted or a number, or another word that can
    /// start a type (or a colon) follows.
    fn at_field_name(&self) -> bool {
        match self.lexer.token() {
            Token::Quoted(_) | Token::Number(_) => true,
            Token::Word(word) => match self.lexer.peek_next() {
                Token::Punctuation(':') => true,
                Token::Punctuation('-') => false,
                Token::Word(next) => {
                    // `nullable Int32` is a mark and a type; `NULL` may itself be a field's type.
                    !names::follows_a_type(next) && !word.eq_ignore_ascii_case("NULLABLE")
                        || (next.eq_ignore_ascii_case("NULL") && names::lookup(word).is_none())
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// A field's name with the colon that may follow it.
    fn field_name(&mut self) -> Result<String, SqlTypeError> {
        let name = match self.lexer.token() {
            Token::Quoted(name) => name.clone(),
            Token::Word(name) | Token::Number(name) => (*name).to_owned(),
            _ => return Err(self.lexer.unexpected("a field name")),
        };
        self.lexer.advance()?;
        if *self.lexer.token() == Token::Punctuation(':') {
            self.lexer.advance()?;
        }
        Ok(name)
    }

    /// A time unit, or the number of fractional digits that asks for one.
    fn unit_or_digits(&mut self) -> Result<TimeUnit, SqlTypeError> {
        if !matches!(self.lexer.token(), Token::Number(_)) {
            return self.unit();
        }
        let digits = self.number("the number of fractional digits", 0, 9)?;
        Ok(if digits <= 6 { TimeUnit::Microsecond } else { TimeUnit::Nanosecond })
    }

    fn unit(&mut self) -> Result<TimeUnit, SqlTypeError> {
        const EXPECTED: &str = "a time unit: `s`, `ms`, `us` or `ns`";
        let Token::Word(word) = *self.lexer.token() else {
            return Err(self.lexer.unexpected(EXPECTED));
        };
        let unit = match word.to_lowercase().as_str() {
            "s" | "second" => TimeUnit::Second,
            "ms" | "millisecond" => TimeUnit::Millisecond,
            // The micro sign and the Greek letter.
            "us" | "\u{b5}s" | "\u{3bc}s" | "microsecond" => TimeUnit::Microsecond,
            "ns" | "nanosecond" => TimeUnit::Nanosecond,
            _ => return Err(self.lexer.unexpected(EXPECTED)),
        };
        self.lexer.advance()?;
        Ok(unit)
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
