//! Finds the guest's modules in the build cache. Building them takes minutes and belongs to
//! `cargo xtask guest`; this script only checks that it was done for the sources as they are now.

use std::error::Error;

use vivarium_guest_recipe::{CACHE_VARIABLES, Cache, Recipe, Variant};

fn main() -> Result<(), Box<dyn Error>> {
    let recipe = Recipe::open(std::env::var("CARGO_MANIFEST_DIR")?)?;
    let cache = Cache::from_environment()?;
    for folder in recipe.watched() {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    for variable in CACHE_VARIABLES {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    for (variant, name) in [(Variant::Plain, "VIVARIUM_GUEST"), (Variant::NumPy, "VIVARIUM_NUMPY_GUEST")] {
        let artefact = cache.artefact(&recipe, variant)?;
        println!("cargo::rerun-if-changed={}", artefact.display());
        if !artefact.is_file() {
            println!("cargo::error=the guest is not built for the present sources: run `cargo xtask guest`");
            println!("cargo::error=(looked for {})", artefact.display());
            return Ok(());
        }
        println!("cargo::rustc-env={name}_WASM={}", artefact.display());
        println!("cargo::rustc-env={name}_DIGEST={}", recipe.guest(variant)?);
    }
    let wheels = cache.wheels(&recipe)?;
    println!("cargo::rerun-if-changed={}", wheels.display());
    if !wheels.is_dir() {
        println!("cargo::error=the wheels are not made yet: run `cargo xtask guest`");
        return Ok(());
    }
    println!("cargo::rustc-env=VIVARIUM_WHEELS={}", wheels.display());
    Ok(())
}
