//! The sandboxed CPython as a core WebAssembly module, with and without NumPy, built by
//! `cargo xtask guest`.
//!
//! `ABI.md` beside this crate is the contract of the modules' imports and exports.

/// One of the modules: a WASI preview 1 reactor.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    /// Its bytes.
    pub wasm: &'static [u8],
    /// The digest of everything it was built from, 64 hexadecimal characters. The same inputs give the
    /// same module, on every machine.
    pub digest: &'static str,
}

/// CPython with its standard library, some 19 MB.
pub static PLAIN: Module =
    Module { wasm: include_bytes!(env!("VIVARIUM_GUEST_WASM")), digest: env!("VIVARIUM_GUEST_DIGEST") };

/// The same with NumPy, some 30 MB.
pub static NUMPY: Module = Module {
    wasm: include_bytes!(env!("VIVARIUM_NUMPY_GUEST_WASM")),
    digest: env!("VIVARIUM_NUMPY_GUEST_DIGEST"),
};

/// Version of the contract in `ABI.md`, which `vivarium_abi_version` answers.
pub const ABI_VERSION: u32 = vivarium_guest_recipe::ABI_VERSION;

/// Version of CPython in both modules.
pub const PYTHON_VERSION: &str = vivarium_guest_recipe::pins::PYTHON.version;

/// Version of NumPy in [`NUMPY`].
pub const NUMPY_VERSION: &str = vivarium_guest_recipe::pins::NUMPY.version;

/// The only functions that the modules may import, all from [`IMPORT_MODULE`].
pub const IMPORTS: [&str; 5] = ["clock_time_get", "fd_write", "poll_oneoff", "proc_exit", "random_get"];

/// The name of the module that [`IMPORTS`] come from.
pub const IMPORT_MODULE: &str = "wasi_snapshot_preview1";
