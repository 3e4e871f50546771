//! Map functions in the real guest.

mod common;

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use common::{fork_of, function_error, int64_batch, map_all, spec_of};
use vivarium_runtime::{CallError, FunctionErrorKind, FunctionKind, FunctionSpec, InputFailure, Limits};

fn map_of(code: &str, input: Vec<Field>, output: Vec<Field>) -> FunctionSpec {
    spec_of(code, FunctionKind::Map, input, Field::new_struct("", output, false))
}

fn int64_map(code: &str) -> FunctionSpec {
    let field = |name| Field::new(name, DataType::Int64, true);
    map_of(code, vec![field("x")], vec![field("y")])
}

/// The values of each batch that comes out.
fn run(code: &str, input: &[&[i64]]) -> Result<Vec<Vec<i64>>, CallError> {
    let mut instance = fork_of(&int64_map(code), &Limits::default());
    let batches: Vec<_> = input.iter().map(|values| int64_batch(values.iter().copied())).collect();
    let given = map_all(&mut instance, batches)?;
    let values = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    Ok(given.iter().map(values).collect())
}

#[test]
fn batches_come_out_in_any_form() {
    for body in [
        "yield {'y': batch['x']}",
        "yield {'y': list(batch['x'])}",
        "yield [{'y': v} for v in batch['x']]",
        "yield [(v,) for v in batch['x']]",
        "yield [(row['x'],) for row in batch.to_pylist()]",
        "yield {'y': batch.columns[0]}",
    ] {
        let code = format!("def f(batches):\n    for batch in batches:\n        {body}\n");
        let given = run(&code, &[&[1, 2], &[], &[3]]).unwrap();
        assert_eq!(given.concat(), [1, 2, 3], "{body}");
    }
}

#[test]
fn input_and_output_need_not_correspond() {
    let collecting = "
def f(batches):
    total = sum(v for batch in batches for v in batch['x'])
    yield {'y': [total]}
";
    assert_eq!(run(collecting, &[&[1, 2], &[3], &[4]]).unwrap(), [[10]]);
    let ignoring = "def f(batches):\n    yield {'y': [7]}\n    yield {'y': [8, 9]}\n";
    assert_eq!(run(ignoring, &[&[1][..]; 100]).unwrap().concat(), [7, 8, 9]);
    let repeating = "
def f(batches):
    for batch in batches:
        for i in range(3):
            yield {'y': [v + i for v in batch['x']]}
";
    assert_eq!(run(repeating, &[&[10], &[20]]).unwrap().concat(), [10, 11, 12, 20, 21, 22]);
    assert_eq!(run("def f(batches):\n    return iter(())\n", &[&[1]]).unwrap().len(), 0);
    assert_eq!(
        run("def f(batches):\n    for b in batches: pass\n    yield {'y': [0]}\n", &[]).unwrap(),
        [[0]]
    );
}

#[test]
fn generators_keep_state_and_calls_do_not_share_it() {
    let code = "
calls = 0
def f(batches):
    global calls
    calls += 1
    total, last = 0, None
    for batch in batches:
        for value in batch['x']:
            total += value
        # The batch before must still be what it was.
        yield {'y': [calls, total, last['x'][0] if last else -1]}
        last = batch
";
    let mut instance = fork_of(&int64_map(code), &Limits::default());
    for call in 1..4 {
        let input = (1..=20).map(|number| int64_batch([number, number]));
        let given = map_all(&mut instance, input).unwrap();
        let values: Vec<_> =
            given.iter().map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!(values.first().unwrap(), &[call, 2, -1]);
        assert_eq!(values.last().unwrap(), &[call, 420, 19]);
    }
    assert_eq!((instance.usage().calls, instance.usage().rows), (3, 120));
}

#[test]
fn columns_have_names_and_types() {
    let code = "
def f(batches):
    for batch in batches:
        assert batch.num_rows == 2 and list(batch.column_names) == ['id', 'name'], batch
        yield {'name': [n and n.upper() for n in batch['name']], 'twice': [2 * i for i in batch['id']]}
";
    let input = vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)];
    let output =
        vec![Field::new("name", DataType::Utf8View, true), Field::new("twice", DataType::Int64, false)];
    let spec = map_of(code, input, output);
    let id: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let name: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let batch = RecordBatch::try_from_iter_with_nullable([("id", id, false), ("name", name, true)]).unwrap();
    let given = map_all(&mut fork_of(&spec, &Limits::default()), [batch]).unwrap();
    assert_eq!(given[0].schema(), spec.output_schema());
    let names: Vec<_> = given[0].column(0).as_string_view().iter().collect();
    assert_eq!(names, [Some("A"), None]);
}

