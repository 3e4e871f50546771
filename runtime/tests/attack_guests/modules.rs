//! Modules that are no guests: more imports, missing or strange exports, other features, sizes (23, 54).

use vivarium_runtime::{Engine, EngineConfig};

use crate::common::wat_guest::WatGuest;
use crate::common::{int64_batch, int64_spec};
use crate::harness::{BUILD_LIMITS, LIMITS, build_text, neighbour, on_worker};

/// Starts an engine, builds an image and calls it: the first error.
fn first_error(wasm: &[u8]) -> String {
    let text = (|| {
        let engine =
            Engine::with_guest(&EngineConfig::default(), wasm).map_err(|error| format!("engine: {error}"))?;
        let image =
            engine.build_image(&int64_spec(""), &Default::default(), &BUILD_LIMITS).map_err(build_text)?;
        let mut instance =
            image.fork(&LIMITS, &Default::default()).map_err(|error| format!("fork: {error}"))?;
        instance.invoke(&int64_batch([1])).map_err(|error| format!("call: {error}"))?;
        Ok::<_, String>("ok".to_owned())
    })();
    neighbour();
    text.unwrap_or_else(|error| error)
}

fn run(cases: Vec<(&'static str, String, &'static str)>) {
    on_worker(move || {
        let wrong: Vec<String> = cases
            .iter()
            .filter_map(|(what, text, expected)| {
                let got =
                    first_error(&wat::parse_str(text).unwrap_or_else(|error| panic!("{what}: {error}")));
                (got != *expected).then(|| format!("{what}\n    expected: {expected}\n    got:      {got}"))
            })
            .collect();
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    });
}

fn with(extra: &str) -> String {
    WatGuest { extra: extra.into(), ..WatGuest::default() }.text()
}

fn importing(import: &str) -> String {
    WatGuest { imports: import.into(), ..WatGuest::default() }.text()
}

