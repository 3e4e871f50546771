//! Asking a module what it declares.

use crate::build::BuildError;
use crate::call::CallError;
use crate::declaration::{Declaration, ModuleSource};
use crate::engine::Engine;
use crate::limits::Limits;
use crate::logs::Logs;

/// Executes `module` in a fork of the bare interpreter and lists its declarations.
pub(crate) fn describe(
    _engine: &Engine,
    _module: &ModuleSource,
    _limits: &Limits,
) -> Result<Vec<Declaration>, BuildError> {
    let error = CallError::host("this guest cannot list declarations");
    Err(BuildError::Call { error: Box::new(error), logs: Box::new(Logs::default()) })
}
