//! A run between two of its slices.

use super::{Inner, SessionError, Slice};
use crate::guarded::guarded;
use crate::sync::Arc;
use std::cell::Cell;
use std::marker::PhantomData;
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
}

/// A run: its slices, and the callers that wait for its end.
pub(super) struct Run<S, D, R> {
    slice: S,
    done: Option<D>,
    has_returned: bool,
    result: PhantomData<fn() -> R>,
}

impl<S, D, R> Run<S, D, R> {
    pub(super) fn new(slice: S, done: D) -> Self {
        Self { slice, done: Some(done), has_returned: false, result: PhantomData }
    }
}

impl<M, S, D, R> StandingRun<M> for Run<S, D, R>
where
    M: 'static,
    S: FnMut(&mut M) -> Slice<R> + Send,
    D: FnOnce(Result<R, SessionError>) + Send,
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
            move || {
                // Who waits for something outside lets others execute, and takes its next turn in line.
                if turn.take().is_some() {
                    (inner.interrupt)();
                }
                !inner.lock().closing
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
                self.tell(Err(SessionError::Panicked { message: message.clone() }));
                std::panic::resume_unwind(Box::new(message));
            }
        };
        let mut state = inner.lock();
        // A closed session refuses its run.
        let is_paused = !state.closing && std::mem::take(&mut state.pausing);
        if !is_paused && !matches!(standing, Standing::Over) {
            return standing;
        }
        state.running = false;
        drop(state);
        self.tell(Ok(result));
        Standing::Over
    }

    fn refuse(mut self: Box<Self>, why: SessionError) {
        self.tell(Err(why));
    }
}

impl<S, D, R> Run<S, D, R>
where
    D: FnOnce(Result<R, SessionError>),
{
    fn tell(&mut self, outcome: Result<R, SessionError>) {
        if let Some(done) = self.done.take() {
            done(outcome);
        }
    }
}
