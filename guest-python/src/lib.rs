//! The sandboxed CPython as one core WebAssembly module, built by `cargo xtask guest`.
//!
//! `ABI.md` beside this crate is the contract of the module's imports and exports.

/// The module: a WASI preview 1 reactor, some 16 MB, the standard library inside.
pub const WASM: &[u8] = include_bytes!(env!("VIVARIUM_GUEST_WASM"));

/// The digest of everything the module was built from, 64 hexadecimal characters. The same inputs
/// give the same module, on every machine.
pub const DIGEST: &str = env!("VIVARIUM_GUEST_DIGEST");

/// Version of the contract in `ABI.md`, which `vivarium_abi_version` answers.
pub const ABI_VERSION: u32 = vivarium_guest_recipe::ABI_VERSION;

/// Version of CPython in the module.
pub const PYTHON_VERSION: &str = vivarium_guest_recipe::pins::PYTHON.version;

/// The only functions that the module may import, all from [`IMPORT_MODULE`].
pub const IMPORTS: [&str; 5] = ["clock_time_get", "fd_write", "poll_oneoff", "proc_exit", "random_get"];

/// The name of the module that [`IMPORTS`] come from.
pub const IMPORT_MODULE: &str = "wasi_snapshot_preview1";
