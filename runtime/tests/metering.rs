//! Fuel, deadline and cancellation, on guests small enough to count by hand.

mod common;

use std::time::{Duration, Instant};

use common::wat_guest::{IDENTITY, WatGuest};
use common::{fork, int64_batch, run_under};
use vivarium_runtime::{CallError, Limits};

fn invoking(body: &str) -> WatGuest {
    WatGuest { invoke: body.into(), ..WatGuest::default() }
}

fn with_identity(body: &str) -> WatGuest {
    invoking(&format!("{body} {IDENTITY}"))
}

/// Bodies that never end, each on another kind of road.
const ENDLESS: [(&str, &str, &str); 5] = [
    ("a loop", "", "(loop (br 0)) (i32.const 0)"),
    (
        "mutual recursion by tail position",
        "(func $a (call $b)) (func $b (loop (br_if 0 (i32.const 1))))",
        "(call $a) (i32.const 0)",
    ),
    ("nested loops", "", "(loop (loop (br_if 0 (i32.const 0))) (br 0)) (i32.const 0)"),
    (
        "bulk copies",
        "",
        "(loop (memory.copy (i32.const 0) (i32.const 8) (i32.const 200000)) (br 0)) (i32.const 0)",
    ),
    (
        "calls of leaf functions",
        "(func $leaf (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))",
        "(local $i i32) (loop (local.set $i (call $leaf (local.get $i))) (br 0)) (i32.const 0)",
    ),
];

#[test]
fn endless_work_runs_out_of_fuel() {
    for (name, extra, body) in ENDLESS {
        let image = WatGuest { extra: extra.into(), ..invoking(body) }.image();
        let limits = Limits { fuel_per_batch: 10_000_000, ..Limits::default() };
        let mut instance = image.fork(&limits, &Default::default()).unwrap();
        let error = instance.invoke(&int64_batch([1])).unwrap_err();
        assert!(matches!(error, CallError::Fuel { limit: 10_000_000 }), "{name}: {error}");
        let used = instance.usage().fuel;
        assert!((10_000_001..10_300_000).contains(&used), "{name}: {used}");
    }
}

#[test]
fn endless_work_meets_its_deadline() {
    for (name, extra, body) in ENDLESS {
        let image = WatGuest { extra: extra.into(), ..invoking(body) }.image();
        let limits = Limits { deadline_ms: 50, fuel_per_batch: u64::MAX, ..Limits::default() };
        let start = Instant::now();
        let error = run_under(&image, &limits).unwrap_err();
        let took = start.elapsed();
        assert!(matches!(error, CallError::Deadline { limit_ms: 50 }), "{name}: {error}");
        assert!(took >= Duration::from_millis(50) && took < Duration::from_millis(500), "{name}: {took:?}");
    }
}

#[test]
fn endless_work_can_be_cancelled() {
    for (name, extra, body) in ENDLESS {
        let image = WatGuest { extra: extra.into(), ..invoking(body) }.image();
        let limits = Limits { fuel_per_batch: u64::MAX, ..Limits::default() };
        let mut instance = image.fork(&limits, &Default::default()).unwrap();
        let canceller = instance.canceller();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            canceller.cancel();
            Instant::now()
        });
        let error = instance.invoke(&int64_batch([1])).unwrap_err();
        let latency = killer.join().unwrap().elapsed();
        assert!(matches!(error, CallError::Cancelled), "{name}: {error}");
        assert!(latency < Duration::from_millis(200), "{name}: {latency:?}");
    }
}

#[test]
fn cancelling_beforehand_counts() {
    let image = WatGuest::default().image();
    let mut instance = fork(&image);
    instance.canceller().cancel();
    assert!(matches!(instance.invoke(&int64_batch([1])), Err(CallError::Cancelled)));
}

