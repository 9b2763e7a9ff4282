//! A machine's interface to its memory, for all implementations.

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;

use super::hash::{PAGES_HASHED_TOGETHER, hash_of_page, hash_of_pages, zero_pages_hash};
use super::{Derived, KeptPage, Mark, MemoryError, PAGE, PAGE_BYTES, PageSet, PageTable};

/// The source of pages that a restored memory has not written: a verified snapshot.
pub trait PageImage: Send + Sync {
    /// The verified bytes of guest page number `page`, good while the image lives and never
    /// changed.
    ///
    /// # Errors
    /// [`MemoryError`] if they cannot be read or are not as captured.
    fn page(&self, page: usize) -> Result<NonNull<u8>, MemoryError>;

    /// Whether page number `page` may be anything but zero.
    fn has(&self, page: usize) -> bool;

    /// The table of a paged memory that has written nothing yet.
    fn table(&self) -> PageTable;

    /// Data derived from the pages of the memories that are restored from this image.
    fn derived(&self) -> &Arc<Derived>;
}

/// The memory of one machine: one range of guest-physical addresses.
///
/// [`PagedMemory`](super::PagedMemory) keeps it as pages that machines share; an engine that needs
/// one host mapping for the range has its own implementation, and returns it from
/// [`Engine::memory`](crate::engine::Engine::memory). The module's rules for host pointers hold for
/// every implementation: they are valid while [`Self::generation`] does not change.
pub trait GuestMemory: Send + Sync {
    /// First guest-physical address.
    fn base(&self) -> u64;

    /// Pages, counted from [`Self::base`].
    fn page_count(&self) -> usize;

    /// Size in bytes.
    fn size_bytes(&self) -> u64 {
        self.page_count() as u64 * PAGE
    }

    /// Whether `len` bytes at `gpa` lie in memory.
    fn contains(&self, gpa: u64, len: usize) -> bool {
        let end = self.base() + self.size_bytes();
        gpa >= self.base() && gpa.checked_add(len as u64).is_some_and(|last| last <= end)
    }

    /// Changes whenever an earlier pointer is no longer valid for its purpose: a page was replaced,
    /// shared, or its dirty mark cleared.
    fn generation(&self) -> u64;

    /// Why the last page could not be returned, unless its address was invalid. Stays set: a
    /// machine whose memory failed executes no further.
    fn failure(&self) -> Option<&MemoryError>;

    /// The host address of the page that holds `gpa`, valid for reading 4 KiB, aligned to 4 KiB.
    /// May point to a page shared with other machines: never write through it. `None` outside
    /// memory or, if [`Self::failure`] is set, because the content cannot be read.
    fn page_for_read(&mut self, gpa: u64) -> Option<NonNull<u8>>;

    /// The same, good for writing, too; marks the page dirty. Pointers that were handed out for
    /// this page before are dead after the call, without a new generation.
    fn page_for_write(&mut self, gpa: u64) -> Option<NonNull<u8>>;

    /// The bytes of page number `page`, or `None` if they are certainly zero. Leaves no trace.
    ///
    /// # Errors
    /// [`MemoryError`] if they cannot be had.
    fn page_bytes(&self, page: usize) -> Result<Option<&[u8; PAGE_BYTES]>, MemoryError>;

    /// Copies guest memory into `into`, on behalf of the guest or of a device.
    ///
    /// # Errors
    /// [`MemoryError`] if any byte is outside memory or cannot be had, which is then also
    /// [`Self::failure`].
    fn read(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), MemoryError>;

    /// Copies `from` into guest memory, on behalf of the guest or of a device.
    ///
    /// # Errors
    /// [`MemoryError`] if any byte is outside memory, or a page cannot be had or none is left,
    /// which is then also [`Self::failure`]; nothing is copied then.
    fn write(&mut self, gpa: u64, from: &[u8]) -> Result<(), MemoryError>;

    /// Copies guest memory into `into`, on behalf of the host: a failure does not stop the machine.
    ///
    /// # Errors
    /// [`MemoryError`] if any byte is outside memory or cannot be had.
    fn peek(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), MemoryError>;

