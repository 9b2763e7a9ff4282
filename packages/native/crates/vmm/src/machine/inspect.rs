//! Looking into a machine, for tests and debuggers.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Life, Machine};
use crate::engine::Exit;
use crate::event::{EventBody, OpenListener};
use crate::memory::MemoryError;
use crate::state::StateWriter;
use crate::time::Nanos;

/// The guest's present activity, derived from its events, for a reader that has not seen them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Whether it waits for an interrupt: the last of `GuestIdle` and `GuestBusy` was `GuestIdle`.
    pub is_idle: bool,
    /// Whether the agent has frozen the workload, and not thawed it since.
    pub is_frozen: bool,
    /// Names of the devices that have a request in flight.
    pub working_devices: Vec<String>,
    /// Listeners that are open, oldest first, as far as they are remembered.
    pub open_listeners: Vec<OpenListener>,
    /// Number of open TCP connections, as far as they are known.
    pub connections_open: u64,
}

/// A machine cannot be looked into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// Memory cannot be read or written there.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The engine has no such register.
    #[error("register {found}: expected one of those that the engine lists")]
    RegisterUnknown {
        /// The requested name.
        found: String,
    },
}

impl InspectError {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Memory(error) => error.name(),
            Self::RegisterUnknown { .. } => "RegisterUnknown",
        }
    }
}

impl Machine {
    /// The BLAKE3 of the whole machine state: processor, devices, memory, clock, and the writes to
    /// disks that are not volumes. Equal states have equal digests, however they came about. The
    /// cost depends on the changes since the last call.
    ///
    /// # Errors
    /// [`InspectError`] if the snapshot that the machine was restored from cannot be read.
    pub fn digest(&mut self) -> Result<[u8; 32], InspectError> {
        let memory = self.platform.memory.digest()?;
        let mut state = StateWriter::new();
        self.save().encode(&mut state);
        state.array(&memory);
        if self.platform.disks.iter().next().is_some() {
            let mark = self.platform.memory.mark();
            self.platform.disks.digest(mark, &mut state)?;
        }
        Ok(*blake3::hash(&state.finish()).as_bytes())
    }

    /// The guest's present activity.
    pub fn activity(&self) -> Activity {
        Activity {
            is_idle: self.idle,
            is_frozen: self.platform.is_frozen(),
            working_devices: self.platform.working_devices(),
            open_listeners: self.platform.open_listeners().to_vec(),
            connections_open: self.platform.connections_open(),
        }
    }

    /// The engine's registers by name.
    pub fn registers(&self) -> Vec<(&'static str, u64)> {
        self.engine.registers()
    }

    /// Sets a register.
    ///
    /// # Errors
    /// [`InspectError::RegisterUnknown`] if the engine has none of that name.
    pub fn set_register(&mut self, name: &str, value: u64) -> Result<(), InspectError> {
        self.wakes_at = None;
        if self.engine.set_register(name, value) {
            return Ok(());
        }
        Err(InspectError::RegisterUnknown { found: name.to_owned() })
    }

    /// Copies guest memory at guest-physical address `gpa` into `into`.
    ///
    /// # Errors
    /// [`InspectError::Memory`] if any byte is outside memory or cannot be had.
    pub fn read_memory(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), InspectError> {
        Ok(self.platform.memory.peek(gpa, into)?)
    }

    /// Copies `from` into guest memory at guest-physical address `gpa`.
    ///
    /// # Errors
    /// [`InspectError::Memory`] if any byte is outside memory or no page is left.
    pub fn write_memory(&mut self, gpa: u64, from: &[u8]) -> Result<(), InspectError> {
        self.wakes_at = None;
        Ok(self.platform.memory.poke(gpa, from)?)
    }

    /// First guest-physical address of memory, and its bytes.
    pub fn memory_range(&self) -> (u64, u64) {
        (self.platform.memory.base(), self.platform.memory.size_bytes())
    }

    /// Bytes that closing this machine alone would give back to the host.
    pub fn own_bytes(&self) -> u64 {
        self.platform.memory.own_bytes() + self.platform.disks.own_bytes()
    }

    /// Bytes of guest memory that exist: own, shared, or in a snapshot.
    pub fn present_bytes(&self) -> u64 {
        self.platform.memory.present_bytes()
    }

    /// Starts to record which pages the guest touches.
    pub fn record_touched_pages(&mut self) {
        self.platform.memory.record_touched();
    }

    /// Guest-physical addresses of the pages touched since the recording began, ascending; ends
    /// the recording. Empty if there was none.
    pub fn take_touched_pages(&mut self) -> Vec<u64> {
        self.platform.memory.take_touched()
    }

    /// Has the snapshot's bytes of these pages read and verified before the guest asks.
    ///
    /// # Errors
    /// [`InspectError::Memory`] at the first page that is outside memory or cannot be read; the
    /// machine remains usable.
    pub fn prefetch(&self, pages: &[u64]) -> Result<(), InspectError> {
        for page in pages {
            self.platform.memory.prefetch(*page)?;
        }
        Ok(())
    }

    /// Executes one instruction, or takes one trap; what else happened, if anything. A guest that
    /// waits moves to the moment that ends its wait.
    pub fn step(&mut self) -> Option<Exit> {
        if let Some(reason) = self.ending() {
            return Some(Exit::Fault(reason));
        }
        self.platform.tick();
        self.wakes_at = None;
        self.platform.lend_until(Nanos::MAX);
        let (engine, platform) = (&mut self.engine, &mut self.platform);
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            let exit = engine.step(platform);
            if let Some(Exit::Idle { wake_at: Some(at) }) = exit {
                engine.wait(platform, at);
            }
            exit
        }));
        let (panic, exit) = match stepped {
            Ok(exit) => (Ok(exit.clone().unwrap_or(Exit::Attention)), exit),
            Err(panic) => (Err(panic), None),
        };
        match self.settle(panic) {
            Exit::Halted { reason } => self.end(Life::Halted { reason }),
            Exit::Reset { reason } => self.end(Life::Reset { reason }),
            Exit::Fault(message) => {
                self.end(Life::Faulted { message: message.clone() });
                return Some(Exit::Fault(message));
            }
            _ => {}
        }
        exit
    }

    /// Records an event of the host's at this moment, such as one that a plug-in defines.
    pub fn emit(&mut self, body: EventBody) -> u64 {
        let seq = self.next_seq();
        self.platform.emit(body);
        seq
    }
}
