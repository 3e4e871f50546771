//! `vivarium_alloc`, `vivarium_free`, `vivarium_mount` and `vivarium_load` that lie (37, 45).

use std::sync::Arc;

use arrow::array::Int64Array;
use vivarium_runtime::{Capabilities, FunctionFiles, GuestFile};

use crate::common::wat_guest::WatGuest;
use crate::common::{int64_batch, int64_spec, int64_values};
use crate::harness::{BUILD_LIMITS, LIMITS, build_text, engine, idle, neighbour, on_worker};

/// Forks, makes the guest lie about memory from the second batch on, and gives it a batch that needs more.
fn second_batch(lie: &str) -> String {
    let honest = WatGuest::default();
    let guest = WatGuest {
        extra: format!(
            "(global $armed (mut i32) (i32.const 0))
            (func $lie (param $size i32) (result i32) {lie})
            (func $honest (param $size i32) (result i32) {})",
            honest.alloc
        ),
        alloc: "(if (result i32) (global.get $armed)
            (then (call $lie (local.get $size))) (else (call $honest (local.get $size))))"
            .into(),
        invoke: format!(
            "(if (i64.eq (i64.load (local.get $input)) (i64.const 1)) (then (global.set $armed (i32.const 1))))
            {}",
            honest.invoke
        ),
        ..honest
    };
    let engine = engine(&guest);
    let image = engine.build_image(&int64_spec(""), &FunctionFiles::default(), &BUILD_LIMITS).unwrap();
    let mut instance = image.fork(&LIMITS, &Capabilities::default()).unwrap();
    assert_eq!(int64_values(&instance.invoke(&int64_batch([1])).unwrap()), [1]);
    let outcome = instance.invoke(&int64_batch(0..2000));
    let text = match &outcome {
        Ok(result) if result.as_ref() == &Int64Array::from_iter_values(0..2000) => "ok: right".to_owned(),
        Ok(result) => format!("ok: {} other rows", result.len()),
        Err(error) => error.to_string(),
    };
    assert_eq!(instance.is_poisoned(), outcome.is_err_and(|error| error.poisons()), "{lie}");
    drop(instance);
    let mut next = image.fork(&LIMITS, &Capabilities::default()).unwrap();
    assert_eq!(int64_values(&next.invoke(&int64_batch(0..2000)).unwrap()).len(), 2000);
    drop(next);
    idle(&engine);
    neighbour();
    text
}

#[test]
fn attack_37_memory_for_a_batch() {
    on_worker(|| {
        let cases = [
            ("none", "(i32.const 0)", "memory_bytes: 16777216 bytes are not enough"),
            (
                "misaligned by one",
                "(i32.const 65)",
                "the guest broke the ABI: `vivarium_alloc` returned 18216 bytes at 0x41, outside its memory of 262144 bytes or misaligned",
            ),
            (
                "misaligned by half",
                "(i32.const 131104)",
                "the guest broke the ABI: `vivarium_alloc` returned 18216 bytes at 0x20020, outside its memory of 262144 bytes or misaligned",
            ),
            (
                "end of memory",
                "(i32.const 262144)",
                "the guest broke the ABI: `vivarium_alloc` returned 18216 bytes at 0x40000, outside its memory of 262144 bytes or misaligned",
            ),
            (
                "ends after memory",
                "(i32.const 262080)",
                "the guest broke the ABI: `vivarium_alloc` returned 18216 bytes at 0x3ffc0, outside its memory of 262144 bytes or misaligned",
            ),
            (
                "wraps",
                "(i32.const -64)",
                "the guest broke the ABI: `vivarium_alloc` returned 18216 bytes at 0xffffffc0, outside its memory of 262144 bytes or misaligned",
            ),
            (
                "half of the address space",
                "(i32.const 0x80000000)",
                "the guest broke the ABI: `vivarium_alloc` returned 18216 bytes at 0x80000000, outside its memory of 262144 bytes or misaligned",
            ),
            ("inside the stack", "(i32.const 64)", "ok: right"),
            ("over the table of constants", "(i32.const 69952)", "ok: right"),
            ("the block of the batch before", "(i32.const 131072)", "ok: 2000 other rows"),
            (
                "the size itself",
                "(local.get $size)",
                "the guest broke the ABI: `vivarium_alloc` returned 18216 bytes at 0x4728, outside its memory of 262144 bytes or misaligned",
            ),
            (
                "grows, and answers behind the new end",
                "(i32.mul (i32.add (memory.grow (i32.const 1)) (i32.const 1)) (i32.const 65536))",
                "the guest broke the ABI: `vivarium_alloc` returned 18216 bytes at 0x50000, outside its memory of 327680 bytes or misaligned",
            ),
            (
                "traps",
                "(unreachable)",
                "the guest trapped: wasm trap: wasm `unreachable` instruction executed",
            ),
            (
                "does not return",
                "(loop (br 0)) (i32.const 0)",
                "fuel: the budget of 20000000 units is used up",
            ),
            (
                "calls itself",
                "(call $lie (local.get $size))",
                "the call stack of 50331648 bytes is exhausted by deep recursion",
            ),
        ];
        let wrong: Vec<String> = cases
            .iter()
            .filter_map(|(what, lie, expected)| {
                let got = second_batch(lie);
                (got != *expected).then(|| format!("{what}\n    expected: {expected}\n    got:      {got}"))
            })
            .collect();
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    });
}

