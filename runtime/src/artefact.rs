//! The guest module that comes with this crate.

use sha2::{Digest, Sha256};

/// A guest module and what is known about it.
pub(crate) struct GuestArtefact<'a> {
    pub(crate) wasm: &'a [u8],
    /// Digest of the module or of all that it was built from, in hexadecimal.
    pub(crate) digest: String,
    pub(crate) python_version: &'static str,
}

impl<'a> GuestArtefact<'a> {
    /// Any module.
    pub(crate) fn of_module(wasm: &'a [u8]) -> Self {
        Self { wasm, digest: hex::encode(Sha256::digest(wasm)), python_version: "unknown" }
    }
}

impl GuestArtefact<'static> {
    /// The CPython that this crate was built with.
    pub(crate) fn bundled() -> Self {
        Self {
            wasm: vivarium_guest::WASM,
            // Its builds are reproducible, so that the digest of the inputs stands for the module.
            digest: vivarium_guest::DIGEST.to_owned(),
            python_version: vivarium_guest::PYTHON_VERSION,
        }
    }
}
