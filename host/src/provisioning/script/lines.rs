//! The lines of a script, one after the other.

use super::{ScriptError, refuse};

/// What is left of a script. Lines end at `\n` alone; the last one may end without.
pub(super) struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, number: 1 }
    }

    /// Number of the next line, from 1.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The next line, which stays the next.
    pub(super) fn peek(&self) -> Option<&'a str> {
        (!self.rest.is_empty()).then(|| self.rest.split('\n').next().unwrap_or_default())
    }

    /// The next line.
    pub(super) fn next(&mut self) -> Option<&'a str> {
        let line = self.peek()?;
        self.advance(line.len().saturating_add(1).min(self.rest.len()));
        Some(line)
    }

    /// All that is left.
    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    /// Leaves `bytes` bytes behind, which end between two characters.
    pub(super) fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        self.number += passed.matches('\n').count();
        self.rest = rest;
    }

    /// Leaves lines without a character behind.
    pub(super) fn skip_blank(&mut self) {
        while self.peek() == Some("") {
            self.next();
        }
    }

    /// Leaves `prefix` behind if the next line begins with it, and says which line that is.
    pub(super) fn take_prefix(&mut self, prefix: &str) -> Option<usize> {
        self.rest.starts_with(prefix).then(|| {
            self.advance(prefix.len());
            self.number
        })
    }

    /// The next line must be this one.
    pub(super) fn expect(&mut self, expected: &str) -> Result<(), ScriptError> {
        let number = self.number;
        match self.next() {
            Some(line) if line == expected => Ok(()),
            Some(line) => refuse(number, format!("should be `{expected}`, it is `{}`", excerpt(line))),
            None => refuse(number, format!("should be `{expected}`, but the script has ended")),
        }
    }

    /// The lines up to one that is `marker` and nothing else, which is left behind; without the line
    /// end before it. `opened` is the line that named the marker.
    pub(super) fn until(&mut self, marker: &str, opened: usize) -> Result<&'a str, ScriptError> {
        let text = self.rest;
        let mut end = 0;
        while let Some(line) = self.next() {
            if line == marker {
                if end == 0 {
                    return refuse(opened, "begins a text without lines");
                }
                return Ok(&text[..end - 1]);
            }
            end = text.len() - self.rest.len();
        }
        refuse(opened, format!("begins a text that does not end: no line is `{marker}`"))
    }
}

/// The beginning of a line for an error, free of control characters.
pub(super) fn excerpt(line: &str) -> String {
    line.chars().take(60).flat_map(char::escape_debug).collect()
}
