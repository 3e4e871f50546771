//! Scalar and vectorised functions: a batch in, a column of as many rows out.

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;

use super::Instance;
use crate::call::CallError;
use crate::exchange::{InputPlan, read_result};
use crate::function::FunctionKind;
use crate::operation::{Expect, Operation};

impl Instance {
    /// Runs a scalar or vectorised function over one batch, whose columns are the parameters in order. The
    /// result is one array of the declared type with as many rows as the batch.
    ///
    /// Runs on the calling thread if its stack has room for guest code (see
    /// [`worker_thread`](crate::worker_thread)), else on a thread made for the call.
    ///
    /// # Errors
    /// [`CallError`]. If [`CallError::poisons`] holds, all later calls return
    /// [`CallError::Poisoned`].
    pub fn invoke(&mut self, batch: &RecordBatch) -> Result<ArrayRef, CallError> {
        let image = self.image.clone();
        let spec = image.spec();
        let is_meant = matches!(spec.kind, FunctionKind::Scalar | FunctionKind::Vectorized);
        self.require("invoke", is_meant)?;
        let plan = InputPlan::new(batch, &spec.parameters, self.limits.input_bytes)?;
        let rows = batch.num_rows();
        self.calls += 1;
        let result = self.operate(|instance| {
            instance.start(Operation::Call, &plan, Expect::Column)?;
            let memory = instance.guest.memory();
            Ok(read_result(memory, instance.output, &spec.result, rows, instance.limits.output_bytes)?)
        })?;
        self.rows = self.rows.saturating_add(rows as u64);
        Ok(result)
    }
}
