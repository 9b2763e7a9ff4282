//! A machine with its session and its event log.

use crate::event_log::{DEFAULT_LIMIT_BYTES, EventLog};
use crate::live::{Life, LiveFacts, LiveSlice, Living};
use crate::outside::{Outside, Outsides, Waker};
use crate::paced::Paced;
use crate::refusal::Refusal;
use crate::session::{Session, SessionError, Slice};
use crate::workers::Workers;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use stillpoint_net::{Limits, Network, NetworkError};
use stillpoint_vmm::engine::Nanos;
use stillpoint_vmm::engines::{EngineChoice, Engines};
use stillpoint_vmm::event::Event;
use stillpoint_vmm::machine::{
    Activity, HORIZON_NANOS, Machine, MachineConfig, MachineHandle, Pace, RunUntil, Stop,
};
use stillpoint_vmm::snapshot::{
    CaptureKind, CapturedFiles, EncryptionKey, RestoreOptions, WriteOptions,
};

/// Events that are taken from the machine at once.
const BATCH_EVENTS: usize = 1024;

/// Host time after which a machine that lives looks whether its log has room again.
const FOR_ROOM: Duration = Duration::from_millis(1);

/// The constants of a machine's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The engine's name.
    pub engine: String,
    /// Why it is that one; `None` if that was not recorded.
    pub engine_choice: Option<EngineChoice>,
    /// Guest memory in MiB, rounded up.
    pub memory_mib: u32,
    /// Whether equal inputs give equal runs.
    pub is_deterministic: bool,
    /// Sequence number of the first event of its own log.
    pub first_seq: u64,
    /// Guest time at which it was made, booted, restored or forked.
    pub begins_at_nanos: Nanos,
    /// The guest's activity at that time.
    pub begins_with: Activity,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The reason.
    pub stop: Stop,
    /// The guest time.
    pub at_nanos: Nanos,
}

/// The result of a capture, and its cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// The files.
    pub files: CapturedFiles,
    /// Guest time of the moment that they hold.
    pub at_nanos: Nanos,
    /// Sequence number of the first event after it.
    pub next_seq: u64,
    /// Host time during which the guest could not run.
    pub pause: Duration,
}

/// A machine that is operated from other threads and keeps its events.
///
/// Operations take a callback, which is called on a worker thread when they are over, or at once
/// if they are refused. Dropping it closes it.
pub struct Hosted {
    session: Session<Machine>,
    log: Arc<EventLog>,
    handle: MachineHandle,
    facts: Facts,
    workers: Workers,
    life: Life,
    paced: Paced,
    outsides: Arc<Outsides>,
    network: Option<Network>,
}

impl Hosted {
    /// Makes a machine on the calling thread: reads files, so it may take a while.
    ///
    /// # Errors
    /// [`Refusal`] with the name of the [`CreateError`](stillpoint_vmm::machine::CreateError).
    pub fn boot(
        config: &MachineConfig,
        engines: &Engines,
        workers: &Workers,
    ) -> Result<Self, Refusal> {
        Ok(Self::new(Machine::boot(config, engines)?, workers))
    }

    /// Restores the machine that was captured to the first of `directories`, on the calling thread; the
    /// others are its ancestors. Pages that the machine touches are recorded from the beginning.
    ///
    /// # Errors
    /// [`Refusal`] with the name of the [`RestoreError`](stillpoint_vmm::snapshot::RestoreError).
    pub fn restore(
        directories: &[PathBuf],
        options: &RestoreOptions,
        engines: &Engines,
        workers: &Workers,
    ) -> Result<Self, Refusal> {
        let mut machine = Machine::restore(directories, engines, options)?;
        machine.record_touched_pages();
        Ok(Self::new(machine, workers))
    }

