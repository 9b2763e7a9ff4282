//! One machine in a host process.
//!
//! A session executes operations on its machine one after the other, each on a worker thread, in the
//! order of the requests. A *run* is the one operation that may last forever: other operations
//! interrupt it at an instruction boundary, are executed, and the run continues; pausing and closing
//! end it.
//!
//! ```text
//!              operation, wake, alarm, turn
//!        Here ──────────────────────────────▶ Away (a worker thread: mailbox, then one slice)
//!          ▲                                    │ slice over, others wait for a turn: in line
//!          └────────────────────────────────────┤ slice rests: until an alarm, or woken
//!                                               └ nothing left to do
//! ```
//! A run that waits for its turn, or rests, has no thread.

use crate::alarms::Alarm;
use crate::guarded::guarded;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use crate::turns::{Seat, Tell};
use crate::workers::Workers;
use std::collections::VecDeque;
use std::time::Instant;
use stillpoint_vmm::arriving::attended;

mod standing;
use standing::{Run, Standing, StandingRun};

/// Why a session refused an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The machine was closed, before or while the operation waited.
    #[error("expected an open machine, found it closed")]
    Closed,
    /// A run was requested while another is in progress.
    #[error("expected a paused machine, found a run in progress; pause it or await its end")]
    AlreadyRunning,
    /// The machine's own code panicked; its remains cannot be trusted and were dropped.
    #[error("the machine failed by an error of its own and is gone: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The host has no thread to give.
    #[error("expected a thread for the machine, found none: {message}")]
    NoThread {
        /// The host's message.
        message: String,
    },
}

impl SessionError {
    /// The variant's fixed name, shared with every language that the error is sent to.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Closed => "Closed",
            Self::AlreadyRunning => "AlreadyRunning",
            Self::Panicked { .. } => "Panicked",
            Self::NoThread { .. } => "NoThread",
        }
    }
}

/// The end of one slice of a run.
pub enum Slice<R> {
    /// The run is over, with this result.
    Done(R),
    /// The interrupt was seen. If the session was paused, the run is over with this result;
    /// otherwise the next slice follows.
    Interrupted(R),
    /// There is nothing to do until this moment, or until the session is woken or given an operation;
    /// without a moment until then only. If the session was paused, the run is over with this result.
    Resting(Option<Instant>, R),
}

/// An operation waiting for its machine: called with it, or with why it cannot have it.
type Operation<M> = Box<dyn FnOnce(Result<(&mut M, &Arc<Inner<M>>), SessionError>) + Send>;

enum Parked<M> {
    /// No operation in progress.
    Here(M),
    /// A worker thread has the machine.
    Away,
    /// Closed or panicked.
    Gone(SessionError),
}

struct State<M> {
    machine: Parked<M>,
    mailbox: VecDeque<Operation<M>>,
    /// A run between two of its slices.
    run: Option<Box<dyn StandingRun<M>>>,
    /// Whether there is work for the run.
    is_woken: bool,
    /// The time at which the run continues on its own.
    alarm: Option<Alarm>,
    running: bool,
    pausing: bool,
    closing: bool,
    awaiting_close: Vec<Box<dyn FnOnce() + Send>>,
}

/// The state that a session and its worker threads share.
struct Inner<M> {
    state: Mutex<State<M>>,
    interrupt: Tell,
    seat: Arc<Seat>,
    workers: Workers,
}

impl<M> Inner<M> {
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a wait for something outside goes on. A run that is paused meanwhile, before its next
    /// slice, does not wait for the end of the wait.
    fn goes_on(&self) -> bool {
        let mut state = self.lock();
        if state.closing {
            return false;
        }
        if state.pausing
            && let Some(run) = state.run.take()
        {
            (state.pausing, state.running) = (false, false);
            self.settle_alarm(&mut state);
            let granted = self.workers.turns().leave(&self.seat);
            drop(state);
            granted.tell();
            run.pause();
        }
        true
    }
}

