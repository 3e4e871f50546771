//! Building and running one test.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::table::Mutation;
use crate::product;

/// Our own crates are compiled often, and run for seconds: quickly, in parts, without optimisation.
const QUICKLY: [&str; 5] = [
    "profile.release.incremental=true",
    "profile.release.debug=false",
    "profile.release.package.vivarium.opt-level=0",
    "profile.release.package.vivarium-runtime.opt-level=0",
    "profile.release.package.vivarium-tests.opt-level=0",
];

/// How a test ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// With what it said, in one line.
    Failed(String),
}

/// Where tests are compiled and run.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) tree: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) python: PathBuf,
    pub(crate) packages: PathBuf,
}

impl Bench {
    /// Compiles the suite, and the server if the suite starts it; returns the suite's program.
    pub(crate) fn build(&self, mutation: &Mutation) -> anyhow::Result<PathBuf> {
        let (folder, target) = mutation.suite()?;
        let mut cargo =
            product::cargo(&self.tree, &["test", "--no-run", "--release", "--locked", "--workspace"]);
        cargo.arg("--message-format=json-render-diagnostics").env("CARGO_TARGET_DIR", &self.target);
        for setting in QUICKLY {
            cargo.args(["--config", setting]);
        }
        match target {
            "lib" => cargo.arg("--lib"),
            name => cargo.args(["--test", name]),
        };
        if mutation.needs_server() {
            // The tests of the host need its program, so cargo builds it for them.
            cargo.args(["--test", "serve"]);
        }
        let output = cargo.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
        ensure!(output.status.success(), "`{}` does not compile", mutation.name);
        let manifest = self.tree.join(folder).join("Cargo.toml").canonicalize()?;
        let program = |line: &str| -> Option<PathBuf> {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            let is_it = message["profile"]["test"] == true
                && message["manifest_path"].as_str().map(Path::new) == Some(&manifest)
                && (message["target"]["name"] == target
                    || target == "lib" && message["target"]["kind"][0] == "lib");
            is_it.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
        };
        let found = String::from_utf8_lossy(&output.stdout).lines().find_map(program);
        found.with_context(|| format!("`{}`: there is no suite {}", mutation.name, mutation.suite))
    }

    /// Runs the test; one that takes longer than `patience` has failed.
    pub(crate) fn start(
        &self,
        mutation: &Mutation,
        program: &Path,
        patience: Duration,
    ) -> anyhow::Result<Outcome> {
        let log = self.target.join("mutation.log");
        let file = fs::File::create(&log)?;
        // A group of its own, so that the servers of a test that hangs go with it.
        let mut child = Command::new(program)
            .args(["--exact", &mutation.test, "--test-threads=1"])
            .current_dir(self.tree.join(mutation.suite()?.0))
            .env("RUST_BACKTRACE", "0")
            .env("VIVARIUM_BINARY", self.target.join("release/vivarium"))
            .env("VIVARIUM_CLIENT_PYTHON", &self.python)
            .env("VIVARIUM_CLIENT_PACKAGES", &self.packages)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let until = Instant::now() + patience;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if Instant::now() > until {
                break None;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        // What the test has left running, and itself.
        let group = format!("-{}", child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let Some(status) = status else {
            child.wait()?;
            return Ok(Outcome::Failed(format!("it did not end in {} s", patience.as_secs())));
        };
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        ensure!(text.contains("running 1 test"), "`{}`: there is no test {}", mutation.name, mutation.test);
        Ok(match (status.success(), status.code()) {
            (true, _) => Outcome::Passed,
            (_, Some(_)) => Outcome::Failed(what_it_said(&text)),
            (_, None) => Outcome::Failed(format!("the process ended with {status}")),
        })
    }
}

/// The beginning of what a failed test said: of Python's, the error; of Rust's, the panic's message.
fn what_it_said(text: &str) -> String {
    let is_error = |line: &&str| {
        let class = line.split(':').next().unwrap_or_default();
        class.ends_with("Error") && !class.contains(' ') && line.len() > class.len() + 2
    };
    let python = text.lines().rev().find(is_error).map(str::to_owned);
    let rust = || {
        let message = text.lines().skip_while(|line| !line.contains("panicked at ")).skip(1);
        let message = message.take_while(|line| !line.starts_with("note:") && !line.starts_with("----"));
        message.map(str::trim).filter(|line| !line.is_empty()).take(4).collect::<Vec<_>>().join(" ")
    };
    let said = python.unwrap_or_else(rust);
    let mut short: String = said.chars().filter(|c| !c.is_control()).take(160).collect();
    if short.len() < said.len() {
        short.push('…');
    }
    short
}
