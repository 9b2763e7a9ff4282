//! A page of code whose translations are shared.

use crate::block::AddressMap;
use crate::page::PAGE;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Maximum bytes of a page besides its code: content, table, and keys of its slots.
pub(super) const MOST_PAGE_BYTES: usize = size_of::<Page>() + (4 << 10);

/// Maximum number of addresses of a page that are noted as targets.
const MOST_TARGETS: usize = 128;

/// The addresses of a page at which machines arrived by a jump whose target was not in their tables of
/// indirect jumps. A machine that adopts the page takes them into its table at once: it will arrive there,
/// too, and each arrival that the table does not know costs an exit from translated code.
struct Targets {
    /// One bit for each half word that was noted, or found no place.
    seen: [AtomicU64; PAGE as usize / 128],
    count: AtomicUsize,
    /// Half words, counted from 1; 0 until the place is filled.
    places: [AtomicU16; MOST_TARGETS],
}

impl Targets {
    fn new() -> Self {
        Self {
            seen: [const { AtomicU64::new(0) }; PAGE as usize / 128],
            count: AtomicUsize::new(0),
            places: [const { AtomicU16::new(0) }; MOST_TARGETS],
        }
    }

    fn note(&self, offset: usize) {
        let half = offset / 2;
        let (Some(seen), bit) = (self.seen.get(half / 64), 1 << (half % 64)) else { return };
        if seen.load(Ordering::Relaxed) & bit != 0
            || seen.fetch_or(bit, Ordering::Relaxed) & bit != 0
        {
            return;
        }
        // A half word comes here once, so the count stays far from its end.
        if let Some(place) = self.places.get(self.count.fetch_add(1, Ordering::Relaxed)) {
            place.store(half as u16 + 1, Ordering::Relaxed);
        }
    }

    /// Offsets in the page.
    fn offsets(&self) -> impl Iterator<Item = usize> + '_ {
        let places = self.places.iter().take(self.count.load(Ordering::Relaxed));
        places
            .filter_map(|place| usize::from(place.load(Ordering::Relaxed)).checked_sub(1))
            .map(|half| half * 2)
    }
}

/// The content of a page of code.
pub type Content = [u8; PAGE as usize];

/// A page of code at one virtual address, and its translations.
pub struct Page {
    /// Virtual address.
    pub(super) va: u64,
    /// Its bytes.
    pub(super) content: Content,
    /// For each half word of the page the offset of the unit that begins there, 0 for none: one contiguous
    /// table, since every machine looks up its unknown addresses here, mostly outside the host's caches.
    code: [AtomicU32; PAGE as usize / 2],
    /// The slots of addresses that have no unit yet. Only a translating thread locks it.
    pub(super) slots: Mutex<AddressMap<usize>>,
    targets: Targets,
}

impl Page {
    /// The place in the arena where the code of the unit at `offset` begins.
    #[inline]
    pub fn code(&self, offset: usize) -> Option<usize> {
        let code = self.code.get(offset / 2)?.load(Ordering::Acquire) as usize;
        (code != 0).then_some(code)
    }

    /// A page without translations.
    pub(super) fn new(va: u64, content: &Content) -> Self {
        Self {
            va,
            content: *content,
            code: [const { AtomicU32::new(0) }; PAGE as usize / 2],
            slots: Mutex::default(),
            targets: Targets::new(),
        }
    }

    /// Notes that a machine arrived at `offset` by a jump that its table of indirect jumps did not lead.
    pub fn note_target(&self, offset: usize) {
        self.targets.note(offset);
    }

    /// The offsets that were noted and have code, and where that is in the arena.
    pub fn targets(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.targets.offsets().filter_map(|offset| Some((offset, self.code(offset)?)))
    }

    /// Says where the unit at `offset` is.
    pub(super) fn set_code(&self, offset: usize, code: usize) {
        self.code[offset / 2].store(code as u32, Ordering::Release);
    }
}
