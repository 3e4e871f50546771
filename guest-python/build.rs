//! Finds the guest's module in the build cache. Building it takes minutes and belongs to
//! `cargo xtask guest`; this script only checks that it was done for the sources as they are now.

use std::error::Error;

use vivarium_guest_recipe::{CACHE_VARIABLES, Cache, Recipe};

fn main() -> Result<(), Box<dyn Error>> {
    let recipe = Recipe::open(std::env::var("CARGO_MANIFEST_DIR")?)?;
    let artefact = Cache::from_environment()?.artefact(&recipe)?;
    for folder in recipe.watched() {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    println!("cargo::rerun-if-changed={}", artefact.display());
    for variable in CACHE_VARIABLES {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    if !artefact.is_file() {
        println!("cargo::error=the guest is not built for the present sources: run `cargo xtask guest`");
        println!("cargo::error=(looked for {})", artefact.display());
        return Ok(());
    }
    println!("cargo::rustc-env=VIVARIUM_GUEST_WASM={}", artefact.display());
    println!("cargo::rustc-env=VIVARIUM_GUEST_DIGEST={}", recipe.guest()?);
    Ok(())
}
