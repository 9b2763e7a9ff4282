//! The bookkeeping of memory that is one host mapping.

use std::ops::Range;
use std::sync::Arc;

use super::{Derived, Mark, MemoryError, PAGE, PageSet};

/// The pages of one mapping, and the changes to report.
#[derive(Clone)]
pub struct MappedBooks {
    base: u64,
    page_count: usize,
    generation: u64,
    watched: PageSet,
    touched_watched: Vec<u64>,
    derived: Arc<Derived>,
}

impl MappedBooks {
    /// The books of `page_count` pages from `base` on, of the family of `derived`.
    pub fn new(base: u64, page_count: usize, derived: Arc<Derived>) -> Self {
        let (watched, touched_watched) = (PageSet::default(), Vec::new());
        Self { base, page_count, generation: 0, watched, touched_watched, derived }
    }

    /// Those of a fork. Begins a new generation here, too.
    pub fn forked(&mut self) -> Self {
        self.new_generation();
        self.clone()
    }

    /// First guest-physical address.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Pages, counted from [`Self::base`].
    pub fn page_count(&self) -> usize {
        self.page_count
    }

    /// Changes whenever a pointer that was handed out is no longer good.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Begins a new generation.
    pub fn new_generation(&mut self) {
        self.generation += 1;
    }

    /// Number of the page that holds `gpa`.
    pub fn page_of(&self, gpa: u64) -> Option<usize> {
        let page = usize::try_from(gpa.checked_sub(self.base)? / PAGE).ok()?;
        (page < self.page_count).then_some(page)
    }

    /// Guest-physical addresses of pages.
    pub fn addresses(&self, pages: &PageSet) -> Vec<u64> {
        pages.iter().map(|page| self.address_of(page)).collect()
    }

    fn address_of(&self, page: usize) -> u64 {
        self.base + page as u64 * PAGE
    }

    /// Numbers of the pages that hold any of `len` bytes at `gpa`.
    ///
    /// # Errors
    /// [`MemoryError::OutOfRange`] if any of them is outside.
    pub fn pages(&self, gpa: u64, len: usize) -> Result<Range<usize>, MemoryError> {
        let (base, end) = (self.base, self.base + self.page_count as u64 * PAGE);
        let last = gpa.checked_add(len as u64).filter(|last| gpa >= base && *last <= end);
        let Some(last) = last else {
            return Err(MemoryError::OutOfRange { gpa, len: len as u64, base, end });
        };
        if len == 0 {
            return Ok(0..0);
        }
        Ok(((gpa - base) / PAGE) as usize..(last - base).div_ceil(PAGE) as usize)
    }

    /// Starts or stops the reporting of writes to the page of `gpa` by anything but the engine.
    pub fn watch_page(&mut self, gpa: u64, watched: bool) {
        match self.page_of(gpa) {
            Some(page) if watched => {
                self.watched.insert(page);
            }
            Some(page) => self.watched.remove(page),
            None => {}
        }
    }

    /// Something other than the engine writes a page.
    pub fn written(&mut self, page: usize) {
        if self.watched.contains(page) {
            self.touched_watched.push(self.address_of(page));
        }
    }

    /// Addresses of watched pages that were written since this was last asked.
    pub fn take_touched_watched(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.touched_watched)
    }

    /// The family's store for data derived from its pages.
    pub fn derived(&self) -> &Arc<Derived> {
        &self.derived
    }

    /// Whether the family has, or can still get, another memory.
    pub fn has_family(&self) -> bool {
        Arc::strong_count(&self.derived) > 1
    }
}

/// The time of the last write to each page of one mapping, and the touched pages.
pub struct PageEpochs {
    /// Epoch of the last write of each page; 0: never written.
    epochs: Vec<u32>,
    epoch: u32,
    touched: Option<PageSet>,
}

impl PageEpochs {
    /// Of `pages` pages, none of which was ever written.
    pub fn new(pages: usize) -> Self {
        Self { epochs: vec![0; pages], epoch: 1, touched: None }
    }

    /// Those of a fork, which records no touches.
    #[must_use]
    pub fn forked(&self) -> Self {
        Self { epochs: self.epochs.clone(), epoch: self.epoch, touched: None }
    }

    /// Number of pages.
    pub fn page_count(&self) -> usize {
        self.epochs.len()
    }

    /// A page is written, and touched by that.
    pub fn written(&mut self, page: usize) {
        if let Some(epoch) = self.epochs.get_mut(page) {
            *epoch = self.epoch;
            self.touched(page);
        }
    }

    /// A page is read or written.
    pub fn touched(&mut self, page: usize) {
        if let Some(touched) = &mut self.touched {
            touched.insert(page);
        }
    }

    /// Whether a page was ever written.
    pub fn was_written(&self, page: usize) -> bool {
        self.epochs.get(page).is_some_and(|epoch| *epoch != 0)
    }

    /// Begins a new stretch of dirty tracking.
    pub fn mark(&mut self) -> Mark {
        // At the last epoch marks stop clearing: pages then count as written, never as clean.
        self.epoch = self.epoch.saturating_add(1);
        Mark::of(self.epoch)
    }

    /// Calls `visit` with the number of every page written since `mark`, ascending.
    pub fn visit_since(&self, mark: Mark, visit: &mut dyn FnMut(usize)) {
        let pages = self.epochs.iter().enumerate();
        pages.filter(|(_, epoch)| Mark::of(**epoch) >= mark).for_each(|(page, _)| visit(page));
    }

    /// The same with every page that was ever written.
    pub fn visit_written(&self, visit: &mut dyn FnMut(usize)) {
        self.visit_since(Mark::of(1), visit);
    }

    /// Starts to record which pages are touched.
    pub fn record_touched(&mut self) {
        self.touched = Some(PageSet::default());
    }

    /// The pages touched since then; ends the recording.
    pub fn take_touched(&mut self) -> PageSet {
        self.touched.take().unwrap_or_default()
    }
}
