//! A guest in miniature: it knows schema and batch only from its memory, checks what the host
//! promises, and answers with a copy of one column.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use std::sync::Arc;

use super::super::{InputPlan, ResultError, SchemaPlan, read_result};

pub(super) const LIMIT: u64 = 1 << 24;
const SCHEMA: u32 = 4096;

/// Sends `column` to the guest as parameter `parameter` and reads it back as `result`.
pub(super) fn round_trip(
    column: &ArrayRef,
    parameter: &Field,
    result: &Field,
) -> Result<ArrayRef, ResultError> {
    let mut memory = vec![0xa5; 1 << 16];
    let schema = SchemaPlan::parameters(&[parameter]).unwrap();
    memory.resize(SCHEMA as usize + schema.size(), 0xa5);
    schema.write(&mut memory, SCHEMA).unwrap();

    let plan = plan(column, parameter);
    let base = memory.len().next_multiple_of(64);
    memory.resize(base + plan.size(), 0xa5);
    plan.write(&mut memory, base as u32).unwrap();

    let mut guest = Guest { memory };
    let format = guest.text(guest.u32(SCHEMA));
    assert_eq!((format.as_str(), guest.i64(SCHEMA + 24)), ("+s", 1));
    assert_eq!(guest.u32(guest.u32(base as u32 + 40)), 0, "the top struct has no validity");
    assert_eq!(guest.i64(base as u32), column.len() as i64);
    let (schema, array) = (guest.u32(guest.u32(SCHEMA + 32)), guest.u32(guest.u32(base as u32 + 44)));
    assert_eq!(guest.text(guest.u32(schema + 4)), *parameter.name());
    // Results may be anywhere, aligned or not.
    guest.memory.push(0);
    let answer = guest.allocate(64);
    guest.copy(schema, array, answer);
    read_result(&guest.memory, answer, result, column.len(), LIMIT)
}

/// The plan of a batch of one column.
pub(super) fn plan(column: &ArrayRef, parameter: &Field) -> InputPlan {
    let field = Field::new(parameter.name(), column.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column.clone()]).unwrap();
    InputPlan::new(&batch, &[parameter], LIMIT).unwrap()
}

struct Guest {
    memory: Vec<u8>,
}

impl Guest {
    fn bytes<const N: usize>(&self, at: u32) -> [u8; N] {
        self.memory[at as usize..][..N].try_into().unwrap()
    }

    fn u32(&self, at: u32) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    fn i64(&self, at: u32) -> i64 {
        i64::from_le_bytes(self.bytes(at))
    }

    fn text(&self, at: u32) -> String {
        let bytes = self.memory[at as usize..].iter().take_while(|byte| **byte != 0).copied();
        String::from_utf8(bytes.collect()).unwrap()
    }

    fn allocate(&mut self, size: usize) -> u32 {
        let at = self.memory.len();
        self.memory.resize(at + size, 0);
        at as u32
    }

    fn put_u32(&mut self, at: u32, value: u32) {
        self.memory[at as usize..][..4].copy_from_slice(&value.to_le_bytes());
    }

    fn put_i64(&mut self, at: u32, value: i64) {
        self.memory[at as usize..][..8].copy_from_slice(&value.to_le_bytes());
    }

    /// Checks a buffer's alignment, copies it and returns the copy's address.
    fn copy_buffer(&mut self, at: u32, bytes: usize) -> u32 {
        if bytes == 0 {
            return 0;
        }
        assert_ne!(at, 0);
        assert_eq!(at % 64, 0);
        let copy = self.allocate(bytes);
        self.memory.copy_within(at as usize..at as usize + bytes, copy as usize);
        copy
    }

