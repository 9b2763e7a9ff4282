//! Freezing a machine: the pause of a capture.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{FreezeError, SnapshotId};
use crate::machine::{Life, Lineage, Machine, Origin};
use crate::memory::{GuestMemory, Mark};
use crate::state::StateWriter;
use crate::time::Nanos;

/// Snapshots that a machine can be described against at once.
const MAX_LINEAGES: usize = 16;

/// What a capture holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureKind {
    /// All of memory.
    Full,
    /// What changed since an earlier snapshot of this machine or the one it was restored from.
    Delta {
        /// That snapshot.
        parent: SnapshotId,
    },
}

/// A machine's state at one moment, to be written while the machine goes on.
pub struct Frozen {
    pub(super) memory: GuestMemory,
    pub(super) engine: Vec<u8>,
    pub(super) platform: Vec<u8>,
    pub(super) progress: Vec<u8>,
    pub(super) origin: Origin,
    pub(super) at_nanos: Nanos,
    pub(super) next_seq: u64,
    /// The snapshot that this one is a delta to, and since when pages count.
    pub(super) parent: Option<(SnapshotId, Mark)>,
    pub(super) lineage: Lineage,
}

impl Frozen {
    /// Guest time of the moment.
    pub fn at_nanos(&self) -> Nanos {
        self.at_nanos
    }

    /// The `seq` of the first event after the moment.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// What the machine was made from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl Machine {
    /// Takes the machine's state at this moment, sharing memory copy-on-write: what a capture
    /// pauses the guest for. [`Frozen::write`] puts it into files, on any thread.
    ///
    /// # Errors
    /// [`FreezeError`]; the machine then goes on as if nothing had been asked.
    pub fn freeze(&mut self, kind: CaptureKind) -> Result<Frozen, FreezeError> {
        if let Life::Faulted { message } = self.life() {
            return Err(FreezeError::MachineFaulted { message: message.clone() });
        }
        let parent = match kind {
            CaptureKind::Full => None,
            CaptureKind::Delta { parent } => Some((parent, self.mark_of(parent)?)),
        };
        let saved = catch_unwind(AssertUnwindSafe(|| {
            self.engine_mut().drop_host_pointers();
            self.engine_mut().save()
        }));
        let Ok(engine) = saved else {
            let message = "the engine panicked while it was saved".to_owned();
            self.end(Life::Faulted { message });
            return Err(FreezeError::EngineFailed);
        };
        let mut progress = StateWriter::new();
        self.save_progress(&mut progress);
        let platform = self.platform_mut();
        let state = platform.save();
        let memory = platform.memory.fork();
        let mark = platform.memory.mark();
        let lineage = Lineage::unwritten();
        self.remember(lineage.clone(), mark);
        Ok(Frozen {
            memory,
            engine,
            platform: state,
            progress: progress.finish(),
            origin: self.origin().clone(),
            at_nanos: self.now(),
            next_seq: self.next_seq(),
            parent,
            lineage,
        })
    }

    fn mark_of(&self, parent: SnapshotId) -> Result<Mark, FreezeError> {
        let written = || {
            self.lineages().iter().filter_map(|(l, mark)| Some((SnapshotId(l.written()?), *mark)))
        };
        written().find(|(id, _)| *id == parent).map(|(_, mark)| mark).ok_or_else(|| {
            let known: Vec<String> = written().map(|(id, _)| id.to_string()).collect();
            FreezeError::ParentUnknown {
                expected: parent.to_string(),
                found: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
            }
        })
    }

    fn remember(&mut self, lineage: Lineage, mark: Mark) {
        let lineages = self.lineages_mut();
        if lineages.len() >= MAX_LINEAGES {
            lineages.remove(0);
        }
        lineages.push((lineage, mark));
    }
}
