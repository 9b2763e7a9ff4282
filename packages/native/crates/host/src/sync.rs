//! Locks, conditions and threads.
//!
//! Those of the standard library; with the feature `shuttle` those of a scheduler that runs a test
//! under many interleavings, see `tests/handover.rs`.

#[cfg(not(feature = "shuttle"))]
pub use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak, atomic},
    thread,
};

#[cfg(feature = "shuttle")]
pub use shuttle::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak, atomic},
    thread,
};

use std::io;
use std::time::Duration;

/// Starts a thread that is not confined.
///
/// # Errors
/// If the host has no thread to give.
pub fn spawn(name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    #[cfg(not(feature = "shuttle"))]
    return stillpoint_confine::spawn(name, work);
    #[cfg(feature = "shuttle")]
    return thread::Builder::new().name(name.to_owned()).spawn(work).map(|_| ());
}

/// Starts a thread for guests.
///
/// # Errors
/// If the host has no thread to give.
pub fn spawn_confined(name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    #[cfg(not(feature = "shuttle"))]
    return stillpoint_confine::spawn_confined(name, work);
    #[cfg(feature = "shuttle")]
    return spawn(name, work);
}

/// Waits for the condition, for this long at most; whether that is over. `guard` is of `mutex`.
pub fn wait_up_to<'a, T>(
    condition: &Condvar,
    mutex: &'a Mutex<T>,
    guard: MutexGuard<'a, T>,
    limit: Duration,
) -> (MutexGuard<'a, T>, bool) {
    #[cfg(not(feature = "shuttle"))]
    {
        let _ = mutex;
        let (guard, timeout) =
            condition.wait_timeout(guard, limit).unwrap_or_else(PoisonError::into_inner);
        (guard, timeout.timed_out())
    }
    // Time is the scheduler's: the limit may be over whenever another thread has executed.
    #[cfg(feature = "shuttle")]
    {
        let _ = (condition, limit);
        drop(guard);
        thread::yield_now();
        (mutex.lock().unwrap_or_else(PoisonError::into_inner), true)
    }
}