    /// Copies the array at `array`, described by `schema`, into a new `ArrowArray` at `answer`.
    fn copy(&mut self, schema: u32, array: u32, answer: u32) {
        let format = self.text(self.u32(schema));
        let [length, null_count, offset, n_buffers, n_children] =
            std::array::from_fn(|index| self.i64(array + 8 * index as u32));
        assert_eq!(offset, 0);
        assert_eq!(n_children, self.i64(schema + 24));
        assert_eq!(self.memory[array as usize + 48..array as usize + 60], [0; 12]);
        let rows = length as usize;

        let mut copies = Vec::new();
        if format == "n" {
            assert_eq!((n_buffers, null_count), (0, length));
        } else {
            let buffers: Vec<_> =
                (0..n_buffers as u32).map(|i| self.u32(self.u32(array + 40) + 4 * i)).collect();
            assert_eq!(buffers[0] == 0, null_count == 0, "validity exactly where there are nulls");
            if buffers[0] != 0 {
                let valid = |row: usize| self.memory[buffers[0] as usize + row / 8] >> (row % 8) & 1 == 1;
                assert_eq!((0..rows).filter(|row| !valid(*row)).count() as i64, null_count);
                assert!((rows..rows.next_multiple_of(8)).all(|row| !valid(row)), "padding is zero");
                copies.push(self.copy_buffer(buffers[0], rows.div_ceil(8)));
            } else {
                copies.push(0);
            }
            match format.as_str() {
                "u" | "z" | "U" | "Z" | "+l" | "+L" | "+m" => {
                    let wide = matches!(format.as_str(), "U" | "Z" | "+L");
                    let width = if wide { 8 } else { 4 };
                    let last = buffers[1] + (rows * width) as u32;
                    let (first, last) = if wide {
                        (self.i64(buffers[1]), self.i64(last) as usize)
                    } else {
                        (i64::from(self.u32(buffers[1])), self.u32(last) as usize)
                    };
                    assert_eq!(first, 0, "offsets start at 0");
                    copies.push(self.copy_buffer(buffers[1], (rows + 1) * width));
                    if let Some(data) = buffers.get(2) {
                        copies.push(self.copy_buffer(*data, last));
                    }
                }
                "+s" => assert_eq!(n_buffers, 1),
                "b" => copies.push(self.copy_buffer(buffers[1], rows.div_ceil(8))),
                list if list.starts_with("+w:") => assert_eq!(n_buffers, 1),
                fixed => copies.push(self.copy_buffer(buffers[1], rows * width(fixed))),
            }
            assert_eq!(copies.len(), n_buffers as usize);
        }

        let children = self.allocate(4 * n_children as usize);
        for child in 0..n_children as u32 {
            let copy = self.allocate(64);
            self.put_u32(children + 4 * child, copy);
            let schema = self.u32(self.u32(schema + 32) + 4 * child);
            self.copy(schema, self.u32(self.u32(array + 44) + 4 * child), copy);
        }
        let table = self.allocate(4 * copies.len());
        for (index, copy) in copies.iter().enumerate() {
            self.put_u32(table + 4 * index as u32, *copy);
        }
        for (index, value) in
            [length, if rows.is_multiple_of(2) { -1 } else { null_count }, 0, n_buffers, n_children]
                .into_iter()
                .enumerate()
        {
            self.put_i64(answer + 8 * index as u32, value);
        }
        self.put_u32(answer + 40, table);
        self.put_u32(answer + 44, children);
    }
}

/// Bytes of an element, by format.
fn width(format: &str) -> usize {
    match format {
        "c" | "C" => 1,
        "s" | "S" | "e" => 2,
        "i" | "I" | "f" | "tdD" | "tts" | "ttm" | "tiM" => 4,
        "l" | "L" | "g" | "tdm" | "ttu" | "ttn" | "tiD" => 8,
        "tin" => 16,
        _ => match format.split_once(':') {
            Some(("w", width)) => width.parse().unwrap(),
            Some(("d", decimal)) => {
                decimal.split(',').nth(2).map_or(16, |bits| bits.parse::<usize>().unwrap() / 8)
            }
            Some(("tss" | "tsm" | "tsu" | "tsn", _)) => 8,
            _ if ["tDs", "tDm", "tDu", "tDn"].contains(&format) => 8,
            _ => panic!("format {format}"),
        },
    }
}
