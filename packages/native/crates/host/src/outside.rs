//! The host side of a machine's devices, such as a network.
//!
//! ```text
//!  host thread, device ──wake──▶ the run comes to a boundary, or is taken up ──▶ visit(machine)
//! ```
//! Input from an outside enters like all host input: between two instructions, at a guest time,
//! recorded as `HostInput`. A replay has no outside.

use crate::alarms::{Alarm, Alarms};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use stillpoint_vmm::machine::Machine;

/// The host side of a machine's devices.
pub trait Outside: Send {
    /// Called with the machine between two instructions, by one thread at a time: at the beginning of
    /// every run, soon after [`Waker::wake`] (one visit may stand for many), and at the moment that
    /// the last visit returned. Input given here is recorded as the host's. Must not block. Returns
    /// the time of the next visit if nothing wakes it before.
    ///
    /// Guest time stands meanwhile; in a machine that lives it is where the host's clock says.
    fn visit(&mut self, machine: &mut Machine) -> Option<Instant>;
}

type Wake = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Flags {
    is_asked: AtomicBool,
}

/// Has an outside visited soon. Cheap, from any thread, as often as one likes.
#[derive(Clone)]
pub struct Waker {
    flags: Arc<Flags>,
    wake: Wake,
}

impl Waker {
    /// Requests a visit. A machine that executes comes to an instruction boundary first, a sleeping
    /// live one is woken, one that has paused itself continues; one that is not run is visited at its
    /// next run. Does nothing once the machine is closed.
    pub fn wake(&self) {
        if !self.flags.is_asked.swap(true, Ordering::AcqRel) {
            (self.wake)();
        }
    }
}

struct Connected {
    outside: Box<dyn Outside>,
    waker: Waker,
    /// Rings for the moment that the last visit has named.
    alarm: Option<(Instant, Alarm)>,
}

/// The outsides of a machine.
pub(crate) struct Outsides {
    connected: Mutex<Vec<Connected>>,
    alarms: Alarms,
}

impl Outsides {
    pub(crate) fn new(alarms: &Alarms) -> Self {
        Self { connected: Mutex::default(), alarms: alarms.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connected>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects the machine to one more; `wake` has its run come to a visit.
    pub(crate) fn connect(&self, wake: Wake, make: impl FnOnce(Waker) -> Box<dyn Outside>) {
        let waker = Waker { flags: Arc::default(), wake };
        let outside = make(waker.clone());
        self.lock().push(Connected { outside, waker: waker.clone(), alarm: None });
        waker.wake();
    }

    /// Disconnects everything.
    pub(crate) fn disconnect(&self) {
        let connected = std::mem::take(&mut *self.lock());
        for Connected { alarm, .. } in &connected {
            if let Some((_, alarm)) = alarm {
                self.alarms.cancel(*alarm);
            }
        }
    }

    /// Whether one of them has requested a visit.
    pub(crate) fn is_visit_due(&self) -> bool {
        self.lock().iter().any(|each| each.waker.flags.is_asked.load(Ordering::Acquire))
    }

    /// Visits those that requested it, or all.
    pub(crate) fn visit(&self, machine: &mut Machine, all: bool) {
        let mut connected = self.lock();
        for Connected { outside, waker, alarm } in connected.iter_mut() {
            if !waker.flags.is_asked.swap(false, Ordering::AcqRel) && !all {
                continue;
            }
            let next = outside.visit(machine);
            if alarm.map(|(at, _)| at) == next {
                continue;
            }
            if let Some((_, alarm)) = alarm.take() {
                self.alarms.cancel(alarm);
            }
            let waker = waker.clone();
            // Without a thread for alarms it is visited when it is woken.
            *alarm = next.and_then(|at| {
                self.alarms.set(at, move || waker.wake()).ok().map(|alarm| (at, alarm))
            });
        }
    }
}
