//! Guest-physical memory: 4 KiB pages, absent until touched, shared copy-on-write between
//! machines, read lazily from snapshots, with dirty tracking per page.
//!
//! # Host pointers
//! An engine that wants speed asks for host pointers to whole pages
//! ([`GuestMemory::page_for_read`], [`GuestMemory::page_for_write`]) and keeps them as long as
//! [`GuestMemory::generation`] stands still. What makes that sound:
//!
//! * A pointer for reading names the shared zero page, a verified page of the snapshot image, or
//!   a counted page that this memory's table references. All stay mapped while the table refers
//!   to them. The table stops referring to a page in two cases only: in
//!   [`GuestMemory::page_for_write`] of that very page, after which the caller drops the pointers
//!   that it had to it (all others stay good); and in [`GuestMemory::write`], which begins a new
//!   generation.
//! * A pointer for writing names a page that only this memory's table references, in a leaf that
//!   only this memory holds. Others can come to share it through [`GuestMemory::fork`] only,
//!   which begins a new generation.
//! * No Rust reference to a page's bytes outlives a method of this module, so raw accesses never
//!   alias one; and a memory and the engine that uses its pointers are driven by one thread at a
//!   time, since both are borrowed mutably for a run.

mod error;
mod hash;
mod pages;
mod table;

use std::ptr::NonNull;
use std::sync::Arc;

pub use error::MemoryError;
pub(crate) use pages::{Region, zero_page};
pub use pages::{in_use_bytes, limit_bytes, set_limit_bytes};
pub(crate) use table::{LEAF_PAGES, Leaf, PageSet, Slot, SlotView};

use hash::HashCache;
use pages::PageRef;

/// Bytes in a page.
pub const PAGE_BYTES: usize = 4096;

const PAGE: u64 = PAGE_BYTES as u64;

/// Where the pages that a restored memory has not written come from.
pub(crate) trait PageImage: Send + Sync {
    /// The verified bytes of guest page number `page`, good while the image lives and never
    /// changed.
    fn page(&self, page: usize) -> Result<NonNull<u8>, MemoryError>;
}

/// A moment since when writes are asked for: see [`GuestMemory::mark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u32);

/// The memory of one machine: one range of guest-physical addresses.
pub struct GuestMemory {
    base: u64,
    page_count: usize,
    leaves: Vec<Option<Arc<Leaf>>>,
    image: Option<Arc<dyn PageImage>>,
    epoch: u32,
    generation: u64,
    watched: PageSet,
    touched_watched: Vec<u64>,
    touched: Option<PageSet>,
    failure: Option<MemoryError>,
    hashes: HashCache,
}

impl GuestMemory {
    /// Memory of `size_bytes` (rounded down to whole pages) at `base`, all zero, costing nothing
    /// until touched.
    pub fn new(base: u64, size_bytes: u64) -> Self {
        let page_count = usize::try_from(size_bytes / PAGE).unwrap_or(0);
        Self::with_leaves(base, page_count, vec![None; page_count.div_ceil(LEAF_PAGES)], None)
    }

    /// Memory whose table is `leaves`, with `image` behind the slots that say so.
    pub(crate) fn restored(
        base: u64,
        page_count: usize,
        leaves: Vec<Option<Arc<Leaf>>>,
        image: Arc<dyn PageImage>,
    ) -> Self {
        debug_assert_eq!(leaves.len(), page_count.div_ceil(LEAF_PAGES));
        Self::with_leaves(base, page_count, leaves, Some(image))
    }

    fn with_leaves(
        base: u64,
        page_count: usize,
        leaves: Vec<Option<Arc<Leaf>>>,
        image: Option<Arc<dyn PageImage>>,
    ) -> Self {
        Self {
            base,
            page_count,
            leaves,
            image,
            epoch: 1,
            generation: 0,
            watched: PageSet::default(),
            touched_watched: Vec::new(),
            touched: None,
            failure: None,
            hashes: HashCache::default(),
        }
    }

