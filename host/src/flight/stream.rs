//! Functions whose answers come while they run: table and map functions.
//!
//! Their calls run on a worker and wait there for the client, by turns for room among the answers
//! and, a map function, for its next batch. While a call waits it steps aside, so that neither slow
//! clients nor many of them keep workers from others.

use std::ops::ControlFlow;
use std::time::Duration;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::DataType;
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};
use vivarium_runtime::{CallError, InputFailure};

use super::exchange::{Answers, ExchangeError, Input, Inputs};
use super::output::{Answer, Report};
use crate::functions::{Sandbox, SandboxError};
use crate::workers::Place;

/// Which columns of a table function's rows the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableForm {
    /// The index of the input row, and the value.
    RowAndValue,
    /// The fields of the value, or the value if it has none.
    Columns,
}

impl TableForm {
    fn columns(self, rows: &RecordBatch) -> Vec<ArrayRef> {
        let columns = rows.columns();
        match (self, columns) {
            (Self::Columns, [_, value]) => match value.data_type() {
                DataType::Struct(_) => value.as_struct().columns().to_vec(),
                _ => vec![ArrayRef::clone(value)],
            },
            _ => columns.to_vec(),
        }
    }
}

/// On a worker: all rows that a table function has for one batch.
pub(super) fn expand(
    sandbox: &mut Sandbox,
    batch: &RecordBatch,
    number: u64,
    form: TableForm,
    answers: &Answers,
) -> Result<(), ExchangeError> {
    let place = sandbox.place();
    let mut wanted = true;
    sandbox.call(|instance| {
        instance.expand(batch, &mut |rows| {
            let report = Report::default().input(number, false);
            wanted = send(answers, &place, Answer { columns: Some(form.columns(&rows)), report });
            go_on(wanted)
        })
    })?;
    if wanted { Ok(()) } else { Err(ExchangeError::Gone) }
}

/// On a worker: a map function, from its first batch to its last.
pub(super) fn map(
    sandbox: &mut Sandbox,
    inputs: Inputs,
    answers: &Answers,
    network: &Handle,
    idle: Duration,
    count: &(dyn Fn(usize) + Sync),
) -> Result<(), ExchangeError> {
    let place = sandbox.place();
    let account = sandbox.account();
    let mut source = Source { inputs, place: place.clone(), network, idle, count, ended: false };
    let mut wanted = true;
    let outcome = sandbox.call(|instance| {
        let running = instance.canceller();
        let mut next = || {
            // The call may go on for as long as its client sends.
            account.pay(running.fuel());
            account.check().map_err(SandboxError::from)?;
            source.next()
        };
        instance.map(&mut || next().map_err(InputFailure::new), &mut |rows| {
            let columns = Some(rows.columns().to_vec());
            wanted = send(answers, &place, Answer { columns, report: Report::default() });
            go_on(wanted)
        })
    });
    match outcome {
        Err(SandboxError::Call(CallError::Source(failure))) => {
            match failure.into_inner().downcast::<ExchangeError>() {
                Ok(error) => Err(*error),
                Err(other) => Err(SandboxError::Call(CallError::Source(InputFailure::new(other))).into()),
            }
        }
        Err(error) => Err(error.into()),
        Ok(()) if wanted => Ok(()),
        Ok(()) => Err(ExchangeError::Gone),
    }
}

/// The batches that the client sends, for a call that waits for them on a worker.
struct Source<'a> {
    inputs: Inputs,
    place: Place,
    network: &'a Handle,
    idle: Duration,
    /// Told the rows of each batch.
    count: &'a (dyn Fn(usize) + Sync),
    ended: bool,
}

impl Source<'_> {
    fn next(&mut self) -> Result<Option<RecordBatch>, ExchangeError> {
        while !self.ended {
            let input = match self.inputs.try_recv() {
                Ok(input) => Some(input),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => {
                    let Self { inputs, place, network, idle, .. } = self;
                    // The timer must be made inside of the network's runtime.
                    let wait = async { tokio::time::timeout(*idle, inputs.recv()).await };
                    place
                        .step_aside(|| network.block_on(wait))
                        .map_err(|_| ExchangeError::Idle { limit_s: idle.as_secs() })?
                }
            };
            match input.ok_or(ExchangeError::Gone)?? {
                Input::Batch(batch) => {
                    (self.count)(batch.num_rows());
                    return Ok(Some(batch));
                }
                Input::End => self.ended = true,
                Input::Schema(_) => {}
            }
        }
        Ok(None)
    }
}

fn send(answers: &Answers, place: &Place, answer: Answer) -> bool {
    match answers.try_send(answer) {
        Ok(()) => true,
        Err(TrySendError::Full(answer)) => place.step_aside(|| answers.blocking_send(answer).is_ok()),
        Err(TrySendError::Closed(_)) => false,
    }
}

fn go_on(wanted: bool) -> ControlFlow<()> {
    if wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}
