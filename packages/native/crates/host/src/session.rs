//! One machine in a host process.
//!
//! A session executes operations on its machine one after the other, each on a worker thread, in
//! the order in which they were asked for. A *run* is the one operation that may take forever:
//! while it lasts, other operations interrupt it at an instruction boundary, are executed, and
//! the run goes on; pausing and closing end it.

use crate::guarded::guarded;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::turns::{Interrupt, Seat};
use crate::workers::Workers;
use std::collections::VecDeque;

/// Why a session did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The machine was closed, before or while the operation waited.
    #[error("expected an open machine, found it closed")]
    Closed,
    /// A run was asked for while another is in progress.
    #[error("expected a paused machine, found a run in progress; pause it or await its end")]
    AlreadyRunning,
    /// The machine's own code panicked; what is left of it cannot be trusted and was dropped.
    #[error("the machine failed by an error of its own and is gone: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// The host has no thread to give.
    #[error("expected a thread for the machine, found none: {message}")]
    NoThread {
        /// What the host said.
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

/// How one slice of a run ended.
pub enum Slice<R> {
    /// The run is over, with this result.
    Done(R),
    /// The interrupt was seen. If the session was paused, the run is over with this result;
    /// otherwise the next slice follows.
    Interrupted(R),
}

/// An operation waiting for its machine: called with it, or with why it cannot have it.
type Operation<M> = Box<dyn FnOnce(Result<(&mut M, &Inner<M>), SessionError>) + Send>;

/// Whether a run waits for a turn at the host's processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turnwise {
    /// It computes: it takes turns with others, and ends a slice when it is interrupted.
    Yes,
    /// It mostly sleeps: it would keep a turn that it does not need.
    No,
}

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
    running: bool,
    pausing: bool,
    closing: bool,
    awaiting_close: Vec<Box<dyn FnOnce() + Send>>,
}

/// What a session and its worker threads share.
struct Inner<M> {
    state: Mutex<State<M>>,
    interrupt: Interrupt,
    seat: Arc<Seat>,
    workers: Workers,
}

impl<M> Inner<M> {
    /// Makes a run come to its mailbox, whether it executes or waits for its turn.
    fn call(&self) {
        (self.interrupt)();
        self.workers.turns().call_away(&self.seat);
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        let interrupt: Interrupt = Arc::new(interrupt);
        Self {
            inner: Arc::new(Inner {
                seat: Seat::new(Arc::clone(&interrupt)),
                interrupt,
                state: Mutex::new(State {
                    machine: Parked::Here(machine),
                    mailbox: VecDeque::new(),
                    running: false,
                    pausing: false,
                    closing: false,
                    awaiting_close: Vec::new(),
                }),
                workers: workers.clone(),
            }),
        }
    }

    /// Executes `operation` after those asked for before, and calls `done` on the worker thread
    /// (or at once, on this thread, if the session is closed).
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
    /// is paused, executing other operations in between.
    pub fn run<R: 'static>(
        &self,
        turnwise: Turnwise,
        mut slice: impl FnMut(&mut M) -> Slice<R> + Send + 'static,
        done: impl FnOnce(Result<R, SessionError>) + Send + 'static,
    ) {
        {
            let mut state = self.inner.lock();
            if state.closing {
                drop(state);
                return done(Err(SessionError::Closed));
            }
            if state.running {
                drop(state);
                return done(Err(SessionError::AlreadyRunning));
            }
            state.running = true;
            state.pausing = false;
        }
        self.submit(Box::new(move |machine| {
            let (machine, inner) = match machine {
                Ok(given) => given,
                Err(error) => return done(Err(error)),
            };
            let mut has_returned = false;
            loop {
                inner.answer_mailbox(machine);
                let turn = match turnwise {
                    Turnwise::No => None,
                    Turnwise::Yes => {
                        let turn = inner.workers.turns().take(&inner.seat, has_returned);
                        if turn.is_none() {
                            // Called away: the slice executes nothing, and says where it stands.
                            (inner.interrupt)();
                        }
                        turn
                    }
                };
                has_returned = true;
                let sliced = guarded(|| slice(machine));
                drop(turn);
                match sliced {
                    Ok(Slice::Done(result)) => {
                        inner.lock().running = false;
                        return done(Ok(result));
                    }
                    Ok(Slice::Interrupted(result)) => {
                        let mut state = inner.lock();
                        if state.closing {
                            state.running = false;
                            drop(state);
                            return done(Err(SessionError::Closed));
                        }
                        if std::mem::take(&mut state.pausing) {
                            state.running = false;
                            drop(state);
                            return done(Ok(result));
                        }
                    }
                    Err(message) => {
                        done(Err(SessionError::Panicked { message: message.clone() }));
                        std::panic::resume_unwind(Box::new(message));
                    }
                }
            }
        }));
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
                drop(state);
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
        match std::mem::replace(&mut state.machine, Parked::Away) {
            Parked::Here(machine) => {
                state.mailbox.push_back(operation);
                drop(state);
                let inner = Arc::clone(&self.inner);
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
                if let Err(refused) = self.inner.workers.execute(job) {
                    let machine = handed.lock().unwrap_or_else(PoisonError::into_inner).take();
                    let mut state = self.inner.lock();
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
                    let awaiting = std::mem::take(&mut state.awaiting_close);
                    let waiting = std::mem::take(&mut state.mailbox);
                    drop(state);
                    drop(dropped);
                    for operation in waiting {
                        operation(Err(SessionError::NoThread { message: refused.to_string() }));
                    }
                    for done in awaiting {
                        done();
                    }
                }
            }
            Parked::Away => {
                state.mailbox.push_back(operation);
                let running = state.running;
                drop(state);
                if running {
                    self.inner.call();
                }
            }
            Parked::Gone(why) => {
                state.machine = Parked::Gone(why.clone());
                state.running = false;
                drop(state);
                operation(Err(why));
            }
        }
    }
}

impl<M: Send + 'static> Drop for Session<M> {
    fn drop(&mut self) {
        self.close(|| {});
    }
}

impl<M> Inner<M> {
    /// The life of a worker thread with this machine: one operation after the other, until none
    /// is left, the session is closed, or the machine panics.
    fn drive(&self, mut machine: M) {
        let ended = loop {
            let operation = {
                let mut state = self.lock();
                if state.closing {
                    break SessionError::Closed;
                }
                match state.mailbox.pop_front() {
                    Some(operation) => operation,
                    None => {
                        state.machine = Parked::Here(machine);
                        return;
                    }
                }
            };
            if let Err(message) = guarded(|| operation(Ok((&mut machine, self)))) {
                break SessionError::Panicked { message };
            }
        };
        let _ = guarded(move || drop(machine));
        let mut state = self.lock();
        state.machine = Parked::Gone(ended.clone());
        state.running = false;
        let waiting = std::mem::take(&mut state.mailbox);
        let awaiting = std::mem::take(&mut state.awaiting_close);
        drop(state);
        for operation in waiting {
            operation(Err(ended.clone()));
        }
        for done in awaiting {
            done();
        }
    }

    /// Executes what waits, between two slices of a run.
    fn answer_mailbox(&self, machine: &mut M) {
        loop {
            let operation = {
                let mut state = self.lock();
                if state.closing {
                    return;
                }
                match state.mailbox.pop_front() {
                    Some(operation) => operation,
                    None => return,
                }
            };
            operation(Ok((machine, self)));
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
