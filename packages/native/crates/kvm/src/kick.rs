//! Making a processor come back: a timer whose signal ends `KVM_RUN`.
//!
//! The signal is blocked in the thread that runs the processor, except within `KVM_RUN`
//! (`KVM_SET_SIGNAL_MASK`): a signal that comes too early stays pending and ends the next `KVM_RUN`
//! before its first instruction. So none is lost, no handler is needed, and nothing else in the process
//! notices. A guest that never exits still returns control at its deadline, always.

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;

use kvm_ioctls::VcpuFd;

const KVM_SET_SIGNAL_MASK: libc::Ioctl = 0x4004_ae8b_u32 as libc::Ioctl;
const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// Maximum time of the timer: the interval at which the caller checks whether the guest must stop.
const MOST_NANOS: u64 = 5_000_000;

fn signal() -> libc::c_int {
    libc::SIGRTMIN() + 7
}

fn only_signal() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initializes the set, and the signal is one.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal());
        set.assume_init()
    }
}

/// Lets the signal, and nothing else, end this processor's `KVM_RUN`.
pub(super) fn let_through(processor: &VcpuFd) -> io::Result<()> {
    #[repr(C)]
    struct Mask {
        len: u32,
        set: [u8; 8],
    }
    let set = !(1_u64 << (signal() - 1));
    let mask = Mask { len: 8, set: set.to_ne_bytes() };
    // SAFETY: the descriptor is a processor's, and the mask is as long as it says.
    let result =
        unsafe { libc::ioctl(processor.as_raw_fd(), KVM_SET_SIGNAL_MASK, &raw const mask) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A timer of the calling thread, set, with its signal blocked. Dropped, all is as it was before.
pub(super) struct Kick {
    timer: libc::timer_t,
    mask_before: libc::sigset_t,
    /// The signal goes to the thread that made this.
    _of_this_thread: PhantomData<*const ()>,
}

impl Kick {
    /// Sets a timer to `nanos` from now or earlier.
    pub(super) fn after(nanos: u64) -> io::Result<Self> {
        let mut mask_before = MaybeUninit::uninit();
        // SAFETY: both sets are sets; the second is initialized by the call.
        let mask_before = unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &only_signal(), mask_before.as_mut_ptr());
            mask_before.assume_init()
        };
        // SAFETY: all zero is a sigevent that says nothing.
        let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal();
        // SAFETY: takes nothing.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        let mut timer = null_mut();
        // SAFETY: the event is whole, and the timer is written before it is used.
        let made = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer) };
        if made != 0 {
            let error = io::Error::last_os_error();
            // SAFETY: the mask is the thread's earlier one.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &mask_before, null_mut()) };
            return Err(error);
        }
        let kick = Self { timer, mask_before, _of_this_thread: PhantomData };
        kick.again_after(nanos);
        Ok(kick)
    }

    /// Sets the timer again, to `nanos` from now or earlier.
    pub(super) fn again_after(&self, nanos: u64) {
        let nanos = nanos.clamp(1, MOST_NANOS);
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let value = libc::timespec {
            tv_sec: (nanos / NANOS_PER_SECOND) as libc::time_t,
            tv_nsec: (nanos % NANOS_PER_SECOND) as libc::c_long,
        };
        let setting = libc::itimerspec { it_interval: never, it_value: value };
        // SAFETY: the timer lives as long as `self`, and the setting is a valid one.
        unsafe { libc::timer_settime(self.timer, 0, &setting, null_mut()) };
    }

    /// Has the next `KVM_RUN` of this thread end before it executes anything.
    pub(super) fn now(&self) {
        // SAFETY: the signal is blocked in this thread as long as `self` lives.
        unsafe { libc::pthread_kill(libc::pthread_self(), signal()) };
    }

    /// Takes away the signals that have come; whether there was one.
    pub(super) fn taken(&self) -> bool {
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let mut any = false;
        // SAFETY: the set is a set, and nothing is written through the null pointer.
        while unsafe { libc::sigtimedwait(&only_signal(), null_mut(), &at_once) } > 0 {
            any = true;
        }
        any
    }
}

impl Drop for Kick {
    fn drop(&mut self) {
        // SAFETY: the timer is this one's, and not used afterwards.
        unsafe { libc::timer_delete(self.timer) };
        self.taken();
        // SAFETY: the mask is the thread's earlier one.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.mask_before, null_mut()) };
    }
}
