//! The snapshots that a machine's memory can be described against.

use std::sync::{Arc, OnceLock};

/// A moment of a machine that is, or will be, a snapshot. What identifies it is known once it has
/// been written.
#[derive(Debug, Clone)]
pub(crate) struct Lineage {
    identity: Arc<OnceLock<[u8; 32]>>,
}

impl Lineage {
    pub(crate) fn unwritten() -> Self {
        Self { identity: Arc::new(OnceLock::new()) }
    }

    pub(crate) fn of(identity: [u8; 32]) -> Self {
        let lineage = Self::unwritten();
        lineage.written_as(identity);
        lineage
    }

    pub(crate) fn written(&self) -> Option<[u8; 32]> {
        self.identity.get().copied()
    }

    pub(crate) fn written_as(&self, identity: [u8; 32]) {
        // Written twice, it is the first copy that deltas refer to.
        let _ = self.identity.set(identity);
    }
}
