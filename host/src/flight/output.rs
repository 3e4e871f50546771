//! From result columns to Flight messages.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_flight::FlightData;
use serde::Serialize;
use vivarium_runtime::Usage;

/// Encodes the results of one exchange, one message for each.
pub(super) struct ResultEncoder {
    schema: SchemaRef,
    options: IpcWriteOptions,
    dictionaries: DictionaryTracker,
    context: IpcWriteContext,
}

/// What an exchange has used so far, as clients see it.
#[derive(Serialize)]
struct UsageReport {
    fuel: u64,
    batches: u64,
    rows: u64,
    peak_memory_bytes: u64,
}

impl ResultEncoder {
    pub(super) fn new(result: &Field) -> Self {
        Self {
            schema: Arc::new(Schema::new(vec![result.clone()])),
            options: IpcWriteOptions::default(),
            dictionaries: DictionaryTracker::new(false),
            context: IpcWriteContext::default(),
        }
    }

    /// The message that opens the stream.
    pub(super) fn schema(&mut self) -> FlightData {
        IpcDataGenerator::default()
            .schema_to_bytes_with_dictionary_tracker(&self.schema, &mut self.dictionaries, &self.options)
            .into()
    }

    /// One result, with the usage so far.
    ///
    /// # Errors
    /// When the column is not of the declared type or nullability.
    pub(super) fn batch(&mut self, column: ArrayRef, usage: Usage) -> Result<FlightData, ArrowError> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), vec![column])?;
        let (_, encoded) = IpcDataGenerator::default().encode(
            &batch,
            &mut self.dictionaries,
            &self.options,
            &mut self.context,
        )?;
        let report = UsageReport {
            fuel: usage.fuel,
            batches: usage.calls,
            rows: usage.rows,
            peak_memory_bytes: usage.peak_memory_bytes,
        };
        let report =
            serde_json::to_vec(&report).map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
        Ok(FlightData::from(encoded).with_app_metadata(report))
    }
}
