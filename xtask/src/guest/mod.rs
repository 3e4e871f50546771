//! Carries out the recipe of `vivarium-guest-recipe`: downloads, native Python, CPython for WASI,
//! standard library, NumPy, link. Each stage is kept in the cache under the digest of its inputs.

pub(crate) mod command;
pub(crate) mod context;
mod cross;
mod download;
mod link;
pub(crate) mod native;
mod numpy;
mod progress;
mod python;
pub(crate) mod source;
mod stdlib;
pub(crate) mod unpack;
mod wheels;
mod zig;
mod zlib;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use vivarium_guest_recipe::{Cache, Recipe, Variant};

use context::Context;

/// Arguments of `cargo xtask guest`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Build nothing; print where the modules of the current sources belong.
    #[arg(long)]
    print: bool,
    /// Download nothing; fail if something is not in the cache yet.
    #[arg(long)]
    offline: bool,
}

/// Builds the modules that are not in the cache, and prints the paths of all.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (workspace, recipe, cache) = surroundings()?;
    let artefacts = if arguments.print {
        let artefact = |variant| cache.artefact(&recipe, variant);
        let mut artefacts = Variant::ALL.into_iter().map(artefact).collect::<Result<Vec<_>, _>>()?;
        artefacts.push(cache.wheels(&recipe)?);
        artefacts
    } else {
        build(&Context::new(workspace, recipe, cache, arguments.offline)?)?
    };
    for artefact in artefacts {
        println!("{}", artefact.display());
    }
    Ok(())
}

/// The surroundings of a build that may download.
pub(crate) fn context() -> anyhow::Result<Context> {
    let (workspace, recipe, cache) = surroundings()?;
    Context::new(workspace, recipe, cache, false)
}

/// Builds the modules and wheels that are not in the cache, and returns the paths of all.
pub(crate) fn build(context: &Context) -> anyhow::Result<Vec<PathBuf>> {
    let mut artefacts = Vec::new();
    for variant in Variant::ALL {
        let artefact = link::guest(context, variant)?;
        let module = fs::read(&artefact).with_context(|| format!("cannot read {}", artefact.display()))?;
        let (name, digest) = (variant.file(), hex::encode(Sha256::digest(&module)));
        eprintln!("{name}: {} bytes, sha256 {digest}", module.len());
        artefacts.push(artefact);
    }
    artefacts.push(wheels::build(context)?);
    Ok(artefacts)
}

fn surroundings() -> anyhow::Result<(PathBuf, Recipe, Cache)> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let recipe = Recipe::open(workspace.join("guest-python"))?;
    Ok((workspace, recipe, Cache::from_environment()?))
}