    /// Takes over an existing machine. Its log begins with the next event that no run has told.
    pub fn new(mut machine: Machine, workers: &Workers) -> Self {
        let waker: Arc<OnceLock<Waker>> = Arc::default();
        let network = {
            let waker = Arc::clone(&waker);
            let wake = move || {
                if let Some(waker) = waker.get() {
                    waker.wake();
                }
            };
            // A machine without an interface has no network, nor one whose host has no thread for it.
            Network::attach(&mut machine, Limits::default(), wake).ok()
        };
        let origin = machine.origin();
        let memory = &origin.machine.memory;
        let facts = Facts {
            engine: origin.machine.engine.clone(),
            memory_mib: u32::try_from(memory.size_bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX),
            is_deterministic: origin.deterministic,
            engine_choice: origin.engine_choice.clone(),
            first_seq: machine.untold_seq(),
            begins_at_nanos: machine.now(),
            begins_with: machine.activity(),
        };
        let log = Arc::new(EventLog::new(machine.untold_seq(), DEFAULT_LIMIT_BYTES));
        let handle = machine.handle();
        let interrupt = {
            let (handle, log) = (machine.handle(), Arc::clone(&log));
            move || {
                handle.interrupt();
                log.call();
            }
        };
        let session = Session::new(machine, interrupt, workers);
        let outsides = Arc::new(Outsides::new(workers.alarms()));
        let hosted = Self {
            session,
            log,
            handle,
            facts,
            workers: workers.clone(),
            life: Life::default(),
            paced: Paced::default(),
            outsides,
            network,
        };
        if hosted.network.is_some() {
            hosted.connect(|given| {
                let _ = waker.set(given);
                Box::new(Linked)
            });
        }
        hosted
    }

    /// The constants of the machine.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The machine's network.
    ///
    /// # Errors
    /// [`Refusal`] with the name of [`NetworkError::InterfaceMissing`] if it has none.
    pub fn network(&self) -> Result<&Network, Refusal> {
        Ok(self.network.as_ref().ok_or(NetworkError::InterfaceMissing)?)
    }

    /// Everything that the machine has said.
    pub fn log(&self) -> &Arc<EventLog> {
        &self.log
    }

    /// Guest time, a few milliseconds old at most while the machine runs.
    pub fn now_nanos(&self) -> Nanos {
        self.paced.now(self.life.now(self.handle.now_nanos()))
    }

    /// Connects the machine's devices to something on the host, for the life of the machine; its forks
    /// are connected to nothing.
    pub fn connect(&self, make: impl FnOnce(Waker) -> Box<dyn Outside>) {
        self.outsides.connect(Arc::new(self.session.waker()), make);
    }

    /// The state of a live machine; `None` if it is not live.
    pub fn live_facts(&self) -> Option<LiveFacts> {
        self.life.facts()
    }

    /// Runs the machine. A guest that says more than the followers of its log read waits for them,
    /// for as long as it takes.
    pub fn run(&self, until: RunUntil, done: impl FnOnce(Result<Ended, Refusal>) + Send + 'static) {
        let (log, handle) = (Arc::clone(&self.log), self.handle.clone());
        let (outsides, paced) = (Arc::clone(&self.outsides), self.paced.clone());
        // Set by the first slice: the budget counts from when the run begins.
        let mut budget_end = None;
        // A slice may outlast its run, and begin a wait.
        let mut ending = None;
        let slice = move |machine: &mut Machine| {
            ending.get_or_insert_with(|| EndOfWait(paced.clone()));
            paced.bring_up(machine);
            paced.end();
            outsides.visit(machine, budget_end.is_none());
            let now = machine.now();
            let end = *budget_end.get_or_insert_with(|| {
                now.saturating_add(until.budget_nanos.unwrap_or(HORIZON_NANOS))
            });
            let rest = RunUntil {
                budget_nanos: until.budget_nanos.map(|_| end.saturating_sub(now)),
                ..until
            };
            // The guest waits for the followers of its events, between two instructions and without
            // noticing. Any other operation on the machine ends the wait.
            log.wait_for_room(|| handle.is_interrupted());
            let stop = machine.run_into(&rest, &mut |events| told(&log, &handle, events));
            let at_nanos = machine.now();
            let waits = (stop == Stop::Interrupted && until.pace == Pace::HostTime)
                .then(|| paced.begin(machine, end.min(until.at_nanos.unwrap_or(HORIZON_NANOS))))
                .flatten();
            match (waits, Ended { stop, at_nanos }) {
                (Some(over_at), ended) => Slice::Resting(over_at, ended),
                (None, ended @ Ended { stop: Stop::Interrupted, .. }) => Slice::Interrupted(ended),
                (None, ended) => Slice::Done(ended),
            }
        };
        let (log, paced) = (Arc::clone(&self.log), self.paced.clone());
        self.session.run(slice, self.standing(), move |ended| {
            if !matches!(ended, Err(SessionError::AlreadyRunning)) {
                paced.end();
            }
            done(settled(&log, ended));
        });
    }

