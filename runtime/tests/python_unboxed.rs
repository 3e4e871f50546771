//! Functions that the guest calculates without its interpreter: they are what the interpreter makes of
//! them, and cost the same fuel every time.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::RecordBatch;
use common::{batch_of, engine, fork, function_error, int64_batch, int64_spec, int64_values, spec_of};
use vivarium_runtime::{
    BuildLimits, CallError, FunctionErrorKind, FunctionFiles, FunctionKind, FunctionSpec, Image, OnError,
};

/// An image whose function is left to the interpreter.
fn interpreted(spec: &FunctionSpec) -> Image {
    let x_options = BTreeMap::from([("unboxed".to_owned(), "off".to_owned())]);
    let files = FunctionFiles { x_options, ..FunctionFiles::default() };
    engine().build_image(spec, &files, &BuildLimits::default()).unwrap()
}

fn image(spec: &FunctionSpec) -> Image {
    engine().build_image(spec, &FunctionFiles::default(), &BuildLimits::default()).unwrap()
}

/// What a call gives, equal if it is the same to the last bit.
fn outcome(image: &Image, batch: &RecordBatch) -> String {
    match fork(image).invoke(batch) {
        Ok(result) => format!("{result:?}"),
        Err(CallError::Function(error)) => format!("{error:?}"),
        Err(other) => panic!("{other}"),
    }
}

/// Values that are hard to calculate with, every one with every other.
fn numbers() -> RecordBatch {
    let ints = [0, 1, -1, 2, -7, 63, 1 << 31, 1 << 53, (1 << 53) + 1, i64::MAX, i64::MIN];
    let floats =
        [0.0, -0.0, 1.0, -1.5, 0.1, 2.5, 1e300, 5e-324, 1e19, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    let ints = ints.into_iter().map(Some).chain([None]).collect::<Vec<Option<i64>>>();
    let floats = floats.into_iter().map(Some).chain([None]).collect::<Vec<Option<f64>>>();
    let pairs: Vec<_> = ints.iter().flat_map(|i| floats.iter().map(move |f| (*i, *f))).collect();
    let rows = 0..pairs.len();
    let others: ArrayRef = Arc::new(Int64Array::from_iter(rows.clone().map(|i| ints[i * 5 % ints.len()])));
    let narrow: ArrayRef =
        Arc::new(Int32Array::from_iter(rows.clone().map(|i| (i % 9 != 0).then_some(i as i32 - 40))));
    let truth: ArrayRef = Arc::new(BooleanArray::from_iter(rows.map(|i| (i % 7 != 0).then_some(i % 2 == 0))));
    let first: ArrayRef = Arc::new(Int64Array::from_iter(pairs.iter().map(|pair| pair.0)));
    let second: ArrayRef = Arc::new(Float64Array::from_iter(pairs.iter().map(|pair| pair.1)));
    batch_of(vec![first, second, others, narrow, truth])
}

const NUMERIC: [&str; 34] = [
    "a + c",
    "a - c",
    "a * c",
    "a // c",
    "a % c",
    "a / c",
    "b + a",
    "b // 0.3",
    "b % a",
    "b / a",
    "a & c | d ^ 5",
    "d << 3 >> 1",
    "-a + ~c",
    "abs(a) + abs(b)",
    "b ** 2",
    "d ** 5",
    "b ** 0.5",
    "a if a < b else c",
    "a == b or a != c",
    "min(a, b, c)",
    "max(b, a)",
    "int(b)",
    "round(b) + math.floor(b) - math.ceil(b)",
    "float(a) * b",
    "math.sqrt(b)",
    "math.exp(b) + math.log(d)",
    "math.sin(b) + math.cos(b) + math.tan(b)",
    "math.log2(d) + math.log10(d) + math.cbrt(b)",
    "math.asin(b) + math.acos(b) + math.atan(b)",
    "math.sinh(b) + math.cosh(b) + math.atanh(b)",
    "math.isnan(b) + math.isinf(b) * 2 + e",
    "None if a is None or b is None else a * b",
    "d in (1, 2, -3) and not e",
    "sum_to(d)",
];

const HELPERS: &str = "import math\ndef sum_to(n):\n    return n\n";

#[test]
fn compat_numbers_are_the_interpreters() {
    let batch = numbers();
    let types = [DataType::Int64, DataType::Float64, DataType::Int64, DataType::Int32, DataType::Boolean];
    for (index, expression) in NUMERIC.into_iter().enumerate() {
        let parameters = types.iter().zip("abcde".chars());
        let parameters = parameters.map(|(t, name)| Field::new(name, t.clone(), true)).collect();
        let result = if index % 2 == 0 { DataType::Float64 } else { DataType::Int64 };
        let code = format!("{HELPERS}def f(a, b, c, d, e):\n    return {expression}\n");
        // Without results that do not fit, which would fail the batch.
        let code = if result == DataType::Float64 { code } else { code.replace("return", "return 0 <") };
        let result = if result == DataType::Float64 { result } else { DataType::Boolean };
        let spec = spec_of(&code, FunctionKind::Scalar, parameters, Field::new("y", result, true));
        let spec = FunctionSpec { on_error: OnError::Null, ..spec };
        assert_eq!(outcome(&image(&spec), &batch), outcome(&interpreted(&spec), &batch), "{code}");
    }
}

#[test]
fn compat_text_is_the_interpreters() {
    let texts = ["", "a", "  Ab c\t", "\x1c x\n", "aB[z{`@Zz}", "é", "ß straße", "\0\x7f", "12"];
    let rows = texts.len() * texts.len();
    let first: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|i| texts[i / texts.len()])));
    let second: ArrayRef =
        Arc::new(StringArray::from_iter((0..rows).map(|i| texts.get(i % (texts.len() + 1)).copied())));
    let batch = batch_of(vec![first, second]);
    for expression in [
        "a.upper() + a.lower()",
        "a.strip() + '-' + a.rstrip() + '-' + a.lstrip()",
        "a + b",
        "a[1:] + a[:-1] + a[-2:1]",
        "a[0]",
        "f'{a} {len(a)} {a < b}'",
        "str(a in b) + str(a.startswith(b)) + str(b.endswith(a))",
        "a or b",
        "min(a, b) if a != b else None",
    ] {
        let code = format!("def f(a, b):\n    return {expression}\n");
        let parameters = ["a", "b"].map(|name| Field::new(name, DataType::Utf8, true)).to_vec();
        let spec = spec_of(&code, FunctionKind::Scalar, parameters, Field::new("y", DataType::Utf8, true));
        let spec = FunctionSpec { on_error: OnError::Null, ..spec };
        assert_eq!(outcome(&image(&spec), &batch), outcome(&interpreted(&spec), &batch), "{code}");
    }
}

