//! Our own binary: building it and running its server.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail, ensure};

/// Beginnings of the variables in which cargo describes the package that it runs.
const OF_XTASK: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];

/// A call of cargo in the workspace.
pub(crate) fn cargo(workspace: &Path, arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(workspace);
    // What cargo told xtask about xtask. Build scripts look at it, and would run again after each change
    // between `cargo xtask` and cargo itself.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| OF_XTASK.iter().any(|prefix| name.starts_with(prefix))) {
            command.env_remove(name);
        }
    }
    command
}

/// Waits for a command that must succeed.
pub(crate) fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_owned();
    let status = command.status().with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(status.success(), "{} ended with {status}", program.display());
    Ok(())
}

/// What builds all programs with the features that the tests use as well. With `--package`, or
/// without a target that has development dependencies, cargo would choose other features for a few
/// small crates, and everything that depends on them would be compiled once more for the tests.
const BUILD: [&str; 6] = ["build", "--release", "--locked", "--workspace", "--bins", "--examples"];

/// Builds `vivarium` and returns its path.
pub(crate) fn build(workspace: &Path) -> anyhow::Result<PathBuf> {
    succeed(&mut cargo(workspace, &BUILD))?;
    Ok(target(workspace).join("release/vivarium"))
}

/// Where cargo puts what it builds.
pub(crate) fn target(workspace: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from)
}

/// A server of our own, stopped when dropped.
pub(crate) struct Server {
    child: Child,
    /// `host:port` of both services.
    pub(crate) address: String,
    /// The line that the server printed when it was ready.
    pub(crate) ready: String,
}

impl Server {
    /// Starts `vivarium serve` on a free port of the loopback interface with its state in `folder`.
    pub(crate) fn start(binary: &Path, folder: &Path) -> anyhow::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let mut child = Command::new(binary)
            .args(["serve", "--flight", &address, "--log-level", "warn", "--state-dir"])
            .arg(folder.join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut ready = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut ready)?;
        }
        if ready.is_empty() {
            bail!("the server ended before it was ready: {}", child.wait()?);
        }
        Ok(Self { child, address, ready: ready.trim_end().to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failure means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
