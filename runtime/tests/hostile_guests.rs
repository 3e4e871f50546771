//! Guests that lie. Each stands for an interpreter whose memory a tenant has corrupted: the host
//! must answer with a typed error, poison the instance, and serve the next one correctly.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::wat_guest::WatGuest;
use common::{fork, int64_batch, int64_spec, int64_values};
use vivarium_runtime::{
    BaseError, BuildError, BuildLimits, CallError, Capabilities, Engine, EngineConfig, EngineError,
    FunctionErrorKind, FunctionFiles, InstrumentError, Limits, ProtocolViolation,
};

fn build(guest: &WatGuest) -> Result<(), CallError> {
    match guest.engine().build_image(&int64_spec(""), &FunctionFiles::default(), &BuildLimits::default()) {
        Ok(_) => Ok(()),
        Err(BuildError::Call { error, .. }) => Err(*error),
        Err(other) => panic!("{other}"),
    }
}

/// Invokes twice: the first error, and whether the instance was poisoned by it.
fn invoke(guest: &WatGuest) -> (CallError, bool) {
    let limits = Limits { fuel_per_batch: 100_000_000, ..Limits::default() };
    let mut instance = guest.image().fork(&limits, &Capabilities::default()).unwrap();
    let error = instance.invoke(&int64_batch([1, 2, 3])).unwrap_err();
    assert_eq!(instance.is_poisoned(), error.poisons());
    let poisoned = matches!(instance.invoke(&int64_batch([1])), Err(CallError::Poisoned));
    (error, poisoned)
}

#[test]
fn an_honest_guest_works() {
    let mut instance = fork(&WatGuest::default().image());
    for round in 1..4 {
        let batch = int64_batch((0..1000).map(|x| x * round));
        let result = instance.invoke(&batch).unwrap();
        assert_eq!(int64_values(&result), (0..1000).map(|x| x * round).collect::<Vec<_>>());
    }
    let usage = instance.usage();
    assert_eq!((usage.calls, usage.rows), (3, 3000));
    assert!(usage.fuel > 0);
}

#[test]
fn wild_pointers_from_alloc() {
    for (pointer, what) in [
        ("(i32.const 0x7fffffc0)", "far outside"),
        ("(i32.const -64)", "wraps around"),
        ("(i32.const 262080)", "ends one page too late"),
        ("(i32.const 65)", "misaligned"),
    ] {
        let guest = WatGuest { alloc: pointer.into(), ..WatGuest::default() };
        let error = build(&guest).unwrap_err();
        assert!(
            matches!(error, CallError::Protocol(ProtocolViolation::Pointer { export: "vivarium_alloc", .. }))
                || (what == "ends one page too late" && matches!(error, CallError::Guest(_))),
            "{what}: {error}"
        );
    }
    let guest = WatGuest { alloc: "(i32.const 0)".into(), ..WatGuest::default() };
    assert!(matches!(build(&guest), Err(CallError::Memory { .. })));
}

#[test]
fn answers_without_meaning() {
    let guest = WatGuest { load: "(i32.const -7)".into(), ..WatGuest::default() };
    let error = build(&guest).unwrap_err();
    assert!(matches!(error, CallError::Protocol(ProtocolViolation::Answer { value: -7, .. })), "{error}");
    let guest = WatGuest { freeze: "(i32.const 1)".into(), ..WatGuest::default() };
    assert!(matches!(build(&guest), Err(CallError::Protocol(_))));
    let guest = WatGuest { invoke: "(i32.const 0x7fffffff)".into(), ..WatGuest::default() };
    let (error, poisoned) = invoke(&guest);
    assert!(matches!(error, CallError::Protocol(_)) && poisoned, "{error}");
}

#[test]
fn a_result_that_was_never_written() {
    let guest = WatGuest { invoke: "(i32.const 0)".into(), ..WatGuest::default() };
    let (error, poisoned) = invoke(&guest);
    assert!(matches!(error, CallError::Guest(_)) && poisoned, "{error}");
}

#[test]
fn wild_pointers_in_the_result() {
    for (pointer, length) in [(-1_i64, 3_i64), (0x7fff_ffff, 3), (262_140, 3), (64, i64::MAX), (64, -1)] {
        let guest = WatGuest {
            invoke: format!(
                "{identity}
                (i64.store (local.get $output) (i64.const {length}))
                (i32.store offset=40 (local.get $output) (i32.const {pointer}))",
                identity = common::wat_guest::IDENTITY.replace("(i32.const 0)", ""),
            ) + "(i32.const 0)",
            ..WatGuest::default()
        };
        let (error, poisoned) = invoke(&guest);
        assert!(matches!(error, CallError::Guest(_)) && poisoned, "{pointer} {length}: {error}");
    }
}