#[test]
fn errors_are_told_and_leave_the_function_usable() {
    let code = "
def f(batches):
    for n, batch in enumerate(batches):
        if batch['x'][0] < 0:
            raise ValueError(f'batch {n}')
        yield {'y': batch['x']}
";
    let mut instance = fork_of(&int64_map(code), &Limits::default());
    let mut given = 0;
    let mut input = [1, 2, -3].map(|value| int64_batch([value])).into_iter();
    let result = instance.map(&mut || Ok(input.next()), &mut |_| {
        given += 1;
        ControlFlow::Continue(())
    });
    let error = function_error(result);
    assert_eq!((error.kind, error.class.as_deref()), (FunctionErrorKind::Exception, Some("ValueError")));
    assert!(error.traceback.unwrap().contains("raise ValueError(f'batch {n}')"));
    assert_eq!(given, 2);
    assert_eq!(map_all(&mut instance, [int64_batch([5])]).unwrap().len(), 1);

    for body in ["yield 5", "yield {'z': [1]}", "yield {'y': ['a']}", "yield {'y': [1]}, 2", "yield 'abc'"] {
        let error = function_error(run(&format!("def f(batches):\n    {body}\n"), &[&[1]]));
        assert_eq!(error.kind, FunctionErrorKind::Result, "{body}: {error:?}");
    }
    let error = function_error(run("def f(batches):\n    return 5\n", &[&[1]]));
    assert_eq!(error.kind, FunctionErrorKind::Result, "{error:?}");
}

#[test]
fn a_source_that_fails_is_heard_of_by_the_caller_alone() {
    let code = "
def f(batches):
    try:
        for batch in batches:
            yield {'y': batch['x']}
    except BaseException:
        yield {'y': [-1]}
";
    let mut instance = fork_of(&int64_map(code), &Limits::default());
    let mut left = 2;
    let mut values = Vec::new();
    let result = instance.map(
        &mut || {
            left -= 1;
            if left < 0 { Err(InputFailure::new("the peer is gone")) } else { Ok(Some(int64_batch([left]))) }
        },
        &mut |batch| {
            values.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
            ControlFlow::Continue(())
        },
    );
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "the input ended early: the peer is gone");
    assert!(error.poisons());
    assert_eq!(values, [1, 0]);
}

#[test]
fn a_generator_that_never_ends_meets_a_named_limit() {
    let run = |code: &str, limits: Limits| {
        map_all(&mut fork_of(&int64_map(code), &limits), [int64_batch([1])]).unwrap_err()
    };
    let endless = "def f(batches):\n    while True:\n        yield {'y': [1, 2, 3]}\n";
    let error = run(endless, Limits { stream_output_rows: 1000, ..Limits::default() });
    assert!(matches!(error, CallError::Stream { name: "stream_output_rows", .. }), "{error}");
    let silent = "def f(batches):\n    for b in batches: pass\n    while True: pass\n    yield {}\n";
    let error = run(silent, Limits { deadline_ms: 100, ..Limits::default() });
    assert!(matches!(error, CallError::Deadline { .. }), "{error}");
    // An endless stream that goes with its input is fine.
    let code = "def f(batches):\n    for batch in batches:\n        yield {'y': batch['x']}\n";
    let limits = Limits { stream_output_rows: 10, fuel_per_batch: 20_000_000, ..Limits::default() };
    let given = map_all(&mut fork_of(&int64_map(code), &limits), (0..500).map(|n| int64_batch([n; 10])));
    assert_eq!(given.unwrap().len(), 500);
}

#[test]
fn a_stream_that_is_dropped_takes_no_input_of_the_next() {
    let code = "
def f(batches):
    try:
        for batch in batches:
            yield {'y': batch['x']}
    finally:
        for batch in batches:
            print(batch['x'][0])
";
    let mut instance = fork_of(&int64_map(code), &Limits::default());
    let stopped = instance.map(&mut || Ok(Some(int64_batch([1]))), &mut |_| ControlFlow::Break(()));
    assert!(stopped.is_ok());
    let given = map_all(&mut instance, [int64_batch([7]), int64_batch([8])]).unwrap();
    let values: Vec<_> = given.iter().map(|b| b.column(0).as_primitive::<Int64Type>().value(0)).collect();
    assert_eq!(values, [7, 8]);
    assert_eq!(instance.take_logs().stdout, b"");
}
