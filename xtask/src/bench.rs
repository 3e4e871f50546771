//! `cargo xtask bench`: the benchmarks, and what bounds them.

use std::process::Command;

use crate::clients::Clients;
use crate::guest;
use crate::product;

const CRITERION: [&str; 8] =
    ["bench", "--workspace", "--bench", "fork", "--bench", "rows", "--bench", "flight"];

/// Builds what the benchmarks need and runs them all.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let context = guest::context()?;
    guest::build(&context)?;
    let clients = Clients::install(&context)?;
    let workspace = context.workspace.clone();
    drop(context);

    product::succeed(product::cargo(&workspace, &CRITERION).args(arguments))?;
    let mut native = Command::new(clients.python());
    native.arg("-B").arg(workspace.join("benches/native_rows.py")).env("PYTHONPATH", clients.packages());
    product::succeed(&mut native)
}
