//! Checked access to the calling guest's memory.

use wasmtime::Caller;

use super::Errno;
use crate::host_state::HostState;

/// The guest's memory and the host's state beside it.
pub(super) fn split<'a>(
    caller: &'a mut Caller<'_, HostState>,
) -> Result<(&'a mut [u8], &'a mut HostState), Errno> {
    let memory = caller.data().handles.ok_or(Errno::Fault)?.memory;
    Ok(memory.data_and_store_mut(caller))
}

/// `len` bytes at `pointer`.
pub(super) fn bytes(memory: &[u8], pointer: u32, len: u32) -> Result<&[u8], Errno> {
    let start = pointer as usize;
    let end = start.checked_add(len as usize).ok_or(Errno::Fault)?;
    memory.get(start..end).ok_or(Errno::Fault)
}

/// `len` bytes at `pointer`, to write to.
pub(super) fn bytes_mut(memory: &mut [u8], pointer: u32, len: u32) -> Result<&mut [u8], Errno> {
    let start = pointer as usize;
    let end = start.checked_add(len as usize).ok_or(Errno::Fault)?;
    memory.get_mut(start..end).ok_or(Errno::Fault)
}

/// `N` bytes at `pointer + offset`.
pub(super) fn array<const N: usize>(memory: &[u8], pointer: u32, offset: u32) -> Result<[u8; N], Errno> {
    let start = (pointer as usize).checked_add(offset as usize).ok_or(Errno::Fault)?;
    let bytes = memory.get(start..).ok_or(Errno::Fault)?;
    bytes.first_chunk().copied().ok_or(Errno::Fault)
}

/// Writes `value` at `pointer`.
pub(super) fn store(memory: &mut [u8], pointer: u32, value: &[u8]) -> Result<(), Errno> {
    let len = u32::try_from(value.len()).map_err(|_| Errno::Fault)?;
    bytes_mut(memory, pointer, len)?.copy_from_slice(value);
    Ok(())
}
