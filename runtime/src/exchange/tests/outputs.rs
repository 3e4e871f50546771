//! Results that are well-formed but not what was declared, or too large.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Decimal32Array, Decimal64Array, Decimal128Array, Decimal256Array, Int32Array, ListArray,
    MapArray, NullArray, StringArray, StructArray,
};
use arrow::array::{FixedSizeListArray, Int64Array};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, i256};

use super::super::{OutputLimit, ResultError, read_result};
use super::arrays::{item, map};
use super::guest::{LIMIT, plan, round_trip};

/// The result of a guest that returns `column` although `declared` was asked for.
fn returned(
    column: impl Array + 'static,
    declared: DataType,
    nullable: bool,
) -> Result<ArrayRef, ResultError> {
    let column: ArrayRef = Arc::new(column);
    let parameter = Field::new("x", column.data_type().clone(), true);
    round_trip(&column, &parameter, &Field::new("x", declared, nullable))
}

fn refused(column: impl Array + 'static, declared: DataType, nullable: bool) -> String {
    returned(column, declared, nullable).unwrap_err().to_string()
}

#[test]
fn nulls_where_none_may_be() {
    let numbers = || Int32Array::from(vec![Some(1), Some(2), None, None]);
    assert_eq!(refused(numbers(), DataType::Int32, false), "`x` is not nullable, but row 2 is null");
    assert_eq!(refused(NullArray::new(2), DataType::Null, false), "`x` is not nullable, but row 0 is null");
    returned(NullArray::new(0), DataType::Null, false).unwrap();

    let lists = [Some(vec![Some(1)]), None, Some(vec![]), Some(vec![Some(1), None]), Some(vec![None])];
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(lists);
    let declared = DataType::List(item(DataType::Int32, false));
    assert_eq!(refused(lists, declared, true), "`x.item` is not nullable, but row 3 is null");

    let fixed = [Some(vec![Some(1), Some(2)]), None, Some(vec![Some(1), None])];
    let fixed = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(fixed, 2);
    let declared = DataType::FixedSizeList(item(DataType::Int32, false), 2);
    assert_eq!(refused(fixed.clone(), declared.clone(), true), "`x.item` is not nullable, but row 2 is null");
    // The elements of a null row are not there.
    returned(fixed.slice(0, 2), declared, true).unwrap();

    let inner = Fields::from(vec![Field::new("a", DataType::Int32, true)]);
    let nulls = |valid: [bool; 4]| Some(valid.to_vec().into());
    let declared = DataType::Struct(vec![Field::new("a", DataType::Int32, false)].into());
    let half = StructArray::new(inner.clone(), vec![Arc::new(numbers())], nulls([true, true, true, false]));
    assert_eq!(refused(half, declared.clone(), true), "`x.a` is not nullable, but row 2 is null");
    let hidden = StructArray::new(inner, vec![Arc::new(numbers())], nulls([true, true, false, false]));
    returned(hidden, declared, true).unwrap();
}

#[test]
fn nulls_among_the_keys_of_a_map() {
    // What a guest delivers for a map is, physically, a list of structs.
    let entries = vec![Field::new("key", DataType::Utf8, true), Field::new("value", DataType::Int32, true)];
    let keys: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("b"), None]));
    let entries =
        StructArray::new(entries.into(), vec![keys, Arc::new(Int32Array::from(vec![1, 2, 3]))], None);
    let lists = ListArray::new(
        Arc::new(Field::new("entries", entries.data_type().clone(), false)),
        arrow::buffer::OffsetBuffer::from_lengths([1, 0, 2]),
        Arc::new(entries),
        None,
    );
    let declared = map(DataType::Utf8, Field::new("value", DataType::Int32, true));
    assert_eq!(
        refused(lists.clone(), declared.clone(), true),
        "`x.entries.key` is not nullable, but row 2 is null"
    );
    let result = returned(lists.slice(0, 2), declared, true).unwrap();
    assert_eq!(result.as_any().downcast_ref::<MapArray>().unwrap().value_length(0), 1);
}

#[test]
fn decimals_of_too_many_digits() {
    let message = "`x`: row 1 holds a decimal of more than 3 digits";
    let small = Decimal32Array::from(vec![Some(999), Some(-1000), None]);
    assert_eq!(refused(small, DataType::Decimal32(3, 1), true), message);
    let small = Decimal64Array::from(vec![Some(-999), Some(i64::MIN), None]);
    assert_eq!(refused(small, DataType::Decimal64(3, 1), true), message);
    let small = Decimal128Array::from(vec![Some(0), Some(i128::MAX), None]);
    assert_eq!(refused(small, DataType::Decimal128(3, 1), true), message);
    let small = Decimal256Array::from(vec![Some(i256::ONE), Some(i256::MIN), None]);
    assert_eq!(refused(small, DataType::Decimal256(3, 1), true), message);

    // What lies behind a null does not count; decimals inside of lists do.
    let hidden = Decimal128Array::new(vec![1, i128::MAX].into(), Some(vec![true, false].into()));
    returned(hidden, DataType::Decimal128(3, 1), true).unwrap();
    let values = Decimal128Array::from(vec![1, 2, 1000]).with_precision_and_scale(38, 0).unwrap();
    let lists = ListArray::new(
        item(values.data_type().clone(), true),
        arrow::buffer::OffsetBuffer::from_lengths([2, 0, 1]),
        Arc::new(values),
        None,
    );
    let declared = DataType::List(item(DataType::Decimal128(3, 0), true));
    assert_eq!(refused(lists, declared, true), "`x.item`: row 2 holds a decimal of more than 3 digits");
}