#[test]
fn recursion_is_a_typed_error() {
    let endless = WatGuest {
        extra: "(func $deep (param i32) (result i32)
                (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))"
            .into(),
        ..invoking("(call $deep (i32.const 0))")
    };
    let image = endless.image();
    for _ in 0..3 {
        let error = run_under(&image, &Limits::default()).unwrap_err();
        assert!(matches!(error, CallError::Recursion { .. }), "{error}");
    }
    // The guest's own stack overflows below address 0.
    let shadow =
        invoking("(global.set $stack (i32.const -16)) (drop (i32.load (global.get $stack))) (i32.const 0)");
    let error = run_under(&shadow.image(), &Limits::default()).unwrap_err();
    assert!(matches!(error, CallError::Recursion { .. }), "{error}");
    let elsewhere = invoking("(drop (i32.load (i32.const -16))) (i32.const 0)");
    let error = run_under(&elsewhere.image(), &Limits::default()).unwrap_err();
    assert!(matches!(error, CallError::Trap { .. }), "{error}");
}

#[test]
fn the_same_call_burns_the_same_fuel() {
    let image = with_identity(
        "(local $i i32) (loop (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $i) (i32.const 3000000))))",
    )
    .image();
    let used = || {
        let mut instance = fork(&image);
        instance.invoke(&int64_batch([1, 2])).unwrap();
        instance.usage().fuel
    };
    let first = used();
    // Of the loop's operators four count: add, set, lt, br_if.
    assert!((3_000_000 * 4..3_000_000 * 4 + 1000).contains(&first), "{first}");
    assert!((0..5).all(|_| used() == first));
}

#[test]
fn exactly_enough_fuel_is_enough() {
    let image = with_identity(
        "(local $i i32) (loop (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $i) (i32.const 1000000))))",
    )
    .image();
    let mut instance = fork(&image);
    instance.invoke(&int64_batch([1])).unwrap();
    let fuel = instance.usage().fuel;
    let with = |fuel_per_batch| run_under(&image, &Limits { fuel_per_batch, ..Limits::default() });
    assert!(with(fuel).is_ok());
    assert!(matches!(with(fuel - 1), Err(CallError::Fuel { .. })));
    assert!(matches!(with(0), Err(CallError::Fuel { .. })));
}

#[test]
fn every_batch_has_its_own_budget() {
    let image = with_identity(
        "(local $i i32) (loop (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $i) (i32.const 1000000))))",
    )
    .image();
    let limits = Limits { fuel_per_batch: 10_000_000, ..Limits::default() };
    let mut instance = image.fork(&limits, &Default::default()).unwrap();
    for _ in 0..5 {
        instance.invoke(&int64_batch([1])).unwrap();
    }
    assert!(instance.usage().fuel > 5 * 4_000_000);
}

#[test]
fn bulk_memory_is_charged_by_length_and_stays_correct() {
    // Overlapping copies of 3 MiB in both directions, then a sum over what came out.
    let image = WatGuest {
        extra: "(func $check (param $base i32) (param $expected i32)
                (local $i i32)
                (loop
                    (if (i32.ne (i32.load8_u (i32.add (local.get $base) (local.get $i)))
                            (i32.and (i32.add (local.get $i) (local.get $expected)) (i32.const 0xff)))
                        (then unreachable))
                    (local.set $i (i32.add (local.get $i) (i32.const 4097)))
                    (br_if 0 (i32.lt_u (local.get $i) (i32.const 3145728)))))"
            .into(),
        ..with_identity(
            "(local $i i32)
            (drop (memory.grow (i32.const 128)))
            (loop
                (i32.store8 (i32.add (i32.const 1048576) (local.get $i)) (local.get $i))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if 0 (i32.lt_u (local.get $i) (i32.const 3145728))))
            (memory.copy (i32.const 1048676) (i32.const 1048576) (i32.const 3145728))
            (call $check (i32.const 1048676) (i32.const 0))
            (memory.copy (i32.const 1048579) (i32.const 1048676) (i32.const 3145728))
            (call $check (i32.const 1048579) (i32.const 0))
            (memory.fill (i32.const 1048576) (i32.const 7) (i32.const 3145728))
            (if (i32.ne (i32.load8_u (i32.const 4194303)) (i32.const 7)) (then unreachable))
            (if (i32.eq (i32.load8_u (i32.const 4194304)) (i32.const 7)) (then unreachable))
            (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))
            (memory.copy (i32.const 8650752) (i32.const 8650752) (i32.const 0))",
        )
    }
    .image();
    let mut instance = fork(&image);
    instance.invoke(&int64_batch([1])).unwrap();
    let bulk = 3 * 3_145_728 / 4;
    assert!(instance.usage().fuel > 3_145_728 * 4 + bulk);

    for outside in [
        "(memory.fill (i32.const 0) (i32.const 0) (i32.const -1))",
        "(memory.copy (i32.const 0) (i32.const 262144) (i32.const 1))",
        "(memory.copy (i32.const 262144) (i32.const 0) (i32.const 2000000))",
        "(memory.copy (i32.const 1) (i32.const 0) (i32.const -1))",
    ] {
        let error = run_under(&with_identity(outside).image(), &Limits::default()).unwrap_err();
        assert!(matches!(error, CallError::Trap { .. }), "{outside}: {error}");
    }
}

