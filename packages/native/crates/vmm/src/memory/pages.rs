//! The pages that guest memory is made of: 4 KiB, counted references, one pool for the process.
//!
//! ```text
//! slab, 256 KiB, aligned to its size
//! ┌──────────────────────────────┬────────┬────────┬─ ─ ─┬─────────┐
//! │ header: free mask, position, │ page 1 │ page 2 │     │ page 63 │
//! │ one reference count per page │        │        │     │         │
//! └──────────────────────────────┴────────┴────────┴─ ─ ─┴─────────┘
//! ```
//!
//! A page's slab is found by rounding its address down, so a reference is one word and a page
//! costs 4 KiB and a 63rd, not the 8 KiB that a counted allocation with this alignment would.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::{PAGE_BYTES, mapping};

const SLAB_BYTES: usize = 256 * 1024;
const PAGES_PER_SLAB: usize = SLAB_BYTES / PAGE_BYTES;
/// Bit 0 is the header's own page and never free.
const ALL_FREE: u64 = !1;
/// Wholly free slabs that are kept for the next allocation instead of being given back.
const SPARE_SLABS: usize = 16;

#[repr(C)]
struct SlabHeader {
    /// Bit `i`: page `i` is free. Read and written under the pool's lock.
    free: u64,
    /// The slab's position in the pool's list of slabs with free pages, if it is there.
    position: usize,
    references: [AtomicU32; PAGES_PER_SLAB],
}

/// Slabs with at least one free page, and the number of pages in use.
struct Pool {
    partial: Vec<NonNull<SlabHeader>>,
    spare: usize,
    in_use: usize,
}

// SAFETY: it points to slabs, which are not tied to a thread. `free` and `position` in their headers are
// accessed under `POOL`'s lock only; the counts beside them are atomic.
unsafe impl Send for Pool {}

static POOL: Mutex<Pool> = Mutex::new(Pool { partial: Vec::new(), spare: 0, in_use: 0 });

/// Maximum number of pages in use at once; 0 until first requested.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

fn pool() -> MutexGuard<'static, Pool> {
    // The lock is never held across anything that can panic half-way through a change.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The host has no page left for guests, or the limit of [`set_limit_bytes`] is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted {
    pub(crate) limit_bytes: u64,
}

/// Bytes of guest pages that all machines of this process may hold together. Defaults to seven
/// eighths of the host's memory, or of what its control groups leave this process.
pub fn limit_bytes() -> u64 {
    limit_pages() as u64 * PAGE_BYTES as u64
}

/// Sets [`limit_bytes`], rounded down to whole pages. Machines that hold more already keep it.
pub fn set_limit_bytes(bytes: u64) {
    let pages = usize::try_from(bytes / PAGE_BYTES as u64).unwrap_or(usize::MAX);
    LIMIT.store(pages.max(1), Ordering::Relaxed);
}

/// Bytes of guest pages that all machines of this process hold now, shared ones counted once.
pub fn in_use_bytes() -> u64 {
    pool().in_use as u64 * PAGE_BYTES as u64
}

fn limit_pages() -> usize {
    match LIMIT.load(Ordering::Relaxed) {
        0 => {
            let bytes = super::host::memory_bytes().unwrap_or(u64::MAX) / 8 * 7;
            let pages = usize::try_from(bytes / PAGE_BYTES as u64).unwrap_or(usize::MAX).max(1);
            LIMIT.store(pages, Ordering::Relaxed);
            pages
        }
        pages => pages,
    }
}

/// A region is aligned to the largest page that a host may have.
const REGION_ALIGN: usize = 64 * 1024;

/// A private anonymous mapping: zero, page aligned, unmapped when dropped.
pub(crate) struct Region {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a region is memory that is not tied to a thread; it can only be read or written in an unsafe
// block that uses `start`.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Reserves `len` bytes.
    pub(crate) fn new(len: usize) -> Option<Self> {
        let len = len.max(PAGE_BYTES).next_multiple_of(PAGE_BYTES);
        Some(Self { start: mapping::map(len, REGION_ALIGN)?, len })
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the range is exactly what `new` mapped. The owners of the region that give out pointers
        // into it (`Layer`, `filled_page`, `MappedMemory`) lend them for no longer than their own lives.
        unsafe { mapping::unmap(self.start, self.len, REGION_ALIGN) };
    }
}

