//! Calls of the host with every kind of argument, in every phase of a guest's life (10, 11, 44, 45, 50).

use vivarium_runtime::{CallError, Capabilities, Engine, EngineConfig, EngineError, Limits};

use crate::common::wat_guest::{IDENTITY, WatGuest};
use crate::common::{int64_batch, int64_spec, int64_values};
use crate::harness::{
    BUILD_LIMITS, Case, LIMITS, build_text, engine, hostile, idle, neighbour, on_worker, run,
};

pub(crate) const IMPORTS: &str = r#"
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;

/// Where a guest notes what the host answered.
const NOTES: usize = 80_000;

/// Five calls, and whether the buffer for random bytes is as it was.
const CALLS: &str = "
    (i64.store (i32.const 90000) (i64.const 0))
    (i64.store (i32.const 91024) (i64.const 0)) (i64.store (i32.const 91032) (i64.const 0))
    (call $note (call $random (i32.const 91024) (i32.const 16)))
    (call $note (i64.eqz (i64.or (i64.load (i32.const 91024)) (i64.load (i32.const 91032)))))
    (call $note (call $clock (i32.const 1) (i64.const 0) (i32.const 90000)))
    (call $note (call $write (i32.const 1) (i32.const 90000) (i32.const 0) (i32.const 90000)))
    (call $note (call $poll (i32.const 90000) (i32.const 90000) (i32.const 0) (i32.const 90000)))
    (call $note (call $pull (i32.const 0) (i32.const 0)))";

/// Random bytes are refused (58) and none are there (1), the clock and writing nothing work, waiting for
/// nothing is invalid (28), there is no input (-1).
const WHILE_BUILDING: [i64; 6] = [58, 1, 0, 0, 28, -1];
const WHILE_RUNNING: [i64; 6] = [0, 0, 0, 0, 28, -1];

/// Brings notes into the result.
fn answer_with_notes(notes: usize) -> String {
    let mut body = IDENTITY.trim_end().trim_end_matches("(i32.const 0)").to_owned();
    for index in 0..notes {
        body += &format!(
            "(i64.store offset={} (i32.load offset=4 (i32.load offset=40 (local.get $output)))
                (i64.load32_s (i32.const {})))",
            8 * index,
            NOTES + 4 * index
        );
    }
    body + "(i32.const 0)"
}

const NOTE: &str = "
    (global $notes (mut i32) (i32.const 80000))
    (func $note (param i32)
        (i32.store (global.get $notes) (local.get 0))
        (global.set $notes (i32.add (global.get $notes) (i32.const 4))))
    (global $allocated (mut i32) (i32.const 0))";

#[test]
fn attack_45_50_host_functions_in_every_phase() {
    on_worker(|| {
        let honest = WatGuest::default();
        let phases = 6;
        let notes = WHILE_BUILDING.len() * phases;
        let guest = WatGuest {
            imports: IMPORTS.into(),
            extra: NOTE.into(),
            initialize: CALLS.into(),
            init: format!("{CALLS} (i32.const 0)"),
            alloc: format!(
                "(local $at i32)
                (if (i32.eqz (global.get $allocated)) (then {CALLS} (global.set $allocated (i32.const 1))))
                {}",
                honest.alloc.replacen("(local $at i32)", "", 1)
            ),
            load: format!("{CALLS} (i32.const 1)"),
            freeze: format!("{CALLS} (i32.const 0)"),
            invoke: format!("{CALLS} {}", answer_with_notes(notes)),
            ..honest
        };
        let engine = engine(&guest);
        let image = engine.build_image(&int64_spec(""), &Default::default(), &BUILD_LIMITS).unwrap();
        assert!(image.drew_randomness_at_import(), "asking for random bytes is told");
        for _ in 0..3 {
            let mut instance = image.fork(&LIMITS, &Capabilities::default()).unwrap();
            let batch = int64_batch((0..notes).map(|row| row as i64));
            let values = int64_values(&instance.invoke(&batch).unwrap());
            let (building, running) = values.split_at(WHILE_BUILDING.len() * (phases - 1));
            for (phase, values) in building.chunks(WHILE_BUILDING.len()).enumerate() {
                assert_eq!(values, WHILE_BUILDING, "phase {phase}");
            }
            assert_eq!(running, WHILE_RUNNING);
        }
        idle(&engine);
        neighbour();
    });
}

