//! How soon, and how much, the operating system lets a thread run.
//!
//! A call of one row is passed from thread to thread. Linux lets a thread that computes go on until its
//! slice is over, which it notices with the timer, up to 4 ms later, before one runs that has just woken
//! up; unless the slice of the latter is shorter (since 6.12). So threads that answer somebody ask for
//! short slices, and give them back once what they do turns out to take long. The share of a processor
//! that a thread gets does not depend on it. Elsewhere than on Linux all threads remain equal.

use std::time::Duration;

/// The shortest slice that there is.
const SHORT_SLICE: Duration = Duration::from_micros(100);

/// Lets the calling thread run soon after it wakes up.
pub(crate) fn react_quickly() {
    set(SHORT_SLICE, None);
}

/// Gives the calling thread slices of the usual length and a lower priority, 1 to 19. Without privileges
/// the priority cannot be raised again. Threads inherit it from those that start them.
pub(crate) fn fall_behind(nice: u8) {
    set(Duration::ZERO, Some(nice));
}

/// Where the kernel refuses, the thread stays as it is: nothing but time depends on it.
#[cfg(target_os = "linux")]
fn set(slice: Duration, nice: Option<u8>) {
    let now = rustix::process::getpriority_process(None).unwrap_or(0);
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER.cast_unsigned(),
        sched_flags: 0,
        sched_nice: nice.map_or(now, |nice| now.max(nice.into())),
        sched_priority: 0,
        // Of an ordinary thread, this is the slice in ns; 0 is the usual one.
        sched_runtime: slice.as_nanos() as u64,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the attributes are of the size that they say and are read only, during the call; 0 is the
    // calling thread.
    let failed = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) } != 0;
    if failed {
        let error = std::io::Error::last_os_error();
        tracing::debug!(%error, "a thread's slice or priority cannot be set");
    }
}

#[cfg(not(target_os = "linux"))]
fn set(_slice: Duration, _nice: Option<u8>) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_falls_behind_alone() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        let behind = std::thread::spawn(move || {
            react_quickly();
            assert_eq!(niceness(), before);
            fall_behind(7);
            react_quickly();
            niceness()
        });
        assert_eq!(behind.join().unwrap(), before.max(7));
        assert_eq!(niceness(), before);
    }
}
