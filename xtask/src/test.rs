//! `cargo xtask test`: every test of the workspace, with the clients they need.

use crate::clients::Clients;
use crate::guest;
use crate::product;

/// Builds what the tests need and runs them all.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let context = guest::context()?;
    guest::build(&context)?;
    let clients = Clients::install(&context)?;
    let workspace = context.workspace.clone();
    drop(context);

    // The tests start the binary itself; cargo does not build it for tests of other packages.
    let binary = product::build(&workspace)?;
    let mut command =
        product::cargo(&workspace, &["test", "--release", "--workspace", "--locked", "--no-fail-fast"]);
    command
        .args(arguments)
        .env("VIVARIUM_BINARY", binary)
        .env("VIVARIUM_CLIENT_PYTHON", clients.python())
        .env("VIVARIUM_CLIENT_PACKAGES", clients.packages());
    product::succeed(&mut command)
}
