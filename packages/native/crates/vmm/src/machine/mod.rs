//! A machine: an engine, its platform, and what happens between them.
//!
//! ```text
//! config ──▶ Machine ──run──▶ Stop      inject ──▶ HostInput event
//!              │  ▲                     fork, capture ─▶ another machine, files
//!              ▼  │                     events, digest, registers, memory
//!            events (log)
//! ```
//! A machine executes nothing before it is run, stands between two instructions whenever it is
//! not running, and is driven by one thread at a time (it is `Send`).

mod callers;
mod config;
mod description;
mod disks;
mod fork;
mod handle;
mod input;
mod inspect;
mod lineage;
mod link;
mod memory_limits;
mod origin;
mod replay;
mod run;
mod sampler;
mod state;

pub use config::{CreateError, MIN_SAMPLE_STEP_NANOS, MachineConfig, NetworkConfig};
pub use description::{DescriptionInvalid, MachineDescription, MemoryDescription};
pub use disks::AttachError;
pub use fork::ForkError;
pub use handle::MachineHandle;
pub use input::InputError;
pub use inspect::{Activity, InspectError};
pub(crate) use lineage::{Difference, Lineage, Lineages, Written};
pub use memory_limits::{MAX_MEMORY_BYTES, MIN_MEMORY_BYTES};
pub use origin::Origin;
pub use replay::ReplayError;
pub use run::{Pace, RunUntil, Stop};

pub use crate::time::HORIZON_NANOS;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::board::{Boot, PayloadForm};
use crate::disks::Disks;
use crate::engine::Engine;
use crate::engines::{EngineChoice, Engines};
use crate::event::{Event, EventBody, EventsLost, Quotas};
use crate::loaders::{LoadError, Source, SourceError, unpack};
use crate::memory::GuestMemory;
use crate::network::Link;
use crate::platform::{DEFAULT_LOG_BYTES, Platform};
use crate::random::{RandomStream, Seed};
use crate::state::{Sections, StateError, StateReader, StateVersions};
use crate::time::Nanos;
use callers::Callers;
use sampler::Sampler;
pub(crate) use state::Progress;
pub(crate) use state::{ENGINE, PROGRESS};

/// Bytes of randomness that the boot gives the kernel.
const BOOT_SEED_BYTES: usize = 64;

/// Least bytes of events that a machine keeps, so that none is dropped within one slice of a run.
const MIN_LOG_BYTES: usize = 16 << 20;

/// Whether the guest still executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Life {
    Running,
    Halted { reason: u32 },
    Reset { reason: u32 },
    Faulted { message: String },
}

/// A guest and everything around it.
pub struct Machine {
    engine: Box<dyn Engine>,
    platform: Platform,
    handle: MachineHandle,
    sampler: Sampler,
    life: Life,
    /// The guest waits, and `GuestIdle` has been said.
    idle: bool,
    /// When the wait ends without input, as of the last run; `None` if unknown.
    wakes_at: Option<Nanos>,
    /// Guest time that was waited away in this machine's runs.
    waited_nanos: Nanos,
    /// First event that the sink of runs has not seen.
    delivered: u64,
    /// The origin of the machine, for snapshots.
    origin: Origin,
    /// The snapshots that memory can be described against.
    lineages: Lineages,
    /// Whether the agent has still to be told that its callers are elsewhere.
    callers: Callers,
    /// The host's end of the guest's network.
    link: Option<Box<dyn Link>>,
}

