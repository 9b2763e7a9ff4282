//! A hold on a machine from other threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::time::Nanos;

#[derive(Debug)]
struct Shared {
    interrupt: Arc<AtomicBool>,
    /// A machine that sleeps is to look around.
    woken: AtomicBool,
    now: AtomicU64,
    gate: Mutex<()>,
    raised: Condvar,
}

/// Ends a machine's run from another thread and tells its guest time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MachineHandle {
    shared: Arc<Shared>,
}

impl MachineHandle {
    pub(super) fn new(interrupt: Arc<AtomicBool>, now: Nanos) -> Self {
        let shared = Shared {
            interrupt,
            woken: AtomicBool::new(false),
            now: AtomicU64::new(now),
            gate: Mutex::new(()),
            raised: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Ends the run in progress, or the next one before it begins, with `Stop::Interrupted`. The
    /// guest cannot tell. Takes effect within a few thousand instructions.
    pub fn interrupt(&self) {
        self.shared.interrupt.store(true, Ordering::Release);
        let _gate = self.shared.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.raised.notify_all();
    }

    /// Ends the machine's present or next sleep, and nothing else: a run continues and checks for
    /// input to the guest.
    pub fn wake(&self) {
        self.shared.woken.store(true, Ordering::Release);
        let _gate = self.shared.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.raised.notify_all();
    }

    /// Whether an interruption was requested and has not ended a run yet.
    pub fn is_interrupted(&self) -> bool {
        self.shared.interrupt.load(Ordering::Acquire)
    }

    /// The machine's guest time, as of a few milliseconds ago at most while it runs.
    pub fn now_nanos(&self) -> Nanos {
        self.shared.now.load(Ordering::Relaxed)
    }

    pub(super) fn publish(&self, now: Nanos) {
        self.shared.now.store(now, Ordering::Relaxed);
    }

    /// Whether an interruption was requested; clears the request.
    pub(super) fn take_interrupt(&self) -> bool {
        self.shared.interrupt.swap(false, Ordering::AcqRel)
    }

    /// Sleeps for up to `nanos` of host time, or until interrupted or woken; how long it was.
    pub(super) fn sleep(&self, nanos: Nanos) -> Nanos {
        let started = Instant::now();
        let whole = Duration::from_nanos(nanos);
        let mut gate = self.shared.gate.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let elapsed = started.elapsed();
            if elapsed >= whole
                || self.shared.interrupt.load(Ordering::Acquire)
                || self.shared.woken.swap(false, Ordering::AcqRel)
            {
                return u64::try_from(elapsed.as_nanos()).unwrap_or(nanos).min(nanos);
            }
            gate = match self.shared.raised.wait_timeout(gate, whole - elapsed) {
                Ok((gate, _)) => gate,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}
