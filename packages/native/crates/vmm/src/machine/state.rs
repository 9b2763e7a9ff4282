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
pub(crate) struct Progress {
    pub(super) idle: bool,
    pub(super) life: Life,
    pub(super) sampler: Sampler,
}

impl Machine {
    /// Everything that the guest could ever notice but memory: equal machines give equal states.
    pub(crate) fn save(&self) -> Sections {
        let mut sections = self.save_parts();
        self.progress().save(self.platform.memory.as_ref(), &mut sections);
        sections
    }

    /// The same without the progress, which takes longer, the more pages the guest has dirtied.
    pub(crate) fn save_parts(&self) -> Sections {
        let mut sections = Sections::default();
        sections.push(ENGINE, self.engine.state_versions(), self.engine.save());
        self.platform.save(&mut sections);
        sections
    }

    /// The progress at this instant.
    pub(crate) fn progress(&self) -> Progress {
        Progress { idle: self.idle, life: self.life.clone(), sampler: self.sampler.clone() }
    }
}

impl Progress {
    /// Adds whether the guest waits or has ended, and the sampler's counts; `memory` is the machine's
    /// at that instant, or a fork of it.
    pub(crate) fn save(&self, memory: &dyn GuestMemory, sections: &mut Sections) {
        let mut state = StateWriter::new();
        state.bool(self.idle);
        match &self.life {
            Life::Running => state.u8(0),
            Life::Halted { reason } => state.u8(1).u32(*reason),
            Life::Reset { reason } => state.u8(2).u32(*reason),
            Life::Faulted { message } => state.u8(3).bytes(message.as_bytes()),
        };
        self.sampler.save(memory, &mut state);
        sections.push(PROGRESS, StateVersions::FIRST, state.finish());
    }

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
