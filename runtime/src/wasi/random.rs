//! Random bytes.

use wasmtime::Caller;

use super::{Answer, Errno, memory};
use crate::capabilities::Random;
use crate::host_state::{HostState, charge};

/// Most bytes one call may draw.
const BYTES_MAX: u32 = 64 << 10;

/// `random_get`.
pub(super) fn get(caller: &mut Caller<'_, HostState>, buffer: u32, len: u32) -> Answer {
    charge(caller, 1000 + 4 * u64::from(len.min(BYTES_MAX)))?;
    if len > BYTES_MAX {
        return Ok(Err(Errno::Inval));
    }
    if caller.data().building {
        // An image is forked many times: whatever was drawn into it would repeat.
        caller.data_mut().drew_randomness = true;
        return Ok(Err(Errno::NotSup));
    }
    if caller.data().capabilities.random == Random::Denied {
        return Ok(Err(Errno::NotSup));
    }
    Ok(memory::split(caller).and_then(|(memory, _)| {
        let buffer = memory::bytes_mut(memory, buffer, len)?;
        getrandom::fill(buffer).map_err(|_| Errno::Io)
    }))
}
