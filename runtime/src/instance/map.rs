//! Map functions: an iterator of batches in, an iterator of batches out.

use std::ops::ControlFlow;

use arrow::record_batch::RecordBatch;

use super::Instance;
use super::stream::{Given, NEXT_FUEL};
use crate::call::{CallError, InputFailure};
use crate::feed::Feed;
use crate::function::{FunctionKind, FunctionSpec};
use crate::operation::{Expect, Operation};

impl Instance {
    /// Runs a map function: it takes its batches from `source`, whose `None` is the end, and gives
    /// batches to `sink`. Ends early, without an error, when `sink` breaks. Batches without rows are not
    /// handed on.
    ///
    /// `source` is called while the function runs, where the stack for guest code is; the time it takes
    /// counts towards no limit. To stop a call that waits in it, let it return an [`InputFailure`].
    ///
    /// # Errors
    /// See [`Instance::invoke`]; [`CallError::Source`] gives the failure of `source` back. What `sink`
    /// got before an error is correct.
    pub fn map(
        &mut self,
        source: &mut (dyn FnMut() -> Result<Option<RecordBatch>, InputFailure> + Send),
        sink: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), CallError> {
        let image = self.image.clone();
        let spec = image.spec();
        self.require("map", spec.kind == FunctionKind::Map)?;
        let mut feed = Feed::new(source, &spec.parameters, self.limits.input_bytes);
        self.calls += 1;
        let result = self.drain(spec, &mut feed, sink);
        self.rows = self.rows.saturating_add(feed.rows);
        result
    }

    fn drain(
        &mut self,
        spec: &FunctionSpec,
        feed: &mut Feed<'_>,
        sink: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), CallError> {
        let mut operation = Operation::Call;
        let mut given = Given::default();
        loop {
            // Each batch that is taken or given starts a new account. One without rows does not, or a function
            // could go on for ever.
            let batch = self.operate(|instance| {
                loop {
                    if operation == Operation::Next {
                        instance.guest.charge(NEXT_FUEL)?;
                    }
                    let taken = feed.batches;
                    if !instance.next(feed, operation)? {
                        return Ok(None);
                    }
                    operation = Operation::Next;
                    if feed.batches > taken {
                        given = Given::default();
                    }
                    let batch = instance.delivered(spec, &mut given)?;
                    if batch.num_rows() > 0 {
                        return Ok(Some(batch));
                    }
                }
            })?;
            let Some(batch) = batch else { return Ok(()) };
            if sink(batch).is_break() {
                return Ok(());
            }
        }
    }

    /// Asks for the next batch, with the input within the guest's reach. Whether there is one.
    fn next(&mut self, feed: &mut Feed<'_>, operation: Operation) -> Result<bool, CallError> {
        let (function, output) = (self.image.0.function, self.empty_output());
        let answer =
            self.guest.lend(feed, |guest| guest.invoke(function, operation, 0, output, Expect::Batches));
        if let Some(failure) = feed.failure.take() {
            return Err(failure);
        }
        let answer = answer?;
        if answer.failed { Err(self.guest.last_error()) } else { Ok(answer.filled) }
    }
}
