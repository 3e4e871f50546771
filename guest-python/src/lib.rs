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

/// A wheel without native code for a package that the sandbox brings itself.
#[derive(Debug, Clone, Copy)]
pub struct Wheel {
    /// Its file name, which holds name and version.
    pub file_name: &'static str,
    /// Its bytes.
    pub bytes: &'static [u8],
}

macro_rules! wheel {
    ($name:literal) => {
        Wheel {
            file_name: concat!($name, "-py3-none-any.whl"),
            bytes: include_bytes!(concat!(env!("VIVARIUM_WHEELS"), "/", $name, "-py3-none-any.whl")),
        }
    };
}

/// The pure-Python part of packages that publish wheels with native code only, and wheels without code
/// for what is in the modules already, by name. `wheels/build.py` makes them.
pub static WHEELS: [Wheel; 6] = [
    wheel!("arrow_udf-0.3.2"),
    wheel!("databend_udf-0.2.20"),
    wheel!("markupsafe-3.0.3"),
    wheel!("msgpack-1.2.4"),
    wheel!("numpy-2.4.6"),
    wheel!("pyyaml-6.0.3"),
];
