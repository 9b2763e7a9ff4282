//! A second machine from a first, sharing memory until either writes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::callers::Callers;
use super::{Life, Machine, MachineHandle};

/// A machine cannot be forked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForkError {
    /// The engine failed before.
    #[error("the machine has faulted ({message}) and cannot be forked")]
    MachineFaulted {
        /// The reason.
        message: String,
    },
    /// The engine fails to be copied.
    #[error("the engine panicked while it was forked; this machine is good for nothing any more")]
    EngineFailed,
}

impl ForkError {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MachineFaulted { .. } => "MachineFaulted",
            Self::EngineFailed => "EngineFailed",
        }
    }
}

impl Machine {
    /// An independent machine in the same state. It shares memory copy-on-write, so a fork copies
    /// tables and no memory. Its events continue with the next `seq`, and earlier ones are shared.
    ///
    /// # Errors
    /// [`ForkError`] if the engine has failed.
    pub fn fork(&mut self) -> Result<Self, ForkError> {
        if let Life::Faulted { message } = &self.life {
            return Err(ForkError::MachineFaulted { message: message.clone() });
        }
        let copied = catch_unwind(AssertUnwindSafe(|| {
            self.engine.leave_derived(self.platform.memory.as_mut(), true);
            self.engine.drop_host_pointers();
            self.engine.fork()
        }));
        let Ok(engine) = copied else {
            let message = "the engine panicked while it was forked".to_owned();
            self.end(Life::Faulted { message });
            return Err(ForkError::EngineFailed);
        };
        let left_at = self.platform.memory.mark();
        self.platform.disks.follow(left_at);
        let platform = self.platform.fork();
        let handle = MachineHandle::new(platform.stop_flag().clone(), platform.now);
        let callers = Callers::of_clone(platform.has_commands());
        Ok(Self {
            engine,
            platform,
            handle,
            sampler: self.sampler.clone(),
            life: self.life.clone(),
            idle: self.idle,
            wakes_at: self.wakes_at,
            waited_nanos: 0,
            delivered: self.platform.log().next_seq(),
            origin: self.origin.clone(),
            lineages: self.lineages.forked(left_at),
            callers,
            link: None,
        })
    }
}
