//! Types to read as, and columns of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, Schema, TimeUnit};
use arrow::json::ReaderBuilder;

/// Types of all layouts that a guest has, nested and not, nullable and not, with text of three rows each.
pub(crate) fn columns() -> Vec<(Field, &'static str)> {
    let item = |data_type| Arc::new(Field::new("item", data_type, true));
    let strict = |data_type| Arc::new(Field::new("item", data_type, false));
    let fields = |types: &[DataType]| -> Fields {
        let named = types.iter().enumerate();
        named
            .map(|(index, data_type)| Field::new(format!("f{index}"), data_type.clone(), index > 0))
            .collect()
    };
    let pair = Field::new_struct(
        "entries",
        vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int32, true)],
        false,
    );
    let list = DataType::List(item(DataType::Int32));
    let nullable = |data_type, rows| (Field::new("x", data_type, true), rows);
    let required = |data_type, rows| (Field::new("x", data_type, false), rows);
    vec![
        nullable(DataType::Null, "null null null"),
        nullable(DataType::Boolean, "true null false"),
        required(DataType::Int8, "1 -2 127"),
        nullable(DataType::Int64, "1 null 9007199254740993"),
        required(DataType::Float64, "1.5 0 -1e300"),
        nullable(DataType::Utf8, r#""a" null "ß日""#),
        required(DataType::LargeUtf8, r#""a" "" "b""#),
        nullable(DataType::Binary, r#""00ff" null "01""#),
        nullable(DataType::FixedSizeBinary(3), r#""000102" null "030405""#),
        nullable(DataType::Decimal128(10, 2), r#""1.25" null "-3.00""#),
        required(DataType::Decimal256(40, 3), r#""1" "2" "3""#),
        nullable(DataType::Date32, r#""2024-01-01" null "1969-12-31""#),
        nullable(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "1 null 3"),
        nullable(DataType::Time64(TimeUnit::Nanosecond), "1 null 3"),
        nullable(DataType::Interval(IntervalUnit::MonthDayNano), "null null null"),
        nullable(list.clone(), "[1,null] null []"),
        required(DataType::LargeList(strict(DataType::Utf8)), r#"["a","b"] [] ["c"]"#),
        nullable(DataType::FixedSizeList(item(DataType::Int16), 2), "[1,2] null [3,null]"),
        nullable(DataType::FixedSizeList(item(DataType::Null), 0), "null null null"),
        nullable(DataType::Struct(Fields::empty()), "null null null"),
        nullable(
            DataType::Struct(fields(&[DataType::Int32, DataType::Utf8, list.clone()])),
            r#"{"f0":1,"f1":"a","f2":[1]} null {"f0":2}"#,
        ),
        required(
            DataType::Struct(fields(&[DataType::Int32, DataType::Int64])),
            r#"{"f0":1,"f1":2} {"f0":3} {"f0":4}"#,
        ),
        nullable(DataType::Map(Arc::new(pair), false), r#"{"a":1,"b":null} null {}"#),
        nullable(DataType::List(item(DataType::List(item(list)))), "[[[1],[]],null] null []"),
    ]
}

/// The three rows as a batch; of nulls where JSON has no way to say them.
pub(crate) fn batch(field: &Field, rows: &str) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![field.clone()]));
    let lines: Vec<String> = rows.split(' ').map(|value| format!("{{\"x\":{value}}}")).collect();
    let reader = ReaderBuilder::new(schema.clone()).build(std::io::Cursor::new(lines.join("\n")));
    let read = reader.ok().and_then(|mut reader| reader.next()).and_then(Result::ok);
    read.unwrap_or_else(|| {
        let column: ArrayRef = new_null_array(field.data_type(), 3);
        let nullable = Field::new("x", field.data_type().clone(), true);
        RecordBatch::try_new(Arc::new(Schema::new(vec![nullable])), vec![column]).unwrap()
    })
}
