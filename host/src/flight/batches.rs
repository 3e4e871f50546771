//! One answer for each batch: scalar and vectorised functions.
//!
//! Batches of one exchange are independent of each other, so they run side by side, each in a sandbox
//! of the exchange's own, and are answered in their order. The sandboxes take the batches in turns:
//! which one gets a batch depends on the batch's number alone, and so does the fuel that it burns.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::stream::{FuturesOrdered, StreamExt as _};
use vivarium_runtime::Usage;

use super::exchange::{Answers, Exchange, ExchangeError, Inputs};
use super::output::{Answer, Report};
use crate::functions::{Functions, SandboxError, Session, SessionError, SessionSetup, Version};
use crate::metrics::{self, ExchangeMeter};
use crate::status::Failure as _;

/// A sandbox of an exchange, between batches.
struct Lane {
    session: Session,
    /// Its place in [`Lanes::used`].
    number: usize,
}

/// The sandboxes of an exchange.
struct Lanes {
    setup: Arc<SessionSetup>,
    /// In the order in which they take the next batches.
    free: VecDeque<Lane>,
    /// What each has used until its last answer.
    used: Vec<Usage>,
    /// Most that there may be.
    limit: usize,
}

/// What became of one batch.
struct Ran {
    lane: Lane,
    /// The batch, if its failure is to be remembered.
    batch: Option<RecordBatch>,
    outcome: Result<Result<(Answer, Usage), SandboxError>, SessionError>,
}

impl Lanes {
    fn new(session: Session, limit: usize) -> Self {
        let setup = Arc::clone(session.setup());
        let free = VecDeque::from([Lane { session, number: 0 }]);
        Self { setup, free, used: Vec::new(), limit }
    }

    /// The sandbox for the next batch, if there is one or may be one more. The first batches open one
    /// each, also when one is free again, so that it does not depend on time which one takes a batch.
    fn take(&mut self, functions: &Functions, logs: bool) -> Option<Lane> {
        let number = self.used.len();
        if number > 0 && number < self.limit {
            if let Some(mut session) = functions.open_beside(&self.setup) {
                if logs {
                    session.keep_logs();
                }
                self.used.push(Usage::default());
                return Some(Lane { session, number });
            }
            self.limit = number;
        }
        let lane = self.free.pop_front()?;
        if number == 0 {
            self.used.push(Usage::default());
        }
        Some(lane)
    }

    /// What the exchange has used, once a sandbox has come to `usage`.
    fn add(&mut self, number: usize, usage: Usage) -> Usage {
        if let Some(used) = self.used.get_mut(number) {
            *used = usage;
        }
        self.used.iter().fold(Usage::default(), |sum, used| Usage {
            fuel: sum.fuel.saturating_add(used.fuel),
            calls: sum.calls.saturating_add(used.calls),
            rows: sum.rows.saturating_add(used.rows),
            peak_memory_bytes: sum.peak_memory_bytes.max(used.peak_memory_bytes),
        })
    }
}

/// Runs a batch. The batch comes back if `keep` says so.
async fn run(mut lane: Lane, batch: RecordBatch, keep: bool) -> Ran {
    let kept = keep.then(|| batch.clone());
    let work = lane.session.run(move |sandbox| {
        let column = sandbox.invoke(&batch)?;
        let report = Report::default().logs(sandbox.take_logs());
        Ok((Answer { columns: Some(vec![column]), report }, sandbox.usage()))
    });
    let outcome = work.await;
    Ran { lane, batch: kept, outcome }
}

impl Exchange {
    /// Answers each batch with a column of as many rows.
    pub(super) async fn batches(
        &self,
        version: &Version,
        session: Session,
        inputs: &mut Inputs,
        answers: &Answers,
        meter: &Arc<ExchangeMeter>,
    ) -> Result<(), ExchangeError> {
        let query = self.caller.query.as_deref();
        let known = query.and_then(|query| self.settings.failures.find(&version.id, query));
        let mut lanes = Lanes::new(session, self.settings.sandboxes);
        let mut running = FuturesOrdered::new();
        // A batch that waits for a sandbox.
        let mut next: Option<RecordBatch> = None;
        // Whether there are no more batches, and the error if that is why. It is told after the answers of
        // the batches before it.
        let mut end: Option<Result<(), ExchangeError>> = None;
        loop {
            if let Some(batch) = next.take() {
                match lanes.take(&self.functions, self.caller.logs) {
                    Some(lane) => running.push_back(run(lane, batch, query.is_some())),
                    None => next = Some(batch),
                }
            }
            let wants_input = next.is_none() && end.is_none();
            tokio::select! {
                biased;
                Some(ran) = running.next(), if !running.is_empty() => {
                    self.answer(version, ran, &mut lanes, answers).await?;
                }
                batch = self.batch(inputs, meter), if wants_input => match batch {
                    Ok(Some(batch)) => match known.as_ref().filter(|failed| failed.is(&batch)) {
                        Some(failed) => end = Some(Err(ExchangeError::Repeated(Arc::clone(failed)))),
                        None => next = Some(batch),
                    },
                    Ok(None) => end = Some(Ok(())),
                    Err(error) => end = Some(Err(error)),
                },
                else => return end.unwrap_or(Err(ExchangeError::Lost)),
            }
        }
    }

    /// Sends the answer of a batch, and takes its sandbox back.
    async fn answer(
        &self,
        version: &Version,
        ran: Ran,
        lanes: &mut Lanes,
        answers: &Answers,
    ) -> Result<(), ExchangeError> {
        let Ran { mut lane, batch, outcome } = ran;
        let (mut answer, usage) = match outcome? {
            Ok(answered) => answered,
            Err(error) => {
                if let (SandboxError::Call(call), Some(query), Some(batch)) =
                    (&error, self.caller.query.as_deref(), &batch)
                {
                    let told = (error.code(), error.to_string(), metrics::error_type(call));
                    self.settings.failures.remember(&version.id, query, batch, call, told);
                }
                if self.caller.logs {
                    self.last_logs(&mut lane.session, answers).await;
                }
                return Err(error.into());
            }
        };
        answer.report = answer.report.usage(lanes.add(lane.number, usage));
        lanes.free.push_back(lane);
        answers.send(answer).await.map_err(|_| ExchangeError::Gone)
    }
}