impl Machine {
    /// A machine about to execute the first instruction of what `config` names.
    ///
    /// # Errors
    /// [`CreateError`] if it cannot be made.
    pub fn new(config: &MachineConfig, mut engine: Box<dyn Engine>) -> Result<Self, CreateError> {
        config.check()?;
        let board = engine.board();
        let disks = Disks::open(&config.disks, config.disk_slots)?;
        let mut devices = config.devices(board);
        devices.extend(disks::described(board, &disks, config.disks.len() + config.disk_slots)?);
        let machine = MachineDescription {
            engine: engine.name().to_owned(),
            board: board.name().to_owned(),
            processors: 1,
            memory: MemoryDescription {
                base: board.memory_base(),
                size_bytes: config.memory_bytes,
            },
            devices,
            seed: Some(config.seed),
            epoch_nanos: config.epoch_nanos,
        };
        machine.check(board)?;
        let kernel = read_kernel(&config.kernel, config.memory_bytes)?;
        let initramfs = config
            .initramfs
            .as_ref()
            .map(|source| read_initramfs(source, config.memory_bytes))
            .transpose()?;
        let command_line =
            config.command_line.clone().unwrap_or_else(|| board.default_command_line().to_owned());
        let mut random_seed = [0; BOOT_SEED_BYTES];
        RandomStream::new(config.seed, "boot").fill(&mut random_seed);

        // A flat payload is taken as it is.
        let unpacked = match config.form {
            PayloadForm::Recognised => unpack(&kernel, config.memory_bytes)?,
            PayloadForm::Flat { .. } => Cow::Borrowed(&*kernel),
        };
        let boot = Boot {
            kernel: &unpacked,
            form: config.form,
            initramfs: initramfs.as_deref(),
            command_line: &command_line,
            random_seed: &random_seed,
        };
        engine.check_boot(&boot)?;
        let mut memory = engine.memory(machine.memory.base, machine.memory.size_bytes);
        let entry = board.load(memory.as_mut(), &machine.devices, &boot)?;
        engine.reset(entry);
        let mut platform = machine.platform(memory, config.log_bytes.max(MIN_LOG_BYTES))?;
        platform.set_quotas(Quotas::new(&config.quotas));
        platform.disks = disks;
        let origin = Origin {
            machine,
            engine_choice: None,
            deterministic: engine.is_deterministic() && config.seed != Seed::Host,
            command_line,
            kernel_digest: blake3::hash(&kernel).to_hex().to_string(),
            initramfs_digest: initramfs.map(|bytes| blake3::hash(&bytes).to_hex().to_string()),
        };
        let sampler = Sampler::new(config.sample_step_nanos, platform.memory.as_mut());
        let handle = MachineHandle::new(platform.stop_flag().clone(), 0);
        Ok(Self {
            engine,
            platform,
            handle,
            sampler,
            life: Life::Running,
            idle: false,
            wakes_at: None,
            waited_nanos: 0,
            delivered: 0,
            origin,
            lineages: Lineages::new(),
            callers: Callers::Settled,
            link: None,
        })
    }

    /// The same on the engine that `config` asks for, among `engines`: its first event says which one that is and why.
    ///
    /// # Errors
    /// [`CreateError`] if it cannot be made.
    pub fn boot(config: &MachineConfig, engines: &Engines) -> Result<Self, CreateError> {
        let (engine, choice) = engines.make_for(&config.engine, &config.kernel, config.form)?;
        let mut machine = Self::new(config, engine)?;
        let EngineChoice { requested, reason } = choice.clone();
        let engine = machine.origin.machine.engine.clone();
        machine.origin.engine_choice = Some(choice);
        machine.platform.emit(EventBody::EngineChosen { engine, requested, reason });
        Ok(machine)
    }

    /// A machine from the parts of a snapshot.
    pub(crate) fn restored(parts: Restored) -> Result<Self, RestoredInvalid> {
        let Restored { mut engine, memory, disks, origin, mut state, lineage, log_bytes } = parts;
        let log_bytes = log_bytes.unwrap_or(DEFAULT_LOG_BYTES).max(MIN_LOG_BYTES);
        let mut platform = origin.machine.platform(memory, log_bytes)?;
        platform.disks = disks;
        let saved = state.take(ENGINE, engine.state_versions())?;
        let loaded = catch_unwind(AssertUnwindSafe(|| engine.load(&saved)));
        loaded.map_err(|_| RestoredInvalid::EngineFailed)??;
        platform.load(&mut state, log_bytes)?;
        let saved = state.take(PROGRESS, StateVersions::FIRST)?;
        let mut progress = StateReader::new(PROGRESS, &saved);
        let Progress { idle, life, sampler } =
            Progress::load(platform.memory.as_mut(), &mut progress)?;
        progress.finish()?;
        state.finish()?;
        if engine.now() != platform.now {
            let expected = format!("an engine at {} ns", platform.now);
            let found = format!("{} ns", engine.now());
            return Err(StateError { expected, found }.into());
        }
        let mark = platform.memory.mark();
        platform.disks.follow(mark);
        let handle = MachineHandle::new(platform.stop_flag().clone(), platform.now);
        let callers = Callers::of_clone(platform.has_commands());
        Ok(Self {
            delivered: platform.log().next_seq(),
            engine,
            platform,
            handle,
            sampler,
            life,
            idle,
            wakes_at: None,
            waited_nanos: 0,
            origin,
            lineages: Lineages::restored(lineage, mark),
            callers,
            link: None,
        })
    }

