//! The snapshots that a machine's memory can be described against.
//!
//! ```text
//!  machine ──┬────────────┬───────────▶   knows its own captures, what it was restored from,
//!            │ mark M     │ mark N        and what its forks were captured to
//!            ▼            ▼
//!          fork ─▶ S    fork ─▶ S'        S' differs from S where the machine wrote since M, where
//!                                         this fork wrote, and where the other one wrote before S
//! ```

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::memory::{Mark, PageSet};

/// Snapshots that a machine remembers, of its own and of its forks each.
const MOST_REMEMBERED: usize = 16;

/// A snapshot's identity, and the id of its key.
type Identified = ([u8; 32], Option<Arc<str>>);

/// A moment of a machine that is, or will be, a snapshot. What identifies it is known once it has
/// been written, and so is the id of the key that it is encrypted with.
#[derive(Debug, Clone)]
pub(crate) struct Lineage {
    identity: Arc<OnceLock<Identified>>,
}

impl Lineage {
    pub(crate) fn unwritten() -> Self {
        Self { identity: Arc::new(OnceLock::new()) }
    }

    pub(crate) fn of(identity: [u8; 32], key_id: Option<&str>) -> Self {
        let lineage = Self::unwritten();
        lineage.written_as(identity, key_id);
        lineage
    }

    pub(crate) fn written(&self) -> Option<[u8; 32]> {
        self.identity.get().map(|(identity, _)| *identity)
    }

    fn key_id(&self) -> Option<Arc<str>> {
        self.identity.get().and_then(|(_, key_id)| key_id.clone())
    }

    pub(crate) fn written_as(&self, identity: [u8; 32], key_id: Option<&str>) {
        // Written twice, it is the first copy that deltas refer to.
        let _ = self.identity.set((identity, key_id.map(Arc::from)));
    }
}

/// Pages of memory, and of disks by their number.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) memory: PageSet,
    pub(crate) disks: Vec<PageSet>,
}

/// The pages and blocks in which a machine may differ from a snapshot.
#[derive(Clone)]
pub(crate) struct Difference {
    /// Pages that the machine has written since then.
    pub(crate) since: Mark,
    /// Pages that a fork had written before it was captured.
    pub(crate) besides: Arc<Written>,
}

#[derive(Clone)]
struct Known {
    lineage: Lineage,
    difference: Difference,
}

type Found = (Difference, Option<Arc<str>>);

type Board = Arc<Mutex<Vec<Known>>>;

/// The snapshots that a machine knows.
pub(crate) struct Lineages {
    own: Vec<Known>,
    /// The captures of this machine's forks, which the forks add themselves.
    of_forks: Board,
    /// The same of the machines that this one descends from, nearest first, up to where it left.
    of_relatives: Vec<(Board, Mark)>,
}

fn remember(all: &mut Vec<Known>, known: Known) {
    if all.len() >= MOST_REMEMBERED {
        all.remove(0);
    }
    all.push(known);
}

fn read(board: &Board) -> MutexGuard<'_, Vec<Known>> {
    // Nothing that can panic runs under the lock.
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lineages {
    /// The lineages of a new machine.
    pub(crate) fn new() -> Self {
        Self { own: Vec::new(), of_forks: Board::default(), of_relatives: Vec::new() }
    }

    /// Of a machine that was restored; `since` is a mark of its untouched memory.
    pub(crate) fn restored(lineage: Lineage, since: Mark) -> Self {
        let mut lineages = Self::new();
        let difference = Difference { since, besides: Arc::default() };
        lineages.own.push(Known { lineage, difference });
        lineages
    }

    /// Of a fork that is being made; `left_at` is a mark of the memory that both have.
    pub(crate) fn forked(&self, left_at: Mark) -> Self {
        let mut of_relatives = vec![(Arc::clone(&self.of_forks), left_at)];
        of_relatives.extend(self.of_relatives.iter().cloned());
        Self { own: self.own.clone(), of_forks: Board::default(), of_relatives }
    }

    /// Remembers a capture of this moment; `now` is its mark, and `written_since` returns the pages
    /// written since a mark. The machine that this one was forked from learns of it too.
    pub(crate) fn captured(
        &mut self,
        lineage: &Lineage,
        now: Mark,
        written_since: impl Fn(Mark) -> Written,
    ) {
        if let Some((board, left_at)) = self.of_relatives.first() {
            let besides = Arc::new(written_since(*left_at));
            let difference = Difference { since: *left_at, besides };
            remember(&mut read(board), Known { lineage: lineage.clone(), difference });
        }
        let difference = Difference { since: now, besides: Arc::default() };
        remember(&mut self.own, Known { lineage: lineage.clone(), difference });
    }

    /// The pages in which memory may differ from the snapshot with that identity, and the id of the key
    /// that it is encrypted with.
    ///
    /// # Errors
    /// The identities of those that are known, if this one is not.
    pub(crate) fn find(&self, identity: [u8; 32]) -> Result<Found, Vec<[u8; 32]>> {
        let mut known = self.own.clone();
        known.extend(read(&self.of_forks).iter().cloned());
        for (board, left_at) in &self.of_relatives {
            // A sibling that left later does not know the earlier captures on this machine's side.
            let earlier = |known: &&Known| known.difference.since <= *left_at;
            known.extend(read(board).iter().filter(earlier).cloned());
        }
        let identities: Vec<_> = known.iter().filter_map(|each| each.lineage.written()).collect();
        known
            .into_iter()
            .find(|each| each.lineage.written() == Some(identity))
            .map(|each| (each.difference, each.lineage.key_id()))
            .ok_or(identities)
    }
}
