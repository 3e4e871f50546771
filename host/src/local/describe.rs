//! What a source file defines, found out without running it on this machine.
//!
//! The host never parses Python. A small function of ours does, inside the sandbox like any other
//! function, with the user's source as its argument.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use serde::Deserialize;
use thiserror::Error;
use vivarium_runtime::{
    BuildError, BuildLimits, CallError, Capabilities, Engine, ForkError, FunctionFiles, FunctionSpec, Limits,
    NullHandling,
};

const SCRIPT: &str = include_str!("describe.py");

/// A function that the source file defines at its top level.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// The name it is bound to.
    pub name: String,
    /// Line of its definition, from 1.
    pub line: u32,
    /// Whether it was defined with `async def`.
    pub coroutine: bool,
    /// Parameters in the order of the definition.
    pub parameters: Vec<Parameter>,
    /// The annotation of what it returns.
    pub returns: Option<Annotation>,
}

/// One parameter of a [`Function`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// How it is passed.
    pub kind: ParameterKind,
    /// Whether a call may leave it out.
    pub optional: bool,
    /// Its annotation.
    pub annotation: Option<Annotation>,
}

/// How a parameter is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    /// By position.
    Positional,
    /// `*args`.
    VarPositional,
    /// After `*`, by keyword only.
    Keyword,
    /// `**kwargs`.
    VarKeyword,
}

/// A type annotation as a tree of names: `dict[str, int]` is `dict` with two arguments.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Annotation {
    /// The annotation as Python would write it.
    pub text: String,
    /// The last part of its dotted name, `Union` for `X | Y`; missing where it is something else.
    pub name: Option<String>,
    /// What stands in brackets.
    pub arguments: Vec<Annotation>,
}

/// Why nothing is known about a source file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DescribeError {
    /// The source is not Python.
    #[error(transparent)]
    Syntax(SyntaxError),
    /// The helper's image could not be built.
    #[error("the helper that reads function signatures could not be loaded")]
    Build(#[from] BuildError),
    /// No instance for the helper.
    #[error("the helper that reads function signatures could not be started")]
    Fork(#[from] ForkError),
    /// The helper failed, because the source is too large or nested too deeply.
    #[error("the functions of the source file could not be listed")]
    Call(#[from] CallError),
    /// The helper's answer was not what it should be.
    #[error("the helper that reads function signatures answered nonsense")]
    Answer(#[source] serde_json::Error),
}

/// Where Python's parser stopped.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyntaxError {
    /// What the parser says.
    pub message: String,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
    /// The line itself.
    pub text: String,
}

impl std::error::Error for SyntaxError {}

impl std::fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SyntaxError: {}", self.message)?;
        if let Some(line) = self.line {
            write!(f, " (line {line}")?;
            if let Some(column) = self.column {
                write!(f, ", column {column}")?;
            }
            f.write_str(")")?;
        }
        if !self.text.trim().is_empty() {
            write!(f, "\n    {}", self.text.trim())?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Answer {
    Functions { functions: Vec<Function> },
    SyntaxError { syntax_error: SyntaxError },
}

/// Lists the functions of `source`, which is parsed in the sandbox and not executed.
///
/// # Errors
/// [`DescribeError::Syntax`] for source that is not Python; the rest is the sandbox's.
pub fn describe(engine: &Engine, source: &str) -> Result<Vec<Function>, DescribeError> {
    let parameter = Field::new("source", DataType::Utf8, false);
    let spec = FunctionSpec {
        name: "describe".to_owned(),
        handler: "describe".to_owned(),
        filename: "describe.py".to_owned(),
        code: SCRIPT.to_owned(),
        parameters: vec![parameter.clone()],
        result: Field::new("description", DataType::Utf8, false),
        kind: Default::default(),
        null_handling: NullHandling::CallOnNull,
        on_error: Default::default(),
        environment: BTreeMap::new(),
        interpreter: Default::default(),
        files_digest: None,
    };
    let image = engine.build_image(&spec, &FunctionFiles::default(), &BuildLimits::default())?;
    let mut instance = image.fork(&Limits::default(), &Capabilities::default())?;
    let batch = RecordBatch::try_new(
        Arc::new(Schema::new(vec![parameter])),
        vec![Arc::new(StringArray::from(vec![source]))],
    )
    .map_err(|error| DescribeError::Answer(serde::de::Error::custom(error)))?;
    let result = instance.invoke(&batch)?;
    let text = match result.as_any().downcast_ref::<StringArray>() {
        Some(strings) if strings.len() == 1 => strings.value(0),
        _ => return Err(DescribeError::Answer(serde::de::Error::custom("not one string"))),
    };
    read_answer(text)
}

fn read_answer(text: &str) -> Result<Vec<Function>, DescribeError> {
    match serde_json::from_str(text).map_err(DescribeError::Answer)? {
        Answer::Functions { functions } => Ok(functions),
        Answer::SyntaxError { syntax_error } => Err(DescribeError::Syntax(syntax_error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let functions = read_answer(
            r#"{"functions": [{"name": "f", "line": 3, "coroutine": false, "parameters": [
                {"name": "a", "kind": "var_positional", "optional": true, "annotation": null}],
                "returns": {"text": "list[int]", "name": "list", "arguments": [
                    {"text": "int", "name": "int", "arguments": []}]}}]}"#,
        )
        .unwrap();
        assert_eq!(functions[0].parameters[0].kind, ParameterKind::VarPositional);
        assert_eq!(functions[0].returns.as_ref().unwrap().arguments[0].text, "int");
    }

    #[test]
    fn syntax_errors_keep_their_place() {
        let error = read_answer(
            r#"{"syntax_error": {"message": "invalid syntax", "line": 1, "column": 7, "text": "def f(:"}}"#,
        )
        .unwrap_err();
        assert_eq!(error.to_string(), "SyntaxError: invalid syntax (line 1, column 7)\n    def f(:");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "[]", "{}", r#"{"functions": 3}"#, r#"{"functions": [], "more": 1}"#] {
            assert!(matches!(read_answer(text), Err(DescribeError::Answer(_))), "{text}");
        }
    }
}
