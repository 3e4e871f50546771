//! A guest that lies is answered with a typed error, whatever it writes into its memory.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, LargeStringArray, ListArray, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Int32Type};
use proptest::prelude::*;

use super::super::{GuestViolation, ResultError, read_result};
use super::arrays::{Numbers, any_field, array, item};
use super::guest::{LIMIT, plan};

/// Where the `ArrowArray` of the one column lies: after the struct over all columns.
const BASE: u32 = 1024;
const ARRAY: u32 = BASE + 64;

// Fields of the struct.
const LENGTH: u32 = 0;
const NULL_COUNT: u32 = 8;
const OFFSET: u32 = 16;
const BUFFERS: u32 = 24;
const CHILDREN: u32 = 32;
const BUFFER_TABLE: u32 = 40;
const CHILD_TABLE: u32 = 44;
const DICTIONARY: u32 = 48;

/// A guest's memory that holds a valid result.
struct Memory {
    bytes: Vec<u8>,
    field: Field,
    rows: usize,
}

impl Memory {
    fn of(column: ArrayRef) -> Self {
        Self::with(Field::new("x", column.data_type().clone(), true), column)
    }

    fn with(field: Field, column: ArrayRef) -> Self {
        let plan = plan(&column, &field);
        let mut bytes = vec![0; BASE as usize + plan.size()];
        plan.write(&mut bytes, BASE).unwrap();
        Self { bytes, field, rows: column.len() }
    }

    fn size(&self) -> u32 {
        self.bytes.len() as u32
    }

    fn u32(&self, at: u32) -> u32 {
        u32::from_le_bytes(self.bytes[at as usize..][..4].try_into().unwrap())
    }

    fn set32(&mut self, at: u32, value: u32) {
        self.bytes[at as usize..][..4].copy_from_slice(&value.to_le_bytes());
    }

    fn set64(&mut self, at: u32, value: i64) {
        self.bytes[at as usize..][..8].copy_from_slice(&value.to_le_bytes());
    }

    /// Address of the slot that points to a buffer of the array at `array`.
    fn buffer(&self, array: u32, index: u32) -> u32 {
        self.u32(array + BUFFER_TABLE) + 4 * index
    }

    fn child(&self, array: u32, index: u32) -> u32 {
        self.u32(self.u32(array + CHILD_TABLE) + 4 * index)
    }

    fn read(&self) -> Result<ArrayRef, ResultError> {
        read_result(&self.bytes, ARRAY, &self.field, self.rows, LIMIT)
    }

    fn violation(&self) -> GuestViolation {
        match self.read() {
            Err(ResultError::Guest(violation)) => violation,
            other => panic!("{other:?}"),
        }
    }

    /// The violation after one change.
    fn lie(mut self, change: impl FnOnce(&mut Self)) -> GuestViolation {
        self.read().unwrap();
        change(&mut self);
        self.violation()
    }

    fn message(self, change: impl FnOnce(&mut Self)) -> String {
        self.lie(change).to_string()
    }
}

fn numbers() -> Memory {
    Memory::of(Arc::new(Int32Array::from(vec![Some(1), None, Some(3), Some(4)])))
}

fn text() -> Memory {
    Memory::of(Arc::new(StringArray::from(vec!["ab", "ß", "", "d"])))
}

fn lists() -> Memory {
    let rows = [Some(vec![Some(1), None]), None, Some(vec![Some(3)]), Some(vec![])];
    Memory::of(Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows)))
}

fn structs() -> Memory {
    let field = |name| Arc::new(Field::new(name, DataType::Int32, true));
    let column = |seed| Arc::new(Int32Array::from(vec![seed; 4])) as ArrayRef;
    Memory::of(Arc::new(StructArray::from(vec![(field("a"), column(1)), (field("b"), column(2))])))
}