/// Builds an image of a guest that lies from the start.
fn build(guest: &WatGuest) -> String {
    let engine = engine(guest);
    let files = FunctionFiles {
        files: vec![GuestFile { path: "/data/file".into(), content: Arc::from(&b"data"[..]) }],
        ..FunctionFiles::default()
    };
    let text = match engine.build_image(&int64_spec(""), &files, &BUILD_LIMITS) {
        Ok(_) => "ok".to_owned(),
        Err(error) => build_text(error),
    };
    idle(&engine);
    neighbour();
    text
}

#[test]
fn attack_37_guests_that_lie_while_an_image_is_built() {
    on_worker(|| {
        let honest = WatGuest::default;
        let alloc = |body: &str| WatGuest { alloc: body.into(), ..honest() };
        let load = |body: &str| WatGuest { load: body.into(), ..honest() };
        let mount = |body: &str| WatGuest { mount: body.into(), ..honest() };
        let freeze = |body: &str| WatGuest { freeze: body.into(), ..honest() };
        let cases = [
            ("honest", honest(), "ok"),
            ("alloc: none", alloc("(i32.const 0)"), "build: memory_bytes: 16777216 bytes are not enough"),
            (
                "alloc: misaligned",
                alloc("(i32.const 65)"),
                "build: the guest broke the ABI: `vivarium_alloc` returned 64 bytes at 0x41, outside its memory of 262144 bytes or misaligned",
            ),
            (
                "alloc: wraps",
                alloc("(i32.const -64)"),
                "build: the guest broke the ABI: `vivarium_alloc` returned 64 bytes at 0xffffffc0, outside its memory of 262144 bytes or misaligned",
            ),
            ("alloc: always the same block", alloc("(i32.const 131072)"), "ok"),
            (
                "mount: an errno",
                mount("(i32.const 28)"),
                "build: the guest broke the ABI: `vivarium_mount` returned 28",
            ),
            (
                "mount: no memory",
                mount("(i32.const 48)"),
                "build: memory_bytes: 16777216 bytes are not enough",
            ),
            (
                "mount: least",
                mount("(i32.const 0x80000000)"),
                "build: the guest broke the ABI: `vivarium_mount` returned -2147483648",
            ),
            ("load: no error to tell", load("(i32.const 0)"), "build: no"),
            (
                "load: negative",
                load("(i32.const -1)"),
                "build: the guest broke the ABI: `vivarium_load` returned -1",
            ),
            ("load: greatest handle", load("(i32.const 0x7fffffff)"), "ok"),
            (
                "load: does not return",
                load("(loop (br 0)) (i32.const 1)"),
                "build: fuel: the budget of 20000000 units is used up",
            ),
            (
                "load: traps",
                load("unreachable"),
                "build: the guest trapped: wasm trap: wasm `unreachable` instruction executed",
            ),
            (
                "load: takes all memory",
                load(
                    "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
                    (i32.const 1)",
                ),
                "ok",
            ),
            (
                "freeze: positive",
                freeze("(i32.const 1)"),
                "build: the guest broke the ABI: `vivarium_freeze` returned 1",
            ),
            ("freeze: failed", freeze("(i32.const -1)"), "build: no"),
            (
                "freeze: does not return",
                freeze("(loop (br 0)) (i32.const 0)"),
                "build: fuel: the budget of 20000000 units is used up",
            ),
        ];
        let wrong: Vec<String> = cases
            .iter()
            .filter_map(|(what, guest, expected)| {
                let got = build(guest);
                (got != *expected).then(|| format!("{what}\n    expected: {expected}\n    got:      {got}"))
            })
            .collect();
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    });
}
