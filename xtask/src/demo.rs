//! `cargo xtask demo`: the product's main job on real data, from nothing.

use std::process::Command;
use std::time::Instant;

use crate::clients::Clients;
use crate::guest;
use crate::product::{self, Server};

/// Builds what is missing, starts a server, and lets an ordinary client use it.
pub(crate) fn run() -> anyhow::Result<()> {
    let context = guest::context()?;
    guest::build(&context)?;
    let clients = Clients::install(&context)?;
    let flights = clients.flights(&context)?;
    let workspace = context.workspace.clone();
    drop(context);

    eprintln!("building vivarium ...");
    let binary = product::build(&workspace)?;
    let folder = tempfile::tempdir()?;
    let start = Instant::now();
    let server = Server::start(&binary, folder.path())?;
    println!("\n{}", server.ready);
    println!("  {:<32}{:9.1} ms   compiles the sandbox once", "start the server", millis(start));
    drop(server);
    let start = Instant::now();
    let server = Server::start(&binary, folder.path())?;
    println!("  {:<32}{:9.1} ms   with the compiled sandbox", "start it again", millis(start));

    product::succeed(
        Command::new(clients.python())
            .arg(workspace.join("xtask/demo/client.py"))
            .args(["--provisioning", &server.address, "--proto"])
            .arg(workspace.join("proto/proto/udfproto.proto"))
            .arg("--data")
            .arg(flights)
            .arg("--function")
            .arg(workspace.join("xtask/demo/compensation.py"))
            .env("PYTHONPATH", clients.packages()),
    )
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
