//! Batches that do not fit, and batches that claim to be small.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, DictionaryArray, Int8Array, Int32Array, Int64Array, ListArray, ListViewArray, NullArray,
    RecordBatch, RecordBatchOptions, RunArray, StringArray, StringViewArray, StructArray, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Int8Type, Int32Type, Int64Type, Schema, TimeUnit};

use super::super::{InputError, InputPlan};
use super::arrays::item;
use super::guest::LIMIT;

fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let fields = columns.iter().enumerate();
    let fields = fields.map(|(i, c)| Field::new(format!("c{i}"), c.data_type().clone(), true));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns).unwrap()
}

fn plan_of(column: impl Array + 'static, data_type: DataType, limit: u64) -> Result<InputPlan, InputError> {
    InputPlan::new(&batch(vec![Arc::new(column)]), &[Field::new("p", data_type, true)], limit)
}

fn refused(column: impl Array + 'static, data_type: DataType, nullable: bool) -> String {
    let batch = batch(vec![Arc::new(Int8Array::from(vec![0; column.len()])), Arc::new(column)]);
    let parameters = [Field::new("o", DataType::Int8, true), Field::new("p", data_type, nullable)];
    InputPlan::new(&batch, &parameters, LIMIT).unwrap_err().to_string()
}

fn requested(result: Result<InputPlan, InputError>) -> u64 {
    match result.unwrap_err() {
        InputError::Limit { name: "input_bytes", requested, .. } => requested,
        other => panic!("{other:?}"),
    }
}

#[test]
fn wrong_columns() {
    let none: [Field; 0] = [];
    let error = InputPlan::new(&batch(vec![Arc::new(Int8Array::from(vec![1]))]), &none, LIMIT).unwrap_err();
    assert_eq!(error.to_string(), "the batch has 1 columns, the function takes 0");
    assert_eq!(
        refused(Int64Array::from(vec![1]), DataType::Int32, true),
        "column 1 (parameter `p`): expected type Int32, got Int64"
    );
    let timestamp = |unit, zone: Option<&str>| DataType::Timestamp(unit, zone.map(Into::into));
    let column = arrow::array::TimestampSecondArray::from(vec![1]).with_timezone("UTC");
    for other in [
        timestamp(TimeUnit::Second, None),
        timestamp(TimeUnit::Second, Some("+00:00")),
        timestamp(TimeUnit::Millisecond, Some("UTC")),
    ] {
        assert!(refused(column.clone(), other, true).contains("expected type"));
    }
    let named = |name| DataType::Struct(vec![Field::new(name, DataType::Int32, true)].into());
    let column = StructArray::from(vec![(
        Arc::new(Field::new("a", DataType::Int32, true)),
        Arc::new(Int32Array::from(vec![1])) as ArrayRef,
    )]);
    assert!(refused(column.clone(), named("b"), true).contains("expected type"));
    assert!(plan_of(column, named("a"), LIMIT).is_ok());
    let dictionary: DictionaryArray<Int8Type> = ["a"].into_iter().collect();
    assert!(refused(dictionary, DataType::Binary, true).contains("expected type"));
}

#[test]
fn nulls_in_parameters_that_are_not_nullable() {
    let column = Int32Array::from(vec![Some(1), Some(1), None, None]);
    assert_eq!(
        refused(column.clone(), DataType::Int32, false),
        "column 1: `p` is not nullable, but row 2 is null"
    );
    assert_eq!(
        refused(column.slice(1, 3), DataType::Int32, false),
        "column 1: `p` is not nullable, but row 1 is null"
    );
    let whole = batch(vec![Arc::new(column.slice(0, 2))]);
    assert!(InputPlan::new(&whole, &[Field::new("p", DataType::Int32, false)], LIMIT).is_ok());
    assert!(refused(NullArray::new(1), DataType::Null, false).contains("row 0 is null"));

    let lists = [Some(vec![Some(1)]), Some(vec![]), Some(vec![Some(2), None])];
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(lists);
    let declared = DataType::List(item(DataType::Int32, false));
    assert_eq!(
        refused(lists.clone(), declared.clone(), false),
        "column 1: `p.item` is not nullable, but row 2 is null"
    );
    // Elements outside of the slice do not matter.
    assert!(plan_of(lists.slice(0, 2), declared, LIMIT).is_ok());

    // Nulls among a dictionary's values, or in runs, are nulls of the column.
    let values = StringArray::from(vec![Some("a"), None]);
    let dictionary = DictionaryArray::new(Int8Array::from(vec![0, 0, 0, 1]), Arc::new(values.clone()));
    assert!(refused(dictionary, DataType::Utf8, false).contains("row 3 is null"));
    let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2, 4]), &values).unwrap();
    assert!(refused(runs, DataType::Utf8, false).contains("row 2 is null"));
}

