//! The input of a map function, which the guest asks for while it runs.
//!
//! The source belongs to the caller of [`Instance::map`](crate::Instance::map) and lives on that caller's
//! stack; the host function that serves the guest finds it in the store, whose data cannot borrow. So
//! it is lent for the time of one call into the guest, see [`Guest::lend`].

use std::ptr::NonNull;
use std::time::{Duration, Instant};

use arrow::datatypes::Field;
use arrow::record_batch::RecordBatch;

use crate::call::{CallError, InputFailure, ProtocolViolation};
use crate::exchange::InputPlan;
use crate::guest::Guest;

/// Where a map function's batches come from.
pub(crate) type Source<'a> = dyn FnMut() -> Result<Option<RecordBatch>, InputFailure> + Send + 'a;

/// A source, and how far the guest has come with it.
pub(crate) struct Feed<'a> {
    source: &'a mut Source<'a>,
    parameters: &'a [Field],
    limit_bytes: u64,
    /// The batch whose size the guest has been told and which it has not fetched.
    pending: Option<InputPlan>,
    ended: bool,
    /// Batches that the source gave.
    pub(crate) batches: u64,
    /// Rows of these.
    pub(crate) rows: u64,
    /// Why the call was ended from here.
    pub(crate) failure: Option<CallError>,
}

/// What is to be told about the next batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waited {
    /// Bytes that its block needs; 0 at the end of the input.
    pub(crate) bytes: u32,
    /// The source has just given it.
    pub(crate) fresh: bool,
    /// Time that is not the guest's.
    pub(crate) time: Duration,
}

impl<'a> Feed<'a> {
    pub(crate) fn new(source: &'a mut Source<'a>, parameters: &'a [Field], limit_bytes: u64) -> Self {
        Self {
            source,
            parameters,
            limit_bytes,
            pending: None,
            ended: false,
            batches: 0,
            rows: 0,
            failure: None,
        }
    }

    /// Waits for the next batch, unless one is waiting itself. `None` ends the call.
    pub(crate) fn wait(&mut self) -> Option<Waited> {
        let start = Instant::now();
        let fresh = self.pending.is_none() && !self.ended;
        if fresh && let Err(error) = self.take() {
            self.failure = Some(error);
            return None;
        }
        // Plans are at most 2 GiB.
        let bytes = self.pending.as_ref().map_or(0, |plan| u32::try_from(plan.size()).unwrap_or(0));
        Some(Waited { bytes, fresh: fresh && bytes > 0, time: start.elapsed() })
    }

    fn take(&mut self) -> Result<(), CallError> {
        let Some(batch) = (self.source)().map_err(CallError::Source)? else {
            self.ended = true;
            return Ok(());
        };
        let index = self.batches;
        let plan = InputPlan::new(&batch, self.parameters, self.limit_bytes)
            .map_err(|error| CallError::SourceBatch { index, error })?;
        self.batches += 1;
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
        self.pending = Some(plan);
        Ok(())
    }

    /// Writes the batch that is waiting into the guest's block; tells how many bytes it has. `None` ends the
    /// call.
    pub(crate) fn write(&mut self, memory: &mut [u8], room: u32, size: u32) -> Option<usize> {
        let plan = self.pending.take();
        let fits = |plan: &InputPlan| {
            plan.size() <= size as usize
                && room != 0
                && room.is_multiple_of(64)
                && u64::from(room) + u64::from(size) <= memory.len() as u64
        };
        let Some(plan) = plan.filter(fits) else {
            let memory = memory.len() as u64;
            self.failure = Some(ProtocolViolation::Pull { room, size, memory }.into());
            return None;
        };
        match plan.write(memory, room) {
            Ok(()) => Some(plan.size()),
            Err(violation) => {
                self.failure = Some(violation.into());
                None
            }
        }
    }
}

/// A feed, within reach of the host functions. See [`Guest::lend`].
#[derive(Debug)]
pub(crate) struct LentFeed(NonNull<Feed<'static>>);

// SAFETY: a feed can be sent (its source must be, the rest owns or shares plain data), and a lent one is
// reached through this value alone.
unsafe impl Send for LentFeed {}
// SAFETY: a shared reference gives no access.
unsafe impl Sync for LentFeed {}

impl LentFeed {
    /// Works with the feed.
    pub(crate) fn with<R>(&mut self, work: impl for<'x> FnOnce(&mut Feed<'x>) -> R) -> R {
        // SAFETY: `Guest::lend` made this value of an exclusive reference that it holds for as long as this
        // value exists, and this value, which cannot be copied, is borrowed exclusively. `work` cannot
        // tell the lifetime that was erased.
        work(unsafe { self.0.as_mut() })
    }
}

impl Guest {
    /// Lets the guest take from `feed` while `work` runs.
    pub(crate) fn lend<R>(&mut self, feed: &mut Feed<'_>, work: impl FnOnce(&mut Self) -> R) -> R {
        struct Return<'g>(&'g mut Guest);
        impl Drop for Return<'_> {
            fn drop(&mut self) {
                self.0.state_mut().feed = None;
                if std::thread::panicking() {
                    // The source has torn the guest out of the middle of its work.
                    self.0.poison();
                }
            }
        }
        // The lifetime is erased here, and this value destroyed below, before `feed` can be used again.
        // Host functions take it out of the store for as long as they use it and put it back.
        let lent = LentFeed(NonNull::from(feed).cast());
        let lender = Return(self);
        lender.0.state_mut().feed = Some(lent);
        work(lender.0)
    }
}
