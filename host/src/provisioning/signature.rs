//! Handler and types of a function, as every generation of the provisioning protocol writes them.

use arrow::datatypes::Field;
use vivarium_runtime::{FunctionSpec, NullHandling};

use crate::sql_types::{self, Dialect, SqlTypeError};

/// Most parameters of a function.
const MAX_PARAMETERS: usize = 1024;

/// Longest handler, in bytes.
const MAX_HANDLER_BYTES: usize = 256;

/// Why a signature was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The handler cannot be the name of a function.
    #[error(
        "`handler` must be a name such as `gcd` or `Class.method`, at most {limit} bytes long; it is `{found}`"
    )]
    Handler {
        /// Longest handler, in bytes.
        limit: usize,
        /// Its beginning.
        found: String,
    },
    /// There are too many parameters.
    #[error("`input_types` has {requested} types, {limit} are allowed")]
    Parameters {
        /// Parameters allowed.
        limit: usize,
        /// Parameters given.
        requested: usize,
    },
    /// A type cannot be read.
    #[error("`{key}`: {source}")]
    Type {
        /// The result, or a parameter with its position.
        key: String,
        /// Why.
        source: SqlTypeError,
    },
}

/// A scalar function called by its handler, which may be dotted. Parameters are named `arg1`, `arg2` and
/// so on, the result `result`. Null arguments are passed as `None`.
///
/// # Errors
/// [`SignatureError`], naming the part.
pub(super) fn function_spec(
    handler: &str,
    input_types: &[String],
    result_type: &str,
    code: String,
) -> Result<FunctionSpec, SignatureError> {
    check_handler(handler)?;
    if input_types.len() > MAX_PARAMETERS {
        return Err(SignatureError::Parameters { limit: MAX_PARAMETERS, requested: input_types.len() });
    }
    let field = |name: &str, key: String, text: &str| {
        sql_types::parse_field(name, text, Dialect::Databend)
            .map_err(|source| SignatureError::Type { key, source })
    };
    let parameters = input_types
        .iter()
        .enumerate()
        .map(|(index, text)| field(&format!("arg{}", index + 1), format!("input_types[{index}]"), text))
        .collect::<Result<Vec<Field>, _>>()?;
    Ok(FunctionSpec {
        name: handler.to_owned(),
        handler: handler.to_owned(),
        filename: "udf.py".to_owned(),
        code,
        parameters,
        result: field("result", "result_type".to_owned(), result_type)?,
        kind: Default::default(),
        null_handling: NullHandling::CallOnNull,
        on_error: Default::default(),
        environment: Default::default(),
        interpreter: Default::default(),
        files_digest: None,
    })
}

fn check_handler(handler: &str) -> Result<(), SignatureError> {
    let is_name = |part: &str| {
        let mut characters = part.chars();
        characters.next().is_some_and(|first| first == '_' || first.is_alphabetic())
            && characters.all(|other| other == '_' || other.is_alphanumeric())
    };
    if handler.len() > MAX_HANDLER_BYTES || !handler.split('.').all(is_name) {
        let found = handler.chars().take(60).flat_map(char::escape_debug).collect();
        return Err(SignatureError::Handler { limit: MAX_HANDLER_BYTES, found });
    }
    Ok(())
}