    /// Copies `from` into guest memory, on behalf of the host: a failure does not stop the machine.
    ///
    /// # Errors
    /// [`MemoryError`] if any byte is outside memory, a page cannot be had or none is left;
    /// nothing is copied then.
    fn poke(&mut self, gpa: u64, from: &[u8]) -> Result<(), MemoryError>;

    /// Has the snapshot's bytes of the page at `gpa` read and verified now.
    ///
    /// # Errors
    /// [`MemoryError`] if the address is outside memory or the content cannot be had. The memory
    /// has not failed then: the guest has not asked.
    fn prefetch(&self, gpa: u64) -> Result<(), MemoryError>;

    /// Memory with the same content, independent of this one. Begins a new generation here.
    fn fork(&mut self) -> Box<dyn GuestMemory>;

    /// Bytes that closing this machine alone would give back.
    fn own_bytes(&self) -> u64;

    /// Bytes of guest memory that exist: own, shared or in a snapshot.
    fn present_bytes(&self) -> u64;

    /// Begins a new stretch of dirty tracking, and a new generation, so that the next write to each
    /// page is seen. The mark stays good for as long as the memory lives, in forks too; any number
    /// of marks may be in use.
    fn mark(&mut self) -> Mark;

    /// Calls `visit` with the number of every page written since `mark`, ascending.
    fn visit_pages_since(&self, mark: Mark, visit: &mut dyn FnMut(usize));

    /// Numbers of the pages written since `mark`.
    fn page_numbers_since(&self, mark: Mark) -> PageSet {
        let mut pages = PageSet::default();
        self.visit_pages_since(mark, &mut |page| {
            pages.insert(page);
        });
        pages
    }

    /// Starts to record which pages are read or written. Begins a new generation.
    fn record_touched(&mut self);

    /// Guest-physical addresses of the pages touched since [`Self::record_touched`], ascending;
    /// ends the recording. Empty if there was none.
    fn take_touched(&mut self) -> Vec<u64>;

    /// Asks that writes to the page of `gpa` by anyone but the engine (devices, the host) be
    /// reported by [`Self::take_touched_watched`]; engines watch pages whose code they cache.
    fn watch_page(&mut self, gpa: u64, watched: bool);

    /// Page addresses of watched pages written by [`Self::write`] or [`Self::poke`] since the last
    /// call.
    fn take_touched_watched(&mut self) -> Vec<u64>;

    /// The BLAKE3 of the whole content: equal contents give equal digests, however they are held.
    ///
    /// # Errors
    /// [`MemoryError`] if the snapshot that the memory was restored from can no longer be read.
    fn digest(&mut self) -> Result<[u8; 32], MemoryError> {
        let mut hasher = blake3::Hasher::new();
        for first in (0..self.page_count()).step_by(PAGES_HASHED_TOGETHER) {
            let mut hashes = [hash_of_page(None); PAGES_HASHED_TOGETHER];
            let mut is_zero = true;
            for (page, hash) in (first..self.page_count()).zip(&mut hashes) {
                if let Some(bytes) = self.page_bytes(page)? {
                    *hash = hash_of_page(Some(bytes));
                    is_zero = false;
                }
            }
            hasher.update(&if is_zero { *zero_pages_hash() } else { hash_of_pages(&hashes) });
        }
        Ok(*hasher.finalize().as_bytes())
    }

    /// The family's store for data derived from its pages.
    fn derived(&self) -> &Derived;

    /// Whether the family has, or can still get, another memory.
    fn has_family(&self) -> bool;

    /// This memory as the kind that it is, for the engine that made it and executes from more than
    /// single pages of it. `None`: it is of no such kind.
    fn as_any_mut(&mut self) -> Option<&mut dyn Any> {
        None
    }

    /// Keeps the page at `gpa`, so that data derived from it can be found again by its address.
    /// `None` for a page that no other memory can have.
    fn keep_page(&mut self, gpa: u64, to_be_forked: bool) -> Option<KeptPage> {
        let _ = (gpa, to_be_forked);
        None
    }
}
