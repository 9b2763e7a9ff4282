//! Tracks the pages that were written, touched, or changed behind an engine's back.

use super::{LEAF_PAGES, PAGE, PageSet, PagedMemory};

/// A moment, to ask for writes since then: see [`PagedMemory::mark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub(super) u32);

impl Mark {
    /// The mark of an epoch: those of one memory, made one after the other, are ascending.
    pub fn of(epoch: u32) -> Self {
        Self(epoch)
    }
}

impl PagedMemory {
    /// Begins a new stretch of dirty tracking. The mark stays good for as long as the memory
    /// lives, in forks too; any number of marks may be in use. Begins a new generation, so that
    /// the next write to each page is seen.
    ///
    /// ```
    /// use stillpoint_vmm::memory::PagedMemory;
    /// let mut memory = PagedMemory::new(0x8000_0000, 1 << 20);
    /// memory.poke(0x8000_0000, b"before")?;
    /// let mark = memory.mark();
    /// memory.poke(0x8000_2ffe, b"across two pages")?;
    /// assert_eq!(memory.pages_since(mark), [0x8000_2000, 0x8000_3000]);
    /// # Ok::<(), stillpoint_vmm::memory::MemoryError>(())
    /// ```
    pub fn mark(&mut self) -> Mark {
        // At the last epoch marks stop clearing: pages then count as written, never as clean.
        self.epoch = self.epoch.saturating_add(1);
        self.new_generation();
        Mark(self.epoch)
    }

    /// Calls `visit` with the number of every page written since `mark`, ascending.
    pub fn visit_pages_since(&self, mark: Mark, visit: &mut dyn FnMut(usize)) {
        for (number, leaf) in self.leaves.iter().enumerate() {
            let Some(leaf) = leaf else { continue };
            if leaf.last_written < mark.0 {
                continue;
            }
            for (index, written) in leaf.written.iter().enumerate() {
                if *written >= mark.0 {
                    visit(number * LEAF_PAGES + index);
                }
            }
        }
    }

    /// Guest-physical addresses of the pages written since `mark`, ascending.
    pub fn pages_since(&self, mark: Mark) -> Vec<u64> {
        let mut pages = Vec::new();
        self.visit_pages_since(mark, &mut |page| pages.push(self.base + page as u64 * PAGE));
        pages
    }

    /// Starts to record which pages are read or written. Begins a new generation.
    pub fn record_touched(&mut self) {
        self.touched = Some(PageSet::default());
        self.new_generation();
    }

    /// Guest-physical addresses of the pages touched since [`Self::record_touched`], ascending;
    /// ends the recording. Empty if there was none.
    pub fn take_touched(&mut self) -> Vec<u64> {
        let touched = self.touched.take().unwrap_or_default();
        touched.iter().map(|page| self.base + page as u64 * PAGE).collect()
    }

    /// Asks that writes to the page of `gpa` by anyone but the engine (devices, the host) be
    /// reported by [`Self::take_touched_watched`]; engines watch pages whose code they cache.
    pub fn watch_page(&mut self, gpa: u64, watched: bool) {
        if let Some(page) = self.page_number(gpa) {
            if watched {
                self.watched.insert(page);
            } else {
                self.watched.remove(page);
            }
        }
    }

    /// Page addresses of watched pages written by [`Self::write`] or [`Self::poke`] since the last
    /// call.
    pub fn take_touched_watched(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.touched_watched)
    }
}
