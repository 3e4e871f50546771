//! Guests that lie about streams, groups, kept input and declarations. See `hostile_guests.rs` for what
//! is expected of the host.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type};
use common::wat_guest::{IDENTITY, WatGuest};
use common::{int64_batch, int64_spec, int64_values};
use vivarium_runtime::{
    BuildError, BuildLimits, CallError, Engine, EngineConfig, EngineError, FunctionKind, FunctionSpec,
    InputError, InputFailure, Instance, InstrumentError, Limits, ModuleSource, ProtocolViolation,
    worker_thread,
};

const LIMITS: Limits = Limits {
    fuel_per_batch: 100_000_000,
    deadline_ms: 10_000,
    memory_bytes: 64 << 20,
    input_bytes: 1 << 20,
    output_bytes: 1 << 20,
    stream_output_bytes: 100 << 20,
    stream_output_rows: 1 << 40,
    aggregate_groups: 1000,
    log_bytes: 1 << 10,
};

const BUILD_LIMITS: BuildLimits = BuildLimits {
    fuel: 100_000_000,
    deadline_ms: 10_000,
    memory_bytes: 64 << 20,
    log_bytes: 1 << 10,
    code_bytes: 1 << 20,
    files: 10,
    file_bytes: 1 << 20,
};

fn table_spec() -> FunctionSpec {
    FunctionSpec { kind: FunctionKind::Table, ..int64_spec("") }
}

fn map_spec() -> FunctionSpec {
    let columns = vec![Field::new("y", DataType::Int64, true)];
    FunctionSpec { kind: FunctionKind::Map, result: Field::new_struct("", columns, false), ..int64_spec("") }
}

fn aggregate_spec() -> FunctionSpec {
    let state = Field::new("state", DataType::Int64, false);
    FunctionSpec { kind: FunctionKind::Aggregate { state }, ..int64_spec("") }
}

/// A fork of a guest whose `vivarium_invoke` has this body, bound to this function.
fn instance(spec: &FunctionSpec, invoke: &str) -> Instance {
    with_pull(spec, invoke, &LIMITS)
}

/// The same, where `$pull` can be called.
fn with_pull(spec: &FunctionSpec, invoke: &str, limits: &Limits) -> Instance {
    let guest = WatGuest { invoke: invoke.into(), ..WatGuest::default() };
    guest.image_of(spec).fork(limits, &Default::default()).unwrap()
}

/// Writes an array at 90000: `length` rows in a struct of these children (addresses of `ArrowArray`s).
fn batch(length: &str, children: &[u32]) -> String {
    let mut text = format!(
        "(i64.store (local.get $output) {length})
        (i64.store offset=8 (local.get $output) (i64.const 0))
        (i64.store offset=24 (local.get $output) (i64.const 1))
        (i64.store offset=32 (local.get $output) (i64.const {}))
        (i32.store offset=40 (local.get $output) (i32.const 90000))
        (i32.store offset=44 (local.get $output) (i32.const 90016))
        (i32.store (i32.const 90000) (i32.const 0))",
        children.len()
    );
    for (index, child) in children.iter().enumerate() {
        text += &format!("(i32.store (i32.const {}) (i32.const {child}))", 90016 + 4 * index);
    }
    text
}

/// Writes an `ArrowArray` of `length` fixed-width values at `data` without nulls.
fn column(at: u32, length: &str, data: u32) -> String {
    format!(
        "(i64.store (i32.const {at}) {length})
        (i64.store (i32.const {n}) (i64.const 2))
        (i32.store (i32.const {b}) (i32.const {t}))
        (i32.store (i32.const {t}) (i32.const 0))
        (i32.store (i32.const {t4}) (i32.const {data}))",
        n = at + 24,
        b = at + 40,
        t = at + 64,
        t4 = at + 68,
    )
}

