//! Paged memory as machines ask for it.

use std::ptr::NonNull;

use super::{Derived, GuestMemory, KeptPage, Mark, MemoryError, PAGE_BYTES, PagedMemory};

impl GuestMemory for PagedMemory {
    fn base(&self) -> u64 {
        Self::base(self)
    }

    fn page_count(&self) -> usize {
        Self::page_count(self)
    }

    fn generation(&self) -> u64 {
        Self::generation(self)
    }

    fn failure(&self) -> Option<&MemoryError> {
        Self::failure(self)
    }

    fn page_for_read(&mut self, gpa: u64) -> Option<NonNull<u8>> {
        Self::page_for_read(self, gpa)
    }

    fn page_for_write(&mut self, gpa: u64) -> Option<NonNull<u8>> {
        Self::page_for_write(self, gpa)
    }

    fn page_bytes(&self, page: usize) -> Result<Option<&[u8; PAGE_BYTES]>, MemoryError> {
        Self::page_bytes(self, page)
    }

    fn read(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), MemoryError> {
        Self::read(self, gpa, into)
    }

    fn write(&mut self, gpa: u64, from: &[u8]) -> Result<(), MemoryError> {
        Self::write(self, gpa, from)
    }

    fn peek(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), MemoryError> {
        Self::peek(self, gpa, into)
    }

    fn poke(&mut self, gpa: u64, from: &[u8]) -> Result<(), MemoryError> {
        Self::poke(self, gpa, from)
    }

    fn prefetch(&self, gpa: u64) -> Result<(), MemoryError> {
        Self::prefetch(self, gpa)
    }

    fn fork(&mut self) -> Box<dyn GuestMemory> {
        Box::new(Self::fork(self))
    }

    fn own_bytes(&self) -> u64 {
        Self::own_bytes(self)
    }

    fn present_bytes(&self) -> u64 {
        Self::present_bytes(self)
    }

    fn mark(&mut self) -> Mark {
        Self::mark(self)
    }

    fn visit_pages_since(&self, mark: Mark, visit: &mut dyn FnMut(usize)) {
        Self::visit_pages_since(self, mark, visit);
    }

    fn record_touched(&mut self) {
        Self::record_touched(self);
    }

    fn take_touched(&mut self) -> Vec<u64> {
        Self::take_touched(self)
    }

    fn watch_page(&mut self, gpa: u64, watched: bool) {
        Self::watch_page(self, gpa, watched);
    }

    fn take_touched_watched(&mut self) -> Vec<u64> {
        Self::take_touched_watched(self)
    }

    fn digest(&mut self) -> Result<[u8; 32], MemoryError> {
        Self::digest(self)
    }

    fn derived(&self) -> &Derived {
        Self::derived(self)
    }

    fn has_family(&self) -> bool {
        Self::has_family(self)
    }

    fn keep_page(&mut self, gpa: u64, to_be_forked: bool) -> Option<KeptPage> {
        Self::keep_page(self, gpa, to_be_forked)
    }
}
