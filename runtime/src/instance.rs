//! Instances: forks of an image that run batches.

use std::ops::ControlFlow;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::record_batch::RecordBatch;

use crate::admission::Reservation;
use crate::call::{CallError, InputFailure};
use crate::exchange::{InputPlan, read_result};
use crate::guest::Guest;
use crate::image::Image;
use crate::limits::Limits;
use crate::logs::Logs;
use crate::meter::Canceller;
use crate::stack::with_guest_stack;
use crate::usage::Usage;

/// Bytes of the result's `ArrowArray`.
const OUTPUT_BYTES: usize = 64;

/// A running copy of an image. Dropping it gives its memory back, clean, for the next fork.
///
/// State that the function keeps (module globals, caches) lives as long as the instance: batches of
/// one instance see it, other instances never do.
pub struct Instance {
    // Fields are dropped in this order: the memory goes back before its admission does.
    guest: Guest,
    _reservation: Reservation,
    image: Image,
    input_bytes: u64,
    output_bytes: u64,
    arena: Arena,
    calls: u64,
    rows: u64,
}

/// Guest memory for batches, kept from call to call.
#[derive(Debug, Default, Clone, Copy)]
struct Arena {
    pointer: u32,
    size: u32,
}

impl Instance {
    pub(crate) fn new(guest: Guest, reservation: Reservation, image: Image, limits: &Limits) -> Self {
        Self {
            guest,
            _reservation: reservation,
            image,
            input_bytes: limits.input_bytes,
            output_bytes: limits.output_bytes,
            arena: Arena::default(),
            calls: 0,
            rows: 0,
        }
    }

    /// Runs the function over one batch, whose columns are the parameters in order. The result is one
    /// array of the declared type with as many rows as the batch.
    ///
    /// Runs on the calling thread if its stack has room for guest code (see
    /// [`worker_thread`](crate::worker_thread)), else on a thread made for the call.
    ///
    /// # Errors
    /// [`CallError`]. If [`CallError::poisons`] holds, all later calls return
    /// [`CallError::Poisoned`].
    pub fn invoke(&mut self, batch: &RecordBatch) -> Result<ArrayRef, CallError> {
        if self.guest.is_poisoned() {
            return Err(CallError::Poisoned);
        }
        let image = self.image.clone();
        let spec = image.spec();
        let plan = InputPlan::new(batch, &spec.parameters, self.input_bytes)?;
        let rows = batch.num_rows();
        let result = with_guest_stack(|| {
            self.guest.begin()?;
            let result = self.run(&plan, image.0.function).and_then(|output| {
                let memory = self.guest.memory();
                Ok(read_result(memory, output, &spec.result, rows, self.output_bytes)?)
            });
            self.guest.end();
            result
        });
        let result = result.map_err(CallError::host).flatten();
        self.calls += 1;
        match &result {
            Ok(_) => self.rows = self.rows.saturating_add(rows as u64),
            Err(error) if error.poisons() => self.guest.poison(),
            Err(_) => {}
        }
        result
    }

    /// Runs a table function over one batch and hands its rows to `sink`, batch by batch, with the columns
    /// of [`FunctionSpec::output_schema`](crate::FunctionSpec::output_schema); `row` never decreases.
    /// Ends early, without an error, when `sink` breaks.
    ///
    /// # Errors
    /// See [`Instance::invoke`]. What `sink` got before an error is correct.
    pub fn expand(
        &mut self,
        _batch: &RecordBatch,
        _sink: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), CallError> {
        Err(self.unable("expand"))
    }

    /// Runs a map function: it takes its batches from `source`, whose `None` is the end, and gives
    /// batches to `sink`. Ends early, without an error, when `sink` breaks.
    ///
    /// `source` is called while the function runs, where the stack for guest code is; the time it takes
    /// counts towards no limit. To stop a call that waits in it, let it return an [`InputFailure`].
    ///
    /// # Errors
    /// See [`Instance::invoke`]; [`CallError::Source`] gives the failure of `source` back. What `sink`
    /// got before an error is correct.
    pub fn map(
        &mut self,
        _source: &mut (dyn FnMut() -> Result<Option<RecordBatch>, InputFailure> + Send),
        _sink: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), CallError> {
        Err(self.unable("map"))
    }

