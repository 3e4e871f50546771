//! From result columns to Flight messages.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_flight::FlightData;
use serde::Serialize;
use vivarium_runtime::{Logs, Usage};

use super::relabel::relabel;
use super::wide;

/// Columns on their way to the client, as the sandbox gave them.
#[derive(Debug)]
pub(super) struct Answer {
    /// The columns; none for a message that only reports.
    pub(super) columns: Option<Vec<ArrayRef>>,
    /// What goes with them.
    pub(super) report: Report,
}

/// What a message says beside its columns: a JSON object in its `app_metadata`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// What the exchange has used so far.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    usage: Option<UsageReport>,
    /// Number of the input batch that a table function's rows belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<u64>,
    /// Whether no more rows belong to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<bool>,
    /// What the function wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    logs: Option<LogReport>,
}

#[derive(Debug, Serialize)]
struct UsageReport {
    fuel: u64,
    batches: u64,
    rows: u64,
    peak_memory_bytes: u64,
}

#[derive(Debug, Serialize)]
struct LogReport {
    stdout: String,
    stderr: String,
    dropped_bytes: u64,
}

impl Report {
    /// Adds what the exchange has used.
    pub(super) fn usage(mut self, usage: Usage) -> Self {
        self.usage = Some(UsageReport {
            fuel: usage.fuel,
            batches: usage.calls,
            rows: usage.rows,
            peak_memory_bytes: usage.peak_memory_bytes,
        });
        self
    }

    /// Adds whose answer it is.
    pub(super) fn input(mut self, number: u64, last: bool) -> Self {
        (self.input, self.last) = (Some(number), Some(last));
        self
    }

    /// Adds what the function wrote, if the caller asked for it.
    pub(super) fn logs(mut self, logs: Option<Logs>) -> Self {
        self.logs = logs.map(|logs| LogReport {
            stdout: String::from_utf8_lossy(&logs.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&logs.stderr).into_owned(),
            dropped_bytes: logs.dropped_bytes,
        });
        self
    }
}

/// Encodes the results of one exchange, one message for each.
pub(super) struct ResultEncoder {
    schema: SchemaRef,
    options: IpcWriteOptions,
    dictionaries: DictionaryTracker,
    context: IpcWriteContext,
}

impl ResultEncoder {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
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

    /// One result with what goes with it.
    ///
    /// # Errors
    /// When a column is not of the declared type or nullability.
    pub(super) fn batch(&mut self, answer: Answer) -> Result<FlightData, ArrowError> {
        let schema = Arc::clone(&self.schema);
        let batch = match answer.columns {
            None => RecordBatch::new_empty(schema),
            Some(columns) => {
                let relabelled = columns
                    .into_iter()
                    .zip(schema.fields())
                    .map(|(column, field)| relabel(wide::to_caller(column, field)?, field.data_type()))
                    .collect::<Result<_, _>>()?;
                RecordBatch::try_new(schema, relabelled)?
            }
        };
        let (_, encoded) = IpcDataGenerator::default().encode(
            &batch,
            &mut self.dictionaries,
            &self.options,
            &mut self.context,
        )?;
        let report =
            serde_json::to_vec(&answer.report).map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
        Ok(FlightData::from(encoded).with_app_metadata(report))
    }
}
