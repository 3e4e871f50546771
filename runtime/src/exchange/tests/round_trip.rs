use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal32Array, Decimal128Array, ListArray, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use proptest::prelude::*;

use super::super::InputPlan;
use super::super::expand::is_needed;
use super::arrays::{Numbers, any_field, array, encoded, item, leaves, map, nestings, runs};
use super::guest::round_trip;

/// Same type, same values: by arrow's equality where the type has one layout for its values, else
/// by what the values look like.
#[track_caller]
fn assert_same(result: &ArrayRef, column: &ArrayRef) {
    assert_eq!(result.data_type(), column.data_type());
    assert_eq!(result.len(), column.len());
    result.to_data().validate_full().unwrap();
    if is_needed(column.data_type()) {
        let options = FormatOptions::new().with_null("NULL");
        let rows = |array: &ArrayRef| {
            let formatter = ArrayFormatter::try_new(array, &options).unwrap();
            (0..array.len()).map(|row| formatter.value(row).to_string()).collect::<Vec<_>>()
        };
        assert_eq!(rows(result), rows(column));
    } else {
        assert_eq!(result.to_data(), column.to_data());
    }
}

/// Every way of cutting a column.
fn cuts(column: &ArrayRef) -> Vec<ArrayRef> {
    let len = column.len();
    [(0, len), (0, 0), (len / 2, 0), (1, len - 1), (3, len - 5), (8, len - 8), (len - 1, 1)]
        .map(|(offset, len)| column.slice(offset, len))
        .to_vec()
}

#[track_caller]
fn check(data_type: DataType) {
    for nulls in [false, true] {
        let field = Field::new("x", data_type.clone(), nulls || data_type == DataType::Null);
        let column = array(&field, 29, nulls, &mut Numbers::new(7));
        for column in cuts(&column) {
            let result = round_trip(&column, &field, &field).unwrap();
            assert_same(&result, &column);
        }
    }
}

#[test]
fn leaves_come_back() {
    leaves().into_iter().for_each(check);
}

#[test]
fn encoded_columns_come_back_encoded() {
    encoded().into_iter().for_each(check);
}

#[test]
fn nested_columns_come_back() {
    for leaf in [DataType::Int32, DataType::Utf8, DataType::Boolean, DataType::Null, DataType::Utf8View] {
        let nullable = leaf == DataType::Null;
        for inner in [Field::new("a", leaf.clone(), true), Field::new("a", leaf.clone(), nullable)] {
            for nesting in nestings(&inner) {
                check(nesting.clone());
                for twice in nestings(&Field::new("b", nesting, true)) {
                    check(twice);
                }
            }
        }
    }
}

#[test]
fn structs_without_fields_and_columns_without_rows_come_back() {
    check(DataType::Struct(vec![Field::new("e", DataType::Struct(Vec::<Field>::new().into()), true)].into()));
    check(DataType::List(item(DataType::Struct(Vec::<Field>::new().into()), true)));
}

#[test]
fn plain_structs_beside_encoded_ones_are_cut_right() {
    let plain = DataType::Struct(vec![Field::new("x", DataType::Int32, true)].into());
    let key = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let fields = vec![Field::new("plain", plain, true), Field::new("key", key, true)];
    for nesting in nestings(&Field::new("a", DataType::Struct(fields.into()), true)) {
        check(nesting);
    }
}

#[test]
fn equivalent_layouts_become_the_declared_one() {
    let text = ["", "ß", "a longer text than fits into a view", "x"];
    let column: ArrayRef = Arc::new(arrow::array::StringArray::from_iter(
        text.iter().map(|t| Some(*t)).chain([None]).cycle().take(40),
    ));
    let dictionary = |value| DataType::Dictionary(Box::new(DataType::UInt16), Box::new(value));
    let layouts = [
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        dictionary(DataType::Utf8),
        dictionary(DataType::LargeUtf8),
        runs(DataType::Int32, DataType::Utf8),
    ];
    for from in &layouts {
        let from = arrow::compute::cast(&column, from).unwrap().slice(3, 30);
        for to in &layouts {
            let field = Field::new("x", to.clone(), true);
            let expected = arrow::compute::cast(&column, to).unwrap().slice(3, 30);
            assert_same(&round_trip(&from, &field, &field).unwrap(), &expected);
        }
    }
}

