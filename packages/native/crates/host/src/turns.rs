//! Turns at the host's processors.
//!
//! A thousand guests may compute at once on two processors. Were each of them a thread that the
//! host schedules, a thread would notice that its machine is paused or closed only when its time
//! comes, a hundred runnable threads later. Here as many runs execute at once as there are
//! processors, and the others wait in line: without a thread, where they can be called away at once.
//!
//! ```text
//!            ┌ fresh      runs that have just been asked for: short ones are over in their first turn
//! in line ───┤                                                                  ──▶ executing
//!            └ returned   runs that have had a turn and want more; every other turn is theirs
//! ```
//!
//! A turn that has lasted for [`TURN`] ends when another run waits for one.

use crate::alarms::Alarms;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Length of a turn while others wait.
const TURN: Duration = Duration::from_millis(5);

/// Something to tell a run, from any thread.
pub type Tell = Arc<dyn Fn() + Send + Sync>;

/// One run's place in the line.
pub struct Seat {
    /// Makes the run return soon, if it has a turn.
    interrupt: Tell,
    /// Has the run come and take the turn that it was given.
    granted: Tell,
}

impl Seat {
    /// A place for the run that `interrupt` makes return, and `granted` has come for its turn.
    pub fn new(interrupt: Tell, granted: Tell) -> Arc<Self> {
        Arc::new(Self { interrupt, granted })
    }
}

struct Holder {
    seat: Arc<Seat>,
    since: Instant,
    is_asked_to_end: bool,
    /// Whether the run has taken it.
    is_taken: bool,
}

struct State {
    free: usize,
    holders: Vec<Holder>,
    fresh: VecDeque<Arc<Seat>>,
    returned: VecDeque<Arc<Seat>>,
    /// Whether the next turn goes to one of `returned`, if any waits there.
    is_for_returned: bool,
    /// Whether the length of turns is being watched.
    is_watched: bool,
}

impl State {
    fn pop_next(&mut self) -> Option<Arc<Seat>> {
        let (first, second) = if self.is_for_returned {
            (&mut self.returned, &mut self.fresh)
        } else {
            (&mut self.fresh, &mut self.returned)
        };
        first.pop_front().or_else(|| second.pop_front())
    }

    fn is_line_empty(&self) -> bool {
        self.fresh.is_empty() && self.returned.is_empty()
    }

    fn is_known(&self, seat: &Arc<Seat>) -> bool {
        let is_seat = |other: &Arc<Seat>| Arc::ptr_eq(other, seat);
        self.fresh.iter().chain(&self.returned).any(is_seat)
            || self.holders.iter().any(|holder| is_seat(&holder.seat))
    }

    fn line_up(&mut self, seat: &Arc<Seat>, has_returned: bool) {
        if !self.is_known(seat) {
            if has_returned { &mut self.returned } else { &mut self.fresh }
                .push_back(Arc::clone(seat));
        }
    }

    /// Gives free turns to the runs in line; returns those to notify.
    fn grant(&mut self) -> Granted {
        let mut granted = Vec::new();
        while self.free > 0
            && let Some(seat) = self.pop_next()
        {
            self.free -= 1;
            self.is_for_returned = !self.is_for_returned;
            let (since, is_asked_to_end, is_taken) = (Instant::now(), false, false);
            let holder = Holder { seat: Arc::clone(&seat), since, is_asked_to_end, is_taken };
            self.holders.push(holder);
            granted.push(seat);
        }
        Granted(granted)
    }

    fn give_back(&mut self, seat: &Arc<Seat>) {
        let before = self.holders.len();
        self.holders.retain(|holder| !Arc::ptr_eq(&holder.seat, seat));
        self.free += before - self.holders.len();
    }
}

/// The runs that have a turn and do not know it yet.
#[must_use = "a run that is not told does not come for its turn, and nobody else has it"]
pub struct Granted(Vec<Arc<Seat>>);

impl Granted {
    /// Has them come for their turns. Not to be called under a lock that they take.
    pub fn tell(self) {
        self.0.iter().for_each(|seat| (seat.granted)());
    }
}

/// The turns that one host's processors have to give.
#[derive(Clone)]
pub struct Turns {
    state: Arc<Mutex<State>>,
    alarms: Alarms,
}

impl Turns {
    /// `processors` turns at once, at least one; `alarms` watches their length.
    pub fn new(processors: usize, alarms: &Alarms) -> Self {
        let state = State {
            free: processors.max(1),
            holders: Vec::new(),
            fresh: VecDeque::new(),
            returned: VecDeque::new(),
            is_for_returned: false,
            is_watched: false,
        };
        Self { state: Arc::new(Mutex::new(state)), alarms: alarms.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn, if one is free. Otherwise the run is in line: its seat is notified when it has a turn,
    /// and the run then calls this again. `has_returned`: it has had a turn before.
    pub fn take(&self, seat: &Arc<Seat>, has_returned: bool) -> Option<Turn> {
        let mut state = self.lock();
        state.line_up(seat, has_returned);
        let mut granted = state.grant();
        let mut turn = None;
        if let Some(holder) =
            state.holders.iter_mut().find(|holder| Arc::ptr_eq(&holder.seat, seat))
            && !holder.is_taken
        {
            holder.is_taken = true;
            holder.since = Instant::now();
            turn = Some(Turn { turns: self.clone(), seat: Arc::clone(seat) });
            granted.0.retain(|other| !Arc::ptr_eq(other, seat));
        }
        self.watch(&mut state);
        drop(state);
        granted.tell();
        turn
    }

    /// Turns that are neither taken nor granted.
    pub fn free(&self) -> usize {
        self.lock().free
    }

    /// Lines up a run that has no thread yet. Its seat is notified when it has a turn.
    pub fn line_up(&self, seat: &Arc<Seat>, has_returned: bool) -> Granted {
        let mut state = self.lock();
        state.line_up(seat, has_returned);
        let granted = state.grant();
        self.watch(&mut state);
        granted
    }

    /// Takes a run out of the line, and takes back a turn that it was granted and has not taken.
    pub fn leave(&self, seat: &Arc<Seat>) -> Granted {
        let mut state = self.lock();
        state.fresh.retain(|other| !Arc::ptr_eq(other, seat));
        state.returned.retain(|other| !Arc::ptr_eq(other, seat));
        if state.holders.iter().any(|holder| Arc::ptr_eq(&holder.seat, seat) && !holder.is_taken) {
            state.give_back(seat);
        }
        state.grant()
    }

    /// Starts watching the length of turns while a run waits for one.
    fn watch(&self, state: &mut State) {
        if state.is_watched || state.is_line_empty() {
            return;
        }
        let turns = self.clone();
        // Without a thread for it turns last until they are over by themselves.
        state.is_watched =
            self.alarms.set(Instant::now() + TURN, move || turns.end_those_that_last()).is_ok();
    }

    fn end_those_that_last(&self) {
        let mut state = self.lock();
        state.is_watched = false;
        if state.is_line_empty() {
            return;
        }
        let mut asked = Vec::new();
        for holder in &mut state.holders {
            if holder.is_taken && !holder.is_asked_to_end && holder.since.elapsed() >= TURN {
                holder.is_asked_to_end = true;
                asked.push(Arc::clone(&holder.seat));
            }
        }
        self.watch(&mut state);
        drop(state);
        asked.iter().for_each(|seat| (seat.interrupt)());
    }
}

/// The right to execute, until it is dropped.
pub struct Turn {
    turns: Turns,
    seat: Arc<Seat>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        state.give_back(&self.seat);
        let granted = state.grant();
        drop(state);
        granted.tell();
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests;
