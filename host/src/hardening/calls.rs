//! seccomp: which system calls the process can make.
//!
//! The filter is a list of what a server of this kind needs, taken from what the C library, the network
//! runtime, the compiler of the sandbox and the resolver of packages call; everything else is answered
//! with `ENOSYS`, as by a kernel that does not have it, so that libraries fall back rather than fail.
//! It is one filter for all threads: every thread of the server opens files, maps memory or talks to
//! the network at some time, and guest code makes no system call at all, so that filters by role would
//! be the same filter.
//!
//! Programs can be started only where packages are resolved. They inherit this filter, as well as the
//! rules of Landlock, and nothing takes either off again.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use SeccompCmpArgLen::{Dword, Qword};
use SeccompCmpOp::{Eq, MaskedEq};

/// Calls with any arguments, on every architecture.
const ALWAYS: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_brk,
    libc::SYS_chdir,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_connect,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchdir,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getitimer,
    libc::SYS_getpeername,
    libc::SYS_getpgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrusage,
    libc::SYS_getsid,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_linkat,
    libc::SYS_listen,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    libc::SYS_mincore,
    libc::SYS_mkdirat,
    libc::SYS_mlock,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_munlock,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_pselect6,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendfile,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_setitimer,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_socketpair,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_sysinfo,
    libc::SYS_tgkill,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_times,
    libc::SYS_truncate,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Older names of the same calls, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_chmod,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_getdents,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_symlink,
    libc::SYS_time,
    libc::SYS_unlink,
    libc::SYS_utimes,
];

#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// To start a program, to end it and to wait for it.
const PROGRAMS: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_kill,
    libc::SYS_setpgid,
    libc::SYS_setsid,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// What may be asked of a file descriptor: blocking, closing, bytes that wait, a terminal's state and
/// size, and which pages of a region were written to.
const REQUESTS: [u64; 7] = [0x5421, 0x5450, 0x5451, 0x541b, 0x5401, 0x5413, 0xc060_6610];

/// What a process may ask for itself; dumps are dealt with apart.
const PROCESS: [i32; 7] = [
    libc::PR_SET_NAME,
    libc::PR_GET_NAME,
    libc::PR_GET_DUMPABLE,
    libc::PR_SET_NO_NEW_PRIVS,
    libc::PR_SET_PDEATHSIG,
    libc::PR_SET_VMA,
    libc::PR_CAPBSET_READ,
];

const FAMILIES: [i32; 3] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];

/// Namespaces, of which `clone` may make none.
const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// The filter; with `programs`, others can be started.
pub(super) fn filter(programs: bool) -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut allow = |call: c_long, conditions: Vec<SeccompCondition>| {
        let known = rules.entry(call).or_default();
        if !conditions.is_empty() {
            known.push(SeccompRule::new(conditions)?);
        }
        Ok::<_, BackendError>(())
    };
    for call in ALWAYS.iter().chain(OLDER) {
        allow(*call, Vec::new())?;
    }
    for request in REQUESTS {
        allow(libc::SYS_ioctl, vec![SeccompCondition::new(1, Dword, Eq, request)?])?;
    }
    for option in PROCESS {
        allow(libc::SYS_prctl, vec![SeccompCondition::new(0, Dword, Eq, unsigned(option))?])?;
    }
    let undumpable = vec![
        SeccompCondition::new(0, Dword, Eq, unsigned(libc::PR_SET_DUMPABLE))?,
        SeccompCondition::new(1, Qword, Eq, 0)?,
    ];
    allow(libc::SYS_prctl, undumpable)?;
    for family in FAMILIES {
        allow(libc::SYS_socket, vec![SeccompCondition::new(0, Dword, Eq, unsigned(family))?])?;
    }
    // The C library asks which addresses this machine has before it looks a name up.
    let routes = vec![
        SeccompCondition::new(0, Dword, Eq, unsigned(libc::AF_NETLINK))?,
        SeccompCondition::new(2, Dword, Eq, unsigned(libc::NETLINK_ROUTE))?,
    ];
    allow(libc::SYS_socket, routes)?;
    // Its own limits only.
    allow(libc::SYS_prlimit64, vec![SeccompCondition::new(0, Dword, Eq, 0)?])?;
    // A thread's own slice and priority only.
    allow(libc::SYS_sched_setattr, vec![SeccompCondition::new(0, Dword, Eq, 0)?])?;
    // `clone3` hides its flags from filters; where it does not exist, `clone` is called.
    let thread = unsigned(libc::CLONE_THREAD);
    let namespaces = unsigned(NAMESPACES);
    let mut flags = vec![SeccompCondition::new(0, Qword, MaskedEq(namespaces), 0)?];
    if programs {
        for call in PROGRAMS {
            allow(*call, Vec::new())?;
        }
    } else {
        flags.push(SeccompCondition::new(0, Qword, MaskedEq(thread), thread)?);
    }
    allow(libc::SYS_clone, flags)?;

    let missing = SeccompAction::Errno(unsigned(libc::ENOSYS) as u32);
    let architecture: TargetArch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, missing, SeccompAction::Allow, architecture)?.try_into()
}