#[test]
fn attack_45_ending_the_process_in_every_phase() {
    on_worker(|| {
        let exit = |code: i64| format!("(call $exit (i32.const {code}))");
        let guest = |change: fn(&mut WatGuest, String), code: i64| {
            let mut guest = WatGuest { imports: IMPORTS.into(), ..WatGuest::default() };
            change(&mut guest, exit(code));
            guest
        };
        let start: [(&str, WatGuest, &str); 2] = [
            (
                "_initialize",
                guest(|guest, exit| guest.initialize = exit, 0),
                "_initialize: the guest exited with code 0",
            ),
            (
                "init",
                guest(|guest, exit| guest.init = exit + "(i32.const 0)", 134),
                "vivarium_init: the guest aborted",
            ),
        ];
        for (what, guest, expected) in start {
            let error = match Engine::with_guest(&EngineConfig::default(), &guest.wasm()) {
                Err(EngineError::Base(error)) => error.to_string(),
                _ => panic!("{what}"),
            };
            assert_eq!(error, expected, "{what}");
        }
        let build: [(&str, WatGuest, &str); 3] = [
            (
                "alloc",
                guest(|guest, exit| guest.alloc = exit + "(i32.const 0)", 3),
                "build: the guest exited with code 3",
            ),
            (
                "load",
                guest(|guest, exit| guest.load = exit + "(i32.const 0)", 0),
                "build: the guest exited with code 0",
            ),
            (
                "freeze",
                guest(|guest, exit| guest.freeze = exit + "(i32.const 0)", -1),
                "build: the guest exited with code 4294967295",
            ),
        ];
        for (what, guest, expected) in build {
            let engine = engine(&guest);
            let error =
                engine.build_image(&int64_spec(""), &Default::default(), &BUILD_LIMITS).err().unwrap();
            assert_eq!(build_text(error), expected, "{what}");
            idle(&engine);
        }
        neighbour();
    });
}

/// What a call of the host answers, or the error that ends the guest. `setup` prepares memory.
fn answer(setup: &str, call: &str, limits: &Limits) -> Result<i64, CallError> {
    let guest = WatGuest {
        imports: IMPORTS.into(),
        extra: NOTE.into(),
        invoke: format!("{setup} (call $note {call}) {}", answer_with_notes(1)),
        ..WatGuest::default()
    };
    let image = guest.image();
    let mut instance = image.fork(limits, &Capabilities::default()).unwrap();
    let value = instance.invoke(&int64_batch([0])).map(|result| int64_values(&result)[0]);
    let logs = instance.take_logs();
    assert!(logs.stdout.len() as u64 <= limits.log_bytes, "{} bytes of logs", logs.stdout.len());
    neighbour();
    value
}

/// Slices for `fd_write` at 80100.
fn slices(pairs: &[(i64, i64)]) -> String {
    let mut text = String::new();
    for (index, (pointer, len)) in pairs.iter().enumerate() {
        text += &format!(
            "(i32.store (i32.const {}) (i32.const {pointer})) (i32.store (i32.const {}) (i32.const {len}))",
            80_100 + 8 * index,
            80_104 + 8 * index
        );
    }
    text
}

