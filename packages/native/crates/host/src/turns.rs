//! Turns at the host's processors.
//!
//! A thousand guests may compute at once on two processors. Were each of them a thread that the
//! host schedules, a thread would notice that its machine is paused or closed only when its time
//! comes, a hundred runnable threads later. Here as many runs execute at once as there are
//! processors, and the others wait in line, where they can be called away at once.
//!
//! ```text
//!            ┌ fresh      runs that have just been asked for: short ones are over in their first turn
//! in line ───┤                                                                       ──▶ executing
//!            └ returned   runs that have had a turn and want more; every other turn is theirs
//! ```
//!
//! A turn that has lasted for [`TURN`] is ended when somebody waits for one.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, wait_up_to};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a turn lasts while others wait.
const TURN: Duration = Duration::from_millis(5);

/// Makes the run that has a turn return soon, from any thread.
pub type Interrupt = Arc<dyn Fn() + Send + Sync>;

/// One run's place in the line.
pub struct Seat {
    changed: Condvar,
    is_called_away: AtomicBool,
    interrupt: Interrupt,
}

impl Seat {
    /// A place for the run that `interrupt` makes return.
    pub fn new(interrupt: Interrupt) -> Arc<Self> {
        let is_called_away = AtomicBool::new(false);
        Arc::new(Self { changed: Condvar::new(), is_called_away, interrupt })
    }
}

struct Holder {
    seat: Arc<Seat>,
    since: Instant,
    is_asked_to_end: bool,
}

struct State {
    free: usize,
    executing: Vec<Holder>,
    fresh: VecDeque<Arc<Seat>>,
    returned: VecDeque<Arc<Seat>>,
    /// Whether the next turn is one of `returned`, if any waits there.
    is_for_returned: bool,
}

impl State {
    /// Whose turn is next.
    fn next(&self) -> Option<&Arc<Seat>> {
        let (first, second) = if self.is_for_returned {
            (&self.returned, &self.fresh)
        } else {
            (&self.fresh, &self.returned)
        };
        first.front().or_else(|| second.front())
    }

    fn leave_line(&mut self, seat: &Arc<Seat>) {
        self.fresh.retain(|other| !Arc::ptr_eq(other, seat));
        self.returned.retain(|other| !Arc::ptr_eq(other, seat));
    }

    /// Whoever is next looks whether there is a turn, and watches how long the others' last.
    fn tell_next(&self) {
        if let Some(next) = self.next() {
            next.changed.notify_one();
        }
    }
}

/// The turns that one host's processors have to give.
#[derive(Clone)]
pub struct Turns {
    state: Arc<Mutex<State>>,
}

