//! The run loop: lends the platform to the engine, and between two instructions does the work that is
//! due.
//!
//! Everything that the guest can notice happens at a guest time, in this order: devices that are due
//! are ticked, the sample that is due is taken, frames pass between the guest and its link,
//! instructions are executed. A run can end before any of these at a moment that depends on the host,
//! and the next run continues there: cutting a run in pieces changes nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Life, Machine};
use crate::engine::Exit;
use crate::event::{Event, EventBody, KindSet};
use crate::network::Expecting;
use crate::time::{HORIZON_NANOS, Nanos};

/// Guest time after which the machine looks up from a run: delivers events, publishes its clock.
const SLICE_NANOS: Nanos = 1_000_000;

/// The cost of a wait in host time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// A guest that waits costs no host time.
    #[default]
    Unpaced,
    /// A wait takes as long in host time as in guest time. A wait of more than a millisecond ends the
    /// run as an interrupt does, so that the caller can let the guest wait ([`Machine::let_pass`]) and
    /// continue.
    HostTime,
    /// The caller controls the pace, and lets the guest wait outside of runs: none of its waits takes
    /// host time.
    Live,
}

/// The longest wait of a guest that a run with [`Pace::HostTime`] sleeps through.
const SLEPT_NANOS: Nanos = 1_000_000;

/// The end of a run. With no condition set it ends with the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunUntil {
    /// At the first event of these kinds.
    pub kinds: KindSet,
    /// At this guest time.
    pub at_nanos: Option<Nanos>,
    /// After this much guest time.
    pub budget_nanos: Option<Nanos>,
    /// Whether waiting costs host time.
    pub pace: Pace,
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// An event of the requested kinds: the guest stands right behind the instruction that caused it.
    Event {
        /// The first such event.
        seq: u64,
    },
    /// Guest time reached the requested moment.
    Time,
    /// The budget is used up.
    Budget,
    /// Nothing can ever wake the guest without input.
    Idle,
    /// The guest has switched itself off.
    Halted {
        /// The firmware interface's reason code.
        reason: u32,
    },
    /// The guest has reset itself.
    Reset {
        /// The firmware interface's reason code.
        reason: u32,
    },
    /// The engine cannot continue.
    Fault {
        /// The reason.
        message: String,
    },
    /// Another thread requested it.
    Interrupted,
    /// Guest time reached [`HORIZON_NANOS`].
    Horizon,
}

impl Stop {
    /// The reason's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Event { .. } => "event",
            Self::Time => "time",
            Self::Budget => "budget",
            Self::Idle => "idle",
            Self::Halted { .. } => "halted",
            Self::Reset { .. } => "reset",
            Self::Fault { .. } => "fault",
            Self::Interrupted => "interrupted",
            Self::Horizon => "horizon",
        }
    }
}

/// One run in progress.
struct Run<'a> {
    at: Option<Nanos>,
    budget_end: Nanos,
    pace: Pace,
    sink: &'a mut dyn FnMut(&[Event]),
}

impl Run<'_> {
    /// The latest moment that this run may come to.
    fn end(&self) -> Nanos {
        self.at.unwrap_or(Nanos::MAX).min(self.budget_end).min(HORIZON_NANOS)
    }
}

impl Machine {
    /// Runs the guest until `until`. Events can be read from [`Machine::events`] afterwards.
    pub fn run(&mut self, until: &RunUntil) -> Stop {
        self.run_into(until, &mut |_| {})
    }

    /// Runs the guest until `until`, handing every event that `sink` has not seen yet to it: in
    /// order, in batches, at least every millisecond of guest time, and all before the return.
    pub fn run_into(&mut self, until: &RunUntil, sink: &mut dyn FnMut(&[Event])) -> Stop {
        self.platform.begin(until.kinds);
        let mut run = Run {
            at: until.at_nanos,
            budget_end: self.now().saturating_add(until.budget_nanos.unwrap_or(Nanos::MAX)),
            pace: until.pace,
            sink,
        };
        let stop = self.drive(&mut run);
        self.look_up(&mut run);
        self.platform.begin(KindSet::EMPTY);
        self.leave_derived();
        stop
    }