/// A table function's answer: rows with these numbers, whose values are whatever there is.
fn rows(numbers: &[i32], answer: i32) -> String {
    let length = format!("(i64.const {})", numbers.len());
    let mut text = batch(&length, &[91_000, 91_200]);
    text += &column(91_000, &length, 92_000);
    text += &column(91_200, &length, 100_000);
    for (index, number) in numbers.iter().enumerate() {
        text += &format!("(i32.store (i32.const {}) (i32.const {number}))", 92_000 + 4 * index);
    }
    format!("{text} (i32.const {answer})")
}

/// `first` for CALL, `then` for NEXT.
fn steps(first: &str, then: &str) -> String {
    format!("(if (result i32) (i32.eqz (local.get $operation)) (then {first}) (else {then}))")
}

fn expand(instance: &mut Instance, input: usize) -> (Vec<i32>, Result<(), CallError>) {
    let mut numbers = Vec::new();
    let result = instance.expand(&int64_batch((0..input).map(|x| x as i64)), &mut |batch| {
        assert_eq!(batch.schema(), table_spec().output_schema());
        numbers.extend(batch.column(0).as_primitive::<Int32Type>().values());
        ControlFlow::Continue(())
    });
    (numbers, result)
}

fn none() -> Result<Option<RecordBatch>, InputFailure> {
    Ok(None)
}

/// Runs a map function over batches of one row: what it gave, and how it ended.
fn map(instance: &mut Instance, batches: i64) -> (Vec<i64>, Result<(), CallError>) {
    let mut values = Vec::new();
    let mut next = 0;
    let mut source = || {
        next += 1;
        Ok((next <= batches).then(|| int64_batch([next])))
    };
    let result = instance.map(&mut source, &mut |batch| {
        values.extend(batch.column(0).as_primitive::<Int64Type>().values());
        ControlFlow::Continue(())
    });
    (values, result)
}