#[test]
fn a_full_dictionary() {
    let text = (0..200).map(|number| Some(number.to_string())).collect::<StringArray>();
    let dictionary = |key| DataType::Dictionary(Box::new(key), Box::new(DataType::Utf8));
    let error = returned(text.clone(), dictionary(DataType::Int8), true).unwrap_err();
    assert!(matches!(error, ResultError::Layout { .. }), "{error:?}");
    returned(text, dictionary(DataType::UInt8), true).unwrap();
}

#[test]
fn the_limit_counts_every_byte() {
    let read = |column: ArrayRef, limit| {
        let field = Field::new("x", column.data_type().clone(), true);
        let plan = plan(&column, &field);
        let mut memory = vec![0; 64 + plan.size()];
        plan.write(&mut memory, 64).unwrap();
        read_result(&memory, 128, &field, column.len(), limit)
    };
    let over = |limit, requested| ResultError::Limit(OutputLimit { name: "output_bytes", limit, requested });
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1; 100]));
    read(numbers.clone(), 800).unwrap();
    assert_eq!(read(numbers.clone(), 799).unwrap_err(), over(799, 800));
    assert_eq!(
        read(numbers, 799).unwrap_err().to_string(),
        "output_bytes: the result needs 800 bytes, 799 are allowed"
    );
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("abc"), None]));
    read(text.clone(), 1 + 12 + 3).unwrap();
    assert_eq!(read(text, 15).unwrap_err(), over(15, 16));
    let nulls: ArrayRef = Arc::new(NullArray::new(10));
    assert_eq!(read(nulls, 9).unwrap_err(), over(9, 10));
}

#[test]
fn elements_without_bytes_are_counted() {
    // A list of 2^31 - 1 nulls, or of 2^62 in a large list, takes no more than its offsets.
    let field = Field::new("x", DataType::LargeList(item(DataType::Null, true)), true);
    let mut memory = vec![0u8; 512];
    let mut put = |at: usize, bytes: &[u8]| memory[at..at + bytes.len()].copy_from_slice(bytes);
    put(64, &1i64.to_le_bytes());
    put(64 + 24, &2i64.to_le_bytes());
    put(64 + 32, &1i64.to_le_bytes());
    put(64 + 40, &256u32.to_le_bytes());
    put(64 + 44, &264u32.to_le_bytes());
    put(128, &i64::MAX.to_le_bytes());
    put(256, &[0, 0, 0, 0, 0x40, 1, 0, 0]);
    put(264, &128u32.to_le_bytes());
    put(0x148, &(1i64 << 62).to_le_bytes());
    let error = read_result(&memory, 64, &field, 1, LIMIT).unwrap_err();
    assert!(
        matches!(error, ResultError::Limit(OutputLimit { requested, .. }) if requested > 1 << 62),
        "{error:?}"
    );

    let huge = DataType::FixedSizeList(item(DataType::Null, true), i32::MAX);
    put64(&mut memory, 64 + 24, 1);
    let error = read_result(&memory, 64, &Field::new("x", huge, true), 1, LIMIT).unwrap_err();
    assert!(matches!(error, ResultError::Limit(OutputLimit { requested: 0x7fff_ffff, .. })), "{error:?}");
}

fn put64(memory: &mut [u8], at: usize, value: i64) {
    memory[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn a_result_without_a_name() {
    let error = read_result(&[0; 64], 0, &Field::new("", DataType::Int8, true), 0, LIMIT).unwrap_err();
    assert_eq!(error.to_string(), "`result`: ArrowArray is a null pointer, 64 bytes are needed there");
}

#[test]
fn a_type_that_no_schema_would_accept() {
    let union = arrow::datatypes::UnionFields::try_new([0], [Field::new("u", DataType::Int8, true)]).unwrap();
    let field = Field::new("x", DataType::Union(union, arrow::datatypes::UnionMode::Sparse), true);
    let mut memory = vec![0; 256];
    put64(&mut memory, 64, 1);
    assert!(matches!(read_result(&memory, 64, &field, 1, LIMIT), Err(ResultError::Layout { .. })));
}
