//! Page tables: leaves of 128 slots under one root, leaves shared between machines until written.
//!
//! ```text
//! root                     leaf (counted)                     page (counted)
//! ┌──────────┐             ┌──────────────────────────┐       ┌──────────┐
//! │ leaf 0 ──┼────────────▶│ 128 × slot               │       │ 4 KiB    │
//! │ leaf 1   │   absent:   │   0        zero          │       └──────────┘
//! │ …        │   all zero  │   1        of the image  │            ▲
//! │          │             │   2        cleared       │            │
//! └──────────┘             │   address  page ─────────┼────────────┘
//!                          │ 128 × epoch of last write│
//!                          │ latest epoch in the leaf │
//!                          └──────────────────────────┘
//! ```

use std::sync::Arc;

use super::pages::PageRef;

/// Slots in a leaf: half a mebibyte of guest memory. An interpreter has no time to hash so much.
pub(crate) const LEAF_PAGES: usize = if cfg!(miri) { 2 } else { 128 };

/// The content of one guest page.
pub(crate) enum SlotView<'a> {
    /// Nothing was ever written: all zero, costing nothing.
    Zero,
    /// All zero because it was cleared.
    Cleared,
    /// The page of the snapshot image that the memory was restored from.
    Image,
    /// A page, perhaps shared with other machines.
    Page(&'a PageRef),
}

/// One word: zero, the image's page, cleared, or a counted reference to a page, whose address is none
/// of these.
pub(crate) struct Slot(*mut u8);

// SAFETY: references to pages are counted atomically and may be released by any thread; a page's
// content is written only by the holder of the only reference to it.
unsafe impl Send for Slot {}
// SAFETY: as above; nothing is written through a slot.
unsafe impl Sync for Slot {}

const ZERO: usize = 0;
const IMAGE: usize = 1;
const CLEARED: usize = 2;

impl Slot {
    pub(crate) const fn zero() -> Self {
        Self(std::ptr::without_provenance_mut(ZERO))
    }

    pub(crate) const fn image() -> Self {
        Self(std::ptr::without_provenance_mut(IMAGE))
    }

    pub(crate) const fn cleared() -> Self {
        Self(std::ptr::without_provenance_mut(CLEARED))
    }

    pub(crate) fn page(page: PageRef) -> Self {
        Self(page.into_raw())
    }

    #[inline]
    pub(crate) fn view(&self) -> SlotView<'_> {
        match self.0.addr() {
            ZERO => SlotView::Zero,
            IMAGE => SlotView::Image,
            CLEARED => SlotView::Cleared,
            // SAFETY: any other word came from `into_raw` and is not given back before `drop`.
            // A PageRef is one pointer, as this word is, so the word may be viewed as one.
            _ => SlotView::Page(unsafe { &*std::ptr::from_ref(&self.0).cast::<PageRef>() }),
        }
    }
}

const _: () = assert!(size_of::<PageRef>() == size_of::<Slot>());
const _: () = assert!(align_of::<PageRef>() <= align_of::<Slot>());

impl Clone for Slot {
    fn clone(&self) -> Self {
        match self.view() {
            SlotView::Page(page) => Self::page(page.clone()),
            SlotView::Zero | SlotView::Image | SlotView::Cleared => Self(self.0),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.0.addr() > CLEARED {
            // SAFETY: the word came from `into_raw`, and this slot is gone afterwards.
            drop(unsafe { PageRef::from_raw(self.0) });
        }
    }
}

/// 128 slots, and when each was last written.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) slots: [Slot; LEAF_PAGES],
    /// Epoch of the last write of each page; see `PagedMemory::mark`.
    pub(crate) written: [u32; LEAF_PAGES],
    /// The latest of `written`.
    pub(crate) last_written: u32,
}

impl Leaf {
    pub(crate) fn zero() -> Self {
        Self {
            slots: [const { Slot::zero() }; LEAF_PAGES],
            written: [0; LEAF_PAGES],
            last_written: 0,
        }
    }
}

/// The table of a memory: its existing pages and their addresses.
#[derive(Clone, Default)]
pub struct PageTable(pub(crate) Vec<Option<Arc<Leaf>>>);

/// A set of page numbers.
#[derive(Debug, Clone, Default)]
pub struct PageSet {
    words: Vec<u64>,
}

impl PageSet {
    /// Whether `page` is in the set.
    #[inline]
    pub fn contains(&self, page: usize) -> bool {
        self.words.get(page / 64).is_some_and(|word| word >> (page % 64) & 1 == 1)
    }

    /// Adds `page`; whether it was absent.
    #[inline]
    pub fn insert(&mut self, page: usize) -> bool {
        if page / 64 >= self.words.len() {
            self.words.resize(page / 64 + 1, 0);
        }
        let word = &mut self.words[page / 64];
        let absent = *word >> (page % 64) & 1 == 0;
        *word |= 1 << (page % 64);
        absent
    }

    /// Takes `page` out.
    pub fn remove(&mut self, page: usize) {
        if let Some(word) = self.words.get_mut(page / 64) {
            *word &= !(1 << (page % 64));
        }
    }

    /// The bits of the set, a word for 64 pages, up to its last page.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// The pages, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index * 64 + bit)
        })
    }
}
