//! What is derived from state and may vanish between any two instructions.

use crate::block::{Cache, Entries};
use crate::hart::{DATA_ENTRIES, DataEntry, FETCH_ENTRIES, FetchEntry};
use crate::jit::Translator;
use crate::page::NO_TAG;

/// Contexts of fast data translations: user, supervisor, supervisor with SUM.
const CONTEXTS: usize = 3;
/// Modes of fast fetch translations.
const MODES: usize = 2;
/// What is derived from state and may vanish between any two instructions.
pub struct Fast {
    pub(super) data: Box<[DataEntry]>,
    pub(super) fetch: Box<[FetchEntry]>,
    /// Decoded blocks.
    pub cache: Cache<Translator>,
}

impl Fast {
    pub(super) fn new(heat: Option<u32>, entries: Entries) -> Self {
        Self {
            data: vec![DataEntry::EMPTY; CONTEXTS * DATA_ENTRIES].into_boxed_slice(),
            fetch: vec![FetchEntry::EMPTY; MODES * FETCH_ENTRIES].into_boxed_slice(),
            cache: Cache::new(heat, entries),
        }
    }

    pub(super) fn forget_translations(&mut self) {
        self.data.fill(DataEntry::EMPTY);
        self.fetch.fill(FetchEntry::EMPTY);
    }

    pub(super) fn forget_data_slot(&mut self, va: u64) {
        let index = (va >> 12) as usize % DATA_ENTRIES;
        for context in 0..CONTEXTS {
            self.data[context * DATA_ENTRIES + index] = DataEntry::EMPTY;
        }
    }

    pub(super) fn forget_fetch_slot(&mut self, va: u64) {
        let index = (va >> 12) as usize % FETCH_ENTRIES;
        for mode in 0..MODES {
            self.fetch[mode * FETCH_ENTRIES + index] = FetchEntry::EMPTY;
        }
    }

    /// Drops the host pointers into one guest page.
    pub(super) fn forget_page(&mut self, page: u64) {
        for entry in &mut self.data {
            if entry.page == page {
                *entry = DataEntry::EMPTY;
            }
        }
    }

    /// Makes writes to one guest page go the slow way.
    pub(super) fn protect_page(&mut self, page: u64) {
        for entry in &mut self.data {
            if entry.page == page {
                entry.write = NO_TAG;
            }
        }
    }
}