/// A flag or number of the C library, none of which is negative.
const fn unsigned(value: i32) -> u64 {
    value.cast_unsigned() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_fits_and_is_smaller_without_programs() {
        let (with, without) = (filter(true).unwrap(), filter(false).unwrap());
        // The kernel takes 4096 instructions.
        assert!(without.len() < with.len() && with.len() < 4096, "{} {}", without.len(), with.len());
    }

    /// Makes calls on a thread that has entered the filter; those that exist.
    fn existing(programs: bool, calls: &[(&'static str, c_long, [c_long; 4])]) -> Vec<&'static str> {
        let exists = |(name, number, [a, b, c, d]): &(&'static str, c_long, [c_long; 4])| {
            // SAFETY: each call is one that the filter answers, or that fails for its arguments or changes
            // nothing; the pointers are null.
            let answer = unsafe { libc::syscall(*number, *a, *b, *c, *d) };
            let missing =
                answer == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS);
            (!missing).then_some(*name)
        };
        let filter = filter(programs).unwrap();
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                seccompiler::apply_filter(&filter).unwrap();
                calls.iter().filter_map(exists).collect()
            });
            inside.join().unwrap()
        })
    }

    #[test]
    fn attack_calls_that_no_server_needs_do_not_exist() {
        const PR_SET_PTRACER: c_long = 0x5961_6d61;
        const NAMESPACE: c_long = (libc::CLONE_NEWUSER | libc::CLONE_FS) as c_long;
        let none = [0; 4];
        let bad = [-1, 0, 0, 0];
        let socket =
            |family: i32, protocol| [c_long::from(family), c_long::from(libc::SOCK_RAW), protocol, 0];
        let calls = [
            ("add_key", libc::SYS_add_key, none),
            ("bpf", libc::SYS_bpf, bad),
            ("capset", libc::SYS_capset, none),
            ("chroot", libc::SYS_chroot, none),
            ("clone into a namespace", libc::SYS_clone, [NAMESPACE, 0, 0, 0]),
            ("clone3", libc::SYS_clone3, none),
            ("finit_module", libc::SYS_finit_module, bad),
            ("init_module", libc::SYS_init_module, none),
            ("io_uring_setup", libc::SYS_io_uring_setup, none),
            ("ioctl: typing into a terminal", libc::SYS_ioctl, [-1, 0x5412, 0, 0]),
            ("kexec_load", libc::SYS_kexec_load, [0, 0, 0, -1]),
            ("keyctl", libc::SYS_keyctl, bad),
            ("mount", libc::SYS_mount, none),
            ("name_to_handle_at", libc::SYS_name_to_handle_at, bad),
            ("open_by_handle_at", libc::SYS_open_by_handle_at, bad),
            ("perf_event_open", libc::SYS_perf_event_open, none),
            ("personality", libc::SYS_personality, [0xffff_ffff, 0, 0, 0]),
            ("pivot_root", libc::SYS_pivot_root, none),
            ("prctl: dumps", libc::SYS_prctl, [c_long::from(libc::PR_SET_DUMPABLE), 1, 0, 0]),
            ("prctl: debuggers", libc::SYS_prctl, [PR_SET_PTRACER, 0, 0, 0]),
            ("prlimit of another process", libc::SYS_prlimit64, [c_long::from(i32::MAX), 0, 0, 0]),
            ("process_vm_readv", libc::SYS_process_vm_readv, bad),
            ("process_vm_writev", libc::SYS_process_vm_writev, bad),
            ("ptrace", libc::SYS_ptrace, bad),
            ("reboot", libc::SYS_reboot, none),
            ("request_key", libc::SYS_request_key, none),
            ("setns", libc::SYS_setns, bad),
            ("setresuid", libc::SYS_setresuid, [-1, -1, -1, 0]),
            ("socket: packets", libc::SYS_socket, socket(libc::AF_PACKET, 0)),
            ("socket: the kernel's log of audits", libc::SYS_socket, socket(libc::AF_NETLINK, 9)),
            ("socket: the kernel's ciphers", libc::SYS_socket, socket(libc::AF_ALG, 0)),
            ("socket: other virtual machines", libc::SYS_socket, socket(libc::AF_VSOCK, 0)),
            ("swapon", libc::SYS_swapon, none),
            ("umount2", libc::SYS_umount2, none),
            ("unshare", libc::SYS_unshare, none),
            ("userfaultfd", libc::SYS_userfaultfd, bad),
        ];
        for programs in [true, false] {
            assert_eq!(existing(programs, &calls), [""; 0], "with programs: {programs}");
        }
        let start = [("execve", libc::SYS_execve, none), ("kill", libc::SYS_kill, [0; 4])];
        assert_eq!((existing(true, &start).len(), existing(false, &start).len()), (2, 0));
        let needed = [("getpid", libc::SYS_getpid, none), ("close", libc::SYS_close, bad)];
        assert_eq!(existing(false, &needed).len(), 2);
    }

    #[test]
    fn no_call_is_listed_twice() {
        let mut calls: Vec<_> = ALWAYS.iter().chain(OLDER).chain(PROGRAMS).collect();
        calls.sort_unstable();
        let all = calls.len();
        calls.dedup();
        assert_eq!(calls.len(), all);
    }
}