#[test]
fn equivalent_lists_become_the_declared_one() {
    let list = |wrap: fn(Arc<Field>) -> DataType| wrap(item(DataType::Int16, true));
    let layouts = [
        list(DataType::List),
        list(DataType::LargeList),
        list(DataType::ListView),
        list(DataType::LargeListView),
    ];
    for from in &layouts {
        let column = array(&Field::new("x", from.clone(), true), 30, true, &mut Numbers::new(3)).slice(5, 20);
        for to in &layouts {
            let field = Field::new("x", to.clone(), true);
            let result = round_trip(&column, &field, &field).unwrap();
            let plain = |array: &ArrayRef| arrow::compute::cast(array, &layouts[0]).unwrap();
            assert_eq!(plain(&result).to_data(), plain(&column).to_data());
            assert_eq!(result.data_type(), to);
        }
    }
}

#[test]
fn names_inside_lists_and_maps_and_metadata_are_ignored() {
    let metadata = [("key".to_owned(), "value".to_owned())].into();
    let inner = Field::new("element", DataType::Int32, true).with_metadata(metadata);
    let field = Field::new("x", DataType::List(Arc::new(inner)), true);
    let column = array(
        &Field::new("y", DataType::List(item(DataType::Int32, true)), true),
        9,
        true,
        &mut Numbers::new(1),
    );
    assert_eq!(round_trip(&column, &field, &field).unwrap().data_type(), field.data_type());

    let field = Field::new("x", map(DataType::Int32, Field::new("v", DataType::Int8, true)), true);
    let other = Field::new("x", map(DataType::Int32, Field::new("w", DataType::Int8, true)), true);
    let column = array(&other, 9, true, &mut Numbers::new(1));
    assert_eq!(round_trip(&column, &field, &field).unwrap().data_type(), field.data_type());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_column_comes_back(
        field in any_field(),
        len in 0..70usize,
        nulls: bool,
        seed: u64,
        cut in (0..70usize, 0..70usize),
    ) {
        let column = array(&field, len, nulls, &mut Numbers::new(seed));
        let offset = cut.0.min(len);
        let column = column.slice(offset, cut.1.min(len - offset));
        let result = round_trip(&column, &field, &field).unwrap();
        assert_same(&result, &column);
    }
}

#[test]
fn decimals_come_in_any_width() {
    let types = [
        DataType::Decimal32(9, 2),
        DataType::Decimal64(9, 2),
        DataType::Decimal128(9, 2),
        DataType::Decimal256(9, 2),
    ];
    let values = Decimal32Array::from(vec![Some(-1), None, Some(999_999_999), Some(0), Some(-999_999_999)]);
    let values: ArrayRef = Arc::new(values.with_precision_and_scale(9, 2).unwrap());
    for from in &types {
        for to in &types {
            let (column, expected) = (cast(&values, from).unwrap(), cast(&values, to).unwrap());
            let field = Field::new("x", to.clone(), true);
            for (offset, len) in [(0, 5), (1, 3), (2, 0)] {
                let result = round_trip(&column.slice(offset, len), &field, &field).unwrap();
                assert_same(&result, &expected.slice(offset, len));
            }
            let lists = |values: ArrayRef| -> ArrayRef {
                let offsets = OffsetBuffer::from_lengths([2, 0, 3]);
                Arc::new(ListArray::new(item(values.data_type().clone(), true), offsets, values, None))
            };
            let list = Field::new("x", DataType::List(item(to.clone(), true)), true);
            assert_same(&round_trip(&lists(column), &list, &list).unwrap(), &lists(expected));
        }
    }
}

#[test]
fn a_decimal_that_does_not_fit_is_not_cut() {
    let wide = |values: Vec<Option<i128>>| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(9, 2).unwrap())
    };
    let narrow = [Field::new("x", DataType::Decimal32(9, 2), true)];
    for value in [1 << 32, 1 << 31, -(1 << 31) - 1, i128::MAX, i128::MIN] {
        let batch = RecordBatch::try_from_iter([("x", wide(vec![Some(1), Some(value)]))]).unwrap();
        let error = InputPlan::new(&batch, &narrow, 1 << 20).unwrap_err().to_string();
        assert_eq!(error, "column 0 (parameter `x`): row 1 holds a decimal of more digits than its type");
    }
    for value in [(1 << 31) - 1, -(1 << 31)] {
        let batch = RecordBatch::try_from_iter([("x", wide(vec![Some(value)]))]).unwrap();
        assert!(InputPlan::new(&batch, &narrow, 1 << 20).is_ok());
    }
}
