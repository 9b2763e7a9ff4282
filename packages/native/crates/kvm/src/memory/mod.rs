//! Guest memory in one host mapping, as a virtual machine needs it.
//!
//! ```text
//!  never forked             forked, or restored
//!  memory ─▶ mapping        memory ─▶ mapping ─▶ pages of its own, since
//!              │ shared               │ private
//!              ▼                      ▼
//!             file                   file ◀── private ── mappings of its forks
//! ```
//! The file (`memfd`) never changes once a second mapping has it, so a fork costs page tables and the
//! pages that the forked memory has written since it last became private: those are copied. `userfaultfd`
//! would do without that copy, and is not permitted to unprivileged processes on many hosts. All
//! memories that a process restores from one snapshot map one file, which the first of them
//! fills with pages that were verified.
//!
//! A processor writes without asking: KVM's log has the pages that it has written, and is taken over
//! (`fold`) before every report.

mod mapping;
mod tracking;

use std::any::Any;
use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kvm_ioctls::VmFd;
use stillpoint_vmm::memory::{
    Derived, GuestMemory, MappedBooks, Mark, MemoryError, PAGE_BYTES, PageEpochs, PageImage,
    PageSet, limit_bytes,
};

pub(crate) use mapping::Mapping;
use mapping::{Backing, Writes};
pub(crate) use tracking::SLOT;
use tracking::Tracking;

const PAGE: u64 = PAGE_BYTES as u64;

/// The file that memories restored from one image map.
struct Filled(Arc<Backing>);

/// The memory of one machine under KVM.
pub struct MappedMemory {
    books: MappedBooks,
    backing: Arc<Backing>,
    mapping: Arc<Mapping>,
    writes: Writes,
    /// Pages written since this mark are private, if the mapping keeps writes apart.
    private_since: Mark,
    tracking: Mutex<Tracking>,
    /// Pages that the image has which this was restored from; shared with every fork.
    of_image: Arc<PageSet>,
    failure: Option<MemoryError>,
}

fn exhausted() -> MemoryError {
    MemoryError::Exhausted { limit_bytes: limit_bytes() }
}

impl MappedMemory {
    /// Memory of `size_bytes` at `base`, all zero. If the host has no room for it, it has
    /// [`GuestMemory::failure`] set, and no page.
    pub fn new(base: u64, size_bytes: u64) -> Self {
        let derived = Arc::default();
        match Self::mapped(base, size_bytes, Arc::default(), &derived) {
            Ok(memory) => memory,
            Err(_) => Self::failed(base, exhausted(), derived),
        }
    }

    /// The same with the content of `image`, every page of which is verified before the first of these
    /// memories is returned.
    pub fn restored(base: u64, size_bytes: u64, image: &Arc<dyn PageImage>) -> Self {
        let derived = Arc::clone(image.derived());
        match Self::filled(base, size_bytes, image, &derived) {
            Ok(memory) => memory,
            Err(failure) => Self::failed(base, failure, derived),
        }
    }

    /// No memory, and why.
    fn failed(base: u64, failure: MemoryError, derived: Arc<Derived>) -> Self {
        // Any process that still runs can get a page: otherwise there is nothing to report with.
        #[allow(clippy::expect_used, reason = "nothing is left to report it with")]
        let memory = Self::mapped(base, PAGE, Arc::default(), &derived).expect("a page of memory");
        Self { books: MappedBooks::new(base, 0, derived), failure: Some(failure), ..memory }
    }