#[test]
fn the_size_is_exact_and_limited() {
    let column = Int64Array::from(vec![1; 100]);
    // Two structs, two tables of buffers and one of children, padded; then the data, padded.
    let size = (2 * 64 + 4 + 8 + 4_u64).next_multiple_of(64) + 800_u64.next_multiple_of(64);
    let plan = plan_of(column.clone(), DataType::Int64, size).unwrap();
    assert_eq!(plan.size() as u64, size);
    let mut memory = vec![0; 64 + size as usize];
    plan.write(&mut memory, 64).unwrap();
    assert_eq!(
        plan.write(&mut memory, 128).unwrap_err().to_string(),
        "`input`: allocation at 0x80 with 1024 bytes ends outside the guest's memory of 1088 bytes"
    );
    assert!(plan.write(&mut memory, u32::MAX).is_err());
    let error = plan_of(column, DataType::Int64, size - 1).unwrap_err();
    assert_eq!(error, InputError::Limit { name: "input_bytes", limit: size - 1, requested: size });
    assert_eq!(error.to_string(), "input_bytes: the batch needs 1024 bytes, 1023 are allowed");
}

#[test]
fn two_gibibytes_are_the_end() {
    // Views of the same text, 3 GiB altogether.
    let text = "x".repeat(1 << 20);
    let mut views = StringViewArray::from_iter_values([text]);
    let view = views.views()[0];
    views = StringViewArray::new(vec![view; 3 << 10].into(), views.data_buffers().to_vec(), None);
    let error = plan_of(views, DataType::LargeUtf8, u64::MAX).unwrap_err();
    let InputError::Limit { limit, requested, .. } = error else { panic!("{error:?}") };
    assert_eq!(limit, i32::MAX as u64);
    assert!(requested > 3 << 30);
}

#[test]
fn nothing_at_all() {
    let options = RecordBatchOptions::new().with_row_count(Some(7));
    let empty = Arc::new(Schema::empty());
    let batch = RecordBatch::try_new_with_options(empty, vec![], &options).unwrap();
    let none: [Field; 0] = [];
    let plan = InputPlan::new(&batch, &none, LIMIT).unwrap();
    assert_eq!(plan.size(), 128);
    let mut memory = [0xff; 256];
    plan.write(&mut memory, 64).unwrap();
    let words = memory[64..128].as_chunks::<8>().0.iter().map(|word| i64::from_le_bytes(*word));
    // length, null_count, offset, n_buffers, n_children, pointer to the table of buffers, zeros
    assert_eq!(words.collect::<Vec<_>>(), [7, 0, 0, 1, 0, 128, 0, 0]);
    assert_eq!(memory[128..132], [0; 4]);
}