#[test]
fn pointers_outside_of_the_memory() {
    for memory in [numbers(), text(), lists(), structs()] {
        let Memory { bytes, field, rows } = &memory;
        for pointer in [memory.size() - 63, memory.size() - 1, memory.size(), u32::MAX - 63, u32::MAX] {
            let result = read_result(bytes, pointer, field, *rows, LIMIT);
            assert!(
                matches!(
                    &result,
                    Err(ResultError::Guest(GuestViolation::OutOfBounds { what: "ArrowArray", .. }))
                ),
                "{result:?}"
            );
        }
        let result = read_result(bytes, 0, field, *rows, LIMIT);
        assert!(matches!(result, Err(ResultError::Guest(GuestViolation::NullPointer { .. }))));
    }
    for make in [numbers, text] {
        for buffer in 0..make().field.data_type().eq(&DataType::Utf8) as u32 + 2 {
            for distance in [0u32, 1, u32::MAX - 1_000_000] {
                let violation = make().lie(|memory| {
                    let slot = memory.buffer(ARRAY, buffer);
                    memory.set32(slot, memory.size().wrapping_add(distance));
                });
                assert!(matches!(violation, GuestViolation::OutOfBounds { .. }), "{violation:?}");
            }
        }
    }
    assert_eq!(
        numbers().message(|memory| memory.set32(memory.buffer(ARRAY, 1), memory.size() - 15)),
        "`x`: data buffer at 0x531 with 16 bytes ends outside the guest's memory of 1344 bytes"
    );
    let size = structs().size();
    for table in [size - 7, size, u32::MAX] {
        let violation = structs().lie(|memory| memory.set32(ARRAY + CHILD_TABLE, table));
        assert!(matches!(violation, GuestViolation::OutOfBounds { what: "table of child pointers", .. }));
        let violation =
            text().lie(|memory| memory.set32(ARRAY + BUFFER_TABLE, table.max(memory.size() - 11)));
        assert!(matches!(violation, GuestViolation::OutOfBounds { what: "table of buffer pointers", .. }));
    }
}

#[test]
fn null_pointers_with_data_behind_them() {
    assert_eq!(
        numbers().message(|memory| memory.set32(memory.buffer(ARRAY, 1), 0)),
        "`x`: data buffer is a null pointer, 16 bytes are needed there"
    );
    assert_eq!(
        text().message(|memory| memory.set32(memory.buffer(ARRAY, 1), 0)),
        "`x`: offsets buffer is a null pointer, 20 bytes are needed there"
    );
    assert_eq!(
        text().message(|memory| memory.set32(memory.buffer(ARRAY, 2), 0)),
        "`x`: data buffer is a null pointer, 5 bytes are needed there"
    );
    assert_eq!(
        text().message(|memory| memory.set32(ARRAY + BUFFER_TABLE, 0)),
        "`x`: table of buffer pointers is a null pointer, 12 bytes are needed there"
    );
    assert_eq!(
        structs().message(|memory| memory.set32(ARRAY + CHILD_TABLE, 0)),
        "`x`: table of child pointers is a null pointer, 8 bytes are needed there"
    );
    assert_eq!(
        structs().message(|memory| memory.set32(memory.u32(ARRAY + CHILD_TABLE) + 4, 0)),
        "`x.b`: ArrowArray is a null pointer, 64 bytes are needed there"
    );
    assert_eq!(
        numbers().message(|memory| memory.set32(memory.buffer(ARRAY, 0), 0)),
        "`x`: null_count is 1, but there is no validity buffer"
    );
}

#[test]
fn lengths() {
    for length in [i64::MIN, -1, 0, 3, 5, 1 << 32, i64::MAX] {
        let violation = numbers().lie(|memory| memory.set64(ARRAY + LENGTH, length));
        assert_eq!(
            violation,
            GuestViolation::Length { path: "x".into(), got: length, expected: 4, exact: true }
        );
    }
    for length in [i64::MIN, -1, 3] {
        let violation = structs().lie(|memory| memory.set64(memory.child(ARRAY, 1) + LENGTH, length));
        assert_eq!(violation.to_string(), format!("`x.b`: length is {length}, at least 4 is required"));
    }
    let violation = lists().lie(|memory| memory.set64(memory.child(ARRAY, 0) + LENGTH, 2));
    assert_eq!(violation.to_string(), "`x.item`: length is 2, at least 3 is required");
    // A child may be longer than what its parent refers to.
    let mut memory = lists();
    memory.set64(memory.child(ARRAY, 0) + LENGTH, i64::MAX);
    memory.read().unwrap();
}

