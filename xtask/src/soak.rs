//! `cargo xtask soak`: the server under attack, for as long as asked.

use std::process::Command;

use crate::guest;
use crate::product;

/// Builds the server and the soak, and runs it.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let context = guest::context()?;
    guest::build(&context)?;
    let workspace = context.workspace.clone();
    drop(context);

    let binary = product::build(&workspace)?;
    let soak = binary.with_file_name("examples").join("soak");
    product::succeed(Command::new(soak).args(arguments).env("VIVARIUM_BINARY", binary))
}
