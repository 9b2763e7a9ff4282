//! A run between two of its slices.

use super::{Inner, SessionError, Slice};
use crate::guarded::guarded;
use crate::sync::{Arc, Mutex, PoisonError};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;
use stillpoint_vmm::arriving::attended;

/// The state of a run after a slice.
pub(super) enum Standing {
    /// It is over, and its caller has the result.
    Over,
    /// It continues at once.
    Ready,
    /// It is in line for a turn.
    InLine,
    /// It continues at this moment, or when it is woken.
    Resting(Option<Instant>),
}

/// A run whose slices another component executes.
pub(super) trait StandingRun<M>: Send {
    /// Executes one slice, if it is the run's turn.
    fn go_on(&mut self, machine: &mut M, inner: &Arc<Inner<M>>) -> Standing;

    /// There will be no further slice.
    fn refuse(self: Box<Self>, why: SessionError);

    /// It was paused before its next slice.
    fn pause(self: Box<Self>);
}

/// Who waits for the end of a run.
struct Caller<P, D> {
    /// Where the machine stands, as far as others than its thread know.
    standing: P,
    done: Mutex<Option<D>>,
}

impl<P, D> Caller<P, D> {
    fn take(&self) -> Option<D> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn tell<R>(&self, outcome: Result<R, SessionError>)
    where
        D: FnOnce(Result<R, SessionError>),
    {
        if let Some(done) = self.take() {
            done(outcome);
        }
    }

    /// Whether it has the result.
    fn is_told(&self) -> bool {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

/// A run: its slices, and its caller.
pub(super) struct Run<S, P, D> {
    slice: S,
    caller: Arc<Caller<P, D>>,
    has_returned: bool,
}

impl<S, P, D> Run<S, P, D> {
    pub(super) fn new(slice: S, standing: P, done: D) -> Self {
        let caller = Arc::new(Caller { standing, done: Mutex::new(Some(done)) });
        Self { slice, caller, has_returned: false }
    }
}

impl<M, S, P, D, R> StandingRun<M> for Run<S, P, D>
where
    M: Send + 'static,
    S: FnMut(&mut M) -> Slice<R> + Send,
    P: Fn() -> R + Send + Sync + 'static,
    D: FnOnce(Result<R, SessionError>) + Send + 'static,
{
    fn go_on(&mut self, machine: &mut M, inner: &Arc<Inner<M>>) -> Standing {
        let turn = inner.workers.turns().take(&inner.seat, self.has_returned);
        if turn.is_none() {
            if !inner.lock().pausing {
                return Standing::InLine;
            }
            // The slice executes nothing, and says where it stands.
            (inner.interrupt)();
        }
        self.has_returned = true;
        let turn = Rc::new(Cell::new(turn));
        let goes_on = {
            let (turn, inner) = (Rc::clone(&turn), Arc::clone(inner));
            let caller = Arc::clone(&self.caller);
            move || {
                // Who waits for something outside lets others execute, and takes its next turn in line.
                if turn.take().is_some() {
                    (inner.interrupt)();
                }
                let mut state = inner.lock();
                // The wait goes on, since the guest is between two bytes of an instruction. Its caller does
                // not wait with it.
                if state.pausing && !state.closing && !caller.is_told() {
                    (state.pausing, state.running) = (false, false);
                    drop(state);
                    caller.tell(Ok((caller.standing)()));
                    return true;
                }
                drop(state);
                inner.goes_on()
            }
        };
        let sliced = attended(goes_on, || guarded(|| (self.slice)(machine)));
        drop(turn.take());
        let (standing, result) = match sliced {
            Ok(Slice::Done(result)) => (Standing::Over, result),
            Ok(Slice::Interrupted(result)) => (Standing::Ready, result),
            Ok(Slice::Resting(until, result)) => {
                // Its next step is probably short.
                self.has_returned = false;
                (Standing::Resting(until), result)
            }
            Err(message) => {
                self.caller.tell(Err(SessionError::Panicked { message: message.clone() }));
                std::panic::resume_unwind(Box::new(message));
            }
        };
        if self.caller.is_told() {
            return Standing::Over;
        }
        let mut state = inner.lock();
        // A closed session refuses its run.
        let is_paused = !state.closing && std::mem::take(&mut state.pausing);
        if !is_paused && !matches!(standing, Standing::Over) {
            return standing;
        }
        state.running = false;
        drop(state);
        self.caller.tell(Ok(result));
        Standing::Over
    }

    fn refuse(self: Box<Self>, why: SessionError) {
        self.caller.tell(Err(why));
    }

    fn pause(self: Box<Self>) {
        self.caller.tell(Ok((self.caller.standing)()));
    }
}