#[test]
fn attack_09_bulk_operations_cost_their_length() {
    // Each beside the same of no length; known lengths are charged in another place than those in variables.
    let fuel = |operation: &str, length: u32, known: bool| {
        let length = match known {
            true => format!("(i32.const {length})"),
            false => format!("(i32.add (i32.const {length}) (local.get $nothing))"),
        };
        let body = format!("(local $nothing i32) (drop (memory.grow (i32.const 8))) {operation} {length})");
        let mut instance = fork(&with_identity(&body).image());
        instance.invoke(&int64_batch([1])).unwrap();
        instance.usage().fuel
    };
    for operation in [
        "(memory.fill (i32.const 262144) (i32.const 0)",
        "(memory.copy (i32.const 262145) (i32.const 262144)",
    ] {
        for (length, known) in [(4096, true), (400_000, true), (4096, false), (400_000, false)] {
            let more = fuel(operation, length, known).saturating_sub(fuel(operation, 0, known));
            let expected = u64::from(length) / 4;
            assert!((expected - 20..expected + 50).contains(&more), "{operation} {length} {known}: {more}");
        }
    }
}

#[test]
fn attack_09_memory_costs_what_the_kernel_does_for_it() {
    let fuel = |pages: i32| {
        let mut instance = fork(&with_identity(&format!("(drop (memory.grow (i32.const {pages})))")).image());
        instance.invoke(&int64_batch([1])).unwrap();
        instance.usage().fuel
    };
    let nothing = fuel(0);
    for (pages, expected) in [(1, 16_384), (100, 1_638_400), (-1, 0)] {
        assert_eq!(fuel(pages) - nothing, expected, "{pages} pages");
    }

    // A guest that asks again and again ends by its fuel long before the memory does.
    let greedy = with_identity("(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))");
    let error =
        run_under(&greedy.image(), &Limits { fuel_per_batch: 1_000_000, ..Limits::default() }).unwrap_err();
    assert!(matches!(error, CallError::Fuel { .. }), "{error}");
}

#[test]
fn a_sleeping_guest_is_woken() {
    let sleeping = WatGuest {
        imports: r#"(import "wasi_snapshot_preview1" "poll_oneoff"
            (func $poll (param i32 i32 i32 i32) (result i32)))"#
            .into(),
        ..invoking(
            "(i32.store (i32.const 90016) (i32.const 1)) ;; monotonic clock
            (i64.store (i32.const 90024) (i64.const -1)) ;; for ever
            (drop (call $poll (i32.const 90000) (i32.const 90100) (i32.const 1) (i32.const 90200)))
            (i32.const 0)",
        )
    };
    let image = sleeping.image();
    let start = Instant::now();
    let error = run_under(&image, &Limits { deadline_ms: 40, ..Limits::default() }).unwrap_err();
    assert!(matches!(error, CallError::Deadline { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_millis(200));

    let mut instance = fork(&image);
    let canceller = instance.canceller();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        canceller.cancel();
    });
    assert!(matches!(instance.invoke(&int64_batch([1])), Err(CallError::Cancelled)));
    killer.join().unwrap();
    assert!(start.elapsed() < Duration::from_millis(400));
}
