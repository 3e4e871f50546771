//! A guest's result, read out of memory that the guest has filled as it likes.

use std::io::Cursor;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use vivarium_runtime::fuzzing;

use super::{take, types};
use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "results",
    about: "arrays that a guest says are in its memory, and the IPC that becomes of them",
    run,
    seeds,
};

const LIMIT: u64 = 1 << 20;

static COLUMNS: LazyLock<Vec<(Field, &'static str)>> = LazyLock::new(types::columns);

/// One byte for the type, one for the rows or that there is none said, four for the address, then memory.
fn run(data: &[u8]) {
    let ([kind, rows, a, b, c, d], memory) = take::<6>(data);
    let (field, _) = &COLUMNS[usize::from(kind) % COLUMNS.len()];
    let pointer = u32::from_le_bytes([a, b, c, d]);
    if rows == 0xff {
        if let Ok((batch, bytes)) = fuzzing::read_batch(memory, pointer, field, LIMIT) {
            assert!(bytes <= LIMIT);
            check(&(Arc::new(batch) as ArrayRef), field);
        }
    } else if let Ok(array) = fuzzing::read_result(memory, pointer, field, usize::from(rows), LIMIT) {
        assert_eq!(array.len(), usize::from(rows));
        check(&array, field);
    }
}

/// An array is what was declared, and survives the way to the client.
fn check(array: &ArrayRef, field: &Field) {
    assert_eq!(array.data_type(), field.data_type());
    assert!(field.is_nullable() || array.null_count() == 0);
    array.to_data().validate_full().unwrap();
    let schema = Arc::new(Schema::new(vec![field.clone()]));
    let batch = RecordBatch::try_new(schema.clone(), vec![array.clone()]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &schema).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let back = StreamReader::try_new(Cursor::new(bytes), None).unwrap().next().unwrap().unwrap();
    assert_eq!((back.num_rows(), back.schema()), (batch.num_rows(), schema));
}

/// Honest results.
fn seeds() -> Vec<Vec<u8>> {
    let seed = |(kind, (field, rows)): (usize, &(Field, &str))| {
        let batch = types::batch(field, rows);
        let (memory, pointer) = fuzzing::write_batch(&batch).unwrap();
        // The batch's struct points to its columns; a stream's batch is the struct itself.
        let column = u32::from_le_bytes(memory[pointer as usize + 44..][..4].try_into().unwrap());
        let column = u32::from_le_bytes(memory[column as usize..][..4].try_into().unwrap());
        let mut input = vec![kind as u8, 3];
        input.extend(column.to_le_bytes());
        input.extend(&memory);
        input
    };
    let mut seeds: Vec<_> = COLUMNS.iter().enumerate().map(seed).collect();
    // Structs, as batches of a stream.
    let structs = seeds.iter().filter(|seed| (19..=21).contains(&seed[0])).cloned();
    let streams: Vec<Vec<u8>> = structs
        .map(|mut seed| {
            seed[1] = 0xff;
            seed
        })
        .collect();
    seeds.extend(streams);
    seeds
}
