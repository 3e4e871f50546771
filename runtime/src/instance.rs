//! Instances: forks of an image that run batches.

mod aggregate;
mod map;
mod reset;
mod scalar;
mod stream;
mod table;

use std::time::Duration;

use crate::admission::Reservation;
use crate::call::CallError;
use crate::exchange::InputPlan;
use crate::guest::Guest;
use crate::image::Image;
use crate::limits::Limits;
use crate::logs::Logs;
use crate::meter::Canceller;
use crate::operation::{Answer, Expect, Operation};
use crate::stack::with_guest_stack;
use crate::usage::Usage;

/// Bytes of the result's `ArrowArray`.
const OUTPUT_BYTES: u32 = 64;

/// Bytes of input for which an image has room already.
const INPUT_BYTES: u32 = 4096;

/// Guest memory that every call needs. An image has it, so that no fork has to ask for it first.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Room {
    output: u32,
    arena: Arena,
}

impl Room {
    /// Allocates it in a guest whose image is being built.
    pub(crate) fn allocate(guest: &mut Guest) -> Result<Self, CallError> {
        let (output, pointer) = (guest.alloc(OUTPUT_BYTES)?, guest.alloc(INPUT_BYTES)?);
        Ok(Self { output, arena: Arena { pointer, size: INPUT_BYTES } })
    }

    /// For the stored form of an image.
    pub(crate) fn addresses(self) -> [u32; 2] {
        [self.output, self.arena.pointer]
    }

    /// The room at these addresses in an image of `len` bytes; `None` if it cannot be there.
    pub(crate) fn at([output, input]: [u32; 2], len: usize) -> Option<Self> {
        let fits = |start: u32, size: u32| start > 0 && (start as usize + size as usize) <= len;
        let arena = Arena { pointer: input, size: INPUT_BYTES };
        (fits(output, OUTPUT_BYTES) && fits(input, INPUT_BYTES)).then_some(Self { output, arena })
    }
}

/// A running copy of an image. Dropping it gives its memory back, clean, for the next fork.
///
/// State that the function keeps (module globals, caches) lives as long as the instance: batches of
/// one instance see it, other instances never do.
pub struct Instance {
    // Fields are dropped in this order: the memory goes back before its admission does.
    guest: Guest,
    _reservation: Reservation,
    image: Image,
    limits: Limits,
    /// Room for the result's `ArrowArray`.
    output: u32,
    arena: Arena,
    /// A block that belongs to a stream which was dropped unfinished, until the guest knows; 0 if none.
    stale: u32,
    /// The last stream was not read to its end, so that the guest may still read the arena.
    unfinished: bool,
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
        let Room { output, arena } = image.0.room;
        Self {
            guest,
            _reservation: reservation,
            image,
            limits: limits.clone(),
            output,
            arena,
            stale: 0,
            unfinished: false,
            calls: 0,
            rows: 0,
        }
    }

    /// Runs `work`, which is one operation of the caller, on a stack for guest code and with an account of
    /// fuel and time of its own.
    fn operate<R: Send>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<R, CallError> + Send,
    ) -> Result<R, CallError> {
        let result = with_guest_stack(|| {
            self.guest.watch();
            let result = self.guest.begin().and_then(|()| work(self));
            self.guest.end();
            self.guest.end_watch();
            result
        });
        let result = result.map_err(CallError::host).flatten();
        self.settle(&result);
        result
    }

    /// Forbids further calls after an error that leaves nothing to rely on.
    fn settle<R>(&mut self, result: &Result<R, CallError>) {
        if result.as_ref().is_err_and(CallError::poisons) {
            self.guest.poison();
        }
    }

    /// Refuses instances that cannot run any more.
    fn usable(&self) -> Result<(), CallError> {
        if self.guest.is_poisoned() { Err(CallError::Poisoned) } else { Ok(()) }
    }

    /// Refuses a method that is for functions of other kinds.
    fn require(&self, method: &'static str, is_meant: bool) -> Result<(), CallError> {
        self.usable()?;
        if is_meant { Ok(()) } else { Err(CallError::Kind { method, kind: self.image.spec().kind.name() }) }
    }

    /// Lays the input out in the guest's memory and asks for the operation over it. A result's
    /// `ArrowArray` is at `self.output` then.
    fn start(&mut self, operation: Operation, plan: &InputPlan, expect: Expect) -> Result<Answer, CallError> {
        let input = self.room(u32::try_from(plan.size()).map_err(CallError::host)?)?;
        plan.write(self.guest.memory_mut(), input)?;
        self.ask(operation, input, expect)
    }

    /// Asks for an operation over the `ArrowArray` at `input`.
    fn ask(&mut self, operation: Operation, input: u32, expect: Expect) -> Result<Answer, CallError> {
        let output = self.empty_output();
        let answer = self.guest.invoke(self.image.0.function, operation, input, output, expect)?;
        if answer.kept {
            // Column objects that the function has kept look into it. The guest gives it back.
            self.arena = Arena::default();
        }
        if answer.failed { Err(self.guest.last_error()) } else { Ok(answer) }
    }

    /// Room for a result's `ArrowArray`, without one in it.
    fn empty_output(&mut self) -> u32 {
        let start = self.output as usize;
        if let Some(dest) = self.guest.memory_mut().get_mut(start..start + OUTPUT_BYTES as usize) {
            dest.fill(0);
        }
        self.output
    }

    /// At least `size` bytes of guest memory for input.
    fn room(&mut self, size: u32) -> Result<u32, CallError> {
        let stale = std::mem::take(&mut self.stale);
        if stale != 0 {
            self.guest.free(stale)?;
        }
        if std::mem::take(&mut self.unfinished) {
            self.stale = std::mem::take(&mut self.arena).pointer;
        }
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

    /// Calls `tell` for each operation that runs for longer than `after`, once and on the operation's own
    /// thread: whoever runs calls can lower the thread's priority, or let another in its place. It is
    /// noticed between two slices of fuel, within about a millisecond of the guest's running time, and by
    /// a guest that sleeps; time in which a guest waits for its input does not count.
    pub fn tell_of_long_calls(&mut self, after: Duration, tell: impl FnMut() + Send + 'static) {
        self.guest.state_mut().meter.tell_of_long_calls(after, Box::new(tell));
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
