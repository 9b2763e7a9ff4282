//! The translated code of a process, in the arena that is filled now.

use super::arena::Arena;
use super::layout::ExecuteSingle;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// Bytes of code, and of the pages it was made from, that the machines of a process share.
const CAPACITY_BYTES: usize = 96 << 20;

/// Least bytes of a store: room for the largest unit.
const LEAST_BYTES: usize = 1 << 20;

/// Translations that machines share: found by content, bounded, never read from a file.
///
/// Beside the arena that is filled, at most one per thread that executes can still be mapped, until the
/// end of its slice. All machines have the process's own unless they are given another.
pub struct Store {
    current: RwLock<Option<Arc<Arena>>>,
    capacity: usize,
    /// Arenas of this store that are still mapped.
    arenas: Arc<AtomicUsize>,
}

impl Store {
    /// An empty store of that many bytes, 1 MiB at least. Memory is used as code is written.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(LEAST_BYTES);
        Self { current: RwLock::new(None), capacity, arenas: Arc::default() }
    }

    /// The one of the process.
    pub fn of_process() -> &'static Arc<Self> {
        static STORE: OnceLock<Arc<Store>> = OnceLock::new();
        STORE.get_or_init(|| Arc::new(Self::new(CAPACITY_BYTES)))
    }

    /// The arena that is filled now. `None` if the host does not let the process have executable memory.
    pub(super) fn current(&self, execute_single: ExecuteSingle) -> Option<Arc<Arena>> {
        if let Some(arena) = &*self.current.read().unwrap_or_else(PoisonError::into_inner) {
            return Some(arena.clone());
        }
        self.begin(None, execute_single)
    }

    /// Replaces `full` by another arena, if it is still the current one. Returns the current one
    /// afterwards.
    pub(super) fn begin(
        &self,
        full: Option<&Arc<Arena>>,
        execute_single: ExecuteSingle,
    ) -> Option<Arc<Arena>> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let is_current = match (&*current, full) {
            (None, _) => true,
            (Some(arena), Some(full)) => Arc::ptr_eq(arena, full),
            (Some(_), None) => false,
        };
        if is_current {
            if let Some(full) = full {
                full.retire();
            }
            *current = None;
            let count = self.arenas.clone();
            *current = Arena::new(self.capacity, execute_single, count).map(Arc::new);
        }
        current.clone()
    }

    /// Number of arenas that are still mapped: the current one, and those that executing machines have not
    /// released.
    pub fn arenas(&self) -> usize {
        self.arenas.load(Ordering::Relaxed)
    }

    /// Bytes of code that machines share now, and pages that it was made from.
    pub fn size(&self) -> (usize, usize) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map_or((0, 0), |arena| arena.size())
    }
}
