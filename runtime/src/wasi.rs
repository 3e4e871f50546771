//! The guest's whole view of the host: five functions of WASI preview 1, the fuel meter, and
//! the input of map functions.
//!
//! Every argument is hostile: any pointer, any length, in any order. The functions answer with an
//! error number or end the call; they cannot panic and do not allocate by the guest's numbers.
//!
//! | function | does | burns |
//! |---|---|---|
//! | `clock_time_get` | wall and monotonic clock, coarse; CPU clocks are refused | 100 |
//! | `random_get` | at most 64 KiB a call; fails while an image is built | 1000, and 4 a byte |
//! | `fd_write` | stdout and stderr into a bounded buffer; any other descriptor is bad | 200, 20 a slice, and 1 per 8 bytes |
//! | `poll_oneoff` | sleeps on exactly one clock, woken by deadline and cancellation | 1000 |
//! | `proc_exit` | ends the call with a typed error | |
//! | `vivarium.pull` | asks the caller's source for a batch, writes it where the guest says; only while a map function runs | 1000, and 1 per 8 bytes |

mod clock;
mod memory;
mod output;
mod pull;
mod random;

use wasmtime::{Caller, Linker};

use crate::host_state::{HostState, refill};
use crate::instrument::{PULL_IMPORT, REFILL_IMPORT};

const MODULE: &str = "wasi_snapshot_preview1";

/// Error numbers of WASI preview 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
enum Errno {
    Success = 0,
    BadF = 8,
    Fault = 21,
    Inval = 28,
    Io = 29,
    NotSup = 58,
}

/// The guest called `proc_exit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the guest exited with code {code}")]
pub(crate) struct GuestExit {
    /// The code it gave; 134 is `abort()`.
    pub(crate) code: u32,
}

/// What a host function gives back: an error number for the guest, or the end of the call.
type Answer = wasmtime::Result<Result<(), Errno>>;

fn number(answer: Answer) -> wasmtime::Result<i32> {
    answer.map(|result| match result {
        Ok(()) => Errno::Success as i32,
        Err(errno) => errno as i32,
    })
}

/// Links everything that a guest can import.
pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        REFILL_IMPORT.0,
        REFILL_IMPORT.1,
        |mut caller: Caller<'_, HostState>, left: i64| -> wasmtime::Result<i64> {
            Ok(refill(caller.data_mut(), left)?)
        },
    )?;
    linker.func_wrap(
        PULL_IMPORT.0,
        PULL_IMPORT.1,
        |mut caller: Caller<'_, HostState>, room: u32, size: u32| pull::pull(&mut caller, room, size),
    )?;
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |mut caller: Caller<'_, HostState>, clock: u32, _precision: u64, out: u32| {
            number(clock::time_get(&mut caller, clock, out))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "poll_oneoff",
        |mut caller: Caller<'_, HostState>, subscriptions: u32, events: u32, count: u32, out: u32| {
            number(clock::poll_oneoff(&mut caller, subscriptions, events, count, out))
        },
    )?;
    linker.func_wrap(MODULE, "random_get", |mut caller: Caller<'_, HostState>, buffer: u32, len: u32| {
        number(random::get(&mut caller, buffer, len))
    })?;
    linker.func_wrap(
        MODULE,
        "fd_write",
        |mut caller: Caller<'_, HostState>, fd: u32, slices: u32, count: u32, out: u32| {
            number(output::fd_write(&mut caller, fd, slices, count, out))
        },
    )?;
    linker.func_wrap(MODULE, "proc_exit", |code: u32| -> wasmtime::Result<()> {
        Err(GuestExit { code }.into())
    })?;
    Ok(())
}
