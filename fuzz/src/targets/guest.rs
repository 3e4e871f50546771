//! A guest of a few lines whose answers an input chooses.

use std::sync::{LazyLock, OnceLock};

use arrow::datatypes::{DataType, Field};
use vivarium_runtime::{BuildLimits, Engine, EngineConfig, FunctionSpec, Image, Limits};

/// Little of everything, so that an input takes microseconds.
pub(crate) const LIMITS: Limits = Limits {
    fuel_per_batch: 1_000_000,
    deadline_ms: 10_000,
    memory_bytes: 1 << 20,
    input_bytes: 1 << 20,
    output_bytes: 64 << 10,
    stream_output_bytes: 256 << 10,
    stream_output_rows: 1 << 16,
    aggregate_groups: 100,
    log_bytes: 256,
};

/// The input is one binary value. Its first words are the answer of `vivarium_invoke`, and pointer and length
/// of the error; then come 64 bytes of `ArrowArray`; all else is put at 4096.
const TEXT: &str = r#"(module
    (memory (export "memory") 2)
    (global (export "__stack_pointer") (mut i32) (i32.const 1024))
    (global $heap (mut i32) (i32.const 65536))
    (global $error (mut i64) (i64.const 0))
    (func (export "_initialize"))
    (func (export "vivarium_abi_version") (result i32) (i32.const 1))
    (func (export "vivarium_init") (param i32) (result i32) (i32.const 0))
    (func (export "vivarium_alloc") (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 63)) (i32.const -64)))
        (global.set $heap (i32.add (local.get $at) (local.get $size)))
        (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
            (then (drop (memory.grow (i32.const 4)))))
        (local.get $at))
    (func (export "vivarium_free") (param i32))
    (func (export "vivarium_mount") (param i32 i32) (result i32) (i32.const 0))
    (func (export "vivarium_load") (param i32 i32 i32 i32 i32) (result i32) (i32.const 1))
    (func (export "vivarium_describe") (param i32 i32 i32) (result i32) (i32.const -1))
    (func (export "vivarium_pull") (param i32 i32) (result i32) (i32.const -1))
    (func (export "vivarium_image_flags") (result i32) (i32.const 0))
    (func (export "vivarium_freeze") (result i32) (i32.const 0))
    (func (export "vivarium_last_error") (param $out i32)
        (i64.store (local.get $out) (global.get $error)))
    (func (export "vivarium_invoke") (param $function i32) (param $operation i32)
        (param $input i32) (param $output i32) (result i32)
        (local $table i32) (local $data i32) (local $size i32)
        ;; Without an input (the next answer of a stream) there is nothing more.
        (if (i32.eqz (local.get $input)) (then (return (i32.const 2))))
        (local.set $table (i32.load offset=40 (i32.load (i32.load offset=44 (local.get $input)))))
        (local.set $data (i32.load offset=8 (local.get $table)))
        (local.set $size (i32.load offset=4 (i32.load offset=4 (local.get $table))))
        (if (i32.lt_u (local.get $size) (i32.const 76)) (then (return (i32.const 0))))
        (global.set $error (i64.load offset=4 (local.get $data)))
        (memory.copy (local.get $output) (i32.add (local.get $data) (i32.const 12)) (i32.const 64))
        (memory.copy (i32.const 4096) (i32.add (local.get $data) (i32.const 76))
            (i32.sub (local.get $size) (i32.const 76)))
        (i32.load (local.get $data))))"#;

/// Where the guest puts what is left of its input.
pub(crate) const FREE: u32 = 4096;

/// The module.
pub(crate) fn wasm() -> Vec<u8> {
    wat::parse_str(TEXT).unwrap()
}

/// An engine for it.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::with_guest(&EngineConfig::default(), &wasm()).unwrap())
}

/// A function from a binary value to `result`.
pub(crate) fn spec(result: Field) -> FunctionSpec {
    FunctionSpec {
        name: "f".into(),
        handler: "f".into(),
        filename: "f.py".into(),
        code: String::new(),
        parameters: vec![Field::new("x", DataType::Binary, true)],
        result,
        kind: Default::default(),
        null_handling: Default::default(),
        on_error: Default::default(),
        environment: Default::default(),
        interpreter: Default::default(),
        files_digest: None,
    }
}

/// Its image.
pub(crate) fn build(spec: &FunctionSpec) -> Image {
    engine().build_image(spec, &Default::default(), &BuildLimits::default()).unwrap()
}

/// Images of functions to each of the types.
pub(crate) static IMAGES: LazyLock<Vec<Image>> = LazyLock::new(|| {
    super::types::columns().into_iter().map(|(field, _)| build(&spec(field.with_name("y")))).collect()
});
