//! Memory in one host mapping, as hardware virtualization needs it: a second store, for the laws.

use std::ptr::NonNull;
use std::sync::Arc;

use crate::memory::{
    Derived, GuestMemory, MappedBooks, Mark, MemoryError, PAGE_BYTES, PageEpochs, PageImage, Region,
};

const PAGE: u64 = PAGE_BYTES as u64;

pub(crate) struct MappedMemory {
    books: MappedBooks,
    epochs: PageEpochs,
    mapping: Region,
}

// SAFETY: `mapping` is private and written to in methods that have `self` exclusively; the pointers that
// those hand out are good as long as a generation (`GuestMemory::generation`).
unsafe impl Send for MappedMemory {}
// SAFETY: as above.
unsafe impl Sync for MappedMemory {}

impl MappedMemory {
    pub(crate) fn new(base: u64, size_bytes: u64) -> Self {
        let page_count = (size_bytes / PAGE) as usize;
        Self {
            books: MappedBooks::new(base, page_count, Arc::default()),
            epochs: PageEpochs::new(page_count),
            mapping: Region::new(size_bytes as usize).expect("room"),
        }
    }

    pub(crate) fn restored(base: u64, size_bytes: u64, image: &Arc<dyn PageImage>) -> Self {
        let memory = Self::new(base, size_bytes);
        for page in (0..memory.page_count()).filter(|page| image.has(*page)) {
            let content = image.page(page).expect("the laws' snapshots are whole");
            // SAFETY: `PageImage::page` gives a whole page, `host` another; the memory was made just now,
            // so no other code has it.
            unsafe { content.copy_to_nonoverlapping(memory.host(page), PAGE_BYTES) };
        }
        memory
    }

    fn host(&self, page: usize) -> NonNull<u8> {
        assert!(page < self.page_count());
        // SAFETY: checked to be a page of the mapping, which `new` made as long.
        unsafe { self.mapping.start().add(page * PAGE_BYTES) }
    }

    /// The pieces of `len` bytes at `gpa`: page, offset in it, bytes.
    fn pieces(&self, gpa: u64, len: usize) -> Result<Vec<(usize, usize, usize)>, MemoryError> {
        let begin = gpa.wrapping_sub(self.base()) as usize;
        let piece = |page: usize| {
            let (first, end) = (page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
            let from = begin.max(first);
            (page, from - first, end.min(begin + len) - from)
        };
        Ok(self.books.pages(gpa, len)?.map(piece).collect())
    }
}

impl GuestMemory for MappedMemory {
    fn base(&self) -> u64 {
        self.books.base()
    }

    fn page_count(&self) -> usize {
        self.books.page_count()
    }

    fn generation(&self) -> u64 {
        self.books.generation()
    }

    fn failure(&self) -> Option<&MemoryError> {
        None
    }

    fn page_for_read(&mut self, gpa: u64) -> Option<NonNull<u8>> {
        let page = self.books.page_of(gpa)?;
        self.epochs.touched(page);
        Some(self.host(page))
    }

    fn page_for_write(&mut self, gpa: u64) -> Option<NonNull<u8>> {
        let page = self.books.page_of(gpa)?;
        self.epochs.written(page);
        Some(self.host(page))
    }

    fn page_bytes(&self, page: usize) -> Result<Option<&[u8; PAGE_BYTES]>, MemoryError> {
        // SAFETY: mapped as long as `self`, which the reference borrows: a writer of the page needs it
        // exclusively, or a pointer that is followed while a run has it exclusively.
        Ok(Some(unsafe { self.host(page).cast().as_ref() }))
    }

    fn read(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), MemoryError> {
        self.peek(gpa, into)
    }

    fn write(&mut self, gpa: u64, from: &[u8]) -> Result<(), MemoryError> {
        self.poke(gpa, from)
    }

    fn peek(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), MemoryError> {
        let pieces = self.pieces(gpa, into.len())?;
        let mut rest = into;
        for (page, offset, take) in pieces {
            self.epochs.touched(page);
            let (head, tail) = rest.split_at_mut(take);
            let bytes = self.page_bytes(page)?.expect("mapped");
            head.copy_from_slice(&bytes[offset..offset + take]);
            rest = tail;
        }
        Ok(())
    }

    fn poke(&mut self, gpa: u64, from: &[u8]) -> Result<(), MemoryError> {
        let mut rest = from;
        for (page, offset, take) in self.pieces(gpa, from.len())? {
            self.epochs.written(page);
            self.books.written(page);
            let (head, tail) = rest.split_at(take);
            // SAFETY: `pieces` gives such as lie in one page; `self` is borrowed exclusively.
            unsafe { self.host(page).as_ptr().add(offset).copy_from(head.as_ptr(), take) };
            rest = tail;
        }
        Ok(())
    }

    fn prefetch(&self, gpa: u64) -> Result<(), MemoryError> {
        self.books.pages(gpa, 1).map(|_| ())
    }

    fn fork(&mut self) -> Box<dyn GuestMemory> {
        let fork = Self::new(self.base(), self.size_bytes());
        // SAFETY: `new` gave the fork a mapping of the same size, which no other code has yet.
        unsafe {
            let len = self.page_count() * PAGE_BYTES;
            self.mapping.start().copy_to_nonoverlapping(fork.mapping.start(), len);
        }
        Box::new(Self { books: self.books.forked(), epochs: self.epochs.forked(), ..fork })
    }

    fn own_bytes(&self) -> u64 {
        self.size_bytes()
    }

    fn present_bytes(&self) -> u64 {
        self.size_bytes()
    }

    fn mark(&mut self) -> Mark {
        self.books.new_generation();
        self.epochs.mark()
    }

    fn visit_pages_since(&self, mark: Mark, visit: &mut dyn FnMut(usize)) {
        self.epochs.visit_since(mark, visit);
    }

    fn record_touched(&mut self) {
        self.books.new_generation();
        self.epochs.record_touched();
    }

    fn take_touched(&mut self) -> Vec<u64> {
        self.books.addresses(&self.epochs.take_touched())
    }

    fn watch_page(&mut self, gpa: u64, watched: bool) {
        self.books.watch_page(gpa, watched);
    }

    fn take_touched_watched(&mut self) -> Vec<u64> {
        self.books.take_touched_watched()
    }

    fn derived(&self) -> &Derived {
        self.books.derived()
    }

    fn has_family(&self) -> bool {
        self.books.has_family()
    }
}
