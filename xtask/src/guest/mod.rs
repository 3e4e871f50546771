//! Carries out the recipe of `vivarium-guest-recipe`: downloads, native Python, CPython for WASI,
//! standard library, link. Each stage is kept in the cache under the digest of its inputs.

pub(crate) mod command;
pub(crate) mod context;
mod cross;
mod download;
mod link;
pub(crate) mod native;
mod progress;
mod python;
pub(crate) mod source;
mod stdlib;
pub(crate) mod unpack;
mod zig;
mod zlib;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use vivarium_guest_recipe::{Cache, Recipe};

use context::Context;

/// Arguments of `cargo xtask guest`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Build nothing; print where the module of the current sources belongs.
    #[arg(long)]
    print: bool,
    /// Download nothing; fail if something is not in the cache yet.
    #[arg(long)]
    offline: bool,
}

/// Builds the guest if its module is not in the cache, and prints the module's path.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (workspace, recipe, cache) = surroundings()?;
    let artefact = if arguments.print {
        cache.artefact(&recipe)?
    } else {
        build(&Context::new(workspace, recipe, cache, arguments.offline)?)?
    };
    println!("{}", artefact.display());
    Ok(())
}

/// The surroundings of a build that may download.
pub(crate) fn context() -> anyhow::Result<Context> {
    let (workspace, recipe, cache) = surroundings()?;
    Context::new(workspace, recipe, cache, false)
}

/// Builds the guest if its module is not in the cache, and returns the module's path.
pub(crate) fn build(context: &Context) -> anyhow::Result<PathBuf> {
    let artefact = link::guest(context)?;
    let module = std::fs::read(&artefact).with_context(|| format!("cannot read {}", artefact.display()))?;
    eprintln!("the guest: {} bytes, sha256 {}", module.len(), hex::encode(Sha256::digest(&module)));
    Ok(artefact)
}

fn surroundings() -> anyhow::Result<(PathBuf, Recipe, Cache)> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let recipe = Recipe::open(workspace.join("guest-python"))?;
    Ok((workspace, recipe, Cache::from_environment()?))
}
