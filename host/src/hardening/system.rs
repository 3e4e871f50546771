//! System calls that no safe library offers for the whole process.

use std::io;

use libc::{c_int, c_ulong};

/// `struct __user_cap_header_struct` of the kernel.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: c_int,
}

/// `struct __user_cap_data_struct` of the kernel, of which version 3 has two.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilitySets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Binding ports below 1024.
const CAP_NET_BIND_SERVICE: u32 = 1 << 10;

fn check(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn prctl(option: c_int, value: c_ulong) -> io::Result<()> {
    const NONE: c_ulong = 0;
    // SAFETY: the options used here take a number and no pointer.
    check(unsafe { libc::prctl(option, value, NONE, NONE, NONE) })
}

/// Whether the process may be dumped, or looked into by a debugger of the same user.
pub(super) fn set_dumpable(dumpable: bool) -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, c_ulong::from(dumpable))
}

/// No core file is written, and the limit cannot be raised again.
pub(super) fn forbid_core_files() -> io::Result<()> {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure outlives the call, which only reads it.
    check(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) })
}

/// No program that is started from here on gains privileges.
pub(super) fn forbid_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Becomes another user for good, with its group and no other.
pub(super) fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: without groups there is no pointer to follow.
    check(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    // SAFETY: numbers only.
    check(unsafe { libc::setresgid(gid, gid, gid) })?;
    // SAFETY: numbers only.
    check(unsafe { libc::setresuid(uid, uid, uid) })?;
    // A change of users makes a process undumpable, which hides its own files in /proc from it. Dumps are
    // forbidden by their own mechanism, later.
    set_dumpable(true)
}

/// Gives up all capabilities but that of binding ports below 1024.
pub(super) fn drop_capabilities() -> io::Result<()> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let kept =
        CapabilitySets { effective: CAP_NET_BIND_SERVICE, permitted: CAP_NET_BIND_SERVICE, inheritable: 0 };
    let sets = [kept, CapabilitySets::default()];
    // SAFETY: both structures are laid out as the kernel's and outlive the call, which only reads them.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
