//! Input of map functions: what the stub `vivarium_pull` calls.

use wasmtime::{Caller, Error};

use super::memory;
use crate::feed::LentFeed;
use crate::host_state::{HostState, charge, renew_call};

/// The guest is told that there is no input here.
const UNAVAILABLE: i32 = -1;

/// `vivarium.pull`: without room, waits for the next batch and tells its size; with room, writes it.
pub(super) fn pull(caller: &mut Caller<'_, HostState>, room: u32, size: u32) -> wasmtime::Result<i32> {
    charge(caller, 1000)?;
    // Out of the store while it is in use: the source cannot be entered twice.
    let Some(mut feed) = caller.data_mut().feed.take() else { return Ok(UNAVAILABLE) };
    let answer =
        if (room, size) == (0, 0) { wait(caller, &mut feed) } else { write(caller, &mut feed, room, size) };
    caller.data_mut().feed = Some(feed);
    answer
}

fn wait(caller: &mut Caller<'_, HostState>, feed: &mut LentFeed) -> wasmtime::Result<i32> {
    let waited = feed.with(|feed| feed.wait()).ok_or_else(ended)?;
    caller.data_mut().meter.extend(waited.time);
    caller.data_mut().meter.check()?;
    if waited.fresh {
        renew_call(&mut *caller)?;
    }
    Ok(waited.bytes.cast_signed())
}

fn write(
    caller: &mut Caller<'_, HostState>,
    feed: &mut LentFeed,
    room: u32,
    size: u32,
) -> wasmtime::Result<i32> {
    let Ok((memory, _)) = memory::split(caller) else { return Ok(UNAVAILABLE) };
    let bytes = feed.with(|feed| feed.write(memory, room, size)).ok_or_else(ended)?;
    charge(caller, bytes as u64 / 8)?;
    Ok(0)
}

/// Ends the call; the feed knows why.
fn ended() -> Error {
    Error::msg("the input ended the call")
}