/// The honest guest in which one text is another.
fn replaced(from: &str, to: &str) -> String {
    let text = WatGuest::default().text();
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

#[test]
fn attack_54_imports() {
    run(vec![
        ("nothing more", with(""), "ok"),
        (
            "files",
            importing(r#"(import "wasi_snapshot_preview1" "path_open" (func))"#),
            "engine: the guest imports `wasi_snapshot_preview1.path_open`, which is not in the capability \
            set",
        ),
        (
            "sockets",
            importing(r#"(import "wasi_snapshot_preview1" "sock_accept" (func))"#),
            "engine: the guest imports `wasi_snapshot_preview1.sock_accept`, which is not in the \
            capability set",
        ),
        (
            "reading",
            importing(r#"(import "wasi_snapshot_preview1" "fd_read" (func))"#),
            "engine: the guest imports `wasi_snapshot_preview1.fd_read`, which is not in the capability set",
        ),
        (
            "another module",
            importing(r#"(import "env" "fd_write" (func))"#),
            "engine: the guest imports `env.fd_write`, which is not in the capability set",
        ),
        (
            "a later preview",
            importing(r#"(import "wasi:cli/run" "run" (func))"#),
            "engine: the guest imports `wasi:cli/run.run`, which is not in the capability set",
        ),
        (
            "our own meter",
            importing(r#"(import "vivarium" "refill" (func (param i64) (result i64)))"#),
            "engine: the guest imports `vivarium.refill`, which is not in the capability set",
        ),
        (
            "our own input",
            importing(r#"(import "vivarium" "pull" (func (param i32 i32) (result i32)))"#),
            "engine: the guest imports `vivarium.pull`, which is not in the capability set",
        ),
        (
            "a memory",
            importing(r#"(import "wasi_snapshot_preview1" "fd_write" (memory 1))"#),
            "engine: the guest imports `wasi_snapshot_preview1.fd_write`, which is not in the capability set",
        ),
        (
            "a table",
            importing(r#"(import "wasi_snapshot_preview1" "fd_write" (table 1 funcref))"#),
            "engine: the guest imports `wasi_snapshot_preview1.fd_write`, which is not in the capability set",
        ),
        (
            "a global",
            importing(r#"(import "wasi_snapshot_preview1" "fd_write" (global i32))"#),
            "engine: the guest imports `wasi_snapshot_preview1.fd_write`, which is not in the capability set",
        ),
        (
            "an allowed name with another type",
            importing(r#"(import "wasi_snapshot_preview1" "random_get" (func (param i64) (result i32)))"#),
            "engine: linking the guest: incompatible import type for `wasi_snapshot_preview1::random_get`: \
            types incompatible: expected type `(func (param i64) (result i32))`, found type `(func (param \
            i32 i32) (result i32))`",
        ),
        (
            "an allowed name with a result more",
            importing(r#"(import "wasi_snapshot_preview1" "proc_exit" (func (param i32) (result i32)))"#),
            "engine: linking the guest: incompatible import type for `wasi_snapshot_preview1::proc_exit`: \
            types incompatible: expected type `(func (param i32) (result i32))`, found type `(func (param \
            i32))`",
        ),
        (
            "a name that looks alike",
            importing(r#"(import "wasi_snapshot_preview1" "fd_wrіte" (func))"#),
            "engine: the guest imports `wasi_snapshot_preview1.fd_wrіte`, which is not in \
             the capability set",
        ),
    ]);
}

#[test]
fn attack_54_exports() {
    let mut cases = Vec::new();
    for (what, expected) in [
        ("vivarium_abi_version", "engine: the guest has no export `vivarium_abi_version`"),
        ("vivarium_init", "engine: the guest has no export `vivarium_init`"),
        ("vivarium_alloc", "engine: the guest has no export `vivarium_alloc`"),
        ("vivarium_free", "engine: the guest has no export `vivarium_free`"),
        ("vivarium_mount", "engine: the guest has no export `vivarium_mount`"),
        ("vivarium_load", "engine: the guest has no export `vivarium_load`"),
        ("vivarium_describe", "engine: the guest has no export `vivarium_describe`"),
        (
            "vivarium_pull",
            "engine: the guest has no function `vivarium_pull: (i32, i32) -> i32` of its own that it exports",
        ),
        ("vivarium_image_flags", "engine: the guest has no export `vivarium_image_flags`"),
        ("vivarium_freeze", "engine: the guest has no export `vivarium_freeze`"),
        ("vivarium_invoke", "engine: the guest has no export `vivarium_invoke`"),
        ("vivarium_last_error", "engine: the guest has no export `vivarium_last_error`"),
        ("_initialize", "engine: the guest has no export `_initialize`"),
        ("__stack_pointer", "engine: the guest has no export `__stack_pointer`"),
        ("memory", "engine: the guest has no export `memory`"),
    ] {
        cases.push((what, replaced(&format!(r#"(export "{what}")"#), ""), expected));
    }
    let other = |name: &str, export: &str| replaced(&format!(r#"(export "{name}")"#), "") + "\0" + export;
    for (what, name, export, expected) in [
        (
            "init takes nothing",
            "vivarium_init",
            r#"(func (export "vivarium_init"))"#,
            "engine: the interpreter did not start: vivarium_init: the call could not be made: \
            `vivarium_init`: type mismatch with parameters",
        ),
        (
            "alloc of 64 bits",
            "vivarium_alloc",
            r#"(func (export "vivarium_alloc") (param i64) (result i64) (i64.const 64))"#,
            "build: the call could not be made: `vivarium_alloc`: type mismatch with parameters",
        ),
        (
            "alloc is a global",
            "vivarium_alloc",
            r#"(global (export "vivarium_alloc") i32 (i32.const 64))"#,
            "build: the call could not be made: `vivarium_alloc`: not a function",
        ),
        (
            "free answers",
            "vivarium_free",
            r#"(func (export "vivarium_free") (param i32) (result i32) (i32.const 64))"#,
            "build: the call could not be made: `vivarium_free`: type mismatch with results",
        ),
        (
            "load takes two",
            "vivarium_load",
            r#"(func (export "vivarium_load") (param i32 i32) (result i32) (i32.const 1))"#,
            "build: the call could not be made: `vivarium_load`: type mismatch with parameters",
        ),
        (
            "invoke answers a float",
            "vivarium_invoke",
            r#"(func (export "vivarium_invoke") (param i32 i32 i32 i32) (result f32) (f32.const 0))"#,
            "call: the call could not be made: `vivarium_invoke`: type mismatch with results",
        ),
        (
            "invoke is a table",
            "vivarium_invoke",
            r#"(table (export "vivarium_invoke") 1 funcref)"#,
            "call: the call could not be made: `vivarium_invoke`: not a function",
        ),
        (
            "memory is a global",
            "memory",
            r#"(global (export "memory") i32 (i32.const 64))"#,
            "engine: the interpreter did not start: the guest could not be instantiated: the export \
            `memory` is not a memory",
        ),
        (
            "the stack pointer is a memory",
            "__stack_pointer",
            r#"(export "__stack_pointer" (memory 0))"#,
            "ok",
        ),
        (
            "the stack pointer is of 64 bits",
            "__stack_pointer",
            r#"(global (export "__stack_pointer") (mut i64) (i64.const 0))"#,
            "ok",
        ),
        (
            "our own name",
            "none",
            r#"(func (export "vivarium.fuel"))"#,
            "engine: the guest exports the reserved name `vivarium.fuel`",
        ),
        (
            "our own globals",
            "none",
            r#"(global (export "vivarium.global.0") i32 (i32.const 0))"#,
            "engine: the guest exports the reserved name `vivarium.global.0`",
        ),
    ] {
        let text =
            if name == "none" { WatGuest::default().text() + "\0" + export } else { other(name, export) };
        // The module's closing parenthesis is its last one.
        let (module, export) = text.split_once('\0').unwrap();
        let module = module.trim_end().strip_suffix(')').unwrap();
        cases.push((what, format!("{module} {export})"), expected));
    }
    run(cases);
}

#[test]
fn attack_54_features() {
    let memory = |text: &str| replaced(r#"(memory (export "memory") 4)"#, text);
    let table = |text: &str| replaced("(table 4 funcref)", text);
    run(vec![
        (
            "shared memory",
            memory(r#"(memory (export "memory") 4 8 shared)"#),
            "engine: the guest uses a 64-bit, shared or custom-page memory, which is not supported",
        ),
        (
            "64-bit memory",
            memory(r#"(memory (export "memory") i64 4)"#),
            "engine: the guest uses a 64-bit, shared or custom-page memory, which is not supported",
        ),
        (
            "small pages",
            memory(r#"(memory (export "memory") 4 (pagesize 1))"#),
            "engine: the guest uses a 64-bit, shared or custom-page memory, which is not supported",
        ),
        (
            "two memories",
            with("(memory 1)"),
            "engine: the guest uses more than one memory, which is not supported",
        ),
        (
            "no memory's room",
            memory(r#"(memory (export "memory") 0)"#),
            "engine: the interpreter did not start: a data segment of 36 bytes at 0x11170 lies outside of \
            the guest's memory",
        ),
        (
            "4 GiB at once",
            memory(r#"(memory (export "memory") 65536)"#),
            "engine: the interpreter did not start: the guest could not be instantiated: memory minimum \
            size of 65536 pages exceeds memory limits",
        ),
        (
            "one page less",
            memory(r#"(memory (export "memory") 65535)"#),
            "engine: the interpreter did not start: the guest could not be instantiated: memory minimum \
            size of 65535 pages exceeds memory limits",
        ),
        (
            "more than it may have",
            memory(r#"(memory (export "memory") 300)"#),
            "build: memory_bytes: the image needs 19660800 bytes, 16777216 are allowed",
        ),
        (
            "a table of 10 million",
            table("(table 10000000 funcref)"),
            "engine: table_elements: the guest's tables have 10000000 elements, 131072 are allowed",
        ),
        (
            "a table of 2^32 - 1",
            table("(table 4294967295 funcref)"),
            "engine: table_elements: the guest's tables have 4294967295 elements, 131072 are allowed",
        ),
        (
            "a table of 64 bits",
            table("(table i64 4 funcref)"),
            "engine: compiling the guest: failed to parse WebAssembly module: memory64 must be enabled for \
            64-bit tables (at offset 0x93)",
        ),
        (
            "a table of the host's",
            table("(table 4 externref)"),
            "engine: compiling the guest: failed to parse WebAssembly module: gc types are disallowed but \
            found type which requires gc (at offset 0x93)",
        ),
        (
            "101 tables",
            with(&"(table 1 funcref)".repeat(101)),
            "engine: compiling the guest: failed to parse WebAssembly module: tables count exceeds limit \
            of 100 (at offset 0x93)",
        ),
        (
            "atomics",
            with("(func (drop (i32.atomic.load (i32.const 0))))"),
            "engine: compiling the guest: failed to compile: wasm[0]::function[2]: WebAssembly translation \
            error: Invalid input WebAssembly code at offset 627: threads support is not enabled",
        ),
        (
            "waiting",
            with("(func (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))"),
            "engine: the guest uses instructions that change tables or segments, exceptions, or tail \
            calls, which is not supported",
        ),
        (
            "tail calls",
            with("(func $tail (return_call $tail))"),
            "engine: the guest uses instructions that change tables or segments, exceptions, or tail \
            calls, which is not supported",
        ),
        (
            "structs",
            with("(type $s (struct (field i32))) (func (drop (struct.new $s (i32.const 1))))"),
            "engine: compiling the guest: failed to parse WebAssembly module: struct indexed types not \
            supported without the gc feature (at offset 0xb)",
        ),
        (
            "calls by reference",
            with("(type $f (func)) (func (param (ref $f)) (call_ref $f (local.get 0)))"),
            "engine: the guest uses instructions that change tables or segments, exceptions, or tail \
            calls, which is not supported",
        ),
        (
            "exceptions",
            with("(tag $t) (func (throw $t))"),
            "engine: the guest uses exceptions, which is not supported",
        ),
        (
            "relaxed SIMD",
            with("(func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))"),
            "engine: compiling the guest: failed to compile: wasm[0]::function[2]: WebAssembly translation \
            error: Invalid input WebAssembly code at offset 633: relaxed SIMD support is not enabled",
        ),
        (
            "wide arithmetic",
            with(
                "(func (param i64) (drop (i64.add128 (local.get 0) (local.get 0) (local.get 0) (local.get \
                0))) (drop))",
            ),
            "engine: compiling the guest: failed to compile: wasm[0]::function[2]: WebAssembly translation \
            error: Invalid input WebAssembly code at offset 637: wide arithmetic support is not enabled",
        ),
        (
            "passive data",
            with(r#"(data $d "x") (func (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1)))"#),
            "engine: the guest uses instructions that change tables or segments, exceptions, or tail \
            calls, which is not supported",
        ),
        (
            "a table that is written",
            with("(func (table.set 0 (i32.const 0) (ref.null func)))"),
            "engine: the guest uses instructions that change tables or segments, exceptions, or tail \
            calls, which is not supported",
        ),
        (
            "a table that grows",
            with("(func (drop (table.grow 0 (ref.null func) (i32.const 1000000))))"),
            "engine: the guest uses instructions that change tables or segments, exceptions, or tail \
            calls, which is not supported",
        ),
        (
            "a table that is filled",
            with("(func (table.fill 0 (i32.const 0) (ref.null func) (i32.const 4)))"),
            "engine: the guest uses instructions that change tables or segments, exceptions, or tail \
            calls, which is not supported",
        ),
        (
            "a table that is copied",
            with("(func (table.copy (i32.const 0) (i32.const 1) (i32.const 1)))"),
            "engine: the guest uses instructions that change tables or segments, exceptions, or tail \
            calls, which is not supported",
        ),
        (
            "a variable reference",
            with("(global (mut externref) (ref.null extern))"),
            "engine: the guest uses mutable globals that are not numbers, which is not supported",
        ),
        (
            "data behind memory",
            with(r#"(data (i32.const 262143) "ab")"#),
            "engine: the interpreter did not start: a data segment of 2 bytes at 0x3ffff lies outside of \
            the guest's memory",
        ),
        (
            "data that wraps",
            with(r#"(data (i32.const -1) "ab")"#),
            "engine: the interpreter did not start: a data segment of 2 bytes at 0xffffffff lies outside \
            of the guest's memory",
        ),
        (
            "a start that traps",
            with("(func $start (unreachable)) (start $start)"),
            "engine: the interpreter did not start: _initialize: the guest trapped: wasm trap: wasm \
            `unreachable` instruction executed",
        ),
        (
            "a start that recurses",
            with("(func $start (call $start)) (start $start)"),
            "engine: the interpreter did not start: _initialize: the call stack of 50331648 bytes is \
            exhausted by deep recursion",
        ),
        (
            "a start that fills",
            with("(func $start (memory.fill (i32.const 0) (i32.const 1) (i32.const -1))) (start $start)"),
            "engine: the interpreter did not start: _initialize: the guest trapped: wasm trap: out of \
            bounds memory access",
        ),
    ]);
}

#[test]
fn attack_54_bytes_that_are_no_module() {
    on_worker(|| {
        let good = WatGuest::default().wasm();
        assert_eq!(first_error(&good), "ok");
        let mut refused = 0;
        for length in (0..good.len()).step_by(7) {
            let error = first_error(&good[..length]);
            assert_ne!(error, "ok", "{length}");
            refused += 1;
        }
        // Most flipped bits make no module; the others make one that is contained like any other.
        for at in (0..good.len()).step_by(11) {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << (at % 8);
            refused += usize::from(first_error(&flipped) != "ok");
        }
        assert!(refused > good.len() / 7, "{refused}");
        for text in
            ["(component)", "(module)", "(module (memory 1))", "(module (memory (export \"memory\") 1))"]
        {
            assert_ne!(first_error(&wat::parse_str(text).unwrap()), "ok", "{text}");
        }
    });
}