#[test]
fn counts_and_offset() {
    for got in [i64::MIN, -1, 0, 1, 3, i64::MAX] {
        let violation = numbers().lie(|memory| memory.set64(ARRAY + BUFFERS, got));
        assert_eq!(violation, GuestViolation::Buffers { path: "x".into(), got, expected: 2 });
    }
    for got in [i64::MIN, -1, 0, 1, 3, i64::MAX] {
        let violation = structs().lie(|memory| memory.set64(ARRAY + CHILDREN, got));
        assert_eq!(violation, GuestViolation::Children { path: "x".into(), got, expected: 2 });
    }
    for got in [i64::MIN, -1, 1, i64::MAX] {
        let violation = text().lie(|memory| memory.set64(ARRAY + OFFSET, got));
        assert_eq!(violation, GuestViolation::Offset { path: "x".into(), got });
    }
    for got in [i64::MIN, -2, 5, i64::MAX] {
        let violation = numbers().lie(|memory| memory.set64(ARRAY + NULL_COUNT, got));
        assert_eq!(violation, GuestViolation::NullCount { path: "x".into(), got, length: 4 });
    }
    let violation = text().lie(|memory| memory.set32(ARRAY + DICTIONARY, ARRAY));
    assert_eq!(violation, GuestViolation::Dictionary { path: "x".into(), got: ARRAY });
}

#[test]
fn null_counts_are_counted_anew() {
    for claimed in [-1, 0, 1, 4] {
        let mut memory = numbers();
        memory.set64(ARRAY + NULL_COUNT, claimed);
        assert_eq!(memory.read().unwrap().null_count(), 1);
    }
}

#[test]
fn offsets_of_text() {
    let offset = |index: u32, value: i32| {
        text().lie(|memory| {
            let offsets = memory.u32(memory.buffer(ARRAY, 1));
            memory.set32(offsets + 4 * index, value as u32);
        })
    };
    // Valid: 0 2 4 4 5.
    assert_eq!(offset(4, -1), GuestViolation::NegativeOffset { path: "x".into(), got: -1 });
    assert_eq!(offset(4, i32::MIN).to_string(), "`x`: the last offset is -2147483648");
    assert!(matches!(offset(4, i32::MAX), GuestViolation::OutOfBounds { bytes: 0x7fff_ffff, .. }));
    for (index, value) in
        [(0, -1), (0, 3), (0, i32::MAX), (1, 5), (2, 1), (1, 3), (2, 3), (3, -4), (4, 2), (1, 1 << 30)]
    {
        let violation = offset(index, value);
        assert!(matches!(violation, GuestViolation::Values { .. }), "{index} {value}: {violation:?}");
    }

    let large = Memory::of(Arc::new(LargeStringArray::from(vec!["ab", "c"])));
    let violation = large.lie(|memory| memory.set64(memory.u32(memory.buffer(ARRAY, 1)) + 16, i64::MAX));
    assert!(matches!(violation, GuestViolation::OutOfBounds { .. }), "{violation:?}");
}

#[test]
fn offsets_of_lists() {
    let offset = |index: u32, value: i32| {
        lists().lie(|memory| {
            let offsets = memory.u32(memory.buffer(ARRAY, 1));
            memory.set32(offsets + 4 * index, value as u32);
        })
    };
    // Valid: 0 2 2 3 3.
    assert!(matches!(offset(4, -3), GuestViolation::NegativeOffset { .. }));
    assert!(matches!(offset(4, 4), GuestViolation::Length { expected: 4, got: 3, exact: false, .. }));
    for (index, value) in [(0, -1), (0, 3), (1, 4), (1, 3), (2, 1), (3, 4), (4, 2), (2, i32::MAX)] {
        let violation = offset(index, value);
        assert!(matches!(violation, GuestViolation::Values { .. }), "{index} {value}: {violation:?}");
    }
}

#[test]
fn text_that_is_not_utf8() {
    for (at, byte) in [(0, 0xff), (2, b'a'), (3, b'a'), (4, 0xc3), (1, 0xc3)] {
        let violation = text().lie(|memory| {
            let data = memory.u32(memory.buffer(ARRAY, 2)) as usize;
            memory.bytes[data + at] = byte;
        });
        assert!(matches!(violation, GuestViolation::Values { .. }), "{at}: {violation:?}");
    }
}

