//! Table functions in the real guest.

mod common;

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type};
use common::{batch_of, expand_all, fork_of, function_error, int64_batch, spec_of};
use vivarium_runtime::{CallError, FunctionErrorKind, FunctionKind, FunctionSpec, Limits, NullHandling};

fn int64_table(code: &str) -> FunctionSpec {
    let parameters = vec![Field::new("x", DataType::Int64, true)];
    spec_of(code, FunctionKind::Table, parameters, Field::new("y", DataType::Int64, true))
}

/// Pairs of input row and value.
fn expanded(code: &str, input: &[i64]) -> Result<Vec<(i32, i64)>, CallError> {
    let mut instance = fork_of(&int64_table(code), &Limits::default());
    let batch = expand_all(&mut instance, &int64_batch(input.iter().copied()))?;
    let rows = batch.column(0).as_primitive::<Int32Type>().values().to_vec();
    Ok(rows.into_iter().zip(batch.column(1).as_primitive::<Int64Type>().values().to_vec()).collect())
}

#[test]
fn any_iterable_makes_rows() {
    for body in [
        "return range(x)",
        "return [i for i in range(x)]",
        "return tuple(range(x))",
        "return (i for i in range(x))",
        "yield from range(x)",
        "return {i: None for i in range(x)}.keys()",
    ] {
        let rows = expanded(&format!("def f(x):\n    {body}\n"), &[2, 0, 3]).unwrap();
        assert_eq!(rows, [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)], "{body}");
    }
    assert_eq!(expanded("def f(x):\n    yield x\n", &[]).unwrap(), []);
    assert_eq!(expanded("def f(x):\n    return iter(())\n", &[1, 2]).unwrap(), []);
}

#[test]
fn output_a_thousand_times_the_input_comes_in_pieces() {
    let spec = int64_table("def f(x):\n    for i in range(100_000):\n        yield x + i\n");
    let mut instance = fork_of(&spec, &Limits { output_bytes: 200_000, ..Limits::default() });
    let (mut rows, mut batches, mut sum) = (0, 0, 0);
    let expanded = instance.expand(&int64_batch([0, 1, 2]), &mut |batch| {
        assert!(batch.num_rows() <= 8192);
        rows += batch.num_rows();
        batches += 1;
        sum += batch.column(1).as_primitive::<Int64Type>().values().iter().sum::<i64>();
        ControlFlow::Continue(())
    });
    expanded.unwrap();
    assert_eq!((rows, sum), (300_000, 3 * (99_999 * 100_000 / 2) + 100_000 + 200_000));
    assert!((300_000 / 8192..50).contains(&batches), "{batches}");
}

#[test]
fn structs_and_nulls_are_values_like_others() {
    let code = "def f(text):\n    for i, word in enumerate((text or '').split()):\n        \
                yield {'word': word, 'n': i if i else None}\n";
    let fields = vec![Field::new("word", DataType::Utf8, false), Field::new("n", DataType::Int64, true)];
    let result = Field::new_struct("w", fields, false);
    let parameters = vec![Field::new("text", DataType::Utf8, true)];
    let spec = spec_of(code, FunctionKind::Table, parameters, result);
    let mut instance = fork_of(&spec, &Limits::default());
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("a b"), None, Some("c")]));
    let batch = expand_all(&mut instance, &batch_of(vec![text])).unwrap();
    assert_eq!(batch.schema(), spec.output_schema());
    assert_eq!(batch.column(0).as_primitive::<Int32Type>().values(), &[0, 0, 2]);
    let values = batch.column(1).as_struct();
    let words: Vec<_> = values.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(words, ["a", "b", "c"]);
    assert_eq!(values.column(1).null_count(), 2);
}

