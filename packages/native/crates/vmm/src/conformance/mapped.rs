//! Memory in one host mapping, as hardware virtualization needs it: a second store, for the laws.

use std::ptr::NonNull;
use std::sync::Arc;

use crate::memory::{
    Derived, GuestMemory, Mark, MemoryError, PAGE_BYTES, PageImage, PageSet, Region,
};

const PAGE: u64 = PAGE_BYTES as u64;

pub(crate) struct MappedMemory {
    base: u64,
    page_count: usize,
    mapping: Region,
    /// Epoch of the last write of each page.
    written: Vec<u32>,
    epoch: u32,
    generation: u64,
    touched: Option<PageSet>,
    watched: PageSet,
    touched_watched: Vec<u64>,
    derived: Derived,
}

// SAFETY: the mapping is reached through the memory alone, exclusively for writing.
unsafe impl Send for MappedMemory {}
// SAFETY: as above.
unsafe impl Sync for MappedMemory {}

impl MappedMemory {
    pub(crate) fn new(base: u64, size_bytes: u64) -> Self {
        let page_count = (size_bytes / PAGE) as usize;
        Self {
            base,
            page_count,
            mapping: Region::new(size_bytes as usize).expect("room"),
            written: vec![0; page_count],
            epoch: 1,
            generation: 0,
            touched: None,
            watched: PageSet::default(),
            touched_watched: Vec::new(),
            derived: Derived::default(),
        }
    }

    pub(crate) fn restored(base: u64, size_bytes: u64, image: &Arc<dyn PageImage>) -> Self {
        let memory = Self::new(base, size_bytes);
        for page in (0..memory.page_count).filter(|page| image.has(*page)) {
            let content = image.page(page).expect("the laws' snapshots are whole");
            // SAFETY: both are pages, and the mapping's is nobody else's.
            unsafe { content.copy_to_nonoverlapping(memory.host(page), PAGE_BYTES) };
        }
        memory
    }

    fn host(&self, page: usize) -> NonNull<u8> {
        assert!(page < self.page_count);
        // SAFETY: the page lies in the mapping.
        unsafe { self.mapping.start().add(page * PAGE_BYTES) }
    }

    fn page_of(&self, gpa: u64) -> Option<usize> {
        let page = (gpa.checked_sub(self.base)? / PAGE) as usize;
        (page < self.page_count).then_some(page)
    }

    fn touch(&mut self, page: usize) {
        if let Some(touched) = &mut self.touched {
            touched.insert(page);
        }
    }

    fn check(&self, gpa: u64, len: usize) -> Result<(), MemoryError> {
        let (base, end) = (self.base, self.base + self.size_bytes());
        let out_of_range = MemoryError::OutOfRange { gpa, len: len as u64, base, end };
        if self.contains(gpa, len) { Ok(()) } else { Err(out_of_range) }
    }

    /// The pieces of `len` bytes at `gpa`: page, offset in it, bytes.
    fn pieces(&self, gpa: u64, len: usize) -> Vec<(usize, usize, usize)> {
        let (mut at, mut rest, mut pieces) = ((gpa - self.base) as usize, len, Vec::new());
        while rest > 0 {
            let take = rest.min(PAGE_BYTES - at % PAGE_BYTES);
            pieces.push((at / PAGE_BYTES, at % PAGE_BYTES, take));
            (at, rest) = (at + take, rest - take);
        }
        pieces
    }
}

impl GuestMemory for MappedMemory {
    fn base(&self) -> u64 {
        self.base
    }

    fn page_count(&self) -> usize {
        self.page_count
    }

    fn generation(&self) -> u64 {
        self.generation
    }

    fn failure(&self) -> Option<&MemoryError> {
        None
    }

    fn page_for_read(&mut self, gpa: u64) -> Option<NonNull<u8>> {
        let page = self.page_of(gpa)?;
        self.touch(page);
        Some(self.host(page))
    }

