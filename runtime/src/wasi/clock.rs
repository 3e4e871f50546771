//! Time: reading it and waiting for it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmtime::Caller;

use super::{Answer, Errno, memory};
use crate::capabilities::Clock;
use crate::host_state::{HostState, charge};

const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;

/// A sleeping guest looks at its deadline and cancellation this often.
const SLEEP_STEP: Duration = Duration::from_millis(2);

const SUBSCRIPTION_BYTES: u32 = 48;
const EVENT_BYTES: usize = 32;
const EVENT_CLOCK: u8 = 0;
const ABSOLUTE: u16 = 1;

/// `clock_time_get`.
pub(super) fn time_get(caller: &mut Caller<'_, HostState>, clock: u32, out: u32) -> Answer {
    charge(caller, 100)?;
    let now = match now(caller.data(), clock) {
        Ok(now) => now,
        Err(errno) => return Ok(Err(errno)),
    };
    Ok(memory::split(caller).and_then(|(memory, _)| memory::store(memory, out, &now.to_le_bytes())))
}

/// Nanoseconds that `clock` shows.
fn now(state: &HostState, clock: u32) -> Result<u64, Errno> {
    let (nanoseconds, step_ms) = match (&state.capabilities.clock, clock) {
        (Clock::Frozen { unix_ns }, REALTIME) => (u128::from(*unix_ns), 0),
        (Clock::Frozen { .. }, MONOTONIC) => (0, 0),
        (Clock::System { step_ms }, REALTIME) => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            (since.as_nanos(), (*step_ms).max(1))
        }
        (Clock::System { step_ms }, MONOTONIC) => (state.born.elapsed().as_nanos(), (*step_ms).max(1)),
        // CPU clocks would be a finer timer.
        _ => return Err(Errno::NotSup),
    };
    let nanoseconds = u64::try_from(nanoseconds).unwrap_or(u64::MAX);
    let step = u64::from(step_ms) * 1_000_000;
    Ok(if step == 0 { nanoseconds } else { nanoseconds - nanoseconds % step })
}

/// `poll_oneoff`, for exactly one clock subscription.
pub(super) fn poll_oneoff(
    caller: &mut Caller<'_, HostState>,
    subscriptions: u32,
    events: u32,
    count: u32,
    out: u32,
) -> Answer {
    charge(caller, 1000)?;
    let (event, duration) = match subscription(caller, subscriptions, count) {
        Ok(found) => found,
        Err(errno) => return Ok(Err(errno)),
    };
    sleep(caller.data_mut(), duration)?;
    Ok(memory::split(caller).and_then(|(memory, _)| {
        memory::store(memory, events, &event)?;
        memory::store(memory, out, &1_u32.to_le_bytes())
    }))
}

/// Reads the subscription: the event that answers it, and how long to wait.
fn subscription(
    caller: &mut Caller<'_, HostState>,
    pointer: u32,
    count: u32,
) -> Result<([u8; EVENT_BYTES], Duration), Errno> {
    let (memory, state) = memory::split(caller)?;
    match count {
        0 => return Err(Errno::Inval),
        1 => {}
        _ => return Err(Errno::NotSup),
    }
    memory::bytes(memory, pointer, SUBSCRIPTION_BYTES)?;
    let user_data: [u8; 8] = memory::array(memory, pointer, 0)?;
    let [tag] = memory::array(memory, pointer, 8)?;
    if tag != EVENT_CLOCK {
        return Err(Errno::NotSup);
    }
    let clock = u32::from_le_bytes(memory::array(memory, pointer, 16)?);
    let timeout = u64::from_le_bytes(memory::array(memory, pointer, 24)?);
    let flags = u16::from_le_bytes(memory::array(memory, pointer, 40)?);
    let shown = now(state, clock)?;
    let wait = if flags & ABSOLUTE == 0 { timeout } else { timeout.saturating_sub(shown) };
    let mut event = [0; EVENT_BYTES];
    for (to, from) in event.iter_mut().zip(user_data) {
        *to = from;
    }
    Ok((event, Duration::from_nanos(wait)))
}

/// Sleeps in steps, so that a sleeping guest can be stopped.
fn sleep(state: &mut HostState, duration: Duration) -> wasmtime::Result<()> {
    let start = std::time::Instant::now();
    loop {
        state.meter.check()?;
        let left = duration.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(SLEEP_STEP).min(state.meter.time_left()));
    }
}
