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

use std::time::Duration;

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