fn protocol(result: Result<(), CallError>, instance: &Instance) -> ProtocolViolation {
    assert!(instance.is_poisoned());
    match result {
        Err(CallError::Protocol(violation)) => violation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_honest_table_function_streams() {
    let mut instance = instance(&table_spec(), &steps(&rows(&[0, 0], 1), &rows(&[0, 2], 0)));
    for _ in 0..3 {
        let (numbers, result) = expand(&mut instance, 3);
        result.unwrap();
        assert_eq!(numbers, [0, 0, 0, 2]);
    }
    assert_eq!((instance.usage().calls, instance.usage().rows), (3, 9));
    let nothing = steps(&rows(&[], 1), "(i32.const 2)");
    let (numbers, result) = expand(&mut self::instance(&table_spec(), &nothing), 3);
    result.unwrap();
    assert!(numbers.is_empty());
}

#[test]
fn a_sink_that_breaks_ends_the_stream_and_not_the_instance() {
    let mut instance = instance(&table_spec(), &steps(&rows(&[0], 1), &rows(&[1], 1)));
    for _ in 0..5 {
        let mut calls = 0;
        let broken = instance.expand(&int64_batch(0..2), &mut |_| {
            calls += 1;
            if calls == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(broken.is_ok());
        assert_eq!(calls, 3);
    }
}

#[test]
fn the_input_of_a_dropped_stream_stays_until_the_guest_knows() {
    // Remembers where its input was; the same place twice in a row stops it.
    let first = format!(
        "(if (i32.eq (i32.load (i32.const 80000)) (local.get $input)) (then unreachable))
        (i32.store (i32.const 80000) (local.get $input))
        {}",
        rows(&[0], 1)
    );
    let mut dropping = instance(&table_spec(), &steps(&first, &rows(&[0], 1)));
    for _ in 0..10 {
        assert!(dropping.expand(&int64_batch([1]), &mut |_| ControlFlow::Break(())).is_ok());
    }
    // Where a stream has ended its block is used again.
    let mut ending = instance(&table_spec(), &steps(&first, "(i32.const 2)"));
    expand(&mut ending, 1).1.unwrap();
    assert!(matches!(expand(&mut ending, 1).1, Err(CallError::Trap { .. })));
}

#[test]
fn rows_of_rows_that_are_not_there() {
    for (first, then, row, least) in [
        (&[0, 1, 0][..], &[][..], 0, 1),
        (&[-1], &[], -1, 0),
        (&[0, 3], &[], 3, 0),
        (&[0, i32::MAX], &[], i32::MAX, 0),
        (&[2], &[1], 1, 2),
    ] {
        let mut instance = instance(&table_spec(), &steps(&rows(first, 1), &rows(then, 0)));
        let (_, result) = expand(&mut instance, 3);
        let violation = protocol(result, &instance);
        assert_eq!(violation, ProtocolViolation::Row { row, least, rows: 3 });
        assert!(matches!(expand(&mut instance, 3).1, Err(CallError::Poisoned)));
    }
}

#[test]
fn streams_without_end() {
    // Where no thread has to be made for each step.
    worker_thread("test").spawn(endless_streams).unwrap().join().unwrap();
}

fn endless_streams() {
    let endless = |body: &str| steps(body, body);
    let limits = |change: fn(&mut Limits)| {
        let mut limits = LIMITS;
        change(&mut limits);
        limits
    };
    // Empty answers, however cheap, burn fuel.
    let mut empty = with_pull(
        &table_spec(),
        &endless(&rows(&[], 1)),
        &limits(|limits| limits.fuel_per_batch = 1_000_000),
    );
    assert!(matches!(expand(&mut empty, 3).1, Err(CallError::Fuel { limit: 1_000_000 })));
    let mut empty = with_pull(
        &table_spec(),
        &endless(&rows(&[], 1)),
        &limits(|limits| (limits.fuel_per_batch, limits.deadline_ms) = (u64::MAX, 30)),
    );
    assert!(matches!(expand(&mut empty, 3).1, Err(CallError::Deadline { .. })));
    // Rows and bytes have limits of their own, which leave the instance usable.
    let two = endless(&rows(&[0, 0], 1));
    let mut many = with_pull(&table_spec(), &two, &limits(|limits| limits.stream_output_rows = 1000));
    let (numbers, result) = expand(&mut many, 3);
    let error = result.unwrap_err();
    assert!(
        matches!(error, CallError::Stream { name: "stream_output_rows", limit: 1000, requested: 1002 }),
        "{error}"
    );
    assert_eq!(numbers.len(), 1000);
    assert!(!many.is_poisoned());
    let mut large = with_pull(&table_spec(), &two, &limits(|limits| limits.stream_output_bytes = 1000));
    let error = expand(&mut large, 3).1.unwrap_err();
    assert!(matches!(error, CallError::Stream { name: "stream_output_bytes", .. }), "{error}");
    let mut large = with_pull(&table_spec(), &two, &limits(|limits| limits.output_bytes = 10));
    assert!(matches!(expand(&mut large, 3).1, Err(CallError::Output(_))));
    assert!(!large.is_poisoned());
    // The same for map functions, also where they give batches without taking any.
    let three = "(i64.const 3)";
    let body = column(91_000, three, 100_000) + &batch(three, &[91_000]) + "(i32.const 1)";
    let mut generator = with_pull(&map_spec(), &body, &limits(|limits| limits.stream_output_rows = 1000));
    let (values, result) = map(&mut generator, 0);
    assert!(matches!(result, Err(CallError::Stream { name: "stream_output_rows", .. })));
    assert_eq!(values.len(), 999);
    let nothing = column(91_000, "(i64.const 0)", 100_000) + &batch("(i64.const 0)", &[91_000]);
    let mut empty =
        with_pull(&map_spec(), &(nothing + "(i32.const 1)"), &limits(|it| it.fuel_per_batch = 1_000_000));
    assert!(matches!(map(&mut empty, 5).1, Err(CallError::Fuel { .. })));
    let mut silent = with_pull(
        &map_spec(),
        "(loop (br 0)) (i32.const 1)",
        &limits(|limits| {
            limits.fuel_per_batch = 1_000_000;
        }),
    );
    assert!(matches!(map(&mut silent, 5).1, Err(CallError::Fuel { .. })));
}

#[test]
fn answers_that_do_not_fit_the_operation() {
    let is_answer = |violation: ProtocolViolation, value: i64| {
        let expected = ProtocolViolation::Answer { export: "vivarium_invoke", value };
        assert_eq!(violation, expected);
    };
    for value in [1, 2, 3, 4, 8, 17, 18, 32, -3, i32::MAX, i32::MIN] {
        let mut instance = instance(&int64_spec(""), &format!("(i32.const {value})"));
        let result = instance.invoke(&int64_batch([1])).map(drop);
        is_answer(protocol(result, &instance), i64::from(value));
    }
    for value in [3, 4, 16, 17, 18, 19, 64, -2, -3] {
        let mut instance = instance(&table_spec(), &rows(&[], value));
        let (_, result) = expand(&mut instance, 1);
        is_answer(protocol(result, &instance), i64::from(value));
    }
    for value in [0, 3, 16, 17, 18, -2] {
        let mut instance = instance(&map_spec(), &format!("(i32.const {value})"));
        let (_, result) = map(&mut instance, 1);
        is_answer(protocol(result, &instance), i64::from(value));
    }
    let groups = UInt32Array::from(vec![0]);
    for value in [0, 1, 3, 16, 18, -2, -3] {
        let mut instance = instance(&aggregate_spec(), &format!("(i32.const {value})"));
        let result = instance.accumulate(&groups, &int64_batch([1]));
        is_answer(protocol(result, &instance), i64::from(value));
    }
    for value in [1, 2, 16, 18, -2] {
        let mut instance = instance(&aggregate_spec(), &format!("(i32.const {value})"));
        let result = instance.states(3).map(drop);
        is_answer(protocol(result, &instance), i64::from(value));
    }
}

#[test]
fn kept_blocks_are_not_used_again() {
    // Keeps every block and marks it; a block that it has seen before stops it.
    let keeping = format!(
        "(if (i64.eq (i64.load offset=2048 (local.get $input)) (i64.const 4711)) (then unreachable))
        (i64.store offset=2048 (local.get $input) (i64.const 4711))
        {} (i32.const 16)",
        IDENTITY.trim_end().trim_end_matches("(i32.const 0)")
    );
    let mut instance = instance(&int64_spec(""), &keeping);
    for round in 0..100 {
        let result = instance.invoke(&int64_batch([round, 2])).unwrap();
        assert_eq!(int64_values(&result), [round, 2]);
    }
    // A guest that keeps all memory has none left in the end.
    let wide = int64_batch(0..100_000);
    let error = (0..1000).find_map(|_| instance.invoke(&wide).err()).unwrap();
    assert!(matches!(error, CallError::Memory { .. }), "{error}");
    let again = keeping.replace("(i32.const 16)", "(i32.const 0)");
    let mut instance = self::instance(&int64_spec(""), &again);
    instance.invoke(&int64_batch([1])).unwrap();
    assert!(matches!(instance.invoke(&int64_batch([1])), Err(CallError::Trap { .. })));
}

/// Pulls one batch into a block and gives it back, until there is none.
const PULLING: &str = "
    (local $size i32) (local $block i32)
    (local.set $size (call $pull (i32.const 0) (i32.const 0)))
    (if (i32.le_s (local.get $size) (i32.const 0)) (then (return (i32.const 2))))
    (local.set $block (call $alloc (local.get $size)))
    (if (i32.ne (call $pull (local.get $block) (local.get $size)) (i32.const 0)) (then unreachable))
    (memory.copy (local.get $output) (local.get $block) (i32.const 64))
    (i32.const 1)";

#[test]
fn an_honest_map_function_streams() {
    let mut instance = instance(&map_spec(), PULLING);
    for _ in 0..3 {
        let (values, result) = map(&mut instance, 5);
        result.unwrap();
        assert_eq!(values, [1, 2, 3, 4, 5]);
    }
    assert_eq!((instance.usage().calls, instance.usage().rows), (3, 15));
    let stopped = instance.map(&mut || Ok(Some(int64_batch([7]))), &mut |_| ControlFlow::Break(()));
    assert!(stopped.is_ok());
    assert_eq!(map(&mut instance, 1).0, [1]);
}

#[test]
fn asking_again_does_not_take_again_and_the_end_stays_the_end() {
    let asking = PULLING.replacen(
        "(if",
        "(if (i32.ne (local.get $size) (call $pull (i32.const 0) (i32.const 0))) (then unreachable)) (if",
        1,
    );
    let (values, result) = map(&mut instance(&map_spec(), &asking), 3);
    result.unwrap();
    assert_eq!(values, [1, 2, 3]);
}

#[test]
fn pulling_out_of_order_or_to_nowhere() {
    let pulling = |body: &str| format!("(local $size i32) {body} (i32.const 2)");
    let waited = "(local.set $size (call $pull (i32.const 0) (i32.const 0)))";
    let rooms = [
        ("no batch is waiting", pulling("(drop (call $pull (i32.const 131072) (i32.const 4096)))")),
        ("outside", pulling(&format!("{waited} (drop (call $pull (i32.const -64) (local.get $size)))"))),
        ("the end", pulling(&format!("{waited} (drop (call $pull (i32.const 262080) (local.get $size)))"))),
        ("misaligned", pulling(&format!("{waited} (drop (call $pull (i32.const 131080) (i32.const 4096)))"))),
        ("too small", pulling(&format!("{waited} (drop (call $pull (i32.const 131072) (i32.const 64)))"))),
        ("null", pulling(&format!("{waited} (drop (call $pull (i32.const 0) (local.get $size)))"))),
        ("huge", pulling(&format!("{waited} (drop (call $pull (i32.const 131072) (i32.const -1)))"))),
        (
            "twice",
            pulling(&format!(
                "{waited} (drop (call $pull (i32.const 131072) (i32.const 4096)))
                (drop (call $pull (i32.const 131072) (i32.const 4096)))"
            )),
        ),
    ];
    for (what, body) in rooms {
        let mut instance = instance(&map_spec(), &body);
        let (_, result) = map(&mut instance, 3);
        let violation = protocol(result, &instance);
        assert!(matches!(violation, ProtocolViolation::Pull { .. }), "{what}: {violation}");
        assert!(matches!(map(&mut instance, 3).1, Err(CallError::Poisoned)));
    }
}

#[test]
fn there_is_no_input_outside_of_map_functions() {
    let asking = |rest: &str| {
        format!(
            "(if (i32.ne (call $pull (i32.const 0) (i32.const 0)) (i32.const -1)) (then unreachable))
            (if (i32.ne (call $pull (i32.const 131072) (i32.const 4096)) (i32.const -1)) (then unreachable))
            {rest}"
        )
    };
    instance(&int64_spec(""), &asking(IDENTITY)).invoke(&int64_batch([1])).unwrap();
    expand(&mut instance(&table_spec(), &asking("(i32.const 2)")), 1).1.unwrap();
    let mut aggregate = instance(&aggregate_spec(), &asking("(i32.const 2)"));
    aggregate.accumulate(&UInt32Array::from(vec![0]), &int64_batch([1])).unwrap();
    // Nor in calls that the host makes around the function's own, nor while code is imported.
    let guest = WatGuest {
        invoke: "(i32.const -1)".into(),
        last_error: asking(&WatGuest::default().last_error),
        init: asking("(i32.const 0)"),
        load: asking("(i32.const 1)"),
        freeze: asking("(i32.const 0)"),
        ..WatGuest::default()
    };
    let mut instance = guest.image_of(&map_spec()).fork(&LIMITS, &Default::default()).unwrap();
    assert!(matches!(map(&mut instance, 3).1, Err(CallError::Function(_))));
    assert!(!instance.is_poisoned());
}

#[test]
fn a_failing_source_is_given_back() {
    #[derive(Debug, PartialEq, thiserror::Error)]
    #[error("the peer is gone")]
    struct Gone(u32);
    let mut instance = instance(&map_spec(), PULLING);
    let mut given = 0;
    let mut batches = [int64_batch([1])].into_iter();
    let result =
        instance.map(&mut || batches.next().map(Some).ok_or_else(|| InputFailure::new(Gone(7))), &mut |_| {
            given += 1;
            ControlFlow::Continue(())
        });
    let Err(CallError::Source(failure)) = result else { panic!("{result:?}") };
    assert_eq!(failure.into_inner().downcast_ref::<Gone>(), Some(&Gone(7)));
    assert!(given == 1 && instance.is_poisoned());

    let column: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let other = RecordBatch::try_from_iter([("x", column)]).unwrap();
    let mut batches = [int64_batch([1]), other].into_iter();
    let mut instance = self::instance(&map_spec(), PULLING);
    let result = instance.map(&mut || Ok(batches.next()), &mut |_| ControlFlow::Continue(()));
    assert!(
        matches!(result, Err(CallError::SourceBatch { index: 1, error: InputError::Type { .. } })),
        "{result:?}"
    );
}

#[test]
fn a_source_that_panics_poisons() {
    let run = || {
        let mut instance = instance(&map_spec(), PULLING);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            instance.map(&mut || panic!("on purpose"), &mut |_| ControlFlow::Continue(()))
        }));
        assert!(panicked.is_err());
        assert!(matches!(map(&mut instance, 1).1, Err(CallError::Poisoned)));
    };
    worker_thread("test").spawn(run).unwrap().join().unwrap();
}

#[test]
fn waiting_for_input_or_output_does_not_count() {
    let limits = Limits { deadline_ms: 60, ..LIMITS };
    let pause = || std::thread::sleep(std::time::Duration::from_millis(100));
    let mut instance = with_pull(&map_spec(), PULLING, &limits);
    let mut left = 3;
    let mut source = || {
        pause();
        left -= 1;
        Ok((left >= 0).then(|| int64_batch([1])))
    };
    let sink = &mut |_| {
        pause();
        ControlFlow::Continue(())
    };
    instance.map(&mut source, sink).unwrap();
    let mut left = 4;
    let counting = steps(&rows(&[0], 1), &rows(&[0], 1));
    let mut instance = with_pull(&table_spec(), &counting, &limits);
    let streamed = instance.expand(&int64_batch([1]), &mut |_| {
        pause();
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    streamed.unwrap();
    // A cancelled call ends when the source returns.
    let mut instance = with_pull(&map_spec(), PULLING, &limits);
    let canceller = instance.canceller();
    let mut source = || {
        canceller.cancel();
        Ok(Some(int64_batch([1])))
    };
    let result = instance.map(&mut source, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(result, Err(CallError::Cancelled)));
}

#[test]
fn every_batch_of_a_map_function_has_its_own_budget() {
    // Takes batch after batch and gives none.
    let swallowing = "(local $size i32) (local $i i32)
        (loop
            (local.set $size (call $pull (i32.const 0) (i32.const 0)))
            (if (i32.eqz (local.get $size)) (then (return (i32.const 2))))
            (drop (call $pull (i32.const 131072) (i32.const 4096)))
            (local.set $i (i32.const 1000000))
            (loop (br_if 0 (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
            (br 0))
        (i32.const 2)";
    let limits = Limits { fuel_per_batch: 8_000_000, ..LIMITS };
    let mut instance = with_pull(&map_spec(), swallowing, &limits);
    map(&mut instance, 10).1.unwrap();
    assert!(instance.usage().fuel > 20_000_000, "{}", instance.usage().fuel);
    // The end of the input can be asked for again and again, but not for free.
    let asking = "(loop (drop (call $pull (i32.const 0) (i32.const 0))) (br 0)) (i32.const 2)";
    for batches in [0, 5] {
        let (_, result) = map(&mut with_pull(&map_spec(), asking, &limits), batches);
        assert!(matches!(result, Err(CallError::Fuel { .. })), "{result:?}");
    }
}

#[test]
fn groups_are_checked_before_the_guest_sees_them() {
    let mut instance = instance(&aggregate_spec(), "(i32.const 2)");
    let groups = |groups: Vec<Option<u32>>| UInt32Array::from(groups);
    let mut error = |groups: UInt32Array| match instance.accumulate(&groups, &int64_batch([1, 2])) {
        Err(CallError::Input(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(error(groups(vec![Some(0)])), InputError::GroupCount { rows: 2, groups: 1 });
    assert_eq!(error(groups(vec![Some(0), None])), InputError::GroupNull { row: 1 });
    let over = InputError::Groups { name: "aggregate_groups", limit: 1000, requested: 1001 };
    assert_eq!(error(groups(vec![Some(1000), Some(0)])), over);
    let over = InputError::Groups { name: "aggregate_groups", limit: 1000, requested: 1 << 32 };
    assert_eq!(error(groups(vec![Some(u32::MAX), Some(0)])), over);
    assert!(matches!(instance.states(1001), Err(CallError::Input(InputError::Groups { .. }))));
    let states: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    let merged = instance.merge(&UInt32Array::from(vec![0]), &states);
    assert!(matches!(merged, Err(CallError::Input(InputError::Null { .. }))), "{merged:?}");
    assert!(!instance.is_poisoned());
}

#[test]
fn groups_and_states_of_the_wrong_shape() {
    // Answers two values, whatever is asked for.
    let two = |nulls: i64| {
        column(91_000, "(i64.const 2)", 100_000)
            + &format!("(i64.store (i32.const 91008) (i64.const {nulls}))")
            + "(memory.copy (local.get $output) (i32.const 91000) (i32.const 64)) (i32.const 0)"
    };
    let mut honest = instance(&aggregate_spec(), &two(0));
    assert_eq!(honest.states(2).unwrap().len(), 2);
    assert_eq!(honest.finish(2).unwrap().data_type(), &DataType::Int64);
    for groups in [0, 1, 3, 1000] {
        let mut instance = instance(&aggregate_spec(), &two(0));
        let error = instance.states(groups).unwrap_err();
        assert!(matches!(error, CallError::Guest(_)), "{error}");
        assert!(instance.is_poisoned());
    }
    let mut nulls = instance(&aggregate_spec(), &two(2));
    assert!(matches!(nulls.states(2), Err(CallError::Guest(_))));
}

#[test]
fn methods_of_other_kinds_are_refused() {
    let specs = [int64_spec(""), table_spec(), aggregate_spec(), map_spec()];
    let batch = int64_batch([1]);
    let groups = UInt32Array::from(vec![0]);
    let states: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    for (own, spec) in specs.iter().enumerate() {
        let mut instance = instance(spec, "unreachable");
        let results = [
            (0, instance.invoke(&batch).map(drop)),
            (1, instance.expand(&batch, &mut |_| ControlFlow::Continue(()))),
            (2, instance.accumulate(&groups, &batch)),
            (2, instance.retract(&groups, &batch)),
            (2, instance.merge(&groups, &states)),
            (2, instance.states(1).map(drop)),
            (2, instance.finish(1).map(drop)),
            (3, instance.map(&mut none, &mut |_| ControlFlow::Continue(()))),
        ];
        let mut trapped = false;
        for (kind, result) in results {
            match result.unwrap_err() {
                CallError::Kind { .. } => assert_ne!(kind, own),
                CallError::Trap { .. } => {
                    assert_eq!(kind, own);
                    trapped = true;
                }
                CallError::Poisoned => assert!(trapped),
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn batches_that_are_not_the_declared_ones() {
    let good = |length: &str| column(91_000, length, 100_000) + &batch(length, &[91_000]);
    for (what, body) in [
        ("no children", batch("(i64.const 1)", &[]) + "(i32.const 1)"),
        ("negative length", good("(i64.const -1)") + "(i32.const 1)"),
        (
            "a child too short",
            column(91_000, "(i64.const 1)", 100_000) + &batch("(i64.const 2)", &[91_000]) + "(i32.const 1)",
        ),
        (
            "data outside",
            column(91_000, "(i64.const 9)", 262_100) + &batch("(i64.const 9)", &[91_000]) + "(i32.const 1)",
        ),
        ("not written", "(i32.const 1)".to_owned()),
    ] {
        let mut instance = instance(&map_spec(), &body);
        let error = map(&mut instance, 1).1.unwrap_err();
        assert!(matches!(error, CallError::Guest(_)), "{what}: {error}");
    }
    for length in ["(i64.const 200000)", "(i64.const 0x7fffffffffffffff)"] {
        let mut instance = instance(&map_spec(), &(good(length) + "(i32.const 1)"));
        let error = map(&mut instance, 1).1.unwrap_err();
        assert!(matches!(error, CallError::Guest(_) | CallError::Output(_)), "{length}: {error}");
    }
}

fn describe(body: &str, extra: &str) -> Result<usize, CallError> {
    let guest = WatGuest { describe: body.into(), extra: extra.into(), ..WatGuest::default() };
    let module = ModuleSource { filename: "a.py".into(), ..ModuleSource::default() };
    match guest.engine().describe(&module, &BUILD_LIMITS) {
        Ok(declarations) => Ok(declarations.len()),
        Err(BuildError::Call { error, .. }) => Err(*error),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn declarations_that_lie() {
    let at = |pointer: i64, len: i64| {
        format!(
            "(i32.store (local.get $out) (i32.const {pointer}))
            (i32.store offset=4 (local.get $out) (i32.const {len})) (i32.const 0)"
        )
    };
    let empty = r#"(data (i32.const 80000) "{\22functions\22: []}")"#;
    assert_eq!(describe(&at(80_000, 17), empty).unwrap(), 0);
    let error = describe(&at(80_000, -1), empty).unwrap_err();
    assert!(
        matches!(error, CallError::Protocol(ProtocolViolation::DescriptionSize { requested: u32::MAX, .. })),
        "{error}"
    );
    for (pointer, len) in [(-1, 10), (0x7fff_ffff, 10), (-10, 1 << 20), (262_140, 8)] {
        let error = describe(&at(pointer, len), empty).unwrap_err();
        assert!(matches!(error, CallError::Protocol(ProtocolViolation::Pointer { .. })), "{error}");
    }
    let invalid = r#"(data (i32.const 80000) "{\22functions\22: [\ff]}")"#;
    let deep = format!(r#"(data (i32.const 80000) "{}")"#, "[".repeat(50_000));
    for (extra, len) in [(invalid, 18), (deep.as_str(), 50_000), (empty, 0), (empty, 16), (empty, 18)] {
        let error = describe(&at(80_000, len), extra).unwrap_err();
        assert!(matches!(error, CallError::Protocol(ProtocolViolation::Description { .. })), "{error}");
    }
    for answer in [1, 2, -2] {
        let error = describe(&format!("(i32.const {answer})"), "").unwrap_err();
        assert!(matches!(error, CallError::Protocol(ProtocolViolation::Answer { .. })), "{error}");
    }
    assert!(matches!(describe("(i32.const -1)", ""), Err(CallError::Function(_))));
    assert!(matches!(describe("(loop (br 0)) (i32.const 0)", ""), Err(CallError::Fuel { .. })));
    assert!(matches!(describe("unreachable", ""), Err(CallError::Trap { .. })));
}

#[test]
fn a_guest_without_the_stub_for_input_is_none() {
    let stubs = [
        "",
        r#"(func $pull (export "vivarium_pull") (param i64 i32) (result i32) (i32.const -1))"#,
        r#"(func $pull (export "vivarium_pull") (param i32 i32))"#,
        r#"(global (export "vivarium_pull") i32 (i32.const 0))"#,
    ];
    for stub in stubs {
        let guest = WatGuest { pull: stub.into(), ..WatGuest::default() };
        match Engine::with_guest(&EngineConfig::default(), &guest.wasm()) {
            Err(EngineError::Instrument(InstrumentError::Missing { what })) => {
                assert!(what.contains("vivarium_pull"), "{what}");
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{stub}"),
        }
    }
}
