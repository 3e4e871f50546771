//! The recipe's own Python scripts.

use std::path::Path;
use std::process::Command;

use super::context::Context;

/// A call of a script in `toolchain/`. The hash seed is fixed and nothing of the user's settings
/// counts, so that the same inputs give the same bytes.
pub(crate) fn script(context: &Context, interpreter: &Path, name: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.args(["-B", "-s"]).arg(context.recipe.toolchain(name));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("PYTHON") {
            command.env_remove(variable);
        }
    }
    command.env("PYTHONHASHSEED", "0");
    command
}
