//! Types that hold others: lists, maps and structs.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};

use super::super::error::{SqlTypeError, quote};
use super::super::lexer::Token;
use super::super::names;
use super::{Parsed, Parser, Unmarked, to_i32};

impl Parser<'_> {
    /// `(T)` or `<[name:] T>` after the name of a list type.
    pub(super) fn list(
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
    pub(super) fn fixed_size_list(&mut self, above: usize) -> Result<Parsed, SqlTypeError> {
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

    pub(super) fn map(&mut self, above: usize) -> Result<Parsed, SqlTypeError> {
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
    pub(super) fn structure(&mut self, unmarked: Unmarked, above: usize) -> Result<Parsed, SqlTypeError> {
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
}