/// The fuel of one call in a new fork.
fn fuel(image: &Image, batch: &RecordBatch) -> u64 {
    let mut instance = fork(image);
    instance.invoke(batch).unwrap();
    instance.usage().fuel
}

#[test]
fn the_same_rows_burn_the_same_fuel() {
    let code = "def f(x):\n    n = 0\n    while x > 1:\n        x = x // 2 if x % 2 == 0 else 3 * x + 1\n        n += 1\n    return n\n";
    let batch = int64_batch(0..500);
    let unboxed = image(&int64_spec(code));
    let first = fuel(&unboxed, &batch);
    assert_eq!(fuel(&unboxed, &batch), first);
    assert_eq!(fuel(&image(&int64_spec(code)), &batch), first);
    let interpreter = fuel(&interpreted(&int64_spec(code)), &batch);
    assert!(first * 3 < interpreter, "{first} and {interpreter}");
}

#[test]
fn attack_a_loop_without_end_meets_its_limit() {
    let image = image(&int64_spec("def f(x):\n    while x: x = -x\n    return x\n"));
    let limits = vivarium_runtime::Limits { fuel_per_batch: 100_000_000, ..Default::default() };
    let error = common::run_under(&image, &limits).unwrap_err();
    assert!(matches!(error, CallError::Fuel { .. }), "{error}");
}

#[test]
fn an_error_is_the_interpreters() {
    let code = "def f(x):\n    y = x - 3\n    return 10 // y\n";
    let batch = int64_batch(0..10);
    let error = function_error(fork(&image(&int64_spec(code))).invoke(&batch));
    assert_eq!((error.kind, error.row), (FunctionErrorKind::Exception, Some(3)));
    assert_eq!(error.arguments, [("x".to_owned(), "3".to_owned())]);
    assert!(error.traceback.as_deref().is_some_and(|text| text.contains("return 10 // y")), "{error:?}");
    let other = function_error(fork(&interpreted(&int64_spec(code))).invoke(&batch));
    assert_eq!(format!("{error:?}"), format!("{other:?}"));
}

#[test]
fn what_observes_calls_sees_them() {
    for setting in [
        "sys.settrace(lambda frame, event, argument: print(event))",
        "sys.setprofile(lambda frame, event, argument: print(event))",
        "m = sys.monitoring; m.use_tool_id(3, 't'); m.register_callback(3, m.events.PY_START, print); \
         m.set_events(3, m.events.PY_START)",
    ] {
        let code = format!("import sys\ndef f(x):\n    return x + 1\n{setting}\n");
        let logs = |image: &Image| {
            let mut instance = fork(image);
            assert_eq!(int64_values(&instance.invoke(&int64_batch([1, 2])).unwrap()), [2, 3]);
            String::from_utf8(instance.take_logs().stdout).unwrap()
        };
        let seen = logs(&image(&int64_spec(&code)));
        assert!(seen.lines().count() >= 2, "{setting}: {seen}");
        let strip = |text: &str| text.split(" at 0x").next().map(str::to_owned);
        assert_eq!(strip(&seen), strip(&logs(&interpreted(&int64_spec(&code)))));
    }
}

#[test]
fn a_global_that_another_call_changes() {
    let code =
        "K = 1\ndef bump():\n    global K\n    K += 1\ndef f(x):\n    if x == 0: bump()\n    return x + K\n";
    let mut instance = fork(&image(&int64_spec(code)));
    assert_eq!(int64_values(&instance.invoke(&int64_batch([5, 0, 5])).unwrap()), [6, 2, 7]);
    assert_eq!(int64_values(&instance.invoke(&int64_batch([5])).unwrap()), [7]);
    let result = instance.invoke(&int64_batch([0, 1])).unwrap();
    assert_eq!((int64_values(&result), result.null_count()), (vec![3, 4], 0));
}