#[test]
fn attack_44_writing() {
    const FAULT: i64 = 21;
    const INVAL: i64 = 28;
    const BADF: i64 = 8;
    on_worker(|| {
        let write = |fd: i64, at: i64, count: i64, out: i64| {
            format!("(call $write (i32.const {fd}) (i32.const {at}) (i32.const {count}) (i32.const {out}))")
        };
        let everything = (0, 262_144);
        let cases = [
            ("nothing", vec![], write(1, 80_100, 0, 80_000), 0),
            ("all of memory", vec![everything], write(1, 80_100, 1, 90_000), 0),
            ("all of memory, 8 times", vec![everything; 8], write(2, 80_100, 8, 90_000), 0),
            ("a slice that ends late", vec![(1, 262_144)], write(1, 80_100, 1, 90_000), FAULT),
            ("a slice that wraps", vec![(-1, 2)], write(1, 80_100, 1, 90_000), FAULT),
            ("a slice of 4 GiB", vec![(0, -1)], write(1, 80_100, 1, 90_000), FAULT),
            ("the second slice lies", vec![(0, 1), (-1, -1)], write(1, 80_100, 2, 90_000), FAULT),
            ("2^32 - 1 slices", vec![], write(1, 0, -1, 90_000), INVAL),
            ("2^29 slices, whose size wraps", vec![], write(1, 0, 1 << 29, 90_000), INVAL),
            ("1025 slices", vec![], write(1, 0, 1025, 90_000), INVAL),
            ("slices at the end", vec![], write(1, 262_137, 1, 90_000), FAULT),
            ("slices that wrap", vec![], write(1, -4, 1, 90_000), FAULT),
            ("the answer goes nowhere", vec![(0, 1)], write(1, 80_100, 1, -1), FAULT),
            ("the answer at the end", vec![(0, 1)], write(1, 80_100, 1, 262_141), FAULT),
            ("the answer into the slices", vec![(0, 1)], write(1, 80_100, 1, 80_100), 0),
            ("standard input", vec![(0, 1)], write(0, 80_100, 1, 90_000), BADF),
            ("a descriptor of the host", vec![(0, 1)], write(3, 80_100, 1, 90_000), BADF),
            ("greatest descriptor", vec![(0, 1)], write(-1, 80_100, 1, 90_000), BADF),
        ];
        for (what, pairs, call, expected) in cases {
            assert_eq!(answer(&slices(&pairs), &call, &LIMITS).unwrap(), expected, "{what}");
        }
        // 2 MiB a call and 1 GiB in all: burns fuel by the byte, and keeps what the limit says.
        let endless = format!("(loop (drop {}) (br 0)) (i32.const 0)", write(1, 80_100, 8, 90_000));
        let error = answer(&slices(&[everything; 8]), &endless, &LIMITS).unwrap_err();
        assert_eq!(error.to_string(), "fuel: the budget of 20000000 units is used up");
    });
}

#[test]
fn attack_50_random_bytes_and_clocks() {
    const FAULT: i64 = 21;
    const INVAL: i64 = 28;
    const NOTSUP: i64 = 58;
    on_worker(|| {
        let random = |at: i64, len: i64| format!("(call $random (i32.const {at}) (i32.const {len}))");
        let clock =
            |id: i64, out: i64| format!("(call $clock (i32.const {id}) (i64.const -1) (i32.const {out}))");
        let cases = [
            ("nothing", random(0, 0), 0),
            ("nothing beyond memory", random(-1, 0), FAULT),
            ("64 KiB", random(196_608, 65_536), 0),
            ("one more", random(196_608, 65_537), INVAL),
            ("4 GiB", random(0, -1), INVAL),
            ("to the end", random(262_143, 1), 0),
            ("beyond the end", random(262_143, 2), FAULT),
            ("wraps", random(-1, 2), FAULT),
            ("wall clock", clock(0, 90_000), 0),
            ("monotonic clock", clock(1, 90_000), 0),
            ("process clock", clock(2, 90_000), NOTSUP),
            ("thread clock", clock(3, 90_000), NOTSUP),
            ("no clock", clock(4, 90_000), NOTSUP),
            ("greatest clock", clock(-1, 90_000), NOTSUP),
            ("time goes nowhere", clock(0, -1), FAULT),
            ("time at the end", clock(0, 262_137), FAULT),
        ];
        for (what, call, expected) in cases {
            assert_eq!(answer("", &call, &LIMITS).unwrap(), expected, "{what}");
        }
        for call in [random(196_608, 65_536), random(0, 0), random(0, -1), clock(0, 90_000), clock(9, 0)] {
            let error = answer("", &format!("(loop (drop {call}) (br 0)) (i32.const 0)"), &LIMITS);
            assert_eq!(
                error.unwrap_err().to_string(),
                "fuel: the budget of 20000000 units is used up",
                "{call}"
            );
        }
    });
}

/// A subscription at 80100.
fn subscription(tag: u32, clock: u32, timeout: i64, flags: u32) -> String {
    format!(
        "(i32.store8 (i32.const 80108) (i32.const {tag}))
        (i32.store (i32.const 80116) (i32.const {clock}))
        (i64.store (i32.const 80124) (i64.const {timeout}))
        (i32.store16 (i32.const 80140) (i32.const {flags}))"
    )
}

