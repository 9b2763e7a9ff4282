//! Data that is derived from state and may be dropped between any two instructions.

use crate::block::{Cache, Entries};
use crate::hart::{DATA_ENTRIES, DataEntry, FETCH_ENTRIES, FetchEntry};
use crate::jit::Translator;
use crate::mmu::Tlb;
use crate::page::{PAGE, PAGE_MASK, tag};
use crate::zeroed::Zeroed;

/// Address spaces whose fast translations are kept.
const SPACES: usize = 4;
/// Contexts of fast data translations: user, supervisor, supervisor with SUM.
const CONTEXTS: usize = 3;
/// Modes of fast fetch translations.
const MODES: usize = 2;
/// Counts of the filter that says which guest pages have fast translations. A power of two.
const COUNTS: usize = 4096;

/// An address space: its identifier, or none where translation is off.
pub type SpaceKey = Option<u16>;

/// The fast translations of one address space.
#[derive(Default)]
struct Space {
    /// `None`: of no space.
    key: Option<SpaceKey>,
    /// The time of its last entry.
    entered: u64,
    /// Data entries that were filled since they were emptied, among those of the space; some twice.
    filled: Vec<u16>,
    /// The same of fetch entries.
    fetch_filled: Vec<u16>,
}

/// Data that is derived from state and may be dropped between any two instructions.
///
/// The arrays are large, so that few translations share a place, and few of their entries are in
/// use: what empties them goes through lists of those that were filled, what looks for a guest
/// page asks a filter first, and what replaces a translation asks where its place is taken.
pub struct Fast {
    /// For each space and context, [`DATA_ENTRIES`].
    data: Zeroed<DataEntry>,
    /// For each space and mode, [`FETCH_ENTRIES`].
    fetch: Zeroed<FetchEntry>,
    /// For each place of a translation, in which arrays it is taken: a bit for each space and context.
    data_taken: Box<[u16]>,
    /// The same of fetch translations: a bit for each space and mode.
    fetch_taken: Box<[u8]>,
    spaces: [Space; SPACES],
    /// The current space, context and mode.
    space: usize,
    context: usize,
    mode: usize,
    /// Number of entries into spaces.
    entries: u64,
    /// For each guest page's number, modulo their count, how many data entries lead to such pages.
    counts: Box<[u16]>,
    /// Decoded blocks.
    pub cache: Cache<Translator>,
}

fn count_of(page: u64) -> usize {
    (page / PAGE) as usize % COUNTS
}

impl Fast {
    pub(super) fn new(heat: Option<u32>, entries: Entries) -> Self {
        Self {
            // SAFETY: an entry is made of integers alone, and the counts are constants above 0.
            data: unsafe { Zeroed::new(SPACES * CONTEXTS * DATA_ENTRIES) },
            // SAFETY: as above.
            fetch: unsafe { Zeroed::new(SPACES * MODES * FETCH_ENTRIES) },
            data_taken: vec![0; DATA_ENTRIES].into_boxed_slice(),
            fetch_taken: vec![0; FETCH_ENTRIES].into_boxed_slice(),
            spaces: Default::default(),
            space: 0,
            context: 0,
            mode: 0,
            entries: 0,
            counts: vec![0; COUNTS].into_boxed_slice(),
            cache: Cache::new(heat, entries),
        }
    }

    /// Makes an address space, a context and a mode the current ones; gives where their translations
    /// are.
    pub(super) fn enter(
        &mut self,
        key: SpaceKey,
        context: usize,
        mode: usize,
        tlb: &Tlb,
    ) -> (*mut DataEntry, *mut FetchEntry) {
        if self.spaces[self.space].key != Some(key) {
            let before = self.space;
            self.space = self.space_of(key);
            if key.is_some() && matches!(self.spaces[before].key, Some(Some(_))) {
                self.take_global(before, tlb);
            }
        }
        (self.context, self.mode) = (context, mode);
        let (data, fetch) = (self.data_start(), self.fetch_start());
        (self.data[data..].as_mut_ptr(), self.fetch[fetch..].as_mut_ptr())
    }

    /// The place of the space, or the least recently entered one, emptied.
    fn space_of(&mut self, key: SpaceKey) -> usize {
        self.entries += 1;
        let known = self.spaces.iter().position(|space| space.key == Some(key));
        let space = known.unwrap_or_else(|| {
            let oldest = (0..SPACES).min_by_key(|space| self.spaces[*space].entered).unwrap_or(0);
            self.forget_space(oldest);
            self.spaces[oldest].key = Some(key);
            oldest
        });
        self.spaces[space].entered = self.entries;
        space
    }