    /// First guest-physical address.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Size in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.page_count as u64 * PAGE
    }

    /// Pages, counted from [`Self::base`].
    pub fn page_count(&self) -> usize {
        self.page_count
    }

    /// Changes whenever a pointer that was handed out before is no longer good for what it was
    /// handed out for: a page was replaced, shared, or its dirty mark cleared.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Why the last page could not be had, if that was not for its address. Stays: a machine
    /// whose memory failed executes no further.
    pub fn failure(&self) -> Option<&MemoryError> {
        self.failure.as_ref()
    }

    fn new_generation(&mut self) {
        self.generation += 1;
    }

    #[inline]
    fn page_number(&self, gpa: u64) -> Option<usize> {
        let page = usize::try_from(gpa.checked_sub(self.base)? / PAGE).ok()?;
        (page < self.page_count).then_some(page)
    }

    /// The host address of the page that holds `gpa`, good for reading 4 KiB while
    /// [`Self::generation`] stands still. The pointer is 4 KiB aligned. May point to a page shared
    /// with other machines: never write through it.
    ///
    /// `None` outside memory, or, when [`Self::failure`] says so, because the content cannot be
    /// had.
    pub fn page_for_read(&mut self, gpa: u64) -> Option<NonNull<u8>> {
        let page = self.page_number(gpa)?;
        match self.readable(page) {
            Ok(address) => Some(address),
            Err(error) => {
                self.failure = Some(error);
                None
            }
        }
    }

    /// The host address of the page that holds `gpa`, good for reading and writing 4 KiB while
    /// [`Self::generation`] stands still. Marks the page dirty and makes it this machine's own:
    /// pointers that were handed out for this page before are dead after the call, without a new
    /// generation, and the caller drops them (they are the same pointer, unless the page had to
    /// be replaced).
    ///
    /// `None` outside memory, or, when [`Self::failure`] says so, because the content cannot be
    /// had or no page is left.
    pub fn page_for_write(&mut self, gpa: u64) -> Option<NonNull<u8>> {
        let page = self.page_number(gpa)?;
        match self.writable(page) {
            Ok(address) => Some(address),
            Err(error) => {
                self.failure = Some(error);
                None
            }
        }
    }

    #[inline]
    fn readable(&mut self, page: usize) -> Result<NonNull<u8>, MemoryError> {
        if let Some(touched) = &mut self.touched {
            touched.insert(page);
        }
        self.content(page)
    }

    /// The page's bytes, without a trace.
    fn content(&self, page: usize) -> Result<NonNull<u8>, MemoryError> {
        let Some(leaf) = &self.leaves[page / LEAF_PAGES] else { return Ok(zero_page()) };
        match leaf.slots[page % LEAF_PAGES].view() {
            SlotView::Zero => Ok(zero_page()),
            SlotView::Page(own) => Ok(own.address()),
            SlotView::Image => match &self.image {
                Some(image) => image.page(page),
                None => Ok(zero_page()),
            },
        }
    }

    fn writable(&mut self, page: usize) -> Result<NonNull<u8>, MemoryError> {
        if let Some(touched) = &mut self.touched {
            touched.insert(page);
        }
        let epoch = self.epoch;
        let slot = self.leaves[page / LEAF_PAGES].get_or_insert_with(|| Arc::new(Leaf::zero()));
        // A leaf that others hold too is replaced by a copy, which takes a reference to each of
        // its pages: what follows then sees them as shared.
        let leaf = Arc::make_mut(slot);
        let index = page % LEAF_PAGES;
        if let SlotView::Page(own) = leaf.slots[index].view()
            && own.is_unique()
        {
            let address = own.address();
            leaf.written[index] = epoch;
            leaf.last_written = epoch;
            return Ok(address);
        }
        let content = self.content(page)?;
        let own =
            if content == zero_page() { PageRef::zeroed() } else { PageRef::copy_of(content) };
        let own = own.map_err(|e| MemoryError::Exhausted { limit_bytes: e.limit_bytes })?;
        let address = own.address();
        if let Some(leaf) = self.leaves[page / LEAF_PAGES].as_mut().and_then(Arc::get_mut) {
            leaf.slots[index] = Slot::page(own);
            leaf.written[index] = epoch;
            leaf.last_written = epoch;
        }
        Ok(address)
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

    fn check(&self, gpa: u64, len: usize) -> Result<(), MemoryError> {
        let end = self.base + self.size_bytes();
        match gpa.checked_add(len as u64) {
            Some(last) if gpa >= self.base && last <= end => Ok(()),
            _ => Err(MemoryError::OutOfRange { gpa, len: len as u64, base: self.base, end }),
        }
    }

    /// Whether `len` bytes at `gpa` lie in memory.
    pub fn contains(&self, gpa: u64, len: usize) -> bool {
        self.check(gpa, len).is_ok()
    }

    /// Copies guest memory into `into`, on behalf of the guest or of a device.
    ///
    /// # Errors
    /// [`MemoryError`] if any byte is outside memory or cannot be had, which is then also
    /// [`Self::failure`].
    pub fn read(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), MemoryError> {
        self.peek(gpa, into).inspect_err(|error| self.fail(error))
    }

    /// Copies `from` into guest memory, on behalf of the guest or of a device.
    ///
    /// # Errors
    /// [`MemoryError`] if any byte is outside memory, or a page cannot be had or none is left,
    /// which is then also [`Self::failure`]; nothing is copied then.
    pub fn write(&mut self, gpa: u64, from: &[u8]) -> Result<(), MemoryError> {
        self.poke(gpa, from).inspect_err(|error| self.fail(error))
    }

    /// An address outside memory is the guest's mistake; everything else ends the machine.
    fn fail(&mut self, error: &MemoryError) {
        if !matches!(error, MemoryError::OutOfRange { .. }) {
            self.failure = Some(error.clone());
        }
    }

    /// Copies guest memory into `into`, on behalf of the host: the machine goes on whatever the
    /// outcome.
    ///
    /// # Errors
    /// [`MemoryError`] if any byte is outside memory or cannot be had.
    pub fn peek(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), MemoryError> {
        self.check(gpa, into.len())?;
        let mut at = gpa;
        let mut rest = into;
        while !rest.is_empty() {
            let offset = (at % PAGE) as usize;
            let take = rest.len().min(PAGE_BYTES - offset);
            let address = self.readable(((at - self.base) / PAGE) as usize)?;
            let (head, tail) = rest.split_at_mut(take);
            // SAFETY: the page is readable for 4 KiB, offset + take stays inside it, and `head`
            // is memory of the caller's, distinct from it.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    address.as_ptr().add(offset),
                    head.as_mut_ptr(),
                    take,
                );
            }
            rest = tail;
            at += take as u64;
        }
        Ok(())
    }

    /// Copies `from` into guest memory, on behalf of the host: the machine goes on whatever the
    /// outcome.
    ///
    /// # Errors
    /// [`MemoryError`] if any byte is outside memory, a page cannot be had or none is left;
    /// nothing is copied then.
    pub fn poke(&mut self, gpa: u64, from: &[u8]) -> Result<(), MemoryError> {
        self.check(gpa, from.len())?;
        if from.is_empty() {
            return Ok(());
        }
        // Pages may be replaced behind the engine's back.
        self.new_generation();
        let first = ((gpa - self.base) / PAGE) as usize;
        let last = ((gpa - self.base + from.len() as u64 - 1) / PAGE) as usize;
        for page in first..=last {
            self.writable(page)?;
        }
        let mut at = gpa;
        let mut rest = from;
        for page in first..=last {
            let offset = (at % PAGE) as usize;
            let take = rest.len().min(PAGE_BYTES - offset);
            let address = self.writable(page)?;
            // SAFETY: the page is writable for 4 KiB and only ours, offset + take stays inside
            // it, and `rest` is memory of the caller's, distinct from it.
            unsafe {
                std::ptr::copy_nonoverlapping(rest.as_ptr(), address.as_ptr().add(offset), take);
            }
            if self.watched.contains(page) {
                self.touched_watched.push(self.base + page as u64 * PAGE);
            }
            rest = &rest[take..];
            at += take as u64;
        }
        Ok(())
    }

    /// Begins a new stretch of dirty tracking. The mark stays good for as long as the memory
    /// lives, in forks too; any number of marks may be in use. Begins a new generation, so that
    /// the next write to each page is seen.
    pub fn mark(&mut self) -> Mark {
        // At the last epoch marks stop clearing: pages then count as written, never as clean.
        self.epoch = self.epoch.saturating_add(1);
        self.new_generation();
        Mark(self.epoch)
    }

    /// Calls `visit` with the number of every page written since `mark`, ascending.
    pub fn visit_pages_since(&self, mark: Mark, mut visit: impl FnMut(usize)) {
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
        self.visit_pages_since(mark, |page| pages.push(self.base + page as u64 * PAGE));
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

    /// Has the snapshot's bytes of the page at `gpa` read and verified now.
    ///
    /// # Errors
    /// [`MemoryError`] if the address is outside memory or the content cannot be had. The memory
    /// has not failed then: the guest has not asked.
    pub fn prefetch(&self, gpa: u64) -> Result<(), MemoryError> {
        self.check(gpa, 1)?;
        self.content(((gpa - self.base) / PAGE) as usize).map(|_| ())
    }

    /// Memory with the same content that shares every page with this one until either writes.
    /// Costs a word per half mebibyte. Begins a new generation here.
    pub fn fork(&mut self) -> Self {
        self.new_generation();
        Self {
            base: self.base,
            page_count: self.page_count,
            leaves: self.leaves.clone(),
            image: self.image.clone(),
            epoch: self.epoch,
            generation: self.generation,
            watched: self.watched.clone(),
            touched_watched: self.touched_watched.clone(),
            touched: None,
            failure: self.failure.clone(),
            hashes: self.hashes.clone(),
        }
    }

    /// Bytes that closing this machine alone would give back: its own pages and tables.
    pub fn own_bytes(&self) -> u64 {
        let mut bytes = self.leaves.capacity() as u64 * 8;
        for leaf in self.leaves.iter().flatten() {
            if Arc::strong_count(leaf) > 1 {
                continue;
            }
            bytes += size_of::<Leaf>() as u64;
            for slot in &leaf.slots {
                if let SlotView::Page(page) = slot.view()
                    && page.is_unique()
                {
                    bytes += PAGE;
                }
            }
        }
        bytes
    }

    /// Bytes of guest memory that are not the shared zero page: own, shared or in a snapshot.
    pub fn present_bytes(&self) -> u64 {
        let present = |leaf: &Arc<Leaf>| {
            leaf.slots.iter().filter(|slot| !matches!(slot.view(), SlotView::Zero)).count()
        };
        self.leaves.iter().flatten().map(present).sum::<usize>() as u64 * PAGE
    }

    /// Whether page number `page` is certainly all zero, and its bytes.
    pub(crate) fn page_bytes(&self, page: usize) -> Result<Option<&[u8; PAGE_BYTES]>, MemoryError> {
        if page >= self.page_count {
            return Ok(None);
        }
        let content = self.content(page)?;
        if content == zero_page() {
            return Ok(None);
        }
        // SAFETY: the page is readable for 4 KiB and stays mapped while `self` is borrowed. It is
        // not written meanwhile: whoever writes needs this memory mutably (pages of its own) or
        // finds the page shared (pages of others).
        Ok(Some(unsafe { &*content.as_ptr().cast::<[u8; PAGE_BYTES]>() }))
    }
}

#[cfg(test)]
mod tests;
