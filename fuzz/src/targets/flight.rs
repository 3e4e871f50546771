//! Messages of an exchange, from the wire to record batches.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow_flight::FlightData;
use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
use arrow_flight::error::FlightError;
use futures::TryStreamExt as _;
use vivarium_host::flight::fuzzing::{BATCH_ROWS, decode};

use super::{take, types};
use crate::Target;

pub(crate) const TARGET: Target =
    Target { name: "flight", about: "Flight messages, from the wire to record batches", run, seeds };

/// One byte for the conversion, then messages: the sizes of metadata and body in two and four bytes, both.
fn run(data: &[u8]) {
    let ([conversion], mut rest) = take::<1>(data);
    let mut messages = Vec::new();
    while !rest.is_empty() && messages.len() < 64 {
        let ([a, b, c, d, e, f], behind) = take::<6>(rest);
        let (header, behind) = behind.split_at(usize::from(u16::from_le_bytes([a, b])).min(behind.len()));
        let size = u32::from_le_bytes([c, d, e, f]) as usize;
        let (body, behind) = behind.split_at(size.min(behind.len()));
        messages.push((header.to_vec(), body.to_vec()));
        rest = behind;
    }
    let (batches, error) = decode(&messages, conversion);
    for batch in batches {
        assert!(batch.num_rows() <= BATCH_ROWS);
        for column in batch.columns() {
            column.to_data().validate_full().unwrap();
        }
    }
    if let Some(error) = error {
        assert!(!error.is_empty());
    }
}

fn input(conversion: u8, batch: RecordBatch) -> Vec<u8> {
    let mut input = vec![conversion];
    let encoder = FlightDataEncoderBuilder::new()
        .with_dictionary_handling(DictionaryHandling::Resend)
        .build(futures::stream::iter([Ok::<_, FlightError>(batch)]));
    let messages: Vec<FlightData> = futures::executor::block_on(encoder.try_collect()).unwrap();
    for message in messages {
        input.extend((message.data_header.len() as u16).to_le_bytes());
        input.extend((message.data_body.len() as u32).to_le_bytes());
        input.extend(&message.data_header);
        input.extend(&message.data_body);
    }
    input
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> =
        types::columns().iter().map(|(field, rows)| input(0, types::batch(field, rows))).collect();
    let words: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
    let views = arrow::compute::cast(
        &StringArray::from(vec!["short", "longer than twelve bytes"]),
        &DataType::Utf8View,
    );
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    for column in [Arc::new(words) as ArrayRef, views.unwrap(), numbers] {
        let schema = Schema::new(vec![Field::new("x", column.data_type().clone(), true)]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap();
        seeds.extend((0..3).map(|conversion| input(conversion, batch.clone())));
    }
    seeds
}