#[test]
fn attack_11_waiting() {
    const FAULT: i64 = 21;
    const INVAL: i64 = 28;
    const NOTSUP: i64 = 58;
    on_worker(|| {
        let poll = |at: i64, events: i64, count: i64, out: i64| {
            format!(
                "(call $poll (i32.const {at}) (i32.const {events}) (i32.const {count}) (i32.const {out}))"
            )
        };
        let one = poll(80_100, 90_000, 1, 90_100);
        let cases = [
            ("no time", subscription(0, 1, 0, 0), one.clone(), 0),
            ("a time that has passed", subscription(0, 1, 1, 1), one.clone(), 0),
            ("a wall clock time that has passed", subscription(0, 0, 1, 1), one.clone(), 0),
            ("no subscription", String::new(), poll(80_100, 90_000, 0, 90_100), INVAL),
            ("two subscriptions", String::new(), poll(80_100, 90_000, 2, 90_100), NOTSUP),
            ("2^32 - 1 subscriptions", String::new(), poll(0, 0, -1, 90_100), NOTSUP),
            ("10^6 subscriptions", String::new(), poll(0, 0, 1_000_000, 90_100), NOTSUP),
            ("a descriptor to read", subscription(1, 1, 0, 0), one.clone(), NOTSUP),
            ("a descriptor to write", subscription(2, 1, 0, 0), one.clone(), NOTSUP),
            ("no kind of event", subscription(255, 1, 0, 0), one.clone(), NOTSUP),
            ("the thread's clock", subscription(0, 3, 0, 0), one.clone(), NOTSUP),
            ("a subscription at the end", String::new(), poll(262_143, 90_000, 1, 90_100), FAULT),
            ("a subscription that wraps", String::new(), poll(-1, 90_000, 1, 90_100), FAULT),
            ("the event goes nowhere", subscription(0, 1, 0, 0), poll(80_100, -1, 1, 90_100), FAULT),
            ("the count goes nowhere", subscription(0, 1, 0, 0), poll(80_100, 90_000, 1, -1), FAULT),
            ("the event over the subscription", subscription(0, 1, 0, 0), poll(80_100, 80_100, 1, 80_100), 0),
        ];
        for (what, setup, call, expected) in cases {
            assert_eq!(answer(&setup, &call, &LIMITS).unwrap(), expected, "{what}");
        }
        let limits = Limits { deadline_ms: 100, fuel_per_batch: u64::MAX, ..LIMITS };
        for (what, timeout, flags) in [
            ("negative", -1, 0),
            ("greatest", i64::MAX, 0),
            ("least", i64::MIN, 1),
            ("a century", 3 << 60, 1),
        ] {
            let error = answer(&subscription(0, 1, timeout, flags), &one, &limits).unwrap_err();
            assert_eq!(error.to_string(), "deadline_ms: the call took longer than 100 ms", "{what}");
        }
        let endless = format!("(loop (drop {one}) (br 0)) (i32.const 0)");
        let error = answer(&subscription(0, 1, 0, 0), &endless, &LIMITS).unwrap_err();
        assert_eq!(error.to_string(), "fuel: the budget of 20000000 units is used up");
    });
}

#[test]
fn attack_45_the_host_from_within_an_error() {
    let with_imports = |mut case: Case| {
        case.guest.imports = IMPORTS.into();
        case
    };
    let inside = |what, body: &str, expected| {
        let mut case = hostile(what, "(i32.const -1)", expected);
        case.guest.last_error = body.into();
        with_imports(case)
    };
    run(vec![
        inside("exits while it tells an error", "(call $exit (i32.const 7))", "the guest exited with code 7"),
        inside("aborts while it tells an error", "(call $exit (i32.const 134))", "the guest aborted"),
        inside(
            "traps while it tells an error",
            "(unreachable)",
            "the guest trapped: wasm trap: wasm `unreachable` instruction executed",
        ),
        inside(
            "never ends to tell an error",
            "(loop (br 0))",
            "fuel: the budget of 20000000 units is used up",
        ),
        inside(
            "pulls while it tells an error",
            "(loop (br_if 0 (i32.eq (call $pull (i32.const 0) (i32.const 0)) (i32.const -1))))",
            "fuel: the budget of 20000000 units is used up",
        ),
        with_imports(hostile(
            "exits",
            "(call $exit (i32.const 0)) (i32.const 0)",
            "the guest exited with code 0",
        )),
        with_imports(hostile("aborts", "(call $exit (i32.const 134)) (i32.const 0)", "the guest aborted")),
        with_imports(hostile(
            "pulls for ever",
            "(loop (drop (call $pull (i32.const 64) (i32.const 64))) (br 0)) (i32.const 0)",
            "fuel: the budget of 20000000 units is used up",
        )),
    ]);
}
