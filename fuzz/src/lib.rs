//! Fuzz targets for everything that reads what a stranger wrote.
//!
//! A target is a function that must return for every input. It panics if a promise is broken: not only when
//! something crashes, but also when what was accepted is not what it should be (an array that does not
//! validate, an archive that two readers see differently, a token that was never issued).
//!
//! The targets run in two ways: as tests, over their seeds, the corpus and a fixed number of random changes of
//! both; and under libFuzzer, guided by the coverage of our own crates, with `cargo xtask fuzz`. The file
//! system of the guest, which is C, is fuzzed by `guest-python/filesystem/tests/filesystem_fuzz.c`.

#![expect(clippy::unwrap_used, reason = "a target reports what is wrong by panicking")]

pub mod mutate;
mod targets;

/// Something that reads bytes of a stranger.
pub struct Target {
    /// What people and the corpus' folder call it.
    pub name: &'static str,
    /// What it reads, in a few words.
    pub about: &'static str,
    /// Must return for every input.
    pub run: fn(&[u8]),
    /// Inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 11] = [
    targets::results::TARGET,
    targets::calls::TARGET,
    targets::errors::TARGET,
    targets::image::TARGET,
    targets::module::TARGET,
    targets::flight::TARGET,
    targets::archive::TARGET,
    targets::script::TARGET,
    targets::spec::TARGET,
    targets::sql_type::TARGET,
    targets::token::TARGET,
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