#[test]
fn errors_that_lie() {
    let failing = |last_error: &str| WatGuest {
        invoke: "(i32.const -1)".into(),
        last_error: last_error.into(),
        ..WatGuest::default()
    };
    let (error, poisoned) = invoke(&failing(&WatGuest::default().last_error));
    let CallError::Function(error) = error else { panic!("{error}") };
    assert_eq!((error.kind, error.message.as_str()), (FunctionErrorKind::Exception, "no"));
    assert!(!poisoned, "a Python exception leaves the instance usable");

    let at = |pointer: i64, len: i64| {
        failing(&format!(
            "(i32.store (local.get $out) (i32.const {pointer}))
             (i32.store offset=4 (local.get $out) (i32.const {len}))"
        ))
    };
    let (error, _) = invoke(&at(70_000, 2_000_000_000));
    assert!(matches!(error, CallError::Protocol(ProtocolViolation::ErrorSize { .. })), "{error}");
    for (pointer, len) in [(-1, 10), (0x7fff_ffff, 10), (-10, 65_536)] {
        let (error, poisoned) = invoke(&at(pointer, len));
        assert!(matches!(error, CallError::Protocol(ProtocolViolation::Pointer { .. })), "{error}");
        assert!(poisoned);
    }
    for (pointer, len) in [(0, 0), (0, 100), (70_000, 5)] {
        let (error, _) = invoke(&at(pointer, len));
        let CallError::Function(error) = error else { panic!("{error}") };
        assert_eq!(error.kind, FunctionErrorKind::Internal);
    }
    let (error, _) = invoke(&failing("unreachable"));
    assert!(matches!(error, CallError::Trap { .. }), "{error}");
    let (error, _) = invoke(&failing("(loop (br 0))"));
    assert!(matches!(error, CallError::Fuel { .. }), "{error}");
}

