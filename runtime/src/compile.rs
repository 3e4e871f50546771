//! wasmtime's configuration, and the guest module compiled under it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::{Config, Engine, ModuleVersionStrategy, OptLevel, Strategy, WasmFeatures};

use crate::memory::{GUARD, ImageMemoryCreator, RESERVATION};
use crate::stack::WASM_STACK_BYTES;

/// What the guest may contain. All other proposals are off; the instrumentation refuses tables that
/// change, so that reference types are there only as the type of the function table.
const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::FLOATS);

/// A wasmtime engine for guests.
pub(crate) fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.strategy(Strategy::Cranelift);
    config.cranelift_opt_level(OptLevel::Speed);
    config.wasm_features(WasmFeatures::all().difference(FEATURES), false);
    config.wasm_features(FEATURES, true);
    // The instrumentation marks its slow paths; without the hints they sit in the hot code.
    config.wasm_branch_hinting(true);

    // No bounds checks: see `crate::memory`.
    config.memory_reservation(RESERVATION as u64);
    config.memory_guard_size(GUARD as u64);
    config.memory_may_move(false);
    config.memory_init_cow(false);
    config.guard_before_linear_memory(false);
    config.with_host_memory(Arc::new(ImageMemoryCreator));
    config.signals_based_traps(true);

    config.max_wasm_stack(WASM_STACK_BYTES);
    // Not used, but checked against the line above.
    config.async_stack_size(WASM_STACK_BYTES);
    // Nobody reads native backtraces of the guest; errors come from the interpreter.
    config.wasm_backtrace_max_frames(None);
    config.native_unwind_info(false);
    config.generate_address_map(false);
    Engine::new(&config)
}

/// wasmtime's version.
pub(crate) fn wasmtime_version() -> String {
    ModuleVersionStrategy::WasmtimeVersion.as_str().to_owned()
}

/// Digest of everything about engine and machine that compiled code depends on: wasmtime's version,
/// the target and its CPU features, every setting.
pub(crate) fn compatibility(engine: &Engine) -> [u8; 32] {
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut sha = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut sha);
    sha.0.finalize().into()
}
