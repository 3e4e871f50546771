//! The guest modules that come with this crate.

use sha2::{Digest, Sha256};

use crate::interpreter::Interpreter;

/// A guest module and what is known about it.
pub(crate) struct GuestArtefact<'a> {
    pub(crate) wasm: &'a [u8],
    /// Digest of the module or of all that it was built from, in hexadecimal.
    pub(crate) digest: String,
}

/// The guest modules of an engine.
pub(crate) struct Guests {
    /// One that stands for all, instead of those of this crate.
    other: Option<Vec<u8>>,
    pub(crate) python_version: &'static str,
    pub(crate) numpy_version: &'static str,
}

impl Guests {
    /// The CPython that this crate was built with, plain and with NumPy.
    pub(crate) fn bundled() -> Self {
        Self {
            other: None,
            python_version: vivarium_guest::PYTHON_VERSION,
            numpy_version: vivarium_guest::NUMPY_VERSION,
        }
    }

    /// Any module, for every interpreter.
    pub(crate) fn of_module(wasm: &[u8]) -> Self {
        Self { other: Some(wasm.to_owned()), python_version: "unknown", numpy_version: "unknown" }
    }

    /// Whether one module stands for every interpreter.
    pub(crate) fn is_one(&self) -> bool {
        self.other.is_some()
    }

    /// The module of an interpreter.
    pub(crate) fn artefact(&self, interpreter: Interpreter) -> GuestArtefact<'_> {
        if let Some(wasm) = &self.other {
            return GuestArtefact { wasm, digest: hex::encode(Sha256::digest(wasm)) };
        }
        let module = match interpreter {
            Interpreter::Plain => &vivarium_guest::PLAIN,
            Interpreter::NumPy => &vivarium_guest::NUMPY,
        };
        // Its builds are reproducible, so that the digest of the inputs stands for the module.
        GuestArtefact { wasm: module.wasm, digest: module.digest.to_owned() }
    }
}
