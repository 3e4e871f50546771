//! Carries out the recipe of `vivarium-guest-recipe`: downloads, native Python, CPython for WASI,
//! standard library, link. Each stage is kept in the cache under the digest of its inputs.

mod command;
mod context;
mod cross;
mod download;
mod link;
mod native;
mod progress;
mod python;
mod source;
mod stdlib;
mod unpack;
mod zig;
mod zlib;

use std::path::Path;

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
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let recipe = Recipe::open(workspace.join("guest-python"))?;
    let cache = Cache::from_environment()?;
    let artefact = cache.artefact(&recipe)?;
    if !arguments.print {
        let context = Context::new(workspace, recipe, cache, arguments.offline)?;
        link::guest(&context)?;
        let module =
            std::fs::read(&artefact).with_context(|| format!("cannot read {}", artefact.display()))?;
        eprintln!("{} bytes, sha256 {}", module.len(), hex::encode(Sha256::digest(&module)));
    }
    println!("{}", artefact.display());
    Ok(())
}
