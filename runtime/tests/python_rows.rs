//! What happens to rows with nulls and to rows that fail, in the real guest.

mod common;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use common::{batch_of, fork_of, function_error, int64_batch, int64_spec, spec_of};
use vivarium_runtime::{FunctionErrorKind, FunctionKind, FunctionSpec, Limits, NullHandling, OnError};

#[test]
fn rows_that_fail_can_become_null() {
    let code = "import sys\ndef f(x):\n    if x == 9: sys.exit(1)\n    return 10 // x\n";
    let spec = FunctionSpec { on_error: OnError::Null, ..int64_spec(code) };
    let mut instance = fork_of(&spec, &Limits::default());
    let result = instance.invoke(&int64_batch([5, 0, 2, 0])).unwrap();
    let result: Vec<_> = result.as_primitive::<Int64Type>().iter().collect();
    assert_eq!(result, [Some(2), None, Some(5), None]);
    let logs = String::from_utf8(instance.take_logs().stderr).unwrap();
    assert_eq!(logs.lines().count(), 1, "{logs}");
    assert!(logs.contains('2'), "{logs}");
    assert!(logs.contains("ZeroDivisionError"), "{logs}");
    let error = function_error(instance.invoke(&int64_batch([5, 9])));
    assert_eq!((error.kind, error.row), (FunctionErrorKind::Exit, Some(1)));
}

#[test]
fn hints_say_which_nulls_are_seen() {
    let code = "def f(a: int, b: int | None, c):\n    return (a, b, c).count(None)\n";
    let parameters = ["a", "b", "c"].map(|name| Field::new(name, DataType::Int64, true)).to_vec();
    let result = Field::new("n", DataType::Int64, true);
    let column = |values: [Option<i64>; 4]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
    let columns = vec![
        column([Some(1), None, Some(1), None]),
        column([None, None, Some(1), Some(1)]),
        column([None, Some(1), Some(1), None]),
    ];
    for (null_handling, expected) in [
        (NullHandling::CallOnNull, [Some(2), Some(2), Some(0), Some(2)]),
        (NullHandling::SkipNull, [None, None, Some(0), None]),
        (NullHandling::ByAnnotation, [Some(2), None, Some(0), None]),
    ] {
        let spec = spec_of(code, FunctionKind::Scalar, parameters.clone(), result.clone());
        let spec = FunctionSpec { null_handling, ..spec };
        let result = fork_of(&spec, &Limits::default()).invoke(&batch_of(columns.clone())).unwrap();
        assert_eq!(result.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_failed_row_tells_its_arguments() {
    let spec = int64_spec("def f(x):\n    raise ValueError('no')\n");
    let error = function_error(fork_of(&spec, &Limits::default()).invoke(&int64_batch([41])));
    assert_eq!(error.arguments, [("x".to_owned(), "41".to_owned())]);
    let spec = spec_of(
        "def f(x):\n    return 1 / 0\n",
        FunctionKind::Scalar,
        vec![Field::new("x", DataType::Utf8, true)],
        Field::new("y", DataType::Int64, true),
    );
    let long = "é".repeat(100_000);
    let error = function_error(
        fork_of(&spec, &Limits::default()).invoke(&batch_of(vec![Arc::new(StringArray::from(vec![long]))])),
    );
    assert_eq!(error.arguments.len(), 1);
    assert!(error.arguments[0].1.chars().count() <= 130, "{:?}", error.arguments);
}
