//! A capture of a machine, from the pause that it begins with.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use super::{BeginCaptureError, SnapshotId};
use crate::disks::Disks;
use crate::machine::{Difference, Life, Lineage, Machine, Origin, Progress};
use crate::memory::GuestMemory;
use crate::state::Sections;
use crate::time::Nanos;

/// The content of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureKind {
    /// All of memory.
    Full,
    /// The changes since another snapshot: of this machine, of one that it was forked from (before
    /// the fork), of a fork, or the one that it was restored from.
    Delta {
        /// That snapshot.
        parent: SnapshotId,
    },
}

/// A machine's state at one instant, which can be written while the machine continues.
pub struct Capture {
    pub(super) memory: Box<dyn GuestMemory>,
    pub(super) disks: Mutex<Disks>,
    /// The state without the progress, which is not encoded while the guest pauses.
    pub(super) state: Sections,
    pub(super) progress: Progress,
    pub(super) origin: Origin,
    pub(super) at_nanos: Nanos,
    pub(super) next_seq: u64,
    /// The snapshot that this one is a delta to, and where it may differ.
    pub(super) parent: Option<(SnapshotId, Difference)>,
    /// Id of the key that the parent is encrypted with.
    pub(super) parent_key: Option<Arc<str>>,
    pub(super) lineage: Lineage,
}

impl Capture {
    /// Guest time of that instant.
    pub fn at_nanos(&self) -> Nanos {
        self.at_nanos
    }

    /// The `seq` of the first event after that instant.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The origin of the machine.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl Machine {
    /// Takes the machine's state at this instant, sharing memory and disks copy-on-write: the guest
    /// pauses only for this. [`Capture::write`] puts it into files, on any thread.
    ///
    /// # Errors
    /// [`BeginCaptureError`]; the machine is then unchanged.
    pub fn begin_capture(&mut self, kind: CaptureKind) -> Result<Capture, BeginCaptureError> {
        if let Life::Faulted { message } = self.life() {
            return Err(BeginCaptureError::MachineFaulted { message: message.clone() });
        }
        let (parent, parent_key) = match kind {
            CaptureKind::Full => (None, None),
            CaptureKind::Delta { parent } => {
                let (difference, key) = self.difference_to(parent)?;
                (Some((parent, difference)), key)
            }
        };
        let saved = catch_unwind(AssertUnwindSafe(|| {
            self.engine_mut().drop_host_pointers();
            self.save_parts()
        }));
        let Ok(state) = saved else {
            let message = "the engine panicked while it was saved".to_owned();
            self.end(Life::Faulted { message });
            return Err(BeginCaptureError::EngineFailed);
        };
        let progress = self.progress();
        let memory = self.platform_mut().memory.fork();
        let disks = Mutex::new(self.platform_mut().disks.fork());
        let lineage = Lineage::unwritten();
        self.remember_capture(&lineage);
        Ok(Capture {
            memory,
            disks,
            state,
            progress,
            origin: self.origin().clone(),
            at_nanos: self.now(),
            next_seq: self.next_seq(),
            parent,
            parent_key,
            lineage,
        })
    }

    fn difference_to(
        &self,
        parent: SnapshotId,
    ) -> Result<(Difference, Option<Arc<str>>), BeginCaptureError> {
        self.lineages().find(parent.0).map_err(|known| {
            let known: Vec<_> = known.into_iter().map(|id| SnapshotId(id).to_string()).collect();
            BeginCaptureError::ParentUnknown {
                expected: parent.to_string(),
                found: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
            }
        })
    }
}
