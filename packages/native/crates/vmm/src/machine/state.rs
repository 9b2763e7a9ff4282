//! The part of a machine's state that is neither the engine's nor the platform's.

use super::sampler::Sampler;
use super::{Life, Machine};
use crate::memory::GuestMemory;
use crate::state::{Sections, StateError, StateReader, StateVersions, StateWriter};

/// The processor's state.
pub(crate) const ENGINE: &str = "engine";
/// The section of the machine's progress.
pub(crate) const PROGRESS: &str = "progress";

/// The progress of a machine.
pub(super) struct Progress {
    pub(super) idle: bool,
    pub(super) life: Life,
    pub(super) sampler: Sampler,
}

impl Machine {
    /// Everything that the guest could ever notice but memory: equal machines give equal states.
    pub(crate) fn save(&self) -> Sections {
        let mut sections = Sections::default();
        sections.push(ENGINE, self.engine.state_versions(), self.engine.save());
        self.platform.save(&mut sections);
        let mut progress = StateWriter::new();
        self.save_progress(&mut progress);
        sections.push(PROGRESS, StateVersions::FIRST, progress.finish());
        sections
    }

    /// Appends whether the guest waits or has ended, and the sampler's counts.
    fn save_progress(&self, state: &mut StateWriter) {
        state.bool(self.idle);
        match &self.life {
            Life::Running => state.u8(0),
            Life::Halted { reason } => state.u8(1).u32(*reason),
            Life::Reset { reason } => state.u8(2).u32(*reason),
            Life::Faulted { message } => state.u8(3).bytes(message.as_bytes()),
        };
        self.sampler.save(self.platform.memory.as_ref(), state);
    }
}

impl Progress {
    pub(super) fn load(
        memory: &mut dyn GuestMemory,
        state: &mut StateReader<'_>,
    ) -> Result<Self, StateError> {
        let idle = state.bool()?;
        let life = match state.u8()? {
            0 => Life::Running,
            1 => Life::Halted { reason: state.u32()? },
            2 => Life::Reset { reason: state.u32()? },
            other => return Err(state.refuse("a machine that can continue", other.to_string())),
        };
        Ok(Self { idle, life, sampler: Sampler::load(memory, state)? })
    }
}