impl Turns {
    /// As many at once as there are `processors`, at least one.
    pub fn new(processors: usize) -> Self {
        let state = State {
            free: processors.max(1),
            executing: Vec::new(),
            fresh: VecDeque::new(),
            returned: VecDeque::new(),
            is_for_returned: false,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn; `None` if the seat is called away. `has_returned`: the run has had one.
    pub fn take(&self, seat: &Arc<Seat>, has_returned: bool) -> Option<Turn> {
        let mut state = self.lock();
        if has_returned { &mut state.returned } else { &mut state.fresh }
            .push_back(Arc::clone(seat));
        loop {
            if seat.is_called_away.swap(false, Ordering::AcqRel) {
                state.leave_line(seat);
                state.tell_next();
                return None;
            }
            let is_next = state.next().is_some_and(|next| Arc::ptr_eq(next, seat));
            if is_next && state.free > 0 {
                state.free -= 1;
                state.is_for_returned = !state.is_for_returned;
                state.leave_line(seat);
                state.executing.push(Holder {
                    seat: Arc::clone(seat),
                    since: Instant::now(),
                    is_asked_to_end: false,
                });
                state.tell_next();
                return Some(Turn { turns: self.clone(), seat: Arc::clone(seat) });
            }
            state = if is_next {
                let (mut state, _) = wait_up_to(&seat.changed, &self.state, state, TURN);
                for holder in &mut state.executing {
                    if !holder.is_asked_to_end && holder.since.elapsed() >= TURN {
                        holder.is_asked_to_end = true;
                        (holder.seat.interrupt)();
                    }
                }
                state
            } else {
                seat.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    /// Makes a seat that waits leave the line, or not enter it the next time.
    pub fn call_away(&self, seat: &Seat) {
        let state = self.lock();
        seat.is_called_away.store(true, Ordering::Release);
        seat.changed.notify_one();
        drop(state);
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
        state.executing.retain(|holder| !Arc::ptr_eq(&holder.seat, &self.seat));
        state.free += 1;
        state.tell_next();
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;

    fn seat() -> (Arc<Seat>, Arc<AtomicBool>) {
        let asked = Arc::new(AtomicBool::new(false));
        let interrupted = Arc::clone(&asked);
        (Seat::new(Arc::new(move || interrupted.store(true, Ordering::SeqCst))), asked)
    }

    #[test]
    fn no_more_run_at_once_than_there_are_processors_and_all_come_to_their_turn() {
        let turns = Turns::new(3);
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    let (seat, _) = seat();
                    for round in 0..50 {
                        let turn = turns.take(&seat, round % 3 > 0).unwrap();
                        most.fetch_max(
                            running.fetch_add(1, Ordering::SeqCst) + 1,
                            Ordering::SeqCst,
                        );
                        std::thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                        drop(turn);
                    }
                });
            }
        });
        assert!((2..=3).contains(&most.load(Ordering::SeqCst)));
        let state = turns.lock();
        assert_eq!((state.free, state.executing.len()), (3, 0));
        assert!(state.fresh.is_empty() && state.returned.is_empty());
    }

    #[test]
    fn a_turn_that_lasts_is_asked_to_end_when_somebody_waits() {
        let turns = Turns::new(1);
        let (first, asked) = seat();
        let turn = turns.take(&first, false).unwrap();
        assert!(!asked.load(Ordering::SeqCst));
        let waiting = std::thread::spawn({
            let turns = turns.clone();
            move || turns.take(&seat().0, false).is_some()
        });
        while !asked.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        drop(turn);
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn who_is_called_away_leaves_the_line_whether_it_waits_already_or_not() {
        let turns = Turns::new(1);
        let turn = turns.take(&seat().0, false).unwrap();
        let (late, _) = seat();
        turns.call_away(&late);
        assert!(turns.take(&late, false).is_none());

        let (waiting, _) = seat();
        let (left, gone) = mpsc::channel();
        std::thread::spawn({
            let (turns, waiting) = (turns.clone(), Arc::clone(&waiting));
            move || left.send(turns.take(&waiting, true).is_none()).unwrap()
        });
        while turns.lock().returned.is_empty() {
            std::thread::yield_now();
        }
        turns.call_away(&waiting);
        assert!(gone.recv().unwrap());
        drop(turn);
        assert!(turns.take(&waiting, false).is_some());
    }

    #[test]
    fn runs_that_want_more_are_not_starved_by_new_ones() {
        let turns = Turns::new(1);
        let turn = turns.take(&seat().0, false).unwrap();
        let (served, order) = mpsc::channel();
        let wait = |name: &'static str, has_returned: bool| {
            let (turns, served) = (turns.clone(), served.clone());
            std::thread::spawn(move || {
                let turn = turns.take(&seat().0, has_returned).unwrap();
                served.send(name).unwrap();
                drop(turn);
            })
        };
        let mut threads = vec![wait("returned", true)];
        while turns.lock().returned.is_empty() {
            std::thread::yield_now();
        }
        for count in 1..=3 {
            threads.push(wait("fresh", false));
            while turns.lock().fresh.len() < count {
                std::thread::yield_now();
            }
        }
        drop(turn);
        let first_two = [order.recv().unwrap(), order.recv().unwrap()];
        assert!(first_two.contains(&"returned"), "{first_two:?}");
        for thread in threads {
            thread.join().unwrap();
        }
    }
}
