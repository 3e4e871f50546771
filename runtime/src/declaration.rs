//! What a module declares, as its decorators say.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::files::FunctionFiles;
use crate::function::{NullHandling, OnError};
use crate::interpreter::Interpreter;

/// Python source whose declarations are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleSource {
    /// File name of the code, without a directory; shown in tracebacks.
    pub filename: String,
    /// Python source of the module.
    pub code: String,
    /// Environment variables that the code sees.
    pub environment: BTreeMap<String, String>,
    /// The interpreter that it is executed in.
    pub interpreter: Interpreter,
    /// Files that it can import and read.
    pub files: FunctionFiles,
}

/// A function that a module declares with a decorator. Types are text, in the words of the
/// declaration's [`Dialect`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// Name that callers use.
    pub name: String,
    /// Dotted name of the callable inside the module.
    pub handler: String,
    /// What the function is called with, and what it gives back.
    pub kind: DeclaredKind,
    /// Names and types of the parameters, in order. Empty for a map function that takes any columns.
    pub parameters: Vec<(String, String)>,
    /// Name and type of the result; the value alone for a table function, a struct for a map function.
    pub result: (String, String),
    /// Type of an aggregate's state.
    pub state: Option<String>,
    /// What happens to rows with a null argument.
    pub null_handling: NullHandling,
    /// What happens to rows whose call raises.
    pub on_error: OnError,
    /// Whose decorator it is, which says how type names are read.
    pub dialect: Dialect,
}

/// A [`FunctionKind`](crate::FunctionKind) without what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclaredKind {
    /// See [`FunctionKind::Scalar`](crate::FunctionKind::Scalar).
    Scalar,
    /// See [`FunctionKind::Vectorized`](crate::FunctionKind::Vectorized).
    Vectorized,
    /// See [`FunctionKind::Table`](crate::FunctionKind::Table).
    Table,
    /// See [`FunctionKind::Aggregate`](crate::FunctionKind::Aggregate).
    Aggregate,
    /// See [`FunctionKind::Map`](crate::FunctionKind::Map).
    Map,
}

/// Whose decorator a declaration was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `vivarium`'s own.
    Vivarium,
    /// That of `databend_udf`.
    DatabendUdf,
    /// That of `arrow_udf`.
    ArrowUdf,
}