#[test]
fn children_that_point_at_their_parents() {
    // A list of lists of int32 whose innermost array is the outermost: it has the wrong children.
    let inner = DataType::List(item(DataType::Int32, true));
    let column =
        array(&Field::new("x", DataType::List(item(inner, true)), true), 3, false, &mut Numbers::new(5));
    let violation = Memory::of(column).lie(|memory| {
        let child = memory.child(ARRAY, 0);
        memory.set32(memory.u32(child + CHILD_TABLE), ARRAY);
        memory.set64(ARRAY + CHILDREN, 1);
    });
    assert!(
        matches!(
            violation,
            GuestViolation::Children { got: 1, expected: 0, .. } | GuestViolation::Length { .. }
        ),
        "{violation:?}"
    );

    // Of the same shape: structs nested as deep as declared, each pointing at itself.
    let mut data_type =
        DataType::Struct(vec![Field::new("s", DataType::Struct(Vec::<Field>::new().into()), true)].into());
    for _ in 0..40 {
        data_type = DataType::Struct(vec![Field::new("s", data_type, true)].into());
    }
    let memory = Memory::of(array(&Field::new("x", data_type, true), 3, false, &mut Numbers::new(5)));
    let violation = memory.lie(|memory| memory.set32(memory.u32(ARRAY + CHILD_TABLE), ARRAY));
    // The declared type ends the recursion: the innermost struct must not have a child.
    assert!(matches!(violation, GuestViolation::Children { got: 1, expected: 0, .. }), "{violation:?}");
}

#[test]
fn shared_and_unaligned_buffers_are_allowed() {
    let mut memory = structs();
    memory.set32(memory.u32(ARRAY + CHILD_TABLE) + 4, memory.child(ARRAY, 0));
    memory.read().unwrap();
    memory.set32(memory.buffer(memory.child(ARRAY, 0), 1), 3);
    memory.read().unwrap().to_data().validate_full().unwrap();

    // The struct itself may be anywhere, too.
    let memory = numbers();
    let mut bytes = memory.bytes.clone();
    bytes.extend([0, 0, 0]);
    bytes.extend_from_within(ARRAY as usize..ARRAY as usize + 64);
    let result = read_result(&bytes, memory.size() + 3, &memory.field, 4, LIMIT).unwrap();
    assert_eq!(&result, &memory.read().unwrap());
}

#[test]
fn an_empty_memory() {
    let field = Field::new("x", DataType::Int8, true);
    for pointer in [0, 1, u32::MAX] {
        assert!(matches!(read_result(&[], pointer, &field, 0, LIMIT), Err(ResultError::Guest(_))));
    }
}

/// Reads, and checks what was read if there is no error.
fn survive(bytes: &[u8], array: u32, field: &Field, rows: usize) {
    if let Ok(result) = read_result(bytes, array, field, rows, LIMIT) {
        assert_eq!((result.len(), result.data_type()), (rows, field.data_type()));
        assert!(field.is_nullable() || result.null_count() == 0);
        result.to_data().validate_full().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_memory_never_panics(
        field in any_field(),
        bytes in prop::collection::vec(any::<u8>(), 0..2048),
        array: u32,
        rows in 0..100usize,
    ) {
        survive(&bytes, array, &field, rows);
        survive(&bytes, array % 2048, &field, rows);
    }

    /// A valid result of which a few words are replaced by the kind of values that hurt.
    #[test]
    fn damaged_results_never_panic(
        field in any_field(),
        len in 0..20usize,
        seed: u64,
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..12usize, any::<u32>()), 1..6),
    ) {
        let memory = Memory::with(field.clone(), array(&field, len, true, &mut Numbers::new(seed)));
        let mut bytes = memory.bytes;
        let size = bytes.len() as u32;
        for (at, kind, random) in damage {
            let at = BASE as usize + 64 + at.index(bytes.len() - BASE as usize - 64 - 3) / 4 * 4;
            let value = match kind {
                0 => 0,
                1 => 1,
                2 => u32::MAX,
                3 => i32::MAX as u32,
                4 => i32::MIN as u32,
                5 => ARRAY,
                6 => size - random % 80,
                7 => random % size,
                8 => random % 8,
                9 => BASE + random % (size - BASE) / 64 * 64,
                10 => len as u32 + random % 3,
                _ => random,
            };
            let end = (at + 4).min(bytes.len());
            bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
        }
        survive(&bytes, ARRAY, &field, len);
    }
}