    /// Has the machine live: it runs in the background, its time follows the host's clock, and it takes
    /// neither processor time nor a thread while its guest waits, nor while the followers of its log
    /// are behind. Lasts until the guest has ended, or the run is paused.
    pub fn live(&self, living: Living, done: impl FnOnce(Result<Ended, Refusal>) + Send + 'static) {
        let (log, handle) = (Arc::clone(&self.log), self.handle.clone());
        let (life, outsides) = (self.life.clone(), Arc::clone(&self.outsides));
        let slice = move |machine: &mut Machine| {
            if !log.has_room() {
                let ended = Ended { stop: Stop::Interrupted, at_nanos: machine.now() };
                return Slice::Resting(Some(Instant::now() + FOR_ROOM), ended);
            }
            let run = |machine: &mut Machine, until: &RunUntil| {
                machine.run_into(until, &mut |events| told(&log, &handle, events))
            };
            let sliced = life.slice(living, &outsides, machine, run);
            let at_nanos = machine.now();
            let interrupted = Ended { stop: Stop::Interrupted, at_nanos };
            match sliced {
                LiveSlice::Ended(stop) => Slice::Done(Ended { stop, at_nanos }),
                LiveSlice::Ready => Slice::Interrupted(interrupted),
                LiveSlice::Resting(until) => Slice::Resting(until, interrupted),
            }
        };
        let (log, life) = (Arc::clone(&self.log), self.life.clone());
        self.session.run(slice, self.standing(), move |ended| {
            if !matches!(ended, Err(SessionError::AlreadyRunning)) {
                life.end();
            }
            done(settled(&log, ended));
        });
    }