/// A counted reference to one page.
///
/// Invariant: a page with two references is never written. A page with one reference may be written by
/// the exclusive holder of that reference.
pub(crate) struct PageRef(NonNull<u8>);

impl PageRef {
    /// A page of unspecified content, named by the reference returned only.
    pub(crate) fn allocate() -> Result<Self, Exhausted> {
        let limit = limit_pages();
        let exhausted = Exhausted { limit_bytes: limit as u64 * PAGE_BYTES as u64 };
        let mut pool = pool();
        if pool.in_use >= limit {
            return Err(exhausted);
        }
        let slab = match pool.partial.last() {
            Some(slab) => *slab,
            None => {
                let start = mapping::map(SLAB_BYTES, SLAB_BYTES).ok_or(exhausted)?;
                let slab: NonNull<SlabHeader> = start.cast();
                mapping::back(start, SLAB_BYTES);
                // SAFETY: the mapping is at least a header long, aligned, zero (valid reference counts),
                // and no other code knows it.
                unsafe { (*slab.as_ptr()).free = ALL_FREE };
                pool.insert_partial(slab);
                pool.spare += 1;
                slab
            }
        };
        // SAFETY: slabs in the list are mapped; `free` is only touched under the lock, held here.
        let index = unsafe {
            let header = slab.as_ptr();
            if (*header).free == ALL_FREE {
                pool.spare -= 1;
            }
            let index = (*header).free.trailing_zeros() as usize;
            (*header).free &= !(1 << index);
            if (*header).free == 0 {
                pool.remove_partial(slab);
            }
            (&(*header).references)[index].store(1, Ordering::Relaxed);
            index
        };
        pool.in_use += 1;
        // SAFETY: the index is of a bit of `ALL_FREE`, which has PAGES_PER_SLAB, so the address is inside
        // the slab.
        Ok(Self(unsafe { slab.cast::<u8>().add(index * PAGE_BYTES) }))
    }

    /// A page of zeros.
    pub(crate) fn zeroed() -> Result<Self, Exhausted> {
        let page = Self::allocate()?;
        // SAFETY: `allocate` has just taken the page out of `free`, with the only reference to it.
        unsafe { page.0.as_ptr().write_bytes(0, PAGE_BYTES) };
        Ok(page)
    }

    /// A page that holds `content`.
    pub(crate) fn copy_of(content: NonNull<u8>) -> Result<Self, Exhausted> {
        let page = Self::allocate()?;
        // SAFETY: the caller passes a readable page; the fresh one is exclusively ours, and
        // distinct from it.
        unsafe {
            std::ptr::copy_nonoverlapping(content.as_ptr(), page.0.as_ptr(), PAGE_BYTES);
        }
        Ok(page)
    }

    /// The page's address, aligned to 4 KiB.
    #[inline]
    pub(crate) fn address(&self) -> NonNull<u8> {
        self.0
    }

    /// Whether this reference is the only one.
    #[inline]
    pub(crate) fn is_unique(&self) -> bool {
        // Acquire pairs with the release in `drop`: a holder that let go has finished reading.
        self.count().load(Ordering::Acquire) == 1
    }

    /// The reference as an address whose low twelve bits are zero. Gives up the count.
    pub(crate) fn into_raw(self) -> *mut u8 {
        let address = self.0.as_ptr();
        std::mem::forget(self);
        address
    }

    /// The reference that [`Self::into_raw`] gave.
    ///
    /// # Safety
    /// `address` came from `into_raw`, and its count has not been taken back since.
    pub(crate) unsafe fn from_raw(address: *mut u8) -> Self {
        // SAFETY: into_raw gave the address of a page, which is never null.
        Self(unsafe { NonNull::new_unchecked(address) })
    }