/// A machine that is operated from other threads.
///
/// Dropping the session closes it: a run in progress ends, waiting operations are refused, the
/// machine is dropped on the thread that has it.
pub struct Session<M: Send + 'static> {
    inner: Arc<Inner<M>>,
}

impl<M: Send + 'static> Session<M> {
    /// Takes over `machine`. `interrupt` makes a run of it return soon, from any thread; an
    /// interrupt that comes just before a run must end that run's first slice.
    pub fn new(
        machine: M,
        interrupt: impl Fn() + Send + Sync + 'static,
        workers: &Workers,
    ) -> Self {
        let interrupt: Tell = Arc::new(interrupt);
        let inner = Arc::new_cyclic(|inner: &Weak<Inner<M>>| {
            let woken = Weak::clone(inner);
            let granted = move || {
                if let Some(inner) = woken.upgrade() {
                    inner.wake();
                }
            };
            Inner {
                seat: Seat::new(Arc::clone(&interrupt), Arc::new(granted)),
                interrupt,
                state: Mutex::new(State {
                    machine: Parked::Here(machine),
                    mailbox: VecDeque::new(),
                    run: None,
                    is_woken: false,
                    alarm: None,
                    running: false,
                    pausing: false,
                    closing: false,
                    awaiting_close: Vec::new(),
                }),
                workers: workers.clone(),
            }
        });
        Self { inner }
    }

    /// Executes `operation` after all earlier ones, and calls `done` on the worker thread (or at once,
    /// on this thread, if the session is closed).
    pub fn execute<R: 'static>(
        &self,
        operation: impl FnOnce(&mut M) -> R + Send + 'static,
        done: impl FnOnce(Result<R, SessionError>) + Send + 'static,
    ) {
        self.submit(Box::new(move |machine| match machine {
            Err(error) => done(Err(error)),
            Ok((machine, _)) => match guarded(|| operation(machine)) {
                Ok(value) => done(Ok(value)),
                Err(message) => {
                    done(Err(SessionError::Panicked { message: message.clone() }));
                    std::panic::resume_unwind(Box::new(message));
                }
            },
        }));
    }

    /// Runs the machine: calls `slice` again and again until it is [`Slice::Done`] or the session
    /// is paused, executing other operations in between. A run that is paused while its machine waits
    /// for something outside is over at once, with what `standing` says; the wait, and the slice in
    /// which it is, end before the next operation.
    pub fn run<R: 'static>(
        &self,
        slice: impl FnMut(&mut M) -> Slice<R> + Send + 'static,
        standing: impl Fn() -> R + Send + Sync + 'static,
        done: impl FnOnce(Result<R, SessionError>) + Send + 'static,
    ) {
        let mut state = self.inner.lock();
        let refused = match &state.machine {
            _ if state.closing => Some(SessionError::Closed),
            _ if state.running => Some(SessionError::AlreadyRunning),
            Parked::Gone(why) => Some(why.clone()),
            _ => None,
        };
        if let Some(refused) = refused {
            drop(state);
            return done(Err(refused));
        }
        (state.running, state.pausing) = (true, false);
        state.run = Some(Box::new(Run::new(slice, standing, done)));
        state.is_woken = true;
        self.inner.hand_over(state);
    }

    /// Ends a run in progress at its next instruction boundary; nothing without one.
    pub fn pause(&self) {
        let mut state = self.inner.lock();
        if state.running {
            state.pausing = true;
            drop(state);
            self.inner.call();
        }
    }

    /// A function that wakes the session's run, from any thread: a resting run continues, an executing
    /// one comes to its next slice. It does nothing without a run, or once the session is gone.
    pub fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let inner = Arc::downgrade(&self.inner);
        move || {
            if let Some(inner) = inner.upgrade()
                && inner.lock().running
            {
                inner.call();
            }
        }
    }

    /// Whether the session was closed, or its machine panicked.
    pub fn is_closed(&self) -> bool {
        let state = self.inner.lock();
        state.closing || matches!(state.machine, Parked::Gone(_))
    }

    /// Ends a run in progress, refuses waiting operations, drops the machine; then calls `done`.
    /// Closing twice is closing once.
    pub fn close(&self, done: impl FnOnce() + Send + 'static) {
        let mut state = self.inner.lock();
        state.closing = true;
        match std::mem::replace(&mut state.machine, Parked::Gone(SessionError::Closed)) {
            Parked::Here(machine) => {
                let run = state.run.take();
                state.running = false;
                self.inner.settle_alarm(&mut state);
                let granted = self.inner.workers.turns().leave(&self.inner.seat);
                drop(state);
                granted.tell();
                if let Some(run) = run {
                    run.refuse(SessionError::Closed);
                }
                // Freeing a machine's memory takes a while: not on the caller's thread if it can
                // be helped. Without a thread the closure is dropped here, and the machine in it.
                let done = Arc::new(Mutex::new(Some(done)));
                let finish = Arc::clone(&done);
                let job = move || {
                    let _ = guarded(move || drop(machine));
                    call_once(&finish);
                };
                if self.inner.workers.execute_brief(job).is_err() {
                    call_once(&done);
                }
            }
            Parked::Away => {
                state.machine = Parked::Away;
                state.awaiting_close.push(Box::new(done));
                drop(state);
                self.inner.call();
            }
            Parked::Gone(why) => {
                state.machine = Parked::Gone(why);
                drop(state);
                done();
            }
        }
    }

    fn submit(&self, operation: Operation<M>) {
        let mut state = self.inner.lock();
        if state.closing {
            drop(state);
            return operation(Err(SessionError::Closed));
        }
        if let Parked::Gone(why) = &state.machine {
            let why = why.clone();
            state.running = false;
            drop(state);
            return operation(Err(why));
        }
        state.mailbox.push_back(operation);
        // The operation may have made work for the run.
        state.is_woken = true;
        let is_executing = matches!(state.machine, Parked::Away) && state.running;
        self.inner.hand_over(state);
        if is_executing {
            (self.inner.interrupt)();
        }
    }
}

