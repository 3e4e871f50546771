//! What a running job may do with its place.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use crate::priority;

/// What the job on a thread holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// One of the pool's places.
    Place,
    /// None: it has run for long.
    Nothing,
}

thread_local! {
    static HOLDS: Cell<Holds> = const { Cell::new(Holds::Place) };
    /// Since when the job runs, or runs again.
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
    /// Whether this thread's priority was lowered. Without privileges it cannot be raised again.
    static IS_LOWERED: Cell<bool> = const { Cell::new(false) };
}

/// A job's place among those that run. Cheap to clone. What it can do must be done on the job's own
/// thread.
#[derive(Clone, Debug)]
pub struct Place {
    pub(super) shared: Arc<Shared>,
    pub(super) tenant: String,
}

impl Place {
    /// Waits for something that is not the guest's to compute, while another job may run. Comes
    /// back when there is a place again; then the job goes on where it was.
    pub fn step_aside<T>(&self, wait: impl FnOnce() -> T) -> T {
        let had_place = HOLDS.replace(Holds::Place) == Holds::Place;
        let mut queues = self.shared.lock();
        queues.aside += 1;
        queues.leave(&self.tenant, had_place, took());
        self.shared.announce(queues);
        let _aside = Aside(self);
        wait()
    }

    /// Gives the place up because the job has run for long: those that wait shall not wait for it. It
    /// goes on at a lower priority, on a thread that another one replaces, and still counts for its
    /// tenant.
    pub fn run_long(&self) {
        if HOLDS.replace(Holds::Nothing) == Holds::Nothing {
            return;
        }
        let mut queues = self.shared.lock();
        queues.give_up_place();
        self.shared.announce(queues);
        if !IS_LOWERED.replace(true) {
            priority::fall_behind(self.shared.size.long_job_nice);
        }
    }

    fn come_back(&self) {
        let mut queues = self.shared.lock();
        let number = queues.ask_to_return(&self.tenant);
        while !queues.take_return(number) {
            if queues.closed {
                break;
            }
            queues = self.shared.wait_for_return(queues);
        }
        begin();
    }
}

/// Brings a job back, also when its waiting panicked.
struct Aside<'a>(&'a Place);

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.0.come_back();
    }
}

/// From now on a job runs on this thread.
pub(super) fn begin() {
    SINCE.set(Some(Instant::now()));
}

/// At the end of a job: whether it still held a place, and how long it ran. The thread's next one does.
pub(super) fn end() -> (bool, Duration) {
    (HOLDS.replace(Holds::Place) == Holds::Place, took())
}

/// How long the job has run since it began or came back.
fn took() -> Duration {
    SINCE.get().map(|since| since.elapsed()).unwrap_or_default()
}

/// Whether this thread's priority was lowered.
pub(super) fn is_lowered() -> bool {
    IS_LOWERED.get()
}
