//! A machine that lives: it runs in the background, and its time follows the host's.
//!
//! ```text
//!          input, visit, alarm            waits, and its time has come to the host's
//!  asleep ─────────────────────▶ awake ──────────────────────────────────────────────▶ asleep
//!                                  ▲                                                      │ nothing given to it,
//!                   input, visit   │                                                      │ and little work, for
//!                                  └────────────────────── dozing ◀───────────────────────┘ the idle time-out
//! ```
//! Guest time is never ahead of the host's clock. A guest with more work than its host can do falls behind,
//! and catches up in its next waits, by [`CATCH_UP`] at most: otherwise its time-outs would expire before the
//! events that they wait for. The rest, and the time spent dozing, is lost to guest time; a wall clock that
//! must be right is set again.

use crate::anchor::{Anchor, nanos};
use crate::outside::Outsides;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use stillpoint_vmm::control::HostFrame;
use stillpoint_vmm::engine::Nanos;
use stillpoint_vmm::machine::{HORIZON_NANOS, Machine, Pace, RunUntil, Stop};

/// Host time by which a guest may be behind and still catches up.
const CATCH_UP: Duration = Duration::from_millis(100);

/// Host time for which a guest may compute ahead of its clock.
const AHEAD: Duration = Duration::from_millis(1);

/// Maximum delay in host time for a timer of a guest without input for [`CALM`], so that several are served
/// at once. Guest time does not show it.
const SLACK: Duration = Duration::from_millis(50);

/// Host time without activity after which a guest's timers may be late.
const CALM: Duration = Duration::from_secs(1);

/// Guest time of work without a rest that counts as activity: heartbeats and timers take less.
const WORK_NANOS: Nanos = 10_000_000;

/// Host time between two settings of a guest's wall clock.
const BETWEEN_SETS: Duration = Duration::from_secs(1);

/// Options of a live machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Living {
    /// Host time without input, visits that gave input, and longer work, after which it dozes.
    pub idle_timeout: Option<Duration>,
    /// Guest time that may be lost before the guest's wall clock is set to the host's; `None`: it is
    /// never set.
    pub wall_clock_tolerance: Option<Duration>,
}

/// The state of a live machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveStatus {
    /// It executes, or waits for a turn at it.
    Awake,
    /// Its guest waits for a timer or for input.
    Asleep,
    /// It has paused itself, and continues when it gets input.
    Dozing,
}

impl LiveStatus {
    /// The status's name, the same on every side.
    pub fn name(self) -> &'static str {
        match self {
            Self::Awake => "awake",
            Self::Asleep => "asleep",
            Self::Dozing => "dozing",
        }
    }
}

/// The history of a live machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveFacts {
    /// Its state.
    pub status: LiveStatus,
    /// Host time by which guest time has not followed, all in all, since it began to live.
    pub lost: Duration,
    /// The part that the guest's wall clock has not been corrected for.
    pub clock_error: Duration,
    /// Number of times that it woke from sleep.
    pub wakes: u64,
}

struct State {
    living: Living,
    status: LiveStatus,
    /// The moment from which guest time follows the host's clock.
    since: Anchor,
    /// The time at which a sleeping guest wakes on its own.
    wakes_at: Nanos,
    last_activity: Instant,
    lost: Duration,
    /// The part that the guest's wall clock has not been corrected for.
    lost_since_set: Duration,
    set_at: Option<Instant>,
    wakes: u64,
}

impl State {
    /// Guest time that the host's clock says.
    fn due(&self, now: Instant) -> Nanos {
        self.since.guest_at(now)
    }

    /// Time that was lost to the guest.
    fn lose(&mut self, lost: Duration) {
        self.lost += lost;
        self.lost_since_set += lost;
    }

    /// Something was given to the guest, or it has worked.
    fn be_active(&mut self, now: Instant, guest: Nanos) {
        self.last_activity = now;
        if self.status == LiveStatus::Dozing {
            let missed = self.due(now).saturating_sub(guest);
            self.lose(Duration::from_nanos(missed));
            self.since = Anchor { host: now, guest };
            self.status = LiveStatus::Awake;
            self.set_at = None;
        }
    }

    /// Has the guest's wall clock set to the host's, where too much was lost.
    fn set_wall_clock(&mut self, machine: &mut Machine, now: Instant) {
        if self.living.wall_clock_tolerance.is_none_or(|most| self.lost_since_set <= most)
            || self.set_at.is_some_and(|at| now.saturating_duration_since(at) < BETWEEN_SETS)
        {
            return;
        }
        // Time that it is behind is caught up.
        let behind = Duration::from_nanos(self.due(now).saturating_sub(machine.now()));
        let Ok(realtime) = SystemTime::now().duration_since(UNIX_EPOCH) else { return };
        let realtime_nanos = nanos(realtime.saturating_sub(behind));
        // A port without room is tried again.
        if machine.send_control(&HostFrame::SetClock { realtime_nanos }).is_ok() {
            self.lost_since_set = Duration::ZERO;
            self.set_at = Some(now);
        }
    }
}

/// The state of the live mode, shared by the thread that runs the machine and by its readers.
#[derive(Clone, Default)]
pub(crate) struct Life {
    state: Arc<Mutex<Option<State>>>,
}

impl Life {
    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn end(&self) {
        *self.lock() = None;
    }

