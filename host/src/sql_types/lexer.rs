//! Splits a type's text into words, numbers, quoted names and punctuation, on demand.

use super::error::{SqlTypeError, quote};

/// One piece of a type's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword or a plain name: starts with a letter or `_`.
    Word(&'a str),
    /// Decimal digits, as written.
    Number(&'a str),
    /// A name or a time zone in `"`, `'` or backticks; a doubled quote stands for one.
    Quoted(String),
    /// One of `( ) < > [ ] , : = - +`.
    Punctuation(char),
    /// Nothing is left.
    End,
}

/// Reads tokens one at a time, with one token of look-ahead.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    token: Token<'a>,
    /// Byte offsets of the current token.
    start: usize,
    end: usize,
}

impl<'a> Lexer<'a> {
    /// Starts at the first token of `text`.
    pub(super) fn new(text: &'a str) -> Result<Self, SqlTypeError> {
        let mut lexer = Self { text, token: Token::End, start: 0, end: 0 };
        lexer.advance()?;
        Ok(lexer)
    }

    /// The token that has not been consumed yet.
    pub(super) fn token(&self) -> &Token<'a> {
        &self.token
    }

    /// Where the current token starts, in characters from 1.
    pub(super) fn position(&self) -> usize {
        self.text[..self.start].chars().count() + 1
    }

    /// The token after the current one; characters that are no token count as the end, and are
    /// reported when they are reached.
    pub(super) fn peek_next(&self) -> Token<'a> {
        self.scan(self.end).map_or(Token::End, |(token, _, _)| token)
    }

    /// Consumes the current token.
    pub(super) fn advance(&mut self) -> Result<(), SqlTypeError> {
        let (token, start, end) = self.scan(self.end)?;
        self.token = token;
        self.start = start;
        self.end = end;
        Ok(())
    }

    /// Takes everything from the current token up to `end` as it is written, trimmed: a time zone
    /// after `tz=` is not made of our tokens. Goes on with the token at `end`.
    pub(super) fn raw_until(&mut self, end: char) -> Result<&'a str, SqlTypeError> {
        let rest = &self.text[self.start..];
        let Some(length) = rest.find(end) else {
            return Err(self.unexpected("`]` after the time zone"));
        };
        let raw = rest[..length].trim();
        self.end = self.start + length;
        self.advance()?;
        Ok(raw)
    }

    /// The error for the current token standing in the place of `expected`.
    pub(super) fn unexpected(&self, expected: &'static str) -> SqlTypeError {
        SqlTypeError::Unexpected { position: self.position(), found: self.found(), expected }
    }

    fn found(&self) -> String {
        if self.token == Token::End {
            "the end of the text".to_owned()
        } else {
            quote(&self.text[self.start..self.end])
        }
    }

    fn scan(&self, from: usize) -> Result<(Token<'a>, usize, usize), SqlTypeError> {
        let rest = &self.text[from..];
        let start = from + (rest.len() - rest.trim_start().len());
        let rest = &self.text[start..];
        let Some(first) = rest.chars().next() else {
            return Ok((Token::End, start, start));
        };
        if matches!(first, '"' | '\'' | '`') {
            let (name, length) = self.quoted(start, first)?;
            return Ok((Token::Quoted(name), start, start + length));
        }
        let (token, length) = if first.is_ascii_digit() {
            let length = length_while(rest, |c| c.is_ascii_digit());
            (Token::Number(&rest[..length]), length)
        } else if first.is_alphabetic() || first == '_' {
            let length = length_while(rest, |c| c.is_alphanumeric() || c == '_' || c == '$');
            (Token::Word(&rest[..length]), length)
        } else if matches!(first, '(' | ')' | '<' | '>' | '[' | ']' | ',' | ':' | '=' | '-' | '+') {
            (Token::Punctuation(first), first.len_utf8())
        } else {
            return Err(self.stray(start, first));
        };
        Ok((token, start, start + length))
    }

    /// The text between quotes that start at `start`, and the bytes it takes with its quotes.
    fn quoted(&self, start: usize, quote: char) -> Result<(String, usize), SqlTypeError> {
        let mut text = String::new();
        let mut characters = self.text[start..].char_indices().skip(1).peekable();
        while let Some((at, character)) = characters.next() {
            if character != quote {
                text.push(character);
            } else if characters.next_if(|(_, next)| *next == quote).is_some() {
                text.push(quote);
            } else {
                return Ok((text, at + quote.len_utf8()));
            }
        }
        Err(SqlTypeError::Unexpected {
            position: self.text.chars().count() + 1,
            found: "the end of the text".to_owned(),
            expected: "a closing quote",
        })
    }

    fn stray(&self, start: usize, character: char) -> SqlTypeError {
        SqlTypeError::Unexpected {
            position: self.text[..start].chars().count() + 1,
            found: quote(character.encode_utf8(&mut [0; 4])),
            expected: "a type",
        }
    }
}

fn length_while(text: &str, keep: impl Fn(char) -> bool) -> usize {
    text.find(|c| !keep(c)).unwrap_or(text.len())
}
