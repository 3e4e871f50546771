//! Standard output and standard error.

use wasmtime::Caller;

use super::{Answer, Errno, memory};
use crate::host_state::{HostState, charge};
use crate::logs::Stream;

/// Most slices in one call, as on Linux.
const SLICES_MAX: u32 = 1024;

const SLICE_BYTES: u32 = 8;

/// `fd_write`.
pub(super) fn fd_write(
    caller: &mut Caller<'_, HostState>,
    fd: u32,
    slices: u32,
    count: u32,
    out: u32,
) -> Answer {
    let total = match total_bytes(caller, slices, count) {
        Ok(total) => total,
        Err(errno) => {
            charge(caller, 200)?;
            return Ok(Err(errno));
        }
    };
    charge(caller, 200 + 20 * u64::from(count) + u64::from(total) / 8)?;
    let stream = match fd {
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        _ => return Ok(Err(Errno::BadF)),
    };
    Ok(memory::split(caller).and_then(|(memory, state)| {
        for index in 0..count {
            let (pointer, len) = slice(memory, slices, index)?;
            state.logs.write(stream, memory::bytes(memory, pointer, len)?);
        }
        memory::store(memory, out, &total.to_le_bytes())
    }))
}

/// Checks every slice and adds their lengths up.
fn total_bytes(caller: &mut Caller<'_, HostState>, slices: u32, count: u32) -> Result<u32, Errno> {
    if count > SLICES_MAX {
        return Err(Errno::Inval);
    }
    let (memory, _) = memory::split(caller)?;
    (0..count).try_fold(0_u32, |total, index| {
        let (pointer, len) = slice(memory, slices, index)?;
        memory::bytes(memory, pointer, len)?;
        total.checked_add(len).ok_or(Errno::Inval)
    })
}

fn slice(memory: &[u8], slices: u32, index: u32) -> Result<(u32, u32), Errno> {
    let at = index * SLICE_BYTES;
    let pointer = u32::from_le_bytes(memory::array(memory, slices, at)?);
    let len = u32::from_le_bytes(memory::array(memory, slices, at + 4)?);
    Ok((pointer, len))
}