    /// Guest time now.
    pub fn now(&self) -> Nanos {
        self.platform.now
    }

    /// The `seq` that the next event will have.
    pub fn next_seq(&self) -> u64 {
        self.platform.log().next_seq()
    }

    /// Up to `most` events from `seq` on. A restored machine begins with the event after those
    /// of its lineage.
    ///
    /// # Errors
    /// [`EventsLost`] if they are no longer kept.
    pub fn events(&self, seq: u64, most: usize) -> Result<Vec<Event>, EventsLost> {
        self.platform.log().since(seq, most)
    }

    /// A hold on this machine for other threads.
    pub fn handle(&self) -> MachineHandle {
        self.handle.clone()
    }

    /// The origin of the machine.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The `seq` of the first event that the sink of runs has not seen.
    pub fn untold_seq(&self) -> u64 {
        self.delivered
    }

    pub(crate) fn life(&self) -> &Life {
        &self.life
    }

    pub(crate) fn engine_mut(&mut self) -> &mut dyn Engine {
        self.engine.as_mut()
    }

    pub(crate) fn platform_mut(&mut self) -> &mut Platform {
        &mut self.platform
    }

    pub(crate) fn lineages(&self) -> &Lineages {
        &self.lineages
    }

    /// Remembers a capture of this moment, and begins to track later writes.
    pub(crate) fn remember_capture(&mut self, lineage: &Lineage) {
        let (memory, disks) = (&mut self.platform.memory, &mut self.platform.disks);
        let now = memory.mark();
        disks.follow(now);
        self.lineages.captured(lineage, now, |since| Written {
            memory: memory.page_numbers_since(since),
            disks: disks.pages_since(since),
        });
    }

    /// How the guest ended, if it has.
    pub(crate) fn ending(&self) -> Option<String> {
        match &self.life {
            Life::Running => None,
            Life::Halted { reason } => Some(format!("halted, reason {reason}")),
            Life::Reset { reason } => Some(format!("reset, reason {reason}")),
            Life::Faulted { message } => Some(format!("fault: {message}")),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.leave_derived();
    }
}

/// Why the parts of a snapshot do not make a machine.
#[derive(Debug)]
pub(crate) enum RestoredInvalid {
    /// The engine panicked over its state.
    EngineFailed,
    /// Saved state is invalid.
    State(StateError),
    /// The description cannot be built.
    Description(DescriptionInvalid),
}

impl From<StateError> for RestoredInvalid {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl From<DescriptionInvalid> for RestoredInvalid {
    fn from(error: DescriptionInvalid) -> Self {
        Self::Description(error)
    }
}

/// The parts of a machine in a snapshot.
pub(crate) struct Restored {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) memory: Box<dyn GuestMemory>,
    pub(crate) disks: Disks,
    pub(crate) origin: Origin,
    pub(crate) state: Sections,
    pub(crate) lineage: Lineage,
    pub(crate) log_bytes: Option<usize>,
}

fn read_kernel(source: &Source, most: u64) -> Result<std::sync::Arc<[u8]>, LoadError> {
    source.read(most).map_err(|error| match error {
        SourceError::Unreadable { path, reason } => LoadError::KernelUnreadable { path, reason },
        SourceError::TooLarge { found } => LoadError::KernelTooLarge { expected: most, found },
    })
}

fn read_initramfs(source: &Source, most: u64) -> Result<std::sync::Arc<[u8]>, LoadError> {
    source.read(most).map_err(|error| match error {
        SourceError::Unreadable { path, reason } => LoadError::InitramfsUnreadable { path, reason },
        SourceError::TooLarge { found } => {
            let is_memory_full = most < crate::loaders::INITRAMFS_REACH_BYTES;
            LoadError::InitramfsTooLarge { expected: most, found, is_memory_full }
        }
    })
}

#[cfg(test)]
mod tests;
