//! Fuel, deadline and cancellation of one call into the guest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Fuel handed out at a time, about a millisecond's worth. Deadline and cancellation are looked at
/// between slices.
pub(crate) const SLICE: u64 = 2_000_000;

/// Highest fuel budget: leaves room to count past it without overflow.
const FUEL_MAX: u64 = 1 << 62;

/// Stops a function from another thread.
///
/// Cancelling is final: the instance's running `invoke` and all later ones return
/// [`CallError::Cancelled`](crate::CallError::Cancelled).
#[derive(Clone, Debug, Default)]
pub struct Canceller(Arc<Shared>);

/// What other threads may do to a call and see of it.
#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    fuel: AtomicU64,
}

impl Canceller {
    /// Asks the instance to stop; it does so within about a millisecond of its own running time.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
    }

    /// Whether [`Canceller::cancel`] has been called.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Fuel that the instance has used, up to the last whole slice of the call that runs: for watching a
    /// long call. [`Instance::usage`](crate::Instance::usage) has the exact figure between calls.
    pub fn fuel(&self) -> u64 {
        self.0.fuel.load(Ordering::Relaxed)
    }

    /// Tells what the instance has used.
    pub(crate) fn publish_fuel(&self, used: u64) {
        self.0.fuel.store(used, Ordering::Relaxed);
    }
}

/// Why a call is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the fuel budget is used up")]
    Fuel,
    #[error("the deadline has passed")]
    Deadline,
    #[error("the call was cancelled")]
    Cancelled,
}

/// Somebody to be told of calls that run long.
struct LongCalls {
    after: Duration,
    tell: Box<dyn FnMut() + Send>,
}

impl std::fmt::Debug for LongCalls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LongCalls").field("after", &self.after).finish_non_exhaustive()
    }
}

/// Account of one call. The guest counts its current slice down itself.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: u64,
    granted: u64,
    /// Fuel used by earlier calls.
    calls_before: u64,
    /// Fuel used by earlier budgets of the same call.
    before: u64,
    allowed: Duration,
    deadline: Instant,
    canceller: Canceller,
    long_calls: Option<LongCalls>,
    /// From when on the running call is a long one; none once it is known to be one.
    long_from: Option<Instant>,
}

impl Meter {
    /// A meter that grants nothing yet.
    pub(crate) fn new(canceller: Canceller) -> Self {
        Self {
            limit: 0,
            granted: 0,
            calls_before: 0,
            before: 0,
            allowed: Duration::ZERO,
            deadline: Instant::now(),
            canceller,
            long_calls: None,
            long_from: None,
        }
    }

    /// Tells of each call that runs for longer than `after`, once, on the call's own thread.
    pub(crate) fn tell_of_long_calls(&mut self, after: Duration, tell: Box<dyn FnMut() + Send>) {
        self.long_calls = Some(LongCalls { after, tell });
    }

    /// Starts the account of a call and returns its first slice.
    pub(crate) fn begin(&mut self, fuel: u64, deadline: Duration) -> i64 {
        self.limit = fuel.min(FUEL_MAX);
        // A deadline too far away to be represented is none in practice: use a century.
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        self.allowed = deadline.min(century);
        self.before = 0;
        self.calls_before = self.canceller.fuel();
        self.start()
    }

    /// Gives the call a new budget and returns its first slice. `left` is what the old one's slice has left.
    pub(crate) fn renew(&mut self, left: i64) -> i64 {
        self.before = self.total(left);
        self.publish(self.before);
        self.start()
    }

    /// Moves the deadline by time that the guest is not to blame for.
    pub(crate) fn extend(&mut self, waited: Duration) {
        self.deadline = self.deadline.checked_add(waited).unwrap_or(self.deadline);
        self.long_from = self.long_from.and_then(|from| from.checked_add(waited));
    }

    fn start(&mut self) -> i64 {
        let now = Instant::now();
        self.deadline = now.checked_add(self.allowed).unwrap_or(now);
        self.long_from = self.long_calls.as_ref().and_then(|long| now.checked_add(long.after));
        self.granted = 0;
        self.grant(0)
    }

    fn publish(&self, used_by_call: u64) {
        self.canceller.publish_fuel(self.calls_before.saturating_add(used_by_call));
    }

    /// Fuel used by the whole call, given what is left of the current slice.
    pub(crate) fn total(&self, left: i64) -> u64 {
        self.before.saturating_add(self.used(left))
    }