    fn mapped(
        base: u64,
        size_bytes: u64,
        of_image: Arc<PageSet>,
        derived: &Arc<Derived>,
    ) -> io::Result<Self> {
        if size_bytes > limit_bytes() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let len = usize::try_from(size_bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let backing = Arc::new(Backing::new(len)?);
        let mapping = Mapping::of(&backing, len, Writes::Shared)?;
        let page_count = len / PAGE_BYTES;
        let mut epochs = PageEpochs::new(page_count);
        Ok(Self {
            books: MappedBooks::new(base, page_count, Arc::clone(derived)),
            backing,
            mapping,
            writes: Writes::Shared,
            private_since: epochs.mark(),
            tracking: Mutex::new(Tracking::new(epochs)),
            of_image,
            failure: None,
        })
    }

    fn filled(
        base: u64,
        size_bytes: u64,
        image: &Arc<dyn PageImage>,
        derived: &Arc<Derived>,
    ) -> Result<Self, MemoryError> {
        let mut of_image = PageSet::default();
        for page in (0..(size_bytes / PAGE) as usize).filter(|page| image.has(*page)) {
            of_image.insert(page);
        }
        let of_image = Arc::new(of_image);
        let mut memory =
            Self::mapped(base, size_bytes, of_image, derived).map_err(|_| exhausted())?;
        if let Some(filled) = derived.get::<Filled>() {
            memory.backing = Arc::clone(&filled.0);
            let len = memory.mapping.len();
            memory.mapping =
                Mapping::of(&memory.backing, len, Writes::Private).map_err(|_| exhausted())?;
        } else {
            for page in memory.of_image.iter() {
                let content = image.page(page)?;
                // SAFETY: the image's pages are readable and do not change; the mapping's page is in
                // range and has no other user.
                unsafe { content.copy_to_nonoverlapping(memory.host(page), PAGE_BYTES) };
            }
            memory.mapping.keep_writes_apart(&memory.backing).map_err(|_| exhausted())?;
            derived.set(Arc::new(Filled(Arc::clone(&memory.backing))));
        }
        memory.writes = Writes::Private;
        Ok(memory)
    }

    /// The mapping, for a virtual machine to have as its memory.
    pub(crate) fn mapping(&self) -> Arc<Mapping> {
        Arc::clone(&self.mapping)
    }

    /// Has the log of `machine`, which has this as its slot 0, say what its processor writes.
    pub(crate) fn follow(&mut self, machine: &Arc<VmFd>) {
        self.tracking().follow(Arc::clone(machine));
    }

    /// The processor has run: its writes are in the log.
    pub(crate) fn ran(&mut self) {
        self.tracking.get_mut().unwrap_or_else(PoisonError::into_inner).ran();
    }

    fn tracking(&self) -> MutexGuard<'_, Tracking> {
        // Nothing that can panic half-way through a change runs under the lock.
        let mut tracking = self.tracking.lock().unwrap_or_else(PoisonError::into_inner);
        tracking.fold();
        tracking
    }

    fn host(&self, page: usize) -> NonNull<u8> {
        assert!(page < self.page_count(), "page {page} of {}", self.page_count());
        // SAFETY: the page lies in the mapping.
        unsafe { self.mapping.start().add(page * PAGE_BYTES) }
    }