    /// Takes what every address space has from the space that was current before: the supervisor's
    /// translations whose architectural ones are global.
    fn take_global(&mut self, before: usize, tlb: &Tlb) {
        let (to, from) = (self.space, before);
        let filled = std::mem::take(&mut self.spaces[from].filled);
        for within in filled.iter().map(|within| usize::from(*within)) {
            let index = within % DATA_ENTRIES;
            let entry = self.data[from * CONTEXTS * DATA_ENTRIES + within];
            let place = to * CONTEXTS * DATA_ENTRIES + within;
            let is_free = within >= DATA_ENTRIES && self.data[place].read == 0;
            if is_free && entry.read != 0 && tlb.data[index].is_global() {
                self.put_data(to, within, entry);
            }
        }
        self.spaces[from].filled = filled;
        let filled = std::mem::take(&mut self.spaces[from].fetch_filled);
        for within in filled.iter().map(|within| usize::from(*within)) {
            let entry = self.fetch[from * MODES * FETCH_ENTRIES + within];
            let place = to * MODES * FETCH_ENTRIES + within;
            let is_free = within >= FETCH_ENTRIES && self.fetch[place].tag == 0;
            if is_free && entry.tag != 0 && tlb.fetch[within % FETCH_ENTRIES].is_global() {
                self.put_fetch(to, within, entry);
            }
        }
        self.spaces[from].fetch_filled = filled;
    }

    /// Puts an entry where another was, or none.
    fn put_data(&mut self, space: usize, within: usize, entry: DataEntry) {
        let at = space * CONTEXTS * DATA_ENTRIES + within;
        if self.data[at].read == 0 {
            if self.spaces[space].filled.len() >= CONTEXTS * DATA_ENTRIES {
                self.forget_accesses(space);
            }
            self.spaces[space].filled.push(within as u16);
            self.data_taken[at % DATA_ENTRIES] |= 1 << (at / DATA_ENTRIES);
        } else {
            self.counts[count_of(self.data[at].page)] -= 1;
        }
        self.counts[count_of(entry.page)] += 1;
        self.data[at] = entry;
    }

    /// As [`Self::put_data`].
    fn put_fetch(&mut self, space: usize, within: usize, entry: FetchEntry) {
        let at = space * MODES * FETCH_ENTRIES + within;
        if self.fetch[at].tag == 0 {
            if self.spaces[space].fetch_filled.len() >= MODES * FETCH_ENTRIES {
                self.forget_fetches(space);
            }
            self.spaces[space].fetch_filled.push(within as u16);
            self.fetch_taken[at % FETCH_ENTRIES] |= 1 << (at / FETCH_ENTRIES);
        }
        self.fetch[at] = entry;
    }

    fn data_start(&self) -> usize {
        (self.space * CONTEXTS + self.context) * DATA_ENTRIES
    }

    fn fetch_start(&self) -> usize {
        (self.space * MODES + self.mode) * FETCH_ENTRIES
    }

    /// Makes accesses to the page of `va` fast in the current context.
    pub(super) fn fill_data(&mut self, va: u64, host: *mut u8, page: u64, writable: bool) {
        let addend = (host as u64).wrapping_sub(va & PAGE_MASK);
        // A writable page is readable: W without R is reserved.
        let write = if writable { tag(va) } else { 0 };
        let within = self.context * DATA_ENTRIES + (va / PAGE) as usize % DATA_ENTRIES;
        self.put_data(self.space, within, DataEntry { read: tag(va), write, addend, page });
    }

    /// Makes fetches from the page of `va` fast in the current mode.
    pub(super) fn fill_fetch(&mut self, va: u64, pa: u64) {
        let within = self.mode * FETCH_ENTRIES + (va / PAGE) as usize % FETCH_ENTRIES;
        let entry = FetchEntry { tag: tag(va), delta: pa.wrapping_sub(va) };
        self.put_fetch(self.space, within, entry);
    }

    fn empty_data(&mut self, at: usize) {
        if self.data[at].read != 0 {
            self.counts[count_of(self.data[at].page)] -= 1;
            self.data[at] = DataEntry::EMPTY;
            self.data_taken[at % DATA_ENTRIES] &= !(1 << (at / DATA_ENTRIES));
        }
    }

