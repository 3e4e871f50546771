//! What table and map functions have in common: any number of batches out.

use arrow::array::Array;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::Instance;
use crate::call::CallError;
use crate::exchange::read_batch;
use crate::function::FunctionSpec;
use crate::limits::Limits;

/// Fuel for asking once more, so that an endless stream of nothing, however cheap for the guest, ends.
pub(super) const NEXT_FUEL: u64 = 10_000;

/// What a function has given for one input batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Given {
    rows: u64,
    bytes: u64,
}

impl Given {
    fn add(&mut self, rows: usize, bytes: u64, limits: &Limits) -> Result<(), CallError> {
        self.rows = self.rows.saturating_add(rows as u64);
        self.bytes = self.bytes.saturating_add(bytes);
        for (name, limit, requested) in [
            ("stream_output_rows", limits.stream_output_rows, self.rows),
            ("stream_output_bytes", limits.stream_output_bytes, self.bytes),
        ] {
            if requested > limit {
                return Err(CallError::Stream { name, limit, requested });
            }
        }
        Ok(())
    }
}

impl Instance {
    /// The batch that the guest has just written.
    pub(super) fn delivered(&self, spec: &FunctionSpec, given: &mut Given) -> Result<RecordBatch, CallError> {
        let field = spec.guest_output();
        let (batch, bytes) = read_batch(self.guest.memory(), self.output, &field, self.limits.output_bytes)?;
        let rows = batch.len();
        given.add(rows, bytes, &self.limits)?;
        let (_, columns, _) = batch.into_parts();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(spec.output_schema(), columns, &options)
            .map_err(|error| CallError::Layout { reason: error.to_string() })
    }
}