#[test]
fn small_batches_that_expand_are_refused_before_they_do() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1 << 16)]));
    let keys = Int8Array::from(vec![0; 1 << 16]);
    let flood = DictionaryArray::<Int8Type>::new(keys, text.clone());
    assert!(requested(plan_of(flood.clone(), DataType::Utf8, LIMIT)) <= LIMIT + (1 << 17));
    let nested = ListArray::new(
        item(flood.data_type().clone(), true),
        arrow::buffer::OffsetBuffer::from_lengths([1 << 16]),
        Arc::new(flood),
        None,
    );
    requested(plan_of(nested, DataType::List(item(DataType::Utf8, true)), LIMIT));

    for values in [text, Arc::new(Int8Array::from(vec![1])), Arc::new(NullArray::new(1))] {
        let runs = RunArray::<Int64Type>::try_new(&Int64Array::from(vec![1 << 40]), &values).unwrap();
        assert!(requested(plan_of(runs, values.data_type().clone(), LIMIT)) >= 1 << 40);
    }

    // Every view sees everything.
    let count = 1 << 14;
    for child in [
        Arc::new(Int8Array::from(vec![1; count])) as ArrayRef,
        Arc::new(NullArray::new(count)),
        Arc::new(StringViewArray::from(vec![""; count])),
    ] {
        let views = ListViewArray::new(
            item(child.data_type().clone(), true),
            vec![0; count].into(),
            vec![count as i32; count].into(),
            child.clone(),
            None,
        );
        let declared = DataType::ListView(item(child.data_type().clone(), true));
        assert!(requested(plan_of(views, declared, LIMIT)) <= LIMIT + 2 * count as u64);
    }
}

#[test]
fn slices_of_large_batches_are_charged_for_what_they_show() {
    let flood = DictionaryArray::<Int8Type>::new(
        Int8Array::from(vec![0; 1 << 16]),
        Arc::new(StringArray::from(vec!["x".repeat(1 << 16)])),
    );
    assert!(plan_of(flood.slice(100, 10), DataType::Utf8, 1 << 20).is_ok());
    let lists = ListArray::new(
        item(flood.data_type().clone(), true),
        arrow::buffer::OffsetBuffer::from_lengths([8; 1 << 13]),
        Arc::new(flood),
        None,
    );
    assert!(plan_of(lists.slice(1000, 1), DataType::List(item(DataType::Utf8, true)), 1 << 20).is_ok());
}

#[test]
fn dictionaries_of_nothing_but_nulls() {
    for value in
        [DataType::Utf8, DataType::Utf8View, DataType::Int64, DataType::FixedSizeBinary(3), DataType::Boolean]
    {
        let keys = Int8Array::new(vec![99; 5].into(), Some(vec![false; 5].into()));
        let column = DictionaryArray::new(keys, arrow::array::new_empty_array(&value));
        assert!(plan_of(column, value, LIMIT).is_ok());
    }
}

#[test]
fn groups_come_first_and_are_named_for_every_row() {
    let column: ArrayRef = Arc::new(Int8Array::from(vec![5, 6]));
    let parameter = [Field::new("p", DataType::Int8, true)];
    let columns = [column];
    let plan = |groups: UInt32Array| InputPlan::grouped(&groups, 2, &columns, &parameter, LIMIT);
    let mut memory = vec![0; 1024];
    plan(UInt32Array::from(vec![9, 7, 8]).slice(1, 2)).unwrap().write(&mut memory, 64).unwrap();
    let word = |at: usize| u32::from_le_bytes(memory[at..at + 4].try_into().unwrap()) as usize;
    let (children, length) = (word(64 + 44), word(64));
    assert_eq!((length, word(64 + 32)), (2, 2));
    let data = |child: usize| word(word(word(children + 4 * child) + 40) + 4);
    assert_eq!((word(data(0)), word(data(0) + 4)), (7, 8));
    assert_eq!(memory[data(1)..][..2], [5, 6]);

    let error = |groups| plan(groups).unwrap_err();
    assert_eq!(error(UInt32Array::from(vec![1])), InputError::GroupCount { rows: 2, groups: 1 });
    assert_eq!(error(UInt32Array::from(vec![Some(1), None])), InputError::GroupNull { row: 1 });
    let mut memory = vec![0xff; 256];
    InputPlan::rows(77).write(&mut memory, 128).unwrap();
    assert_eq!((memory[128], memory[128 + 24], memory[128 + 32]), (77, 1, 0));
}
