//! A page of code that translations are shared of.

use crate::block::AddressMap;
use crate::page::PAGE;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

/// Addresses of a page for which a table of code is made together.
const TABLE_ADDRESSES: usize = 64;
/// Tables of a page.
const TABLES: usize = PAGE as usize / 2 / TABLE_ADDRESSES;
/// Most bytes that a page costs beside its code: content, tables, and what its slots are known by.
pub(super) const MOST_PAGE_BYTES: usize =
    size_of::<Page>() + TABLES * size_of::<[AtomicU32; TABLE_ADDRESSES]>() + (4 << 10);

/// The content of a page of code.
pub type Content = [u8; PAGE as usize];

/// A page of code at one virtual address, and what was translated from it.
pub struct Page {
    /// Virtual address.
    pub(super) va: u64,
    /// Its bytes.
    pub(super) content: Content,
    /// For each half word of the page the offset of the unit that begins there, 0 for none.
    code: [OnceLock<Box<[AtomicU32; TABLE_ADDRESSES]>>; TABLES],
    /// Where the slots are of addresses that have no unit yet. Locked by who translates only.
    pub(super) slots: Mutex<AddressMap<usize>>,
}

impl Page {
    /// Where in the arena the code of the unit at `offset` begins.
    #[inline]
    pub fn code(&self, offset: usize) -> Option<usize> {
        let at = offset / 2;
        let table = self.code.get(at / TABLE_ADDRESSES)?.get()?;
        let code = table[at % TABLE_ADDRESSES].load(Ordering::Acquire) as usize;
        (code != 0).then_some(code)
    }

    /// A page nothing of which is translated.
    pub(super) fn new(va: u64, content: &Content) -> Self {
        Self {
            va,
            content: *content,
            code: [const { OnceLock::new() }; TABLES],
            slots: Mutex::default(),
        }
    }

    /// Says where the unit at `offset` is.
    pub(super) fn set_code(&self, offset: usize, code: usize) {
        let at = offset / 2;
        let table = self.code[at / TABLE_ADDRESSES]
            .get_or_init(|| Box::new([const { AtomicU32::new(0) }; TABLE_ADDRESSES]));
        table[at % TABLE_ADDRESSES].store(code as u32, Ordering::Release);
    }
}
