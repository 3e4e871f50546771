//! What fuzzing needs of the inside. No part of the interface: it changes with what it shows.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow_flight::FlightData;

use super::input::{Conversion, InputDecoder, InputLimits};

/// Rows that a batch may have here.
pub const BATCH_ROWS: usize = 1 << 16;

/// Bytes that dictionaries may have here.
const DICTIONARY_BYTES: usize = 1 << 16;

/// Decodes the messages of one exchange, each metadata and body, until the first error. `conversion` chooses
/// what is done to the columns: nothing, what functions of `databend_udf` get, or what Databend's wide types
/// get.
pub fn decode(messages: &[(Vec<u8>, Vec<u8>)], conversion: u8) -> (Vec<RecordBatch>, Option<String>) {
    let fields = |types: Vec<DataType>| {
        types.into_iter().map(|data_type| Field::new("x", data_type, true)).collect::<Vec<_>>()
    };
    let conversion = match conversion % 4 {
        0 => Conversion::None,
        1 => Conversion::Conform(fields(vec![DataType::Int32])),
        2 => Conversion::Conform(fields(vec![DataType::Utf8])),
        _ => Conversion::Wide(fields(vec![DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))])),
    };
    let limits = InputLimits { batch_rows: BATCH_ROWS, dictionary_bytes: DICTIONARY_BYTES };
    let mut decoder = InputDecoder::new(limits, false, conversion);
    let mut batches = Vec::new();
    for (header, body) in messages {
        let data = FlightData {
            data_header: header.clone().into(),
            data_body: body.clone().into(),
            ..FlightData::default()
        };
        match decoder.decode(&data) {
            Ok(batch) => batches.extend(batch),
            Err(error) => return (batches, Some(error.to_string())),
        }
    }
    (batches, None)
}