    /// Leaves data that the engine derived to other machines with this memory.
    pub(super) fn leave_derived(&mut self) {
        let (engine, memory) = (&mut self.engine, self.platform.memory.as_mut());
        let left = catch_unwind(AssertUnwindSafe(|| engine.leave_derived(memory, false)));
        if let Err(panic) = left {
            let message = panic_message(panic.as_ref());
            self.end(Life::Faulted { message });
        }
    }

    /// Delivers events and publishes the clock.
    fn look_up(&mut self, run: &mut Run<'_>) {
        self.handle.publish(self.platform.now);
        let log = self.platform.log();
        if self.delivered == log.next_seq() {
            return;
        }
        let Ok(pieces) = log.pieces_since(self.delivered.max(log.oldest_seq())) else { return };
        for events in pieces {
            (run.sink)(events);
        }
        self.delivered = log.next_seq();
    }

    fn drive(&mut self, run: &mut Run<'_>) -> Stop {
        loop {
            self.end_if_exceeded();
            self.look_up(run);
            if let Some(stop) = self.reason_to_stop(run) {
                return stop;
            }
            self.platform.tick();
            self.take_sample();
            self.settle_callers_before_running();
            if let Some(failure) = self.platform.memory.failure() {
                let message = failure.to_string();
                self.end(Life::Faulted { message });
                continue;
            }
            if self.platform.stopped_by().is_some() {
                continue;
            }
            self.exchange();
            let now = self.now();
            let limit = run
                .end()
                .min(self.sampler.next_at())
                .min(self.platform.next_deadline().unwrap_or(Nanos::MAX))
                .min(self.link_deadline().unwrap_or(Nanos::MAX).max(now + 1))
                .min(now.saturating_add(SLICE_NANOS));
            // Checks whether a guest that waited still does.
            let limit = if self.idle { now } else { limit };
            match self.lend(limit) {
                Exit::Idle { wake_at } => {
                    if let Some(stop) = self.wait(run, wake_at) {
                        return stop;
                    }
                }
                Exit::Deadline | Exit::Attention if self.idle => {
                    self.idle = false;
                    self.platform.emit(EventBody::GuestBusy);
                }
                Exit::Deadline | Exit::Attention | Exit::Interrupted => {}
                Exit::Halted { reason } => self.end(Life::Halted { reason }),
                Exit::Reset { reason } => self.end(Life::Reset { reason }),
                Exit::Fault(message) => self.end(Life::Faulted { message }),
            }
        }
    }

    /// Ends a guest that has passed a quota that ends it, before anything else can come of it.
    fn end_if_exceeded(&mut self) {
        if let Some(kind) = self.platform.exceeded()
            && self.life == Life::Running
        {
            let message = format!(
                "the guest passed its quota of {} events, which ends it; raise the quota, or have \
                 what is over it dropped",
                kind.name()
            );
            self.end(Life::Faulted { message });
        }
    }

    fn reason_to_stop(&mut self, run: &Run<'_>) -> Option<Stop> {
        if let Some(seq) = self.platform.stopped_by() {
            return Some(Stop::Event { seq });
        }
        match &self.life {
            Life::Running => {}
            Life::Halted { reason } => return Some(Stop::Halted { reason: *reason }),
            Life::Reset { reason } => return Some(Stop::Reset { reason: *reason }),
            Life::Faulted { message } => return Some(Stop::Fault { message: message.clone() }),
        }
        let now = self.now();
        if now >= HORIZON_NANOS {
            Some(Stop::Horizon)
        } else if run.at.is_some_and(|at| now >= at) {
            Some(Stop::Time)
        } else if now >= run.budget_end {
            Some(Stop::Budget)
        } else if self.handle.take_interrupt() {
            Some(Stop::Interrupted)
        } else {
            None
        }
    }

    pub(super) fn take_sample(&mut self) {
        if let Some(count) = self.sampler.sample(self.platform.now, self.platform.memory.as_mut()) {
            self.platform.emit(EventBody::PagesDirtied { count });
            self.platform.tell_traffic(self.sampler.step());
        }
    }

    /// Lets the engine execute until `limit`. Its panics and memory's failures are faults.
    fn lend(&mut self, limit: Nanos) -> Exit {
        self.platform.lend_until(limit);
        let (engine, platform) = (&mut self.engine, &mut self.platform);
        let exit = catch_unwind(AssertUnwindSafe(|| engine.run(platform, limit)));
        self.settle(exit)
    }