    fn page_for_write(&mut self, gpa: u64) -> Option<NonNull<u8>> {
        let page = self.page_of(gpa)?;
        self.touch(page);
        self.written[page] = self.epoch;
        Some(self.host(page))
    }

    fn page_bytes(&self, page: usize) -> Result<Option<&[u8; PAGE_BYTES]>, MemoryError> {
        // SAFETY: whoever writes the page needs the memory exclusively.
        Ok(Some(unsafe { self.host(page).cast().as_ref() }))
    }

    fn read(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), MemoryError> {
        self.peek(gpa, into)
    }

    fn write(&mut self, gpa: u64, from: &[u8]) -> Result<(), MemoryError> {
        self.poke(gpa, from)
    }

    fn peek(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), MemoryError> {
        self.check(gpa, into.len())?;
        let mut rest = into;
        for (page, offset, take) in self.pieces(gpa, rest.len()) {
            self.touch(page);
            let (head, tail) = rest.split_at_mut(take);
            let bytes = self.page_bytes(page)?.expect("mapped");
            head.copy_from_slice(&bytes[offset..offset + take]);
            rest = tail;
        }
        Ok(())
    }

    fn poke(&mut self, gpa: u64, from: &[u8]) -> Result<(), MemoryError> {
        self.check(gpa, from.len())?;
        let mut rest = from;
        for (page, offset, take) in self.pieces(gpa, from.len()) {
            self.touch(page);
            self.written[page] = self.epoch;
            if self.watched.contains(page) {
                self.touched_watched.push(self.base + page as u64 * PAGE);
            }
            let (head, tail) = rest.split_at(take);
            // SAFETY: the piece lies in the page, which this memory has exclusively.
            unsafe { self.host(page).as_ptr().add(offset).copy_from(head.as_ptr(), take) };
            rest = tail;
        }
        Ok(())
    }

    fn prefetch(&self, gpa: u64) -> Result<(), MemoryError> {
        self.check(gpa, 1)
    }

    fn fork(&mut self) -> Box<dyn GuestMemory> {
        let fork = Self::new(self.base, self.size_bytes());
        // SAFETY: two mappings of one size, the other nobody else's.
        unsafe {
            let len = self.page_count * PAGE_BYTES;
            self.mapping.start().copy_to_nonoverlapping(fork.mapping.start(), len);
        }
        self.generation += 1;
        Box::new(Self {
            written: self.written.clone(),
            epoch: self.epoch,
            generation: self.generation,
            watched: self.watched.clone(),
            touched_watched: self.touched_watched.clone(),
            ..fork
        })
    }

    fn own_bytes(&self) -> u64 {
        self.size_bytes()
    }

    fn present_bytes(&self) -> u64 {
        self.size_bytes()
    }

    fn mark(&mut self) -> Mark {
        self.epoch += 1;
        self.generation += 1;
        Mark::of(self.epoch)
    }

    fn visit_pages_since(&self, mark: Mark, visit: &mut dyn FnMut(usize)) {
        for (page, written) in self.written.iter().enumerate() {
            if Mark::of(*written) >= mark {
                visit(page);
            }
        }
    }

    fn record_touched(&mut self) {
        self.touched = Some(PageSet::default());
        self.generation += 1;
    }

    fn take_touched(&mut self) -> Vec<u64> {
        let touched = self.touched.take().unwrap_or_default();
        touched.iter().map(|page| self.base + page as u64 * PAGE).collect()
    }

    fn watch_page(&mut self, gpa: u64, watched: bool) {
        match self.page_of(gpa) {
            Some(page) if watched => {
                self.watched.insert(page);
            }
            Some(page) => self.watched.remove(page),
            None => {}
        }
    }

    fn take_touched_watched(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.touched_watched)
    }

    fn derived(&self) -> &Derived {
        &self.derived
    }

    fn has_family(&self) -> bool {
        false
    }
}