    /// Numbers of the pages that hold any of `len` bytes at `gpa`, if there is memory at all.
    fn pages(&self, gpa: u64, len: usize) -> Result<std::ops::Range<usize>, MemoryError> {
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None => self.books.pages(gpa, len),
        }
    }

    fn address(&self, gpa: u64) -> *mut u8 {
        // Offsets that were checked lie in the mapping.
        self.mapping.start().as_ptr().wrapping_add((gpa - self.base()) as usize)
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
        self.failure.as_ref()
    }

    fn page_for_read(&mut self, gpa: u64) -> Option<NonNull<u8>> {
        let page = self.books.page_of(gpa)?;
        self.tracking().epochs.touched(page);
        Some(self.host(page))
    }

    fn page_for_write(&mut self, gpa: u64) -> Option<NonNull<u8>> {
        let page = self.books.page_of(gpa)?;
        self.tracking().epochs.written(page);
        Some(self.host(page))
    }

    fn page_bytes(&self, page: usize) -> Result<Option<&[u8; PAGE_BYTES]>, MemoryError> {
        if !self.of_image.contains(page) && !self.tracking().epochs.was_written(page) {
            return Ok(None);
        }
        // SAFETY: in the mapping; a writer of the page, including the processor, needs the memory
        // exclusively.
        Ok(Some(unsafe { self.host(page).cast().as_ref() }))
    }

    fn read(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), MemoryError> {
        self.peek(gpa, into)
    }

    fn write(&mut self, gpa: u64, from: &[u8]) -> Result<(), MemoryError> {
        self.poke(gpa, from)
    }

    fn peek(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), MemoryError> {
        let pages = self.pages(gpa, into.len())?;
        let mut tracking = self.tracking();
        pages.for_each(|page| tracking.epochs.touched(page));
        drop(tracking);
        // SAFETY: checked to lie in the mapping; `into` is a Rust reference, which never points there.
        unsafe { self.address(gpa).copy_to_nonoverlapping(into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    fn poke(&mut self, gpa: u64, from: &[u8]) -> Result<(), MemoryError> {
        for page in self.pages(gpa, from.len())? {
            self.tracking().epochs.written(page);
            self.books.written(page);
        }
        // SAFETY: as in `peek`, and this memory is borrowed exclusively.
        unsafe { self.address(gpa).copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        Ok(())
    }

    fn prefetch(&self, gpa: u64) -> Result<(), MemoryError> {
        self.pages(gpa, 1).map(|_| ())
    }

    fn fork(&mut self) -> Box<dyn GuestMemory> {
        let books = self.books.forked();
        match self.forked(books) {
            Ok(fork) => Box::new(fork),
            Err(_) => Box::new(self.failed_fork(exhausted())),
        }
    }

    fn own_bytes(&self) -> u64 {
        let tracking = self.tracking();
        let mut own = 0;
        match self.writes {
            Writes::Shared => tracking.epochs.visit_written(&mut |_| own += PAGE),
            Writes::Private => {
                tracking.epochs.visit_since(self.private_since, &mut |_| own += PAGE)
            }
        }
        own
    }

    fn present_bytes(&self) -> u64 {
        let mut present = 0;
        let tracking = self.tracking();
        for page in 0..self.page_count() {
            present +=
                PAGE * u64::from(self.of_image.contains(page) || tracking.epochs.was_written(page));
        }
        present
    }

    fn mark(&mut self) -> Mark {
        self.books.new_generation();
        self.tracking().epochs.mark()
    }

    fn visit_pages_since(&self, mark: Mark, visit: &mut dyn FnMut(usize)) {
        self.tracking().epochs.visit_since(mark, visit);
    }

    fn record_touched(&mut self) {
        self.books.new_generation();
        self.tracking().epochs.record_touched();
    }

    fn take_touched(&mut self) -> Vec<u64> {
        self.books.addresses(&self.tracking().epochs.take_touched())
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

    fn as_any_mut(&mut self) -> Option<&mut dyn Any> {
        Some(self)
    }
}

impl MappedMemory {
    fn failed_fork(&self, failure: MemoryError) -> Self {
        Self::failed(self.base(), failure, Arc::clone(self.books.derived()))
    }

    fn forked(&mut self, books: MappedBooks) -> io::Result<Self> {
        if let Some(failure) = &self.failure {
            return Ok(self.failed_fork(failure.clone()));
        }
        if self.writes == Writes::Shared {
            self.mapping.keep_writes_apart(&self.backing)?;
            self.writes = Writes::Private;
            let mark = self.tracking().epochs.mark();
            self.private_since = mark;
        }
        let mapping = Mapping::of(&self.backing, self.mapping.len(), Writes::Private)?;
        let tracking = self.tracking();
        tracking.epochs.visit_since(self.private_since, &mut |page| {
            // SAFETY: the page lies in both mappings, which have the same length; the other one has no
            // other user yet.
            unsafe {
                let other = mapping.start().add(page * PAGE_BYTES);
                self.host(page).copy_to_nonoverlapping(other, PAGE_BYTES);
            }
        });
        let tracking = Mutex::new(Tracking::new(tracking.epochs.forked()));
        Ok(Self {
            books,
            backing: Arc::clone(&self.backing),
            mapping,
            writes: Writes::Private,
            private_since: self.private_since,
            tracking,
            of_image: Arc::clone(&self.of_image),
            failure: None,
        })
    }
}

#[cfg(test)]
mod tests;