    /// Draws the consequences of an engine's work: its clock, its panics, memory's failures.
    pub(super) fn settle(&mut self, exit: std::thread::Result<Exit>) -> Exit {
        let exit = exit.unwrap_or_else(|panic| Exit::Fault(panic_message(panic.as_ref())));
        if !matches!(exit, Exit::Fault(_)) {
            self.platform.now = self.engine.now().max(self.platform.now);
        }
        match self.platform.memory.failure() {
            Some(failure) => Exit::Fault(failure.to_string()),
            None => exit,
        }
    }

    /// The guest waits for an interrupt. Lets time pass until something may end the wait, or the
    /// run; `Some` if nothing ever will.
    fn wait(&mut self, run: &mut Run<'_>, wake_at: Option<Nanos>) -> Option<Stop> {
        let now = self.now();
        let is_new = !self.idle;
        if is_new {
            self.idle = true;
            self.platform.emit(EventBody::GuestIdle);
        }
        let link = self.link_deadline();
        let wake = [wake_at, self.platform.next_deadline(), link].into_iter().flatten().min();
        let sample =
            self.sampler.is_pending(self.platform.memory.as_ref()).then(|| self.sampler.next_at());
        let wakes_at = [wake, sample].into_iter().flatten().min();
        self.wakes_at = Some(wakes_at.unwrap_or(HORIZON_NANOS));
        if is_new {
            // The run may end at this event, before any time passes.
            return None;
        }
        // Peers of the guest live in host time: a wait that took none would let the guest give up on
        // them before they had time to answer.
        let expecting = self.expecting();
        let (sleeps, may_be_woken) = match run.pace {
            Pace::Unpaced => (expecting == Expecting::Bytes, expecting == Expecting::Bytes),
            Pace::HostTime => (true, expecting != Expecting::Nothing),
            Pace::Live => (false, false),
        };
        if wakes_at.is_none() && run.at.is_none() && !may_be_woken {
            return Some(Stop::Idle);
        }
        let target = wakes_at.map_or(run.end(), |at| at.min(run.end()));
        // Waiting for a moment that has passed would wait for ever.
        let mut target = target.max(now + 1);
        if run.pace == Pace::HostTime && target - now > SLEPT_NANOS {
            return Some(Stop::Interrupted);
        }
        if sleeps {
            self.look_up(run);
            target = now + self.handle.sleep(target - now);
        }
        self.pass_to(target);
        None
    }

    /// Lets the guest wait until `target`.
    fn pass_to(&mut self, target: Nanos) {
        let before = self.now();
        let (engine, platform) = (&mut self.engine, &mut self.platform);
        let waited = catch_unwind(AssertUnwindSafe(|| {
            engine.wait(platform, target);
            Exit::Deadline
        }));
        if let Exit::Fault(message) = self.settle(waited) {
            self.end(Life::Faulted { message });
        }
        self.waited_nanos += self.now() - before;
        self.sampler.skip_to(self.platform.now, self.platform.memory.as_ref());
    }

    /// Until when the guest waits if it is given nothing, [`HORIZON_NANOS`] for ever; `None`: it has
    /// something to execute. As the last run has left it.
    pub fn waits_until(&self) -> Option<Nanos> {
        if self.idle && self.life == Life::Running { self.wakes_at } else { None }
    }

    /// Guest time that was waited away in the runs of this machine, since it was made.
    pub fn waited_nanos(&self) -> Nanos {
        self.waited_nanos
    }

    /// Lets a waiting guest wait until `at_nanos`, but no longer than it would without input. No
    /// instruction is executed; input that comes now comes at that moment.
    pub fn let_pass(&mut self, at_nanos: Nanos) {
        let Some(until) = self.waits_until() else { return };
        let target = at_nanos.min(until).min(HORIZON_NANOS);
        if target > self.now() {
            self.pass_to(target);
            self.handle.publish(self.platform.now);
        }
    }

    /// The guest executes no further.
    pub(crate) fn end(&mut self, life: Life) {
        self.platform.flush_console(matches!(life, Life::Reset { .. }));
        self.platform.report_dropped();
        self.platform.emit(match &life {
            Life::Running => return,
            Life::Halted { reason } => EventBody::GuestHalted { reason: *reason },
            Life::Reset { reason } => EventBody::GuestReset { reason: *reason },
            Life::Faulted { message } => EventBody::EngineFault { message: message.clone() },
        });
        self.life = life;
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    format!("the engine panicked: {text}")
}