    /// Where the machine stands, as far as others than its thread know.
    fn standing(&self) -> impl Fn() -> Ended + Send + Sync + 'static {
        let handle = self.handle.clone();
        move || Ended { stop: Stop::Interrupted, at_nanos: handle.now_nanos() }
    }

    /// Gives the guest input between two instructions, as [`Self::execute`]; a live machine that dozes
    /// continues.
    pub fn give<R: Send + 'static, E: Into<Refusal> + 'static>(
        &self,
        input: impl FnOnce(&mut Machine) -> Result<R, E> + Send + 'static,
        done: impl FnOnce(Result<R, Refusal>) + Send + 'static,
    ) {
        let life = self.life.clone();
        let give = move |machine: &mut Machine| {
            life.be_given(machine);
            input(machine)
        };
        self.execute(give, done);
    }

    /// Does something with the machine between two instructions; events that it causes are in the
    /// log before `done` is called.
    pub fn execute<R: Send + 'static, E: Into<Refusal> + 'static>(
        &self,
        operation: impl FnOnce(&mut Machine) -> Result<R, E> + Send + 'static,
        done: impl FnOnce(Result<R, Refusal>) + Send + 'static,
    ) {
        let log = Arc::clone(&self.log);
        let operate = {
            let (log, life, paced) = (Arc::clone(&log), self.life.clone(), self.paced.clone());
            move |machine: &mut Machine| {
                life.bring_up(machine);
                paced.bring_up(machine);
                let outcome = operation(machine).map_err(Into::into);
                while let Ok(events) = machine.events(log.next_seq(), BATCH_EVENTS)
                    && !events.is_empty()
                {
                    log.append(&events);
                }
                outcome
            }
        };
        self.session.execute(operate, move |outcome: Result<Result<R, Refusal>, SessionError>| {
            done(settled(&log, outcome).and_then(|outcome| outcome));
        });
    }

    /// An independent machine in the same state.
    pub fn fork(&self, done: impl FnOnce(Result<Self, Refusal>) + Send + 'static) {
        let workers = self.workers.clone();
        self.execute(
            move |machine| {
                machine.fork().map(|mut fork| {
                    fork.record_touched_pages();
                    Self::new(fork, &workers)
                })
            },
            done,
        );
    }

    /// Writes the machine as it is at this moment into `directory`. The guest stands still only
    /// until its state was taken; writing happens on another thread.
    pub fn capture(
        &self,
        directory: &Path,
        kind: CaptureKind,
        shared: Option<PathBuf>,
        encryption_key: Option<EncryptionKey>,
        done: impl FnOnce(Result<Captured, Refusal>) + Send + 'static,
    ) {
        let directory = directory.to_owned();
        let workers = self.workers.clone();
        let begin = move |machine: &mut Machine| {
            let began = Instant::now();
            machine.begin_capture(kind).map(|capture| (capture, began.elapsed()))
        };
        self.execute(begin, move |capture| {
            let (capture, pause) = match capture {
                Ok(capture) => capture,
                Err(refusal) => return done(Err(refusal)),
            };
            let write = move || {
                let options = WriteOptions {
                    shared: shared.as_deref(),
                    encryption_key: encryption_key.as_ref(),
                };
                let files = capture.write_with(&directory, options).map_err(Refusal::from)?;
                let (at_nanos, next_seq) = (capture.at_nanos(), capture.next_seq());
                Ok(Captured { files, at_nanos, next_seq, pause })
            };
            // `done` is in reach of both sides, so that it is called if no thread is to be had.
            let done = Arc::new(Mutex::new(Some(done)));
            let finish = Arc::clone(&done);
            let refused = workers.execute(move || answer(&finish, write()));
            if let Err(refused) = refused {
                let error = SessionError::NoThread { message: refused.to_string() };
                answer(&done, Err(error.into()));
            }
        });
    }

    /// Ends a run in progress.
    pub fn pause(&self) {
        self.session.pause();
    }

    /// Ends a run in progress, refuses what waits, frees the machine; its log stays readable.
    pub fn close(&self, done: impl FnOnce() + Send + 'static) {
        let (log, outsides) = (Arc::clone(&self.log), Arc::clone(&self.outsides));
        self.session.close(move || {
            log.end();
            outsides.disconnect();
            done();
        });
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.close(|| {});
    }
}

/// Ends the wait of a paced run with its last slice.
struct EndOfWait(Paced);

impl Drop for EndOfWait {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A machine's network as something outside: the machine itself exchanges with it, in its run.
struct Linked;

impl Outside for Linked {
    fn visit(&mut self, _machine: &mut Machine) -> Option<Instant> {
        None
    }
}

/// Appends a run's events to the log, and ends the run if the log's followers are behind.
fn told(log: &EventLog, handle: &MachineHandle, events: &[Event]) {
    // Events of input between two runs are in the log already.
    let seen = log.next_seq();
    let from = events.partition_point(|event| event.seq < seen);
    log.append(&events[from..]);
    if !log.has_room() {
        handle.interrupt();
    }
}

fn answer<R>(done: &Mutex<Option<impl FnOnce(R)>>, result: R) {
    let done = done.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(done) = done {
        done(result);
    }
}

/// A machine that panicked says nothing any more.
fn settled<R>(log: &EventLog, outcome: Result<R, SessionError>) -> Result<R, Refusal> {
    if let Err(SessionError::Panicked { .. }) = &outcome {
        log.end();
    }
    outcome.map_err(Refusal::from)
}
