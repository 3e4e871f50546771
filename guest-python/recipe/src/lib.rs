//! What the guest is built from, as data: pinned sources, compiler options, and the digests that
//! name each build stage in the cache.
//!
//! `xtask guest` carries the recipe out; `vivarium-guest`'s build script only asks whether the
//! artefacts of the current digests exist. Both agree because both ask this crate.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let recipe = vivarium_guest_recipe::Recipe::open(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
//! let cache = vivarium_guest_recipe::Cache::at("/var/cache/vivarium");
//! let module = cache.artefact(&recipe, vivarium_guest_recipe::Variant::Plain)?;
//! assert!(module.ends_with("vivarium-guest.wasm"));
//! # Ok(())
//! # }
//! ```

mod cache;
mod digest;
mod inputs;
pub mod options;
pub mod pins;

pub use cache::{CACHE_VARIABLES, Cache, CacheError};
pub use digest::Digest;
pub use inputs::{InputError, Recipe, Variant};

/// Version of the contract in `ABI.md`; the guest answers it from `vivarium_abi_version`.
pub const ABI_VERSION: u32 = 1;
