//! Guest-physical memory: 4 KiB pages, absent until touched, shared copy-on-write between
//! machines, mapped from snapshots, with dirty tracking per page.
//!
//! An engine that wants speed asks for host pointers to whole pages and keeps them as long as
//! [`GuestMemory::generation`] stands still.

use std::ptr::NonNull;

/// Bytes in a page.
pub const PAGE_BYTES: usize = 4096;

/// A guest-physical address is outside memory, or its content cannot be had.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum MemoryError {
    /// No memory there.
    #[error("guest-physical address {gpa:#x} + {len} is outside memory [{base:#x}, {end:#x})")]
    OutOfRange {
        /// First address asked for.
        gpa: u64,
        /// Bytes asked for.
        len: u64,
        /// First address of memory.
        base: u64,
        /// One past the last address of memory.
        end: u64,
    },
}

/// The memory of one machine: one range of guest-physical addresses.
pub struct GuestMemory {
    base: u64,
    pages: Vec<Option<Box<[u8; PAGE_BYTES]>>>,
    watched: Vec<bool>,
    touched_watched: Vec<u64>,
    generation: u64,
}

impl GuestMemory {
    /// Memory of `size_bytes` (a multiple of the page size) at `base`, all zero, costing nothing
    /// until touched.
    pub fn new(base: u64, size_bytes: u64) -> Self {
        let count = usize::try_from(size_bytes / PAGE_BYTES as u64).unwrap_or(0);
        Self {
            base,
            pages: (0..count).map(|_| None).collect(),
            watched: vec![false; count],
            touched_watched: Vec::new(),
            generation: 0,
        }
    }

    /// First guest-physical address.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Size in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.pages.len() as u64 * PAGE_BYTES as u64
    }

    /// Changes whenever a pointer that was handed out before is no longer good for what it was
    /// handed out for: a page was replaced, shared, or its dirty mark cleared.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The host address of the page that holds `gpa`, good for reading 4 KiB while
    /// [`Self::generation`] stands still. `None` outside memory. The pointer is 4 KiB aligned.
    /// May point to a page shared with other machines: never write through it.
    pub fn page_for_read(&mut self, gpa: u64) -> Option<NonNull<u8>> {
        // Skeleton: allocates on read; the finished memory shares one zero page.
        self.page_for_write(gpa)
    }

    /// The host address of the page that holds `gpa`, good for reading and writing 4 KiB while
    /// [`Self::generation`] stands still. Marks the page dirty and makes it this machine's own.
    /// `None` outside memory.
    pub fn page_for_write(&mut self, gpa: u64) -> Option<NonNull<u8>> {
        let index = usize::try_from(gpa.checked_sub(self.base)? / PAGE_BYTES as u64).ok()?;
        let page = self.pages.get_mut(index)?;
        let page = page.get_or_insert_with(|| Box::new([0; PAGE_BYTES]));
        NonNull::new(page.as_mut_ptr())
    }

    /// Asks that writes to the page of `gpa` by anyone but the engine (devices, the host) be
    /// reported by [`Self::take_touched_watched`]; engines watch pages whose code they cache.
    pub fn watch_page(&mut self, gpa: u64, watched: bool) {
        if let Some(index) = gpa.checked_sub(self.base).map(|o| (o / PAGE_BYTES as u64) as usize)
            && let Some(flag) = self.watched.get_mut(index)
        {
            *flag = watched;
        }
    }

    /// Page addresses of watched pages written by [`Self::write`] since the last call.
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

    /// Copies guest memory into `into`.
    ///
    /// # Errors
    /// [`MemoryError`] if any byte is outside memory; nothing is copied then.
    pub fn read(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), MemoryError> {
        self.check(gpa, into.len())?;
        let mut at = gpa;
        let mut rest = into;
        while !rest.is_empty() {
            let offset = (at % PAGE_BYTES as u64) as usize;
            let take = rest.len().min(PAGE_BYTES - offset);
            let index = ((at - self.base) / PAGE_BYTES as u64) as usize;
            let (head, tail) = rest.split_at_mut(take);
            match &self.pages[index] {
                Some(page) => head.copy_from_slice(&page[offset..offset + take]),
                None => head.fill(0),
            }
            rest = tail;
            at += take as u64;
        }
        Ok(())
    }

    /// Copies `from` into guest memory, on behalf of a device or of the host.
    ///
    /// # Errors
    /// [`MemoryError`] if any byte is outside memory; nothing is copied then.
    pub fn write(&mut self, gpa: u64, from: &[u8]) -> Result<(), MemoryError> {
        self.check(gpa, from.len())?;
        let mut at = gpa;
        let mut rest = from;
        while !rest.is_empty() {
            let offset = (at % PAGE_BYTES as u64) as usize;
            let take = rest.len().min(PAGE_BYTES - offset);
            let index = ((at - self.base) / PAGE_BYTES as u64) as usize;
            let page = self.pages[index].get_or_insert_with(|| Box::new([0; PAGE_BYTES]));
            page[offset..offset + take].copy_from_slice(&rest[..take]);
            if self.watched[index] {
                self.touched_watched.push(at & !(PAGE_BYTES as u64 - 1));
            }
            rest = &rest[take..];
            at += take as u64;
        }
        Ok(())
    }
}
