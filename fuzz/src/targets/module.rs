//! WebAssembly modules on their way through the instrumentation.

use vivarium_runtime::fuzzing;

use crate::Target;

pub(crate) const TARGET: Target =
    Target { name: "module", about: "modules of guests, before they are compiled", run, seeds };

fn run(data: &[u8]) {
    // An error or a module. (Whether the module is valid is for the compiler to say, as it was before.)
    if let Ok(instrumented) = fuzzing::instrument(data) {
        assert!(instrumented.starts_with(b"\0asm"));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let features = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1 4) (table 3 funcref) (elem (i32.const 0) func $f $g)
        (global (mut i64) (i64.const 1)) (global (mut f32) (f32.const 1)) (data (i32.const 5) "abc")
        (func $f (param i32) (result i32) (local i64)
            (block (loop (br_if 1 (local.get 0)) (br 0)))
            (if (result i32) (local.get 0) (then (i32.const 1)) (else (call $g (i32.const 2)))))
        (func $g (export "g") (param i32) (result i32)
            (memory.fill (i32.const 0) (i32.const 1) (local.get 0))
            (memory.copy (i32.const 0) (i32.const 1) (local.get 0))
            (br_table 0 0 (call_indirect (param i32) (result i32) (local.get 0) (i32.const 1)) (i32.const 0)))
        (func $pull (export "vivarium_pull") (param i32 i32) (result i32) (i32.const -1))
        (func $start) (start $start))"#;
    vec![super::guest::wasm(), wat::parse_str(features).unwrap()]
}
