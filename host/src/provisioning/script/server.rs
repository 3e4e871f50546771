//! Handler and types, out of the Python program that would serve the function.

use super::lines::excerpt;
use super::{ScriptError, refuse};

const DECORATOR: &str = "udf_decorator(name=\"";
const INPUTS: &str = "\", input_types=[";
const RESULT: &str = "], result_type=\"";
const DECORATOR_END: &str = "\")";
const LOOKUP: &str = "getattr(udf, \"";

/// What the program says.
pub(super) struct Server {
    pub(super) handler: String,
    pub(super) input_types: Vec<String>,
    pub(super) result_type: String,
}

/// Reads the program. `line` is the script's line on which it begins.
pub(super) fn read(text: &str, line: usize) -> Result<Server, ScriptError> {
    let mut found = text.match_indices(DECORATOR);
    let Some((start, _)) = found.next() else {
        return refuse(line, format!("begins a program without `{DECORATOR}..`"));
    };
    let mut reader = Reader { text, at: start + DECORATOR.len(), line };
    if let Some((second, _)) = found.next() {
        return refuse(reader.line_of(second), format!("has a second `{DECORATOR}..`"));
    }
    let handler = reader.literal()?;
    reader.expect(INPUTS)?;
    let mut input_types = Vec::new();
    while !reader.rest().starts_with(']') {
        reader.expect(if input_types.is_empty() { "\"" } else { ", \"" })?;
        input_types.push(reader.literal()?);
        reader.expect("\"")?;
    }
    reader.expect(RESULT)?;
    let result_type = reader.literal()?;
    reader.expect(DECORATOR_END)?;
    while let Some(found) = reader.rest().find(LOOKUP) {
        reader.at += found + LOOKUP.len();
        let here = reader.line_of(reader.at);
        let other = reader.literal()?;
        if other != handler {
            let problem =
                format!("calls `{}`, but the decorator names `{}`", excerpt(&other), excerpt(&handler));
            return refuse(here, problem);
        }
    }
    Ok(Server { handler, input_types, result_type })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn line_of(&self, at: usize) -> usize {
        self.line + self.text[..at].matches('\n').count()
    }

    fn expect(&mut self, expected: &str) -> Result<(), ScriptError> {
        if !self.rest().starts_with(expected) {
            let problem = format!("should have `{expected}` before `{}`", excerpt(self.rest()));
            return refuse(self.line_of(self.at), problem);
        }
        self.at += expected.len();
        Ok(())
    }

    /// The rest of a string in double quotes, up to the closing quote. The engine escapes backslashes
    /// and quotes and nothing else.
    fn literal(&mut self) -> Result<String, ScriptError> {
        let start = self.at;
        let mut value = String::new();
        let mut characters = self.rest().char_indices();
        while let Some((position, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += position;
                    return Ok(value);
                }
                '\\' => match characters.next() {
                    Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                    _ => {
                        let here = self.line_of(start + position);
                        return refuse(here, "has an escape in a string other than `\\\\` and `\\\"`");
                    }
                },
                other => value.push(other),
            }
        }
        refuse(self.line_of(start), "begins a string that does not end")
    }
}