    pub(crate) fn facts(&self) -> Option<LiveFacts> {
        let state = self.lock();
        let State { status, since, lost, lost_since_set, wakes, .. } = *state.as_ref()?;
        // Time passes for everybody but a guest that dozes.
        let dozed =
            if status == LiveStatus::Dozing { since.host.elapsed() } else { Duration::ZERO };
        let (lost, clock_error) = (lost + dozed, lost_since_set + dozed);
        Some(LiveFacts { status, lost, clock_error, wakes })
    }

    /// Guest time of a machine that was at `stood_at` at its last stop; a sleeping machine is not asked.
    pub(crate) fn now(&self, stood_at: Nanos) -> Nanos {
        match &*self.lock() {
            Some(state) if state.status == LiveStatus::Asleep => {
                stood_at.max(state.due(Instant::now()).min(state.wakes_at))
            }
            _ => stood_at,
        }
    }

    /// Advances a waiting guest to the host's time, so that input enters at the moment of its arrival.
    pub(crate) fn bring_up(&self, machine: &mut Machine) {
        if let Some(state) = &*self.lock()
            && state.status != LiveStatus::Dozing
        {
            machine.let_pass(state.due(Instant::now()));
        }
    }

    /// The machine is about to get input: a dozing one continues.
    pub(crate) fn be_given(&self, machine: &mut Machine) {
        if let Some(state) = &mut *self.lock() {
            let now = Instant::now();
            state.be_active(now, machine.now());
            state.set_wall_clock(machine, now);
        }
    }

    /// Executes the work that is due by the host's clock.
    pub(crate) fn slice(
        &self,
        living: Living,
        outsides: &Outsides,
        machine: &mut Machine,
        run: impl FnOnce(&mut Machine, &RunUntil) -> Stop,
    ) -> LiveSlice {
        let due = {
            let now = Instant::now();
            let mut life = self.lock();
            let is_new = life.is_none();
            let state = life.get_or_insert_with(|| State {
                living,
                status: LiveStatus::Awake,
                since: Anchor { host: now, guest: machine.now() },
                wakes_at: HORIZON_NANOS,
                last_activity: now,
                lost: Duration::ZERO,
                lost_since_set: Duration::ZERO,
                set_at: None,
                wakes: 0,
            });
            if outsides.is_visit_due() {
                state.be_active(now, machine.now());
            }
            if state.status == LiveStatus::Dozing {
                return LiveSlice::Resting(None);
            }
            if state.status == LiveStatus::Asleep {
                state.wakes += 1;
                state.status = LiveStatus::Awake;
            }
            machine.let_pass(state.due(now));
            let behind = Duration::from_nanos(state.due(now).saturating_sub(machine.now()));
            if let Some(excess) = behind.checked_sub(CATCH_UP) {
                state.lose(excess);
                state.since.host += excess;
            }
            state.set_wall_clock(machine, now);
            drop(life);
            // Not under the lock: an outside may ask for the machine's time.
            let had_said = machine.next_seq();
            outsides.visit(machine, is_new);
            match &mut *self.lock() {
                Some(state) => {
                    if machine.next_seq() > had_said {
                        state.last_activity = now;
                    }
                    state.due(Instant::now())
                }
                None => machine.now(),
            }
        };
        // A run to where it stands would execute nothing, and find out nothing.
        let at_nanos = Some(due.max(machine.now() + 1));
        let (began_at, had_waited) = (machine.now(), machine.waited_nanos());
        let stop = run(machine, &RunUntil { at_nanos, pace: Pace::Live, ..RunUntil::default() });
        let worked = (machine.now() - began_at).saturating_sub(machine.waited_nanos() - had_waited);
        let mut life = self.lock();
        let Some(state) = life.as_mut() else { return LiveSlice::Ended(stop) };
        let now = Instant::now();
        if worked >= WORK_NANOS {
            state.last_activity = now;
        }
        match stop {
            Stop::Time if machine.now() >= HORIZON_NANOS => LiveSlice::Ended(Stop::Horizon),
            Stop::Time => self.rest(state, machine, now),
            Stop::Interrupted => LiveSlice::Ready,
            stop => LiveSlice::Ended(stop),
        }
    }

    /// The machine has reached the host's time.
    fn rest(&self, state: &mut State, machine: &Machine, now: Instant) -> LiveSlice {
        let until = match machine.waits_until() {
            Some(until) if until > state.due(now) => until,
            _ if state.due(now) > machine.now() => return LiveSlice::Ready,
            _ => return LiveSlice::Resting(Some(now + AHEAD)),
        };
        let idle_at = state.living.idle_timeout.map(|limit| state.last_activity + limit);
        if idle_at.is_some_and(|at| at <= now) {
            state.status = LiveStatus::Dozing;
            state.since = Anchor { host: now, guest: machine.now() };
            return LiveSlice::Resting(None);
        }
        state.status = LiveStatus::Asleep;
        state.wakes_at = until;
        let is_calm = now.saturating_duration_since(state.last_activity) >= CALM;
        let slack = if is_calm { SLACK } else { Duration::ZERO };
        let wakes = (until < HORIZON_NANOS)
            .then(|| state.since.host_at(until)?.checked_add(slack))
            .flatten();
        LiveSlice::Resting([wakes, idle_at].into_iter().flatten().min())
    }
}

/// The end of a slice of a live run.
pub(crate) enum LiveSlice {
    /// The guest has ended, or its time has.
    Ended(Stop),
    /// It was interrupted, or has more to do.
    Ready,
    /// There is nothing to do until this moment, or until it is given something.
    Resting(Option<Instant>),
}
