//! Turns the end of a guest call into a typed error.

use wasmtime::Trap;

use crate::call::CallError;
use crate::host_state::HostState;
use crate::meter::Stop;
use crate::stack::WASM_STACK_BYTES;
use crate::wasi::GuestExit;

/// Exit code of `abort()` in the guest.
const ABORT_CODE: u32 = 134;

/// A stack pointer this close to the bottom of the guest's own stack means that it overflowed. The
/// stack lies at the bottom of memory, so an overflow wraps around and hits nothing.
const STACK_FLOOR_BYTES: u32 = 64 << 10;

/// Limits that errors name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallLimits {
    pub(crate) fuel: u64,
    pub(crate) deadline_ms: u64,
    pub(crate) memory_bytes: u64,
}

/// Explains why the guest did not return. `stack_pointer` is its value at the end and the one the
/// guest's stack started with.
pub(crate) fn explain(
    error: &wasmtime::Error,
    state: &HostState,
    limits: CallLimits,
    stack_pointer: (u32, u32),
) -> CallError {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop {
            Stop::Fuel => CallError::Fuel { limit: limits.fuel },
            Stop::Deadline => CallError::Deadline { limit_ms: limits.deadline_ms },
            Stop::Cancelled => CallError::Cancelled,
        };
    }
    let stderr = || state.logs.stderr_tail();
    if let Some(GuestExit { code }) = error.downcast_ref() {
        return match *code {
            ABORT_CODE => CallError::Abort { stderr: stderr() },
            code => CallError::Exit { code },
        };
    }
    let recursion = CallError::Recursion { limit_bytes: WASM_STACK_BYTES as u64 };
    let (now, start) = stack_pointer;
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => recursion,
        Some(Trap::MemoryOutOfBounds) if now < STACK_FLOOR_BYTES.min(start) || now > start => recursion,
        Some(trap) => CallError::Trap { trap: trap.to_string(), stderr: stderr() },
        None => CallError::Host { reason: error.to_string() },
    }
}
