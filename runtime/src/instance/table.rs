//! Table functions: any number of rows for each row of a batch.

use std::ops::ControlFlow;
use std::time::Instant;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int32Type;

use super::Instance;
use super::stream::{Given, NEXT_FUEL};
use crate::call::{CallError, ProtocolViolation};
use crate::exchange::InputPlan;
use crate::function::{FunctionKind, FunctionSpec};
use crate::operation::{Expect, Operation};
use crate::stack::with_guest_stack;

/// How far the output of one batch has come.
struct Rows {
    given: Given,
    /// Rows of the input batch.
    input: usize,
    /// Input row of the last output row.
    last: i32,
}

impl Rows {
    /// Checks that output rows belong to input rows, in their order.
    fn check(&mut self, batch: &RecordBatch) -> Result<(), CallError> {
        let rows = batch.column(0).as_primitive::<Int32Type>().values();
        for row in rows {
            let known = usize::try_from(*row).is_ok_and(|row| row < self.input);
            if *row < self.last || !known {
                let (row, least, rows) = (*row, self.last, self.input);
                return Err(ProtocolViolation::Row { row, least, rows }.into());
            }
            self.last = *row;
        }
        Ok(())
    }
}

impl Instance {
    /// Runs a table function over one batch and hands its rows to `sink`, batch by batch, with the columns
    /// of [`FunctionSpec::output_schema`]; `row` never decreases. Ends early, without an error, when
    /// `sink` breaks. Batches without rows are not handed on.
    ///
    /// # Errors
    /// See [`Instance::invoke`]. What `sink` got before an error is correct.
    pub fn expand(
        &mut self,
        batch: &RecordBatch,
        sink: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), CallError> {
        let image = self.image.clone();
        let spec = image.spec();
        self.require("expand", spec.kind == FunctionKind::Table)?;
        let plan = InputPlan::new(batch, &spec.parameters, self.limits.input_bytes)?;
        let rows = Rows { given: Given::default(), input: batch.num_rows(), last: 0 };
        self.calls += 1;
        let result = self.guest.begin().and_then(|()| self.stream(spec, &plan, rows, sink));
        self.guest.end();
        self.settle(&result);
        result?;
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
        Ok(())
    }

    fn stream(
        &mut self,
        spec: &FunctionSpec,
        plan: &InputPlan,
        mut rows: Rows,
        sink: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), CallError> {
        let mut first = true;
        loop {
            let (batch, more) = with_guest_stack(|| self.rows(spec, plan, first, &mut rows))
                .map_err(CallError::host)
                .flatten()?;
            first = false;
            if let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) {
                let start = Instant::now();
                let flow = sink(batch);
                self.guest.state_mut().meter.extend(start.elapsed());
                if flow.is_break() {
                    return Ok(());
                }
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// The next rows, and whether there are more.
    fn rows(
        &mut self,
        spec: &FunctionSpec,
        plan: &InputPlan,
        first: bool,
        rows: &mut Rows,
    ) -> Result<(Option<RecordBatch>, bool), CallError> {
        let answer = if first {
            self.start(Operation::Call, plan, Expect::Rows)?
        } else {
            self.unfinished = false;
            self.guest.charge(NEXT_FUEL)?;
            self.ask(Operation::Next, 0, Expect::Rows)?
        };
        self.unfinished = answer.more;
        if !answer.filled {
            return Ok((None, false));
        }
        let batch = self.delivered(spec, &mut rows.given)?;
        rows.check(&batch)?;
        Ok((Some(batch), answer.more))
    }
}
