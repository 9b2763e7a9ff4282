//! Pages over other content, as disks have them: the pages that exist, and since when.

use std::ops::Range;
use std::sync::Arc;

use super::pages::PageRef;
use super::{
    LEAF_PAGES, Leaf, Mark, MemoryError, PAGE_BYTES, PageSet, PagedMemory, Slot, SlotView,
};

/// A copy of a page's earlier content, from the pages that all machines share. A page of zeros
/// costs none.
pub(crate) struct KeptCopy(Option<PageRef>);

// SAFETY: the page is written before other code can know it, and only read afterwards; references
// to pages are counted atomically and may be released by any thread.
unsafe impl Send for KeptCopy {}
// SAFETY: as above.
unsafe impl Sync for KeptCopy {}

impl KeptCopy {
    /// A copy of a page's bytes.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, MemoryError> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(Self(None));
        }
        let page = PageRef::zeroed()
            .map_err(|exhausted| MemoryError::Exhausted { limit_bytes: exhausted.limit_bytes })?;
        let count = bytes.len().min(PAGE_BYTES);
        // SAFETY: the fresh page is exclusively ours, distinct from `bytes`, and not shorter.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), page.address().as_ptr(), count);
        }
        Ok(Self(Some(page)))
    }

    /// Copies from `offset` on, up to the page's end.
    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) {
        let count = into.len().min(PAGE_BYTES.saturating_sub(offset));
        let Some(page) = &self.0 else { return into.fill(0) };
        // SAFETY: the bytes lie inside the page, which is no longer written.
        unsafe {
            let from = page.address().as_ptr().add(offset);
            std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), count);
        }
    }
}

impl PagedMemory {
    /// Whether page number `page` was written or cleared, or is one of the image's.
    pub(crate) fn holds(&self, page: usize) -> bool {
        self.leaves
            .get(page / LEAF_PAGES)
            .and_then(Option::as_ref)
            .is_some_and(|leaf| !matches!(leaf.slots[page % LEAF_PAGES].view(), SlotView::Zero))
    }

    /// Numbers of the pages that exist according to [`Self::holds`].
    pub(crate) fn held_pages(&self) -> PageSet {
        let mut held = PageSet::default();
        for (number, leaf) in self.leaves.iter().enumerate() {
            let Some(leaf) = leaf else { continue };
            for (index, slot) in leaf.slots.iter().enumerate() {
                if !matches!(slot.view(), SlotView::Zero) {
                    held.insert(number * LEAF_PAGES + index);
                }
            }
        }
        held
    }

    /// Makes pages exist as zeros, which takes no page of memory. If `only_held`, leaves absent
    /// pages absent. Begins a new generation.
    pub(crate) fn clear(&mut self, pages: Range<usize>, only_held: bool) {
        self.new_generation();
        for page in pages {
            if !only_held || self.holds(page) {
                self.each_slot(page..page + 1, |slot| *slot = Slot::cleared());
            }
        }
    }

    /// Counts pages as written now that something else holds.
    pub(crate) fn touch(&mut self, pages: Range<usize>) {
        self.each_slot(pages, |_| {});
    }

    fn each_slot(&mut self, pages: Range<usize>, mut act: impl FnMut(&mut Slot)) {
        let epoch = self.epoch;
        for page in pages.start..pages.end.min(self.page_count) {
            let leaf = self.leaves[page / LEAF_PAGES].get_or_insert_with(|| Arc::new(Leaf::zero()));
            let leaf = Arc::make_mut(leaf);
            act(&mut leaf.slots[page % LEAF_PAGES]);
            leaf.written[page % LEAF_PAGES] = epoch;
            leaf.last_written = epoch;
        }
    }

    /// Counts later writes as written since `mark`, which another memory made. Begins a new
    /// generation.
    pub(crate) fn follow(&mut self, mark: Mark) {
        self.epoch = self.epoch.max(mark.0);
        self.new_generation();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cleared_is_there_and_costs_no_page() {
        let mut memory = PagedMemory::new(0, 1 << 20);
        memory.poke(0x3000, b"kept").expect("in range");
        memory.poke(0x5000, b"cleared").expect("in range");
        let mark = Mark::of(7);
        memory.follow(mark);
        let mut fork = memory.fork();
        fork.clear(5..9, false);
        fork.clear(3..4, true);
        fork.clear(40..50, true);
        fork.touch(20..21);
        assert_eq!(fork.held_pages().iter().collect::<Vec<_>>(), [3, 5, 6, 7, 8]);
        assert!(fork.holds(8) && !fork.holds(9) && !fork.holds(20) && !fork.holds(1 << 30));
        let mut since = Vec::new();
        fork.visit_pages_since(mark, &mut |page| since.push(page));
        assert_eq!(since, [3, 5, 6, 7, 8, 20]);
        assert_eq!((memory.present_bytes(), fork.present_bytes()), (2 << 12, 0));
        let mut bytes = [9; 7];
        memory.peek(0x5000, &mut bytes).expect("in range");
        assert_eq!(&bytes, b"cleared");
        fork.peek(0x5000, &mut bytes).expect("in range");
        assert_eq!(bytes, [0; 7]);
        // Writes over it go to zeros.
        fork.poke(0x5002, b"x").expect("in range");
        fork.peek(0x5000, &mut bytes).expect("in range");
        assert_eq!(&bytes, b"\0\0x\0\0\0\0");
    }
}