impl<M: Send + 'static> Drop for Session<M> {
    fn drop(&mut self) {
        self.close(|| {});
    }
}

impl<M: Send + 'static> Inner<M> {
    /// Makes a run come to its mailbox, whether it executes, waits for its turn, or rests.
    fn call(self: &Arc<Self>) {
        (self.interrupt)();
        self.wake();
    }

    /// Continues a resting run.
    fn wake(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.run.is_some() || matches!(state.machine, Parked::Away) {
            state.is_woken = true;
            self.hand_over(state);
        }
    }

    /// Gives a machine that is here to a worker thread.
    fn hand_over(self: &Arc<Self>, mut state: MutexGuard<'_, State<M>>) {
        match std::mem::replace(&mut state.machine, Parked::Away) {
            Parked::Here(machine) => {
                drop(state);
                let inner = Arc::clone(self);
                // The machine is handed over in a place that both sides can reach, so that it
                // survives the refusal of a thread.
                let handed = Arc::new(Mutex::new(Some(machine)));
                let taken = Arc::clone(&handed);
                let job = move || {
                    let machine = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
                    if let Some(machine) = machine {
                        inner.drive(machine);
                    }
                };
                if let Err(refused) = self.workers.execute_guest(job) {
                    let machine = handed.lock().unwrap_or_else(PoisonError::into_inner).take();
                    self.take_back(
                        machine,
                        &SessionError::NoThread { message: refused.to_string() },
                    );
                }
            }
            elsewhere => state.machine = elsewhere,
        }
    }

    /// The machine comes back without a thread having had it: what waits is refused.
    fn take_back(&self, machine: Option<M>, why: &SessionError) {
        let mut state = self.lock();
        state.running = false;
        let dropped = if state.closing {
            state.machine = Parked::Gone(SessionError::Closed);
            machine
        } else {
            if let Some(machine) = machine {
                state.machine = Parked::Here(machine);
            }
            None
        };
        self.refuse_all(state, why);
        drop(dropped);
    }

    /// Refuses the run and all operations that wait, and tells those who wait for the end.
    fn refuse_all(&self, mut state: MutexGuard<'_, State<M>>, why: &SessionError) {
        let run = state.run.take();
        let waiting = std::mem::take(&mut state.mailbox);
        let awaiting = std::mem::take(&mut state.awaiting_close);
        self.settle_alarm(&mut state);
        // Under the lock: who leaves later would take the next run out of the line.
        let granted = self.workers.turns().leave(&self.seat);
        drop(state);
        granted.tell();
        if let Some(run) = run {
            run.refuse(why.clone());
        }
        for operation in waiting {
            operation(Err(why.clone()));
        }
        for done in awaiting {
            done();
        }
    }

    /// The life of a worker thread with this machine: one operation after the other, and a slice of
    /// the run when none is left, until there is nothing to do, the session is closed, or the machine
    /// panics.
    fn drive(self: &Arc<Self>, mut machine: M) {
        let ended = loop {
            let mut state = self.lock();
            if state.closing {
                break SessionError::Closed;
            }
            if let Some(operation) = state.mailbox.pop_front() {
                drop(state);
                let inner = Arc::clone(self);
                let operate =
                    || attended(move || inner.goes_on(), || operation(Ok((&mut machine, self))));
                if let Err(message) = guarded(operate) {
                    break SessionError::Panicked { message };
                }
                continue;
            }
            if !state.is_woken || state.run.is_none() {
                state.machine = Parked::Here(machine);
                return;
            }
            state.is_woken = false;
            self.settle_alarm(&mut state);
            let Some(mut run) = state.run.take() else { continue };
            drop(state);
            match guarded(|| run.go_on(&mut machine, self)) {
                Ok(Standing::Over) => self.workers.turns().leave(&self.seat).tell(),
                Ok(standing) => {
                    let mut state = self.lock();
                    state.run = Some(run);
                    match standing {
                        Standing::Ready => state.is_woken = true,
                        Standing::Resting(Some(at)) if !state.is_woken => {
                            if let Err(refused) = self.set_alarm(&mut state, at) {
                                state.running = false;
                                let run = state.run.take();
                                drop(state);
                                if let Some(run) = run {
                                    run.refuse(refused);
                                }
                            }
                        }
                        _ => {}
                    }
                }
                Err(message) => break SessionError::Panicked { message },
            }
        };
        let _ = guarded(move || drop(machine));
        let mut state = self.lock();
        state.machine = Parked::Gone(ended.clone());
        state.running = false;
        self.refuse_all(state, &ended);
    }

    /// Lines up a resting run at this moment. It gets a thread when it has its turn, so a thousand runs
    /// that wake at once need no more threads than execute at once.
    fn set_alarm(self: &Arc<Self>, state: &mut State<M>, at: Instant) -> Result<(), SessionError> {
        let inner = Arc::downgrade(self);
        let ring = move || {
            if let Some(inner) = inner.upgrade() {
                let state = inner.lock();
                // Under the lock: a run that is over is not lined up any more, since it would never use
                // its turn.
                if state.run.is_some() {
                    let granted = inner.workers.turns().line_up(&inner.seat, false);
                    drop(state);
                    granted.tell();
                }
            }
        };
        let set = self.workers.alarms().set(at, ring);
        state.alarm =
            Some(set.map_err(|error| SessionError::NoThread { message: error.to_string() })?);
        Ok(())
    }
}

impl<M> Inner<M> {
    /// The run does not wait for its moment any more.
    fn settle_alarm(&self, state: &mut State<M>) {
        if let Some(alarm) = state.alarm.take() {
            self.workers.alarms().cancel(alarm);
        }
    }
}

fn call_once<F: FnOnce()>(slot: &Mutex<Option<F>>) {
    let taken = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(call) = taken {
        call();
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests;