#[test]
fn null_arguments_are_seen_or_skipped() {
    let code = "def f(x, y: int | None):\n    yield 0 if x is None else x\n";
    let parameters = ["x", "y"].map(|name| Field::new(name, DataType::Int64, true)).to_vec();
    let column = |values: Vec<Option<i64>>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    let batch = batch_of(vec![column(vec![Some(1), None, Some(3)]), column(vec![None, Some(2), Some(3)])]);
    for (null_handling, code, rows) in [
        (NullHandling::CallOnNull, code, &[0, 1, 2][..]),
        (NullHandling::SkipNull, code, &[2]),
        (NullHandling::ByAnnotation, code, &[0, 1, 2]),
        (NullHandling::ByAnnotation, &code.replace("(x,", "(x: int,"), &[0, 2]),
    ] {
        let result = Field::new("r", DataType::Int64, true);
        let spec = spec_of(code, FunctionKind::Table, parameters.clone(), result);
        let spec = FunctionSpec { null_handling, ..spec };
        let batch = expand_all(&mut fork_of(&spec, &Limits::default()), &batch).unwrap();
        assert_eq!(batch.column(0).as_primitive::<Int32Type>().values(), rows, "{null_handling:?}");
    }
}

#[test]
fn errors_name_row_and_arguments_and_what_came_before_is_delivered() {
    let spec = int64_table(
        "def f(x):\n    for i in range(10_000):\n        yield i\n    if x == 1:\n        raise ValueError('one')\n",
    );
    let mut instance = fork_of(&spec, &Limits::default());
    let mut rows = 0;
    let result = instance.expand(&int64_batch([0, 1, 2]), &mut |batch| {
        rows += batch.num_rows();
        ControlFlow::Continue(())
    });
    let error = function_error(result);
    assert_eq!((error.kind, error.row), (FunctionErrorKind::Exception, Some(1)));
    assert_eq!(error.arguments, [("x".to_owned(), "1".to_owned())]);
    assert!((8192..=20_000).contains(&rows), "{rows}");
    // The next call starts afresh.
    let batch = expand_all(&mut instance, &int64_batch([5])).unwrap();
    assert_eq!(batch.num_rows(), 10_000);
}

#[test]
fn results_that_are_no_rows() {
    for (body, expected) in [
        ("return 5", "expected an iterable of rows"),
        ("return 'abc'", "expected an iterable of rows"),
        ("return None", "expected an iterable of rows"),
        ("yield 'abc'", "expected int64, got str 'abc'"),
    ] {
        let error = function_error(expanded(&format!("def f(x):\n    {body}\n"), &[7]));
        assert_eq!((error.kind, error.row), (FunctionErrorKind::Result, Some(0)), "{body}");
        assert!(error.message.contains(expected), "{body}: {}", error.message);
    }
}

#[test]
fn a_generator_that_never_ends_meets_a_named_limit() {
    let endless = int64_table("def f(x):\n    while True:\n        yield x\n");
    let run = |limits: &Limits| expand_all(&mut fork_of(&endless, limits), &int64_batch([1])).unwrap_err();
    let error = run(&Limits { stream_output_rows: 100_000, ..Limits::default() });
    assert!(matches!(error, CallError::Stream { name: "stream_output_rows", .. }), "{error}");
    let error = run(&Limits { stream_output_bytes: 1 << 20, ..Limits::default() });
    assert!(matches!(error, CallError::Stream { name: "stream_output_bytes", .. }), "{error}");
    let error = run(&Limits { fuel_per_batch: 50_000_000, ..Limits::default() });
    assert!(matches!(error, CallError::Fuel { .. }), "{error}");
    let silent = int64_table("def f(x):\n    while True:\n        pass\n    yield x\n");
    let limits = Limits { deadline_ms: 100, ..Limits::default() };
    let error = expand_all(&mut fork_of(&silent, &limits), &int64_batch([1])).unwrap_err();
    assert!(matches!(error, CallError::Deadline { .. }), "{error}");
}

#[test]
fn a_stream_that_is_dropped_is_closed() {
    let spec = int64_table(
        "closed = 0\ndef f(x):\n    global closed\n    try:\n        for i in range(20_000):\n            \
         yield closed\n    finally:\n        closed += 1\n",
    );
    let mut instance = fork_of(&spec, &Limits::default());
    for round in 0..5 {
        let mut first = None;
        let stopped = instance.expand(&int64_batch([1, 2]), &mut |batch| {
            first = Some(batch.column(1).as_primitive::<Int64Type>().value(0));
            ControlFlow::Break(())
        });
        assert!(stopped.is_ok());
        assert_eq!(first, Some(round));
    }
}
