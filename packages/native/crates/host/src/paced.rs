//! A run whose guest waits as long in host time as in guest time.
//!
//! A wait is outside of the run's slices: it takes neither a thread nor a turn.

use crate::anchor::Anchor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use stillpoint_vmm::engine::Nanos;
use stillpoint_vmm::machine::Machine;

/// A wait, from its beginning to the guest time at which it is over.
#[derive(Clone, Copy)]
struct Wait {
    begun: Anchor,
    over_at: Nanos,
}

impl Wait {
    /// Guest time by now.
    fn now(&self) -> Nanos {
        self.begun.guest_at(Instant::now()).min(self.over_at)
    }
}

/// The wait of a paced run's guest, shared by the thread that runs the machine and by others.
#[derive(Clone, Default)]
pub(crate) struct Paced {
    wait: Arc<Mutex<Option<Wait>>>,
}

impl Paced {
    fn lock(&self) -> MutexGuard<'_, Option<Wait>> {
        self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the guest wait if it does, until `end` at most; returns the end in host time. A machine
    /// that does not wake on its own has none.
    pub(crate) fn begin(&self, machine: &Machine, end: Nanos) -> Option<Option<Instant>> {
        let begun = Anchor { host: Instant::now(), guest: machine.now() };
        let over_at = machine.waits_until()?.min(end);
        if over_at <= begun.guest {
            return None;
        }
        *self.lock() = Some(Wait { begun, over_at });
        Some(begun.host_at(over_at))
    }

    /// Advances a waiting guest to the host's time, so that input enters at the moment of its
    /// arrival.
    pub(crate) fn bring_up(&self, machine: &mut Machine) {
        let wait = *self.lock();
        if let Some(wait) = wait {
            machine.let_pass(wait.now());
        }
    }

    /// The guest waits no more.
    pub(crate) fn end(&self) {
        *self.lock() = None;
    }

    /// Guest time of a machine that stood at `stood_at` when it last looked up.
    pub(crate) fn now(&self, stood_at: Nanos) -> Nanos {
        self.lock().map_or(stood_at, |wait| stood_at.max(wait.now()))
    }
}
