//! Pinned files from outside. Nothing is used before its SHA-256 was compared.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use sha2::{Digest as _, Sha256};
use vivarium_guest_recipe::pins::{self, Pin};

use super::context::Context;
use super::{command, source};

/// Whether the file has one of the pinned hashes.
pub(crate) fn is_pinned(file: &Path, pin: &Pin) -> anyhow::Result<bool> {
    let contents = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let hash = hex::encode(Sha256::digest(&contents));
    Ok(pin.sha256.contains(&hash.as_str()))
}

/// The folder that holds a pinned package's file.
fn folder(context: &Context, pin: &Pin) -> PathBuf {
    context.cache.folder().join("downloads").join(format!("{}-{}", pin.name, pin.version))
}

/// The wheel of a package from the machine's Python package index, through the pip inside CPython's
/// source: it follows the machine's own pip configuration, and does not need an installed pip.
pub(crate) fn wheel(context: &Context, pin: &Pin) -> anyhow::Result<PathBuf> {
    fetch(context, pin, |pip| {
        pip.args(["--only-binary", ":all:"]);
    })
}

/// The source archive of a package, likewise. pip asks the package's build backend for metadata,
/// for which `backend` is a folder with a stand-in.
pub(crate) fn sdist(context: &Context, pin: &Pin, backend: &Path) -> anyhow::Result<PathBuf> {
    fetch(context, pin, |pip| {
        pip.args(["--no-binary", ":all:", "--no-build-isolation", "--use-pep517"]);
        pip.env("PYTHONPATH", backend).env("PYTHONDONTWRITEBYTECODE", "1");
    })
}

fn fetch(context: &Context, pin: &Pin, kind: impl FnOnce(&mut Command)) -> anyhow::Result<PathBuf> {
    let folder = folder(context, pin);
    let title = format!("downloading {} {}", pin.name, pin.version);
    if !folder.exists() {
        let source = source::python(context)?;
        context.stage(&folder, &title, |work| {
            ensure!(!context.offline, "it is not in the cache, and --offline was given");
            let requirements = work.scratch.join("requirements.txt");
            let hashes: String = pin.sha256.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
            fs::write(&requirements, format!("{}=={}{hashes}\n", pin.name, pin.version))?;
            let mut pip = Command::new("python3");
            pip.arg(source.join(pins::PIP_WHEEL).join("pip"))
                .args(["download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"])
                .args(["--require-hashes", "--dest"])
                .arg(&work.result)
                .arg("--requirement")
                .arg(&requirements);
            kind(&mut pip);
            command::run(&mut pip, &context.logs().join("download.log"))
        })?;
    }
    let mut files = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let Some(file) = files.next() else { bail!("{} is empty: remove it and try again", folder.display()) };
    let file = file?.path();
    ensure!(
        is_pinned(&file, pin)?,
        "{} does not have the pinned SHA-256: remove it and try again",
        file.display()
    );
    Ok(file)
}

/// The folder of a crate's sources, as cargo keeps it.
pub(crate) fn crate_sources(context: &Context, pin: &Pin) -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--format-version", "1"]).current_dir(&context.workspace);
    if context.offline {
        metadata.arg("--offline");
    }
    let text = command::output(&mut metadata)?;
    let metadata: serde_json::Value = serde_json::from_str(&text).context("cannot read cargo's metadata")?;
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let package = packages
        .iter()
        .find(|package| package["name"] == pin.name && package["version"] == pin.version)
        .with_context(|| format!("cargo does not know {} {}", pin.name, pin.version))?;
    let manifest = package["manifest_path"].as_str().context("cargo's metadata lacks a manifest path")?;
    Path::new(manifest).parent().map(Path::to_owned).context("the manifest is in no folder")
}

/// Whether a program is on the PATH.
pub(crate) fn is_installed(program: impl AsRef<OsStr>) -> bool {
    let Some(paths) = std::env::var_os("PATH") else { return false };
    std::env::split_paths(&paths).any(|folder| folder.join(program.as_ref()).is_file())
}