    /// Fuel used of the current budget, given what is left of the current slice (negative when overdrawn).
    fn used(&self, left: i64) -> u64 {
        self.granted.saturating_add_signed(left.saturating_neg())
    }

    /// The next slice after the current one has been overdrawn to `left`.
    pub(crate) fn refill(&mut self, left: i64) -> Result<i64, Stop> {
        let used = self.used(left);
        self.publish(self.before.saturating_add(used));
        if used > self.limit {
            return Err(Stop::Fuel);
        }
        self.check()?;
        Ok(self.grant(used))
    }

    /// Fails when the call has been cancelled or its deadline has passed. Tells of a call that has become
    /// a long one.
    pub(crate) fn check(&mut self) -> Result<(), Stop> {
        if self.canceller.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        let now = Instant::now();
        if now >= self.deadline {
            return Err(Stop::Deadline);
        }
        if self.long_from.is_some_and(|from| now >= from) {
            self.long_from = None;
            if let Some(long) = &mut self.long_calls {
                (long.tell)();
            }
        }
        Ok(())
    }

    /// Time left before the deadline.
    pub(crate) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The handle that cancels this meter's calls.
    pub(crate) fn canceller(&self) -> &Canceller {
        &self.canceller
    }

    fn grant(&mut self, used: u64) -> i64 {
        let slice = SLICE.min(self.limit.saturating_sub(used));
        self.granted = used.saturating_add(slice);
        slice.cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(fuel: u64) -> (Meter, i64) {
        let mut meter = Meter::new(Canceller::default());
        let first = meter.begin(fuel, Duration::from_secs(60));
        (meter, first)
    }

    #[test]
    fn use_is_counted_exactly_across_slices() {
        let (mut meter, first) = meter(10 * SLICE);
        assert_eq!(first, SLICE as i64);
        let second = meter.refill(-7).unwrap();
        assert_eq!(meter.used(second - 5), SLICE + 7 + 5);
    }

    #[test]
    fn the_last_unit_may_be_used_and_no_more() {
        let (mut meter, first) = meter(SLICE + 10);
        assert_eq!(first, SLICE as i64);
        assert_eq!(meter.refill(-4).unwrap(), 6);
        assert_eq!(meter.used(0), SLICE + 10);
        assert_eq!(meter.refill(-1), Err(Stop::Fuel));
    }

    #[test]
    fn a_new_budget_forgets_the_limit_and_not_the_use() {
        let (mut meter, first) = meter(SLICE);
        let second = meter.renew(first - 7);
        assert_eq!(second, SLICE as i64);
        assert_eq!(meter.total(second - 5), 7 + 5);
        assert_eq!(meter.canceller().fuel(), 7);
        assert_eq!(meter.refill(-1), Err(Stop::Fuel));
        assert_eq!(meter.canceller().fuel(), 7 + SLICE + 1);
        meter.begin(SLICE, Duration::from_millis(20));
        assert_eq!(meter.canceller().fuel(), 7 + SLICE + 1, "earlier calls count");
        meter.extend(Duration::from_secs(5));
        assert!(meter.time_left() > Duration::from_secs(4));
        meter.renew(0);
        assert!(meter.time_left() <= Duration::from_millis(20));
    }

    #[test]
    fn an_absurd_overdraft_is_out_of_fuel() {
        let (mut meter, _) = meter(u64::MAX);
        assert_eq!(meter.refill(i64::MIN), Err(Stop::Fuel));
    }

    #[test]
    fn a_long_call_is_told_once() {
        let told = Arc::new(AtomicU64::new(0));
        let (mut meter, count) = (Meter::new(Canceller::default()), Arc::clone(&told));
        let tell = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        meter.tell_of_long_calls(Duration::from_millis(20), Box::new(tell));
        let mut calls = 0;
        for waited in [Duration::ZERO, Duration::from_secs(3600)] {
            meter.begin(1, Duration::MAX);
            meter.extend(waited);
            std::thread::sleep(Duration::from_millis(25));
            meter.check().unwrap();
            meter.check().unwrap();
            calls += u64::from(waited.is_zero());
            assert_eq!(told.load(Ordering::Relaxed), calls, "waiting does not count");
        }
    }

    #[test]
    fn a_far_deadline_and_a_past_one() {
        let mut meter = Meter::new(Canceller::default());
        meter.begin(1, Duration::MAX);
        assert!(meter.check().is_ok());
        meter.begin(1, Duration::ZERO);
        assert_eq!(meter.check(), Err(Stop::Deadline));
        meter.canceller().cancel();
        assert_eq!(meter.check(), Err(Stop::Cancelled));
    }
}
