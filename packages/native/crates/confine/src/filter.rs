//! The system calls that a guest's thread may use.
//!
//! Files are used that others have opened: nothing here names a path, starts a program or a thread, or changes
//! what the process may do.

use std::io;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

/// Memory: of the allocator, of guests, of translated code.
const MEMORY: &[c_long] = &[
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_memfd_create,
];

/// Files that are open: disks, snapshots, the descriptors that wake another thread.
const OPEN_FILES: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_close,
];

/// Sockets, of the kinds that `socket` lets through, and the descriptors that watch them.
const SOCKETS: &[c_long] = &[
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_eventfd2,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
];

/// Waiting, clocks, and the timer whose signal ends a processor's run.
const TIME: &[c_long] = &[
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_restart_syscall,
    libc::SYS_timer_create,
    libc::SYS_timer_settime,
    libc::SYS_timer_gettime,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_delete,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
];

/// The thread itself, and the end of the process.
const THREAD: &[c_long] = &[
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The kind of `ioctl` that KVM has, in the second byte of its number.
const KVM_IOCTLS: u64 = 0xae00;
const IOCTL_KIND: u64 = 0xff00;
/// The bits of a socket's type that are not flags.
const SOCKET_TYPE: u64 = 0xf;

fn argument(number: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(number, SeccompCmpArgLen::Dword, operator, value)
        .map_err(io::Error::other)
}

fn rule(conditions: Vec<SeccompCondition>) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions).map_err(io::Error::other)
}

/// System calls that are let through with some arguments only.
fn with_arguments() -> io::Result<Vec<(c_long, Vec<SeccompRule>)>> {
    use SeccompCmpOp::{Eq, MaskedEq};
    let mut sockets = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
            let kind = argument(1, MaskedEq(SOCKET_TYPE), kind as u64)?;
            sockets.push(rule(vec![argument(0, Eq, family as u64)?, kind])?);
        }
    }
    let process = u64::from(std::process::id());
    // Of a descriptor; a path is not excluded by it, but what statx says is all that it gives.
    let of_descriptor =
        argument(2, MaskedEq(libc::AT_EMPTY_PATH as u64), libc::AT_EMPTY_PATH as u64)?;
    Ok(vec![
        (
            libc::SYS_ioctl,
            vec![
                rule(vec![argument(1, MaskedEq(IOCTL_KIND), KVM_IOCTLS)?])?,
                rule(vec![argument(1, Eq, libc::FIONBIO)?])?,
            ],
        ),
        (libc::SYS_socket, sockets),
        (libc::SYS_statx, vec![rule(vec![of_descriptor])?]),
        // A process that aborts signals itself.
        (libc::SYS_tgkill, vec![rule(vec![argument(0, Eq, process)?])?]),
    ])
}

fn program() -> io::Result<BpfProgram> {
    let always = [MEMORY, OPEN_FILES, SOCKETS, TIME, THREAD].concat();
    let rules =
        always.into_iter().map(|call| (call, Vec::new())).chain(with_arguments()?).collect();
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, arch);
    filter.and_then(TryInto::try_into).map_err(io::Error::other)
}

/// Lets the calling thread use nothing else from now on.
pub(crate) fn install() -> io::Result<()> {
    apply_filter(&program()?).map_err(io::Error::other)
}