    fn empty_fetch(&mut self, at: usize) {
        self.fetch[at] = FetchEntry::EMPTY;
        self.fetch_taken[at % FETCH_ENTRIES] &= !(1 << (at / FETCH_ENTRIES));
    }

    fn forget_fetches(&mut self, space: usize) {
        for within in std::mem::take(&mut self.spaces[space].fetch_filled) {
            self.empty_fetch(space * MODES * FETCH_ENTRIES + usize::from(within));
        }
    }

    fn forget_accesses(&mut self, space: usize) {
        for within in std::mem::take(&mut self.spaces[space].filled) {
            self.empty_data(space * CONTEXTS * DATA_ENTRIES + usize::from(within));
        }
    }

    fn forget_space(&mut self, space: usize) {
        self.forget_accesses(space);
        self.forget_fetches(space);
    }

    /// Drops all data translations.
    pub(super) fn forget_data(&mut self) {
        for space in 0..SPACES {
            self.forget_accesses(space);
        }
    }

    /// Drops the translations of one address space, except those whose architectural ones remain because
    /// they are global: most of those that a kernel continues to use when it forks and ends processes.
    pub(super) fn forget(&mut self, key: SpaceKey, tlb: &Tlb) {
        let Some(space) = self.spaces.iter().position(|space| space.key == Some(key)) else {
            return;
        };
        let mut filled = std::mem::take(&mut self.spaces[space].filled);
        filled.retain(|within| {
            let at = space * CONTEXTS * DATA_ENTRIES + usize::from(*within);
            let stays = self.data[at].read != 0 && tlb.data[at % DATA_ENTRIES].is_global();
            if !stays {
                self.empty_data(at);
            }
            stays
        });
        self.spaces[space].filled = filled;
        let mut filled = std::mem::take(&mut self.spaces[space].fetch_filled);
        filled.retain(|within| {
            let at = space * MODES * FETCH_ENTRIES + usize::from(*within);
            let stays = self.fetch[at].tag != 0 && tlb.fetch[at % FETCH_ENTRIES].is_global();
            if !stays {
                self.empty_fetch(at);
            }
            stays
        });
        self.spaces[space].fetch_filled = filled;
    }

    pub(super) fn forget_translations(&mut self) {
        for space in 0..SPACES {
            self.forget_space(space);
        }
    }

    /// Drops the data translations at the place of `va`.
    pub(super) fn forget_data_slot(&mut self, va: u64) {
        let index = (va / PAGE) as usize % DATA_ENTRIES;
        while self.data_taken[index] != 0 {
            let array = self.data_taken[index].trailing_zeros() as usize;
            self.empty_data(array * DATA_ENTRIES + index);
        }
    }

    /// Drops the fetch translations at the place of `va`.
    pub(super) fn forget_fetch_slot(&mut self, va: u64) {
        let index = (va / PAGE) as usize % FETCH_ENTRIES;
        while self.fetch_taken[index] != 0 {
            let array = self.fetch_taken[index].trailing_zeros() as usize;
            self.empty_fetch(array * FETCH_ENTRIES + index);
        }
    }

    /// The data entries that lead to one guest page.
    fn leading_to(&self, page: u64) -> Vec<usize> {
        let mut more = self.counts[count_of(page)];
        let mut found = Vec::new();
        for (number, space) in self.spaces.iter().enumerate() {
            for within in space.filled.iter().rev() {
                if more == 0 {
                    return found;
                }
                let at = number * CONTEXTS * DATA_ENTRIES + usize::from(*within);
                let entry = &self.data[at];
                if entry.read != 0 && entry.page == page && !found.contains(&at) {
                    found.push(at);
                    more -= 1;
                }
            }
        }
        found
    }

    /// Drops the host pointers into one guest page.
    pub(super) fn forget_page(&mut self, page: u64) {
        for at in self.leading_to(page) {
            self.empty_data(at);
        }
    }

    /// Makes writes to one guest page go the slow way.
    pub(super) fn protect_page(&mut self, page: u64) {
        for at in self.leading_to(page) {
            self.data[at].write = 0;
        }
    }
}

// A bit for each array.
const _: () = assert!(SPACES * CONTEXTS <= u16::BITS as usize);
const _: () = assert!(SPACES * MODES <= u8::BITS as usize);
const _: () = assert!(CONTEXTS * DATA_ENTRIES <= u16::MAX as usize);
