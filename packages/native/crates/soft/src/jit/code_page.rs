//! A page of code whose translations are shared.

use crate::block::AddressMap;
use crate::page::PAGE;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Maximum bytes of a page besides its code: content, table, and keys of its slots.
pub(super) const MOST_PAGE_BYTES: usize = size_of::<Page>() + (4 << 10);

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
        }
    }

    /// Says where the unit at `offset` is.
    pub(super) fn set_code(&self, offset: usize, code: usize) {
        self.code[offset / 2].store(code as u32, Ordering::Release);
    }
}
