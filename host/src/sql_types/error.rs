//! Errors of the type parser. Positions count characters from 1.

use thiserror::Error;

/// Why a type's text was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SqlTypeError {
    /// The text is longer than any sensible type.
    #[error("the type has {requested} bytes, the limit is {limit} bytes")]
    TooLong {
        /// [`MAX_TEXT_BYTES`](super::MAX_TEXT_BYTES).
        limit: usize,
        /// Bytes given.
        requested: usize,
    },
    /// Containers inside containers inside containers.
    #[error("types are nested deeper than {limit} levels at character {position}")]
    TooDeep {
        /// [`MAX_DEPTH`](super::MAX_DEPTH).
        limit: usize,
        /// Where the limit was passed.
        position: usize,
    },
    /// Something else stands where the grammar wants `expected`.
    #[error("expected {expected}, found {found} at character {position}")]
    Unexpected {
        /// Where it stands.
        position: usize,
        /// What stands there, quoted and shortened.
        found: String,
        /// What would have been understood.
        expected: &'static str,
    },
    /// A word that names no type.
    #[error("unknown type {name} at character {position}{}", suggest(*.suggestion))]
    UnknownType {
        /// Where it stands.
        position: usize,
        /// The word, quoted and shortened.
        name: String,
        /// The type it most resembles.
        suggestion: Option<&'static str>,
    },
    /// A type of the dialect that this version has no Python value for.
    #[error("type {name} at character {position} is not supported yet: {hint}")]
    NotSupported {
        /// Where it stands.
        position: usize,
        /// The type's name.
        name: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// A number outside what the type allows.
    #[error("{what} must be {min} to {max}, found {found} at character {position}")]
    OutOfRange {
        /// Where the number stands.
        position: usize,
        /// What it measures.
        what: &'static str,
        /// Smallest allowed.
        min: i64,
        /// Largest allowed.
        max: i64,
        /// The number given, shortened.
        found: String,
    },
    /// Two fields of one tuple have the same name: as a Python dict one of them would be lost.
    #[error("field name {name} at character {position} is used twice in one tuple")]
    DuplicateName {
        /// Where the second one ends.
        position: usize,
        /// The name, quoted and shortened.
        name: String,
    },
}

fn suggest(suggestion: Option<&'static str>) -> String {
    suggestion.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// Quotes text from a stranger for a message: control characters escaped, at most 40 characters.
pub(super) fn quote(text: &str) -> String {
    const MAX_CHARACTERS: usize = 40;
    let mut quoted: String = text.chars().take(MAX_CHARACTERS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_CHARACTERS).is_some() {
        quoted.push('…');
    }
    format!("`{quoted}`")
}
