//! Guest-physical memory: 4 KiB pages, absent until touched, shared copy-on-write between
//! machines, read lazily from snapshots, with dirty tracking per page.
//!
//! # Host pointers
//! An engine that wants speed asks for host pointers to whole pages
//! ([`PagedMemory::page_for_read`], [`PagedMemory::page_for_write`]) and keeps them as long as
//! [`PagedMemory::generation`] stands still. What makes that sound:
//!
//! * A pointer for reading names the shared zero page, a verified page of the snapshot image, or
//!   a counted page that this memory's table references. All stay mapped while the table refers
//!   to them. The table stops referring to a page in two cases only: in
//!   [`PagedMemory::page_for_write`] of that very page, after which the caller drops the pointers
//!   that it had to it (all others stay good); and in [`PagedMemory::write`], which begins a new
//!   generation.
//! * A pointer for writing names a page that only this memory's table references, in a leaf that
//!   only this memory holds. Others can come to share it through [`PagedMemory::fork`] only,
//!   which begins a new generation.
//! * No Rust reference to a page's bytes outlives a method of this module, so raw accesses never
//!   alias one; and a memory and the engine that uses its pointers are driven by one thread at a
//!   time, since both are borrowed mutably for a run.

mod copy;
mod error;
mod guest_memory;
mod hash;
mod host;
mod kept;
mod mapped;
mod mapping;
mod paged;
mod pages;
mod sparse;
mod table;
mod track;

use std::ptr::NonNull;
use std::sync::Arc;

pub use error::MemoryError;
pub use guest_memory::{GuestMemory, PageImage};
pub use kept::{Derived, KeptPage};
pub use mapped::{MappedBooks, PageEpochs};
pub(crate) use pages::{Region, filled_page, zero_page};
pub use pages::{in_use_bytes, limit_bytes, set_limit_bytes};
pub(crate) use sparse::KeptCopy;
pub(crate) use table::{LEAF_PAGES, Leaf, Slot, SlotView};
pub use table::{PageSet, PageTable};
pub use track::Mark;

use hash::HashCache;
use pages::PageRef;

/// Bytes in a page.
pub const PAGE_BYTES: usize = 4096;

const PAGE: u64 = PAGE_BYTES as u64;

/// Memory kept as pages, absent until touched, which machines share until either writes.
///
/// ```
/// use stillpoint_vmm::memory::PagedMemory;
/// let mut parent = PagedMemory::new(0x8000_0000, 128 << 20);
/// parent.poke(0x8000_1000, b"shared")?;
/// let mut child = parent.fork();
/// child.poke(0x8000_1000, b"copied")?;
/// let mut bytes = [0; 6];
/// parent.peek(0x8000_1000, &mut bytes)?;
/// assert_eq!(&bytes, b"shared");
/// assert!(child.own_bytes() < 8 << 10, "one page and one leaf of the table");
/// # Ok::<(), stillpoint_vmm::memory::MemoryError>(())
/// ```
pub struct PagedMemory {
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
    derived: Arc<Derived>,
}

impl PagedMemory {
    /// Memory of `size_bytes` (rounded down to whole pages) at `base`, all zero, costing nothing
    /// until touched.
    pub fn new(base: u64, size_bytes: u64) -> Self {
        let page_count = usize::try_from(size_bytes / PAGE).unwrap_or(0);
        Self::with_leaves(base, page_count, vec![None; page_count.div_ceil(LEAF_PAGES)], None)
    }

    /// Memory of `size_bytes` at `base` with the content of `image`, read when it is first touched.
    pub fn restored(base: u64, size_bytes: u64, image: Arc<dyn PageImage>) -> Self {
        let page_count = usize::try_from(size_bytes / PAGE).unwrap_or(0);
        let PageTable(mut leaves) = image.table();
        leaves.resize(page_count.div_ceil(LEAF_PAGES), None);
        Self::with_leaves(base, page_count, leaves, Some(image))
    }

    fn with_leaves(
        base: u64,
        page_count: usize,
        leaves: Vec<Option<Arc<Leaf>>>,
        image: Option<Arc<dyn PageImage>>,
    ) -> Self {
        let derived = image.as_ref().map_or_else(Arc::default, |i| Arc::clone(i.derived()));
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
            derived,
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

    /// Changes whenever an earlier pointer is no longer valid for its purpose: a page was replaced,
    /// shared, or its dirty mark cleared.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Why the last page could not be returned, unless its address was invalid. Stays set: a
    /// machine whose memory failed executes no further.
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
    /// `None` outside memory or, if [`Self::failure`] is set, because the content cannot be read.
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
    /// `None` outside memory or, if [`Self::failure`] is set, because the content cannot be read or
    /// no page is left.
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
            SlotView::Zero | SlotView::Cleared => Ok(zero_page()),
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
            derived: Arc::clone(&self.derived),
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
            let absent = |slot: &&Slot| matches!(slot.view(), SlotView::Zero | SlotView::Cleared);
            LEAF_PAGES - leaf.slots.iter().filter(absent).count()
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
        // not written meanwhile: a writer needs this memory mutably (pages of its own) or finds the
        // page shared (pages of others).
        Ok(Some(unsafe { &*content.as_ptr().cast::<[u8; PAGE_BYTES]>() }))
    }
}

#[cfg(test)]
mod tests;