#[test]
fn a_broken_interpreter_does_not_become_an_engine() {
    let start = |guest: WatGuest| match Engine::with_guest(&EngineConfig::default(), &guest.wasm()) {
        Err(EngineError::Base(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the engine started"),
    };
    let version = start(WatGuest { abi_version: "(i32.const 2)".into(), ..WatGuest::default() });
    assert!(matches!(version, BaseError::AbiVersion { expected: 1, got: 2 }));
    let failing = start(WatGuest { init: "(i32.const -1)".into(), ..WatGuest::default() });
    assert!(matches!(failing, BaseError::Call { step: "vivarium_init", .. }), "{failing}");
    let trapping = start(WatGuest { initialize: "unreachable".into(), ..WatGuest::default() });
    assert!(matches!(trapping, BaseError::Call { step: "_initialize", .. }), "{trapping}");
    let outside = r#"(data (i32.const 262143) "ab")"#;
    let data = start(WatGuest { extra: outside.into(), ..WatGuest::default() });
    assert!(matches!(data, BaseError::DataSegment { offset: 262_143, bytes: 2 }), "{data}");
}

#[test]
fn modules_beyond_the_capability_set_are_refused() {
    let refuse = |guest: WatGuest| match Engine::with_guest(&EngineConfig::default(), &guest.wasm()) {
        Err(EngineError::Instrument(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the engine started"),
    };
    for (import, name) in [
        (r#"(import "wasi_snapshot_preview1" "path_open" (func))"#, "path_open"),
        (r#"(import "env" "clock_time_get" (func))"#, "clock_time_get"),
        (r#"(import "wasi_snapshot_preview1" "fd_write" (global i32))"#, "fd_write"),
    ] {
        match refuse(WatGuest { imports: import.into(), ..WatGuest::default() }) {
            InstrumentError::Import { name: refused, .. } => assert_eq!(refused, name),
            other => panic!("{other}"),
        }
    }
    for extra in [
        "(func (table.set 0 (i32.const 0) (ref.null func)))",
        "(func (drop (table.grow 0 (ref.null func) (i32.const 1))))",
        r#"(data "passive")"#,
        "(memory 1)",
        "(tag)",
        "(global (mut funcref) (ref.null func))",
    ] {
        let error = refuse(WatGuest { extra: extra.into(), ..WatGuest::default() });
        assert!(matches!(error, InstrumentError::Unsupported { .. }), "{extra}: {error}");
    }
    let reserved = r#"(func (export "vivarium.fuel"))"#;
    let error = refuse(WatGuest { extra: reserved.into(), ..WatGuest::default() });
    assert!(matches!(error, InstrumentError::ReservedName { .. }), "{error}");
    let wrong = r#"(import "wasi_snapshot_preview1" "random_get" (func (param i64)))"#;
    let guest = WatGuest { imports: wrong.into(), ..WatGuest::default() };
    let refused = Engine::with_guest(&EngineConfig::default(), &guest.wasm());
    assert!(matches!(refused, Err(EngineError::Wasmtime { .. })));
    assert!(Engine::with_guest(&EngineConfig::default(), b"\0asm").is_err());
    assert!(Engine::with_guest(&EngineConfig::default(), b"").is_err());
}

#[test]
fn host_functions_survive_every_argument() {
    // Each call is made with pointers and counts at the edges; all must return, whatever they return.
    let edges = ["0", "1", "65535", "262143", "262144", "0x7fffffff", "-1"];
    let mut calls = String::new();
    for a in edges {
        for b in edges {
            calls += &format!(
                "(drop (call $clock (i32.const {a}) (i64.const -1) (i32.const {b})))
                 (drop (call $random (i32.const {a}) (i32.const {b})))
                 (drop (call $write (i32.const 1) (i32.const {a}) (i32.const {b}) (i32.const {a})))
                 (drop (call $write (i32.const {a}) (i32.const 0) (i32.const 1) (i32.const {b})))
                 (drop (call $poll (i32.const {a}) (i32.const {b}) (i32.const 0) (i32.const {b})))
                 (drop (call $poll (i32.const 262100) (i32.const {a}) (i32.const {b}) (i32.const 0)))"
            );
        }
    }
    let imports = r#"
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;
    let guest = WatGuest {
        imports: imports.into(),
        initialize: calls.clone(),
        invoke: format!("{calls} (call $exit (i32.const 134)) (i32.const 0)"),
        ..WatGuest::default()
    };
    let engine = guest.engine();
    assert_eq!(engine.imports().len(), 7, "five of the guest's own, the fuel meter, the input");
    let image =
        engine.build_image(&int64_spec(""), &FunctionFiles::default(), &BuildLimits::default()).unwrap();
    let error = fork(&image).invoke(&int64_batch([1])).unwrap_err();
    assert!(matches!(error, CallError::Abort { .. }), "{error}");
}

#[test]
fn growth_stops_at_the_limit_and_leaves_nothing_behind() {
    // Grows by 16 MiB, marks the last page, and tells the size it found before: 4 pages if the fork
    // was clean, plus the marker if memory beyond the image was not zero.
    let guest = WatGuest {
        invoke: format!(
            "(local $old i32) (local $seen i64)
            (local.set $old (memory.grow (i32.const 256)))
            (if (i32.ne (local.get $old) (i32.const -1))
                (then
                    (local.set $seen (i64.load offset=16777200 (i32.mul (local.get $old) (i32.const 65536))))
                    (i64.store offset=16777200 (i32.mul (local.get $old) (i32.const 65536)) (i64.const 4096))))
            {}
            (i32.store offset=40 (local.get $output) (i32.const 90000))
            (i32.store (i32.const 90004) (i32.const 90016))
            (i64.store (i32.const 90016)
                (i64.add (i64.extend_i32_s (local.get $old)) (local.get $seen)))
            (i32.const 0)",
            common::wat_guest::IDENTITY.trim_end().trim_end_matches("(i32.const 0)")
        ),
        ..WatGuest::default()
    };
    let image = guest.image();
    for _ in 0..3 {
        let mut instance = fork(&image);
        let sizes: Vec<i64> =
            (0..2).map(|_| int64_values(&instance.invoke(&int64_batch([0])).unwrap())[0]).collect();
        assert_eq!(sizes, [4, 260]);
        assert_eq!(instance.usage().peak_memory_bytes, 516 << 16);
    }
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let mut instance = image.fork(&limits, &Capabilities::default()).unwrap();
    assert_eq!(int64_values(&instance.invoke(&int64_batch([0])).unwrap()), [-1]);
}
