//! Extension types in the real guest.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, Int64Array, LargeBinaryArray, ListArray, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use common::{batch_of, fork_of, function_error, spec_of};
use vivarium_runtime::{FunctionErrorKind, FunctionKind, Limits};

fn extended(name: &str, data_type: DataType, key: &str, value: &str) -> Field {
    let metadata = [(key.to_owned(), value.to_owned())].into_iter().collect();
    Field::new(name, data_type, true).with_metadata(metadata)
}

fn json(name: &str, data_type: DataType) -> Field {
    extended(name, data_type, "ARROW:extension:name", "arrow.json")
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn run(code: &str, parameter: Field, result: Field, column: ArrayRef) -> ArrayRef {
    let spec = spec_of(code, FunctionKind::Scalar, vec![parameter], result);
    fork_of(&spec, &Limits::default()).invoke(&batch_of(vec![column])).unwrap()
}

#[test]
fn json_is_values_in_every_dialect() {
    let code = "def f(x):\n    return {'type': type(x).__name__, 'x': x, 'é': [1.5, None]}\n";
    let input = [Some("{\"a\": [1, 2]}"), Some("null"), None, Some("\"text\""), Some("1e3")];
    let expected = [
        r#"{"type":"dict","x":{"a":[1,2]},"é":[1.5,null]}"#,
        r#"{"type":"NoneType","x":null,"é":[1.5,null]}"#,
        r#"{"type":"NoneType","x":null,"é":[1.5,null]}"#,
        r#"{"type":"str","x":"text","é":[1.5,null]}"#,
        r#"{"type":"float","x":1000.0,"é":[1.5,null]}"#,
    ];
    for dialect in ["arrow.json", "arrowudf.json"] {
        let field = |name| extended(name, DataType::Utf8, "ARROW:extension:name", dialect);
        let result = run(code, field("x"), field("y"), texts(&input));
        assert_eq!(result.as_string::<i32>().iter().flatten().collect::<Vec<_>>(), expected);
    }
    let variant = |name| extended(name, DataType::LargeBinary, "Extension", "Variant");
    let bytes: Vec<_> = input.iter().map(|text| text.map(str::as_bytes)).collect();
    let result = run(code, variant("x"), variant("y"), Arc::new(LargeBinaryArray::from(bytes)));
    let result: Vec<_> = result.as_binary::<i64>().iter().flatten().collect();
    assert_eq!(result, expected.map(str::as_bytes));
}

#[test]
fn json_that_is_none() {
    let field = json("y", DataType::Utf8);
    let null = run("def f(x): return None\n", json("x", DataType::Utf8), field.clone(), texts(&[Some("1")]));
    assert!(null.is_null(0));
    let field = field.with_nullable(false);
    let text = run("def f(x): return None\n", json("x", DataType::Utf8), field, texts(&[Some("1")]));
    assert_eq!(text.as_string::<i32>().value(0), "null");
}

#[test]
fn what_json_lacks_is_an_error() {
    let field = json("y", DataType::Utf8);
    for (body, path) in [
        ("float('nan')", ""),
        ("{1, 2}", ""),
        ("__import__('decimal').Decimal(1)", ""),
        ("[{'a': __import__('datetime').date(2026, 1, 1)}]", ""),
        ("b'x'", ""),
    ] {
        let code = format!("def f(x): return {body}\n");
        let spec = spec_of(&code, FunctionKind::Scalar, vec![json("x", DataType::Utf8)], field.clone());
        let error =
            function_error(fork_of(&spec, &Limits::default()).invoke(&batch_of(vec![texts(&[Some("1")])])));
        assert_eq!((error.kind, error.row), (FunctionErrorKind::Result, Some(0)), "{body}: {error:?}");
        assert!(error.message.contains(path), "{body}: {}", error.message);
    }
    let broken = batch_of(vec![texts(&[Some("1"), Some("{broken")])]);
    let code = "def f(x): return x\n";
    let spec = spec_of(code, FunctionKind::Scalar, vec![json("x", DataType::Utf8)], field);
    let error = function_error(fork_of(&spec, &Limits::default()).invoke(&broken));
    assert_eq!((error.kind, error.row), (FunctionErrorKind::Argument, Some(1)), "{error:?}");
}

#[test]
fn uuids_and_long_decimals() {
    let uuid = |name| extended(name, DataType::FixedSizeBinary(16), "ARROW:extension:name", "arrow.uuid");
    let bytes: Vec<u8> = (0..16).collect();
    let column: ArrayRef = Arc::new(
        FixedSizeBinaryArray::try_from_sparse_iter_with_size([Some(&bytes), None].into_iter(), 16).unwrap(),
    );
    let text = "00010203-0405-0607-0809-0a0b0c0d0e0f";
    let code =
        "import uuid\ndef f(x):\n    assert x is None or type(x) is uuid.UUID\n    return x and str(x)\n";
    let shown = run(code, uuid("x"), Field::new("y", DataType::Utf8, true), column.clone());
    assert_eq!(shown.as_string::<i32>().iter().collect::<Vec<_>>(), [Some(text), None]);
    for body in ["x", "x and str(x)", "x and x.bytes"] {
        let back = run(&format!("def f(x): return {body}\n"), uuid("x"), uuid("y"), column.clone());
        assert_eq!(back.to_data(), column.to_data(), "{body}");
    }
    let decimal = |name| extended(name, DataType::Utf8, "ARROW:extension:name", "arrowudf.decimal");
    let code =
        "import decimal\ndef f(x):\n    assert type(x) is decimal.Decimal\n    return x.copy_negate()\n";
    let long = format!("{}.5", "1".repeat(100));
    let result = run(code, decimal("x"), decimal("y"), texts(&[Some(&long), Some("1E+3"), Some("0.10")]));
    let result: Vec<_> = result.as_string::<i32>().iter().flatten().map(str::to_owned).collect();
    assert_eq!(result[1..], ["-1000", "-0.10"]);
    assert_eq!(result[0], format!("-{long}"));
}

#[test]
fn extensions_inside_of_other_types() {
    let item = json("item", DataType::Utf8);
    let list = DataType::List(Arc::new(item.clone()));
    let column: ArrayRef = Arc::new(ListArray::new(
        Arc::new(item),
        OffsetBuffer::from_lengths([2, 0, 1]),
        texts(&[Some("[1]"), None, Some("{\"k\":2}")]),
        None,
    ));
    let code =
        "def f(x):\n    assert all(v is None or type(v) in (list, dict) for v in x), x\n    return x\n";
    let (parameter, result) = (Field::new("x", list.clone(), true), Field::new("y", list.clone(), true));
    let back = run(code, parameter, result, column.clone());
    assert_eq!((back.data_type(), back.to_data()), (&list, column.to_data()));

    let fields = vec![json("j", DataType::Utf8), Field::new("n", DataType::Int64, true)];
    let result = Field::new_struct("y", fields, true);
    let code = "def f(x):\n    return {'j': {'x': x}, 'n': x}\n";
    let column: ArrayRef = Arc::new(Int64Array::from(vec![7]));
    let made = run(code, Field::new("x", DataType::Int64, true), result.clone(), column);
    assert_eq!(made.data_type(), result.data_type());
    assert_eq!(made.as_struct().column(0).as_string::<i32>().value(0), r#"{"x":7}"#);
}
