//! `cargo xtask packages`: the wheels that the server brings itself, made from pinned sources.

use std::fs;
use std::process::Command;

use crate::clients::{self, Clients};
use crate::guest::{self, command};

/// Downloads the source distributions and lets `host/packages/build.py` make the wheels in place.
pub(crate) fn run() -> anyhow::Result<()> {
    let context = guest::context()?;
    let clients = Clients::install(&context)?;
    let folder = context.workspace.join("host/packages");
    let sources = tempfile::tempdir()?;
    let log = context.logs().join("packages.log");
    // pip reads a source distribution's metadata with setuptools, which is among the clients.
    let mut pip = clients::pip(&context)?;
    pip.args(["download", "--require-hashes", "--no-deps", "--no-build-isolation", "--no-binary", ":all:"])
        .arg("--requirement")
        .arg(folder.join("sdists.txt"))
        .arg("--dest")
        .arg(sources.path())
        .env("PYTHONPATH", clients.packages());
    command::run(&mut pip, &log)?;
    let wheels = folder.join("wheels");
    fs::create_dir_all(&wheels)?;
    let mut build = Command::new(clients.python());
    build.arg(folder.join("build.py")).arg(sources.path()).arg(wheels);
    command::run(&mut build, &log)
}