    fn slab(&self) -> NonNull<SlabHeader> {
        let base = self.0.as_ptr().map_addr(|address| address & !(SLAB_BYTES - 1));
        // SAFETY: every page lies in a slab that is aligned to its size; no slab is at zero.
        unsafe { NonNull::new_unchecked(base.cast()) }
    }

    fn index(&self) -> usize {
        (self.0.addr().get() & (SLAB_BYTES - 1)) / PAGE_BYTES
    }

    fn count(&self) -> &AtomicU32 {
        // SAFETY: a slab stays mapped while one of its pages is referenced, and `self` references
        // one. Counts are only accessed atomically.
        unsafe { &(&(*self.slab().as_ptr()).references)[self.index()] }
    }
}

impl Clone for PageRef {
    fn clone(&self) -> Self {
        // A count cannot overflow: each reference is a word in a table of at least 1 KiB per 128,
        // so 2^32 of them need more memory than any host has.
        self.count().fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

impl Drop for PageRef {
    fn drop(&mut self) {
        if self.count().fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let (slab, index) = (self.slab(), self.index());
        let mut pool = pool();
        pool.in_use -= 1;
        // SAFETY: the slab is mapped as one of its pages was in use until now; `free` is only
        // touched under the lock, held here.
        unsafe {
            let header = slab.as_ptr();
            let was_full = (*header).free == 0;
            (*header).free |= 1 << index;
            if was_full {
                pool.insert_partial(slab);
            }
            if (*header).free == ALL_FREE {
                if pool.spare >= SPARE_SLABS {
                    pool.remove_partial(slab);
                    mapping::unmap(slab.cast(), SLAB_BYTES, SLAB_BYTES);
                } else {
                    pool.spare += 1;
                }
            }
        }
    }
}

impl Pool {
    fn insert_partial(&mut self, slab: NonNull<SlabHeader>) {
        // SAFETY: `allocate` passes a slab that it has just mapped and `drop` one that has a page in use;
        // `position` is accessed only under the lock, which gave `self`.
        unsafe { (*slab.as_ptr()).position = self.partial.len() };
        self.partial.push(slab);
    }

    fn remove_partial(&mut self, slab: NonNull<SlabHeader>) {
        // SAFETY: as in `insert_partial`; a slab is unmapped once it was taken out of the list.
        unsafe {
            let position = (*slab.as_ptr()).position;
            self.partial.swap_remove(position);
            if let Some(moved) = self.partial.get(position) {
                (*moved.as_ptr()).position = position;
            }
        }
    }
}

#[repr(align(4096))]
struct ZeroPage([u8; PAGE_BYTES]);

static ZERO: ZeroPage = ZeroPage([0; PAGE_BYTES]);

/// The page of zeros for all absent pages. It lies in read-only memory.
pub(crate) fn zero_page() -> NonNull<u8> {
    NonNull::from(&ZERO.0).cast()
}

/// A page that is all `byte`, for everybody and for ever; `None` if the host has none left.
pub(crate) fn filled_page(byte: u8) -> Option<NonNull<u8>> {
    static FILLED: [OnceLock<Region>; 256] = [const { OnceLock::new() }; 256];
    if byte == 0 {
        return Some(zero_page());
    }
    let filled = &FILLED[usize::from(byte)];
    if filled.get().is_none() {
        let page = Region::new(PAGE_BYTES)?;
        // SAFETY: the region was made just now, is a page long, and no other code knows it.
        unsafe { page.start().write_bytes(byte, PAGE_BYTES) };
        // Another thread may have been first: its page is as good.
        let _ = filled.set(page);
    }
    filled.get().map(Region::start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_distinct_aligned_and_given_back() {
        let pages: Vec<_> = (0..500).filter_map(|_| PageRef::allocate().ok()).collect();
        assert_eq!(pages.len(), 500);
        let mut addresses: Vec<_> = pages.iter().map(|p| p.address().as_ptr() as usize).collect();
        assert!(addresses.iter().all(|a| a % PAGE_BYTES == 0));
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), 500);
        let shared = pages[7].clone();
        assert!(!pages[7].is_unique());
        drop(pages);
        assert!(shared.is_unique());
    }
}
