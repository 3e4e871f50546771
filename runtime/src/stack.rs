//! Native stack for guest code.
//!
//! Deep recursion inside the guest uses native stack as well as the guest's own. The compiled code
//! stops at [`WASM_STACK_BYTES`], but it trusts that the thread has that much: on a smaller stack
//! an overflow would end the process. The runtime therefore looks at the thread it is called on
//! and moves the call to a thread of its own where the stack is too small.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::thread;

/// Native stack that guest code may use, in bytes. CPython's own check looks at the guest's 8 MiB
/// stack only; frames are up to several times larger natively.
pub(crate) const WASM_STACK_BYTES: usize = 48 << 20;

/// Stack for host functions below the guest's frames, and for our own frames above them.
const HOST_STACK_BYTES: usize = 1 << 20;

/// Native stack that a thread should have to run guest code, in bytes.
///
/// A thread with less still works, at the price of a helper thread for each call (some tens of
/// microseconds). See [`worker_thread`].
pub const WORKER_STACK_BYTES: usize = 64 << 20;

/// A builder of threads that are large enough to run guest code without a detour.
///
/// Stack is reserved, not used: memory is taken only by what actually recurses.
pub fn worker_thread(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned()).stack_size(WORKER_STACK_BYTES)
}

/// Runs `work` with enough native stack for guest code: here if possible, else on a thread made for
/// it.
pub(crate) fn with_guest_stack<R: Send>(work: impl FnOnce() -> R + Send) -> io::Result<R> {
    if remaining().is_some_and(|bytes| bytes >= WASM_STACK_BYTES + HOST_STACK_BYTES) {
        return Ok(work());
    }
    thread::scope(|scope| {
        let worker = worker_thread("vivarium-guest").spawn_scoped(scope, work)?;
        worker.join().map_err(|_| io::Error::other("the thread that ran the guest panicked"))
    })
}

/// Bytes between here and the end of the current thread's stack, or `None` if unknown.
fn remaining() -> Option<usize> {
    thread_local! {
        static LOWEST: Cell<Option<usize>> = const { Cell::new(None) };
    }
    let lowest = match LOWEST.get() {
        Some(lowest) => lowest,
        None => {
            let lowest = lowest_stack_address()?;
            LOWEST.set(Some(lowest));
            lowest
        }
    };
    let here = 0_u8;
    (&raw const here as usize).checked_sub(lowest)
}

/// Lowest usable address of the current thread's stack.
fn lowest_stack_address() -> Option<usize> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the call initialises the attributes of the calling thread if it returns 0.
    if unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    let mut lowest = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: initialised above; the outputs are valid for writes. The attributes are destroyed once
    // and not used after.
    let failed = unsafe {
        let failed = libc::pthread_attr_getstack(attributes.as_ptr(), &mut lowest, &mut size);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        failed
    };
    // The guard, where the C library counts it as stack, is far smaller than `HOST_STACK_BYTES`.
    (failed == 0 && !lowest.is_null()).then_some(lowest as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_thread_takes_a_detour_and_a_large_one_does_not() {
        let caller = thread::current().id();
        assert_ne!(with_guest_stack(|| thread::current().id()).unwrap(), caller);
        let stayed = worker_thread("test").spawn(|| {
            let caller = thread::current().id();
            with_guest_stack(|| thread::current().id()).unwrap() == caller
        });
        assert!(stayed.unwrap().join().unwrap());
    }

    #[test]
    fn what_remains_is_believable() {
        let inside = thread::Builder::new().stack_size(4 << 20).spawn(remaining).unwrap().join().unwrap();
        let bytes = inside.unwrap();
        assert!((3 << 20..=5 << 20).contains(&bytes), "{bytes}");
    }
}
