//! Errors that come out of the interpreter.

use serde_json::Value;

use crate::text;

/// Longest error object that is read from a guest, in bytes.
pub(crate) const ERROR_BYTES_MAX: u32 = 64 << 10;

const MESSAGE_BYTES_MAX: usize = 4 << 10;
const TRACEBACK_BYTES_MAX: usize = 16 << 10;
const NAME_BYTES_MAX: usize = 256;
const ARGUMENTS_MAX: usize = 32;
/// 120 characters and a mark that there are more.
const ARGUMENT_BYTES_MAX: usize = 512;

/// What Python reported. All text comes from the guest; it has been cut to size and freed of
/// control characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FunctionError {
    /// What kind of failure it is.
    pub kind: FunctionErrorKind,
    /// One line to a few; at most 4 KiB.
    pub message: String,
    /// The exception's class, if an exception is behind it.
    pub class: Option<String>,
    /// The class of Python's own that the exception is an instance of, if it is one of
    /// [`FunctionError::BASES`].
    pub base: Option<&'static str>,
    /// The user's frames of the traceback, at most 16 KiB.
    pub traceback: Option<String>,
    /// Zero-based row of the batch that was worked on.
    pub row: Option<u64>,
    /// Parameter or result concerned.
    pub column: Option<String>,
    /// Names of the parameters and beginnings of the `repr` of their arguments in that row; at most 32.
    pub arguments: Vec<(String, String)>,
}

/// Kinds of [`FunctionError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FunctionErrorKind {
    /// The code does not compile.
    Syntax,
    /// Executing the module raised.
    Import,
    /// The handler does not exist, is not callable or takes another number of arguments.
    Handler,
    /// A parameter or result type that the guest does not know.
    Schema,
    /// The function raised.
    Exception,
    /// An input value that Python cannot hold.
    Argument,
    /// A returned value that does not fit the declared type.
    Result,
    /// `RecursionError`.
    Recursion,
    /// `MemoryError`.
    Memory,
    /// `SystemExit`.
    Exit,
    /// The guest's own machinery failed, or its error could not be read.
    Internal,
}

impl FunctionErrorKind {
    fn parse(name: &str) -> Self {
        match name {
            "syntax" => Self::Syntax,
            "import" => Self::Import,
            "handler" => Self::Handler,
            "schema" => Self::Schema,
            "exception" => Self::Exception,
            "argument" => Self::Argument,
            "result" => Self::Result,
            "recursion" => Self::Recursion,
            "memory" => Self::Memory,
            "exit" => Self::Exit,
            _ => Self::Internal,
        }
    }
}

impl FunctionError {
    /// Classes that clients of other projects' servers tell apart.
    pub const BASES: [&str; 8] = [
        "MemoryError",
        "IndexError",
        "KeyError",
        "TypeError",
        "ValueError",
        "OSError",
        "OverflowError",
        "NotImplementedError",
    ];

    /// Reads the guest's error object. Never fails: what cannot be understood becomes an internal
    /// error that shows the beginning of what was there.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let Ok(Value::Object(object)) = serde_json::from_slice::<Value>(bytes) else {
            return Self::internal(format!(
                "the guest's error is not an object: {}",
                text::sanitise(bytes, NAME_BYTES_MAX)
            ));
        };
        let text = |name: &str, limit: usize| {
            object.get(name).and_then(Value::as_str).map(|text| text::sanitise(text.as_bytes(), limit))
        };
        let class = text("class", NAME_BYTES_MAX);
        let traceback = text("traceback", TRACEBACK_BYTES_MAX);
        let mut message = text("message", MESSAGE_BYTES_MAX).unwrap_or_default();
        // An exception may have no message; an error must say something.
        if message.is_empty() && class.is_none() && traceback.is_none() {
            "the guest gave no reason".clone_into(&mut message);
        }
        Self {
            kind: object
                .get("kind")
                .and_then(Value::as_str)
                .map_or(FunctionErrorKind::Internal, FunctionErrorKind::parse),
            message,
            class,
            base: object
                .get("base")
                .and_then(Value::as_str)
                .and_then(|base| Self::BASES.into_iter().find(|known| *known == base)),
            traceback,
            row: object.get("row").and_then(Value::as_u64),
            column: text("column", NAME_BYTES_MAX),
            arguments: arguments(object.get("arguments")),
        }
    }

    /// An error of the machinery.
    pub(crate) fn internal(message: String) -> Self {
        Self {
            kind: FunctionErrorKind::Internal,
            message,
            class: None,
            base: None,
            traceback: None,
            row: None,
            column: None,
            arguments: Vec::new(),
        }
    }
}

/// Reads pairs of name and `repr`; what is no such pair is left out.
fn arguments(value: Option<&Value>) -> Vec<(String, String)> {
    let pairs = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let text = |value: &Value, limit| Some(text::sanitise(value.as_str()?.as_bytes(), limit));
    let pair = |pair: &Value| match pair.as_array()?.as_slice() {
        [name, repr] => Some((text(name, NAME_BYTES_MAX)?, text(repr, ARGUMENT_BYTES_MAX)?)),
        _ => None,
    };
    pairs.iter().take(ARGUMENTS_MAX).filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_error_is_read() {
        let error = FunctionError::parse(
            br#"{"kind": "exception", "message": "no\u001b[2J", "class": "ValueError", "base": "ValueError", "row": 3, "column": "x",
                "traceback": "File \"f.py\", line 2\r\nValueError: no"}"#,
        );
        assert_eq!(error.kind, FunctionErrorKind::Exception);
        assert_eq!(error.message, "no[2J");
        assert_eq!(error.traceback.as_deref(), Some("File \"f.py\", line 2\nValueError: no"));
        assert_eq!((error.row, error.column.as_deref()), (Some(3), Some("x")));
        assert_eq!(error.base, Some("ValueError"));
        assert_eq!(FunctionError::parse(br#"{"kind": "exception", "base": "Exception"}"#).base, None);
    }

    #[test]
    fn nonsense_becomes_an_internal_error() {
        for bytes in [&b""[..], b"\xff\xfe", b"[1]", b"{", b"null"] {
            assert_eq!(FunctionError::parse(bytes).kind, FunctionErrorKind::Internal);
        }
        let error = FunctionError::parse(br#"{"kind": 7, "message": [], "row": -1, "column": {}}"#);
        assert_eq!((error.kind, error.row), (FunctionErrorKind::Internal, None));
        assert_eq!(error.message, "the guest gave no reason");
        let deep = "[".repeat(20_000);
        assert_eq!(FunctionError::parse(deep.as_bytes()).kind, FunctionErrorKind::Internal);
    }

    #[test]
    fn arguments_are_pairs_and_not_many() {
        let error = FunctionError::parse(
            br#"{"kind": "exception", "arguments": [["a", "1"], ["b"], 7, ["c", "'\u001b[31m'"], ["d", 2]]}"#,
        );
        assert_eq!(
            error.arguments,
            [("a".to_owned(), "1".to_owned()), ("c".to_owned(), "'[31m'".to_owned())]
        );
        let many = format!(r#"{{"arguments": [{}["x", "y"]]}}"#, r#"["x", "y"],"#.repeat(100));
        assert_eq!(FunctionError::parse(many.as_bytes()).arguments.len(), ARGUMENTS_MAX);
    }

    #[test]
    fn text_is_cut() {
        let long = format!(r#"{{"kind": "exception", "message": "{}"}}"#, "x".repeat(20_000));
        assert!(FunctionError::parse(long.as_bytes()).message.len() <= MESSAGE_BYTES_MAX + 4);
    }
}
