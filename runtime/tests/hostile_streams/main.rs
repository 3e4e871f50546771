//! Guests that lie about streams, groups, kept input and declarations. See `hostile_guests.rs` for what
//! is expected of the host.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../common/mod.rs"]
mod common;

mod declarations;
mod inputs;

use std::ops::ControlFlow;

use arrow::array::{AsArray as _, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type};
use common::wat_guest::{IDENTITY, WatGuest};
use common::{int64_batch, int64_spec, int64_values};
use vivarium_runtime::{
    BuildLimits, CallError, FunctionKind, FunctionSpec, InputFailure, Instance, Limits, ProtocolViolation,
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