    /// Folds the rows of `batch` into the states of an aggregate function; `groups` says for each row to
    /// which. Groups are numbered from 0; a group comes into being when it is first named.
    ///
    /// # Errors
    /// See [`Instance::invoke`]. When the function fails, all groups are forgotten.
    pub fn accumulate(&mut self, _groups: &UInt32Array, _batch: &RecordBatch) -> Result<(), CallError> {
        Err(self.unable("accumulate"))
    }

    /// Takes the rows of `batch` out of the states again.
    ///
    /// # Errors
    /// See [`Instance::accumulate`]; also if the function cannot retract.
    pub fn retract(&mut self, _groups: &UInt32Array, _batch: &RecordBatch) -> Result<(), CallError> {
        Err(self.unable("retract"))
    }

    /// Merges states, as [`Instance::states`] of any instance of the same image gave them, into the
    /// groups.
    ///
    /// # Errors
    /// See [`Instance::accumulate`].
    pub fn merge(&mut self, _groups: &UInt32Array, _states: &ArrayRef) -> Result<(), CallError> {
        Err(self.unable("merge"))
    }

    /// The states of the groups below `groups`, new ones for those never named. All groups are forgotten.
    ///
    /// # Errors
    /// See [`Instance::accumulate`].
    pub fn states(&mut self, _groups: usize) -> Result<ArrayRef, CallError> {
        Err(self.unable("states"))
    }

    /// The results of the groups below `groups`. All groups are forgotten.
    ///
    /// # Errors
    /// See [`Instance::accumulate`].
    pub fn finish(&mut self, _groups: usize) -> Result<ArrayRef, CallError> {
        Err(self.unable("finish"))
    }

    fn unable(&self, method: &'static str) -> CallError {
        CallError::Kind { method, kind: self.image.spec().kind.name() }
    }

    /// Lays the batch out and calls the function; returns where the result's `ArrowArray` is.
    fn run(&mut self, plan: &InputPlan, function: u32) -> Result<u32, CallError> {
        let output_at = plan.size().next_multiple_of(OUTPUT_BYTES);
        let needed = u32::try_from(output_at + OUTPUT_BYTES).map_err(CallError::host)?;
        let base = self.room(needed)?;
        plan.write(self.guest.memory_mut(), base)?;
        // Both fit: `room` has checked that `needed` bytes follow `base`.
        let output = base + (needed - OUTPUT_BYTES as u32);
        if let Some(dest) = self.guest.memory_mut().get_mut(output as usize..output as usize + OUTPUT_BYTES) {
            dest.fill(0);
        }
        self.guest.invoke(function, base, output)?;
        Ok(output)
    }

    /// At least `size` bytes of guest memory.
    fn room(&mut self, size: u32) -> Result<u32, CallError> {
        if self.arena.size >= size {
            return Ok(self.arena.pointer);
        }
        let old = std::mem::take(&mut self.arena);
        if old.size > 0 {
            self.guest.free(old.pointer)?;
        }
        // A little more than needed, because batches of one stream differ in size by a little.
        let size = size.saturating_add(size / 8).max(4096);
        let pointer = self.guest.alloc(size)?;
        self.arena = Arena { pointer, size };
        Ok(pointer)
    }

    /// What the instance has used since it was forked.
    pub fn usage(&self) -> Usage {
        Usage {
            fuel: self.guest.fuel(),
            calls: self.calls,
            rows: self.rows,
            peak_memory_bytes: self.guest.memory().len() as u64,
        }
    }

    /// What the function wrote since the last time.
    pub fn take_logs(&mut self) -> Logs {
        self.guest.state_mut().logs.take()
    }

    /// A handle that stops this instance from another thread.
    pub fn canceller(&self) -> Canceller {
        self.guest.state().meter.canceller().clone()
    }

    /// Whether an earlier error has made the instance unusable.
    pub fn is_poisoned(&self) -> bool {
        self.guest.is_poisoned()
    }

    /// The image it was forked from.
    pub fn image(&self) -> &Image {
        &self.image
    }
}
