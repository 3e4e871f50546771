//! Vectorised functions in the real guest.

mod common;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type};
use common::{batch_of, fork_of, function_error, int64_batch, int64_values, spec_of};
use vivarium_runtime::{CallError, FunctionErrorKind, FunctionKind, FunctionSpec, Limits, NullHandling};

fn int64_columns(code: &str) -> FunctionSpec {
    let field = |name| Field::new(name, DataType::Int64, true);
    spec_of(code, FunctionKind::Vectorized, vec![field("x")], field("y"))
}

fn run(code: &str, input: &[i64]) -> Result<Vec<i64>, CallError> {
    let mut instance = fork_of(&int64_columns(code), &Limits::default());
    instance.invoke(&int64_batch(input.iter().copied())).map(|result| int64_values(&result))
}

#[test]
fn anything_of_the_right_length_is_a_column() {
    for body in [
        "return x",
        "return x[:]",
        "return list(x)",
        "return (v for v in x)",
        "return x.to_list()",
        "import array\n    return array.array('q', x)",
        "return memoryview(x)",
        "return x.values",
        "return map(lambda v: v, x)",
    ] {
        assert_eq!(run(&format!("def f(x):\n    {body}\n"), &[3, -1, 4]).unwrap(), [3, -1, 4], "{body}");
        assert_eq!(run(&format!("def f(x):\n    {body}\n"), &[]).unwrap(), [0_i64; 0], "{body}");
    }
    assert_eq!(run("def f(x):\n    return x[::-1]\n", &[1, 2, 3]).unwrap(), [3, 2, 1]);
    assert_eq!(run("def f(x):\n    return [x[-1], len(x), x[0]]\n", &[1, 2, 3]).unwrap(), [3, 3, 1]);
}

#[test]
fn wrong_lengths_and_values_are_named() {
    for (body, expected) in [
        ("return [1, 2]", "3"),
        ("return [1, 2, 3, 4]", "3"),
        ("return 5", "int"),
        ("import array\n    return array.array('d', [1.0, 2.5, 3.0])", "expected int64, got float 2.5"),
        ("return [1, 'two', 3]", "expected int64, got str 'two'"),
    ] {
        let error = function_error(run(&format!("def f(x):\n    {body}\n"), &[1, 2, 3]));
        assert_eq!(error.kind, FunctionErrorKind::Result, "{body}: {error:?}");
        assert!(error.message.contains(expected), "{body}: {}", error.message);
    }
}

#[test]
fn columns_that_escape_stay_what_they_were() {
    let code = "
kept = []
def f(x):
    kept.append(x)
    kept.append(x.values)
    kept.append(memoryview(x[1:]))
    total = sum(c[0] for c in kept)
    return [total] * len(x)
";
    let mut instance = fork_of(&int64_columns(code), &Limits::default());
    let mut expected = 0;
    for round in 0..50_i64 {
        let first = round * 1000;
        expected += first + first + first + 1;
        let result = instance.invoke(&int64_batch((0..100).map(|row| first + row))).unwrap();
        assert_eq!(int64_values(&result), vec![expected; 100]);
    }
    // Columns that a failed call leaves behind, too.
    let code = "
kept = []
def f(x):
    kept.append(x)
    if len(kept) % 2:
        raise ValueError(x)
    return [sum(c[0] for c in kept)] * len(x)
";
    let mut instance = fork_of(&int64_columns(code), &Limits::default());
    let mut expected = 0;
    for round in 0..50_i64 {
        expected += round;
        let result = instance.invoke(&int64_batch([round; 10]));
        if round % 2 == 0 {
            assert_eq!(function_error(result).kind, FunctionErrorKind::Exception);
        } else {
            assert_eq!(int64_values(&result.unwrap()), vec![expected; 10]);
        }
    }
}

#[test]
fn kept_columns_count_against_the_memory() {
    let code = "kept = []\ndef f(x):\n    kept.append(x)\n    return x\n";
    let limits = Limits { memory_bytes: 64 << 20, ..Limits::default() };
    let mut instance = fork_of(&int64_columns(code), &limits);
    let batch = int64_batch(0..100_000);
    let error = (0..200).find_map(|_| instance.invoke(&batch).err()).unwrap();
    assert!(matches!(error, CallError::Memory { .. }), "{error}");
    let code = "def f(x):\n    return x\n";
    let mut instance = fork_of(&int64_columns(code), &limits);
    for _ in 0..200 {
        instance.invoke(&batch).unwrap();
    }
}

#[test]
fn null_rows_are_seen_or_left_out() {
    let code = "def f(x):\n    return [len(x) if v is None else v + x.null_count for v in x]\n";
    let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(10), None, Some(30), None]));
    for (null_handling, expected) in [
        (NullHandling::CallOnNull, [Some(12), Some(4), Some(32), Some(4)]),
        (NullHandling::SkipNull, [Some(10), None, Some(30), None]),
    ] {
        let spec = FunctionSpec { null_handling, ..int64_columns(code) };
        let result = fork_of(&spec, &Limits::default()).invoke(&batch_of(vec![column.clone()])).unwrap();
        assert_eq!(result.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_decorated_function_may_turn_out_to_be_vectorised() {
    let code = "
import databend_udf
@databend_udf.udf(input_types=['BIGINT'], result_type='BIGINT', batch_mode=True)
def f(x):
    return [v * len(x) for v in x]
";
    let spec = FunctionSpec { kind: FunctionKind::Scalar, ..int64_columns(code) };
    let result = fork_of(&spec, &Limits::default()).invoke(&int64_batch([1, 2, 3])).unwrap();
    assert_eq!(int64_values(&result), [3, 6, 9]);
    assert_eq!(result.null_count(), 0);
}
