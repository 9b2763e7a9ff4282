//! Translated code that all machines of a process execute in place.
//!
//! ```text
//! thunks | unit: code, details, slots | unit | …            one mapping, appended to under a lock
//!
//! pages:  (virtual page, content) ▸ where in the mapping the code of each address is
//! ```
//!
//! A unit here was made from a page of code, all 4 KiB of which are kept beside it, for one virtual
//! address of that page, and from nothing else: it is the same whichever machine made it. A machine
//! *adopts* a page when it has executable memory with that content at that address, compared byte by
//! byte, and parts from it with the first write to it. So units never die and code is never
//! changed; what is written later are *slots*, words through which one unit jumps to another of
//! the same page that did not exist when it was made.
//!
//! An arena only grows. When it is full it is *retired*: [`Store`](super::store::Store) begins another, machines that
//! execute let go of the old one at the end of their slice, those that do not hold none, and it is
//! unmapped with the last.

use super::assembler::Assembler;
use super::code_page::{Content, MOST_PAGE_BYTES, Page};
use super::layout::{Enter, ExecuteSingle, Links, Output, Thunks};
use super::memory::CodeMemory;
use super::{thunks, unit};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};

/// Free bytes below which an arena is full: more than any unit needs.
const RESERVE_BYTES: usize = 64 << 10;
/// Pages of one virtual address with different content that look alike at first sight, beyond which
/// further ones are not shared.
const MOST_ALIKE: usize = 8;

/// The data for adding units.
struct Writer {
    memory: CodeMemory,
    assembler: Assembler,
}

/// Pages by virtual address and first sight. Boxed, because machines keep their addresses.
type Pages = HashMap<(u64, u64), Vec<Box<Page>>>;

/// Code that machines share.
pub struct Arena {
    writer: Mutex<Writer>,
    /// Address at which the mapping executes.
    base: *const u8,
    thunks: Thunks,
    pages: RwLock<Pages>,
    page_count: AtomicUsize,
    most_pages: usize,
    retired: AtomicBool,
    /// Number of arenas of the store.
    count: Arc<AtomicUsize>,
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

// SAFETY: `base` is the address of a mapping that `writer` owns and that is only read and executed there; all
// other fields are safe for several threads.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

/// The hash of a page of code.
fn look(content: &Content) -> u64 {
    let mut lanes = [0u64; 4];
    for words in content.as_chunks::<32>().0 {
        for (lane, word) in lanes.iter_mut().zip(words.as_chunks::<8>().0) {
            let mixed = (*lane ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            *lane = mixed ^ mixed >> 29;
        }
    }
    lanes
        .into_iter()
        .fold(0, |all: u64, lane| (all.rotate_left(17) ^ lane).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

impl Arena {
    /// An arena of `capacity` bytes, half of it for code, half for the pages that it is made from. `None` if
    /// the host does not let the process have executable memory.
    pub(super) fn new(
        capacity: usize,
        execute_single: ExecuteSingle,
        count: Arc<AtomicUsize>,
    ) -> Option<Self> {
        let most_pages = (capacity / 2 / MOST_PAGE_BYTES).max(1);
        let mut memory = CodeMemory::new((capacity / 2).next_multiple_of(1 << 16))?;
        let mut assembler = Assembler::new();
        let thunks = thunks::thunks(&mut assembler, execute_single as *const () as usize);
        if !memory.append(assembler.bytes()) {
            return None;
        }
        let base = memory.address(0);
        count.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            writer: Mutex::new(Writer { memory, assembler }),
            base,
            thunks,
            pages: RwLock::default(),
            page_count: AtomicUsize::new(0),
            most_pages,
            retired: AtomicBool::new(false),
            count,
        })
    }

    /// Whether another arena has replaced this one.
    #[inline]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Announces that another arena is about to replace this one.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Address at which the code at this offset executes.
    #[inline]
    pub fn address(&self, code: usize) -> *const u8 {
        self.base.wrapping_add(code)
    }

    /// The function that enters translated code.
    #[inline]
    pub fn enter(&self) -> Enter {
        // SAFETY: `thunks.enter` is where `thunks::assemble` put a function of this type, in memory that lives
        // as long as this.
        unsafe { std::mem::transmute::<*const u8, Enter>(self.address(self.thunks.enter)) }
    }

    /// The page with this content at this virtual address, if some machine translated any of it. Good
    /// for as long as the arena is.
    pub fn find(&self, va: u64, content: &Content) -> Option<*const Page> {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        let alike = pages.get(&(va, look(content)))?;
        let page = alike.iter().find(|page| page.content == *content)?;
        Some(&raw const **page)
    }

    /// Like [`Self::find`], and makes a missing page. `None` if there are too many.
    pub fn find_or_make(&self, va: u64, content: &Content) -> Option<*const Page> {
        if let Some(page) = self.find(va, content) {
            return Some(page);
        }
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        let alike = pages.entry((va, look(content))).or_default();
        if let Some(page) = alike.iter().find(|page| page.content == *content) {
            return Some(&raw const **page);
        }
        if alike.len() >= MOST_ALIKE || self.is_full() {
            return None;
        }
        self.page_count.fetch_add(1, Ordering::Relaxed);
        alike.push(Box::new(Page::new(va, content)));
        alike.last().map(|page| &raw const **page)
    }

    /// Whether no further page fits.
    pub(super) fn is_full(&self) -> bool {
        self.page_count.load(Ordering::Relaxed) >= self.most_pages
    }

    /// Bytes of code, and pages that it was made from.
    pub fn size(&self) -> (usize, usize) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        (writer.memory.used(), self.page_count.load(Ordering::Relaxed))
    }

    /// Translates the instructions in the `len` bytes of `page` from `offset` on. Two threads never wait for
    /// each other's translations: if another one is translating, the caller continues without.
    pub fn translate(&self, page: &Page, offset: usize, len: usize) -> Translated {
        let mut writer = match self.writer.try_lock() {
            Ok(writer) => writer,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Translated::Later,
        };
        if let Some(code) = page.code(offset) {
            return Translated::Code { code, instructions: 0, bytes: 0 };
        }
        let Writer { memory, assembler } = &mut *writer;
        if memory.free() < RESERVE_BYTES || self.is_full() {
            return Translated::Full;
        }
        let Some(bytes) = page.content.get(offset..(offset + len).min(page.content.len())) else {
            return Translated::Never;
        };
        let mut slots = page.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let base = memory.used();
        assembler.clear();
        let mut out = Output {
            code: assembler,
            base,
            thunks: self.thunks,
            links: Links::Shared {
                page,
                slots: &slots,
                not_yet: self.address(self.thunks.leave_indirect) as u64,
                made: Vec::new(),
            },
        };
        let Some(shape) = unit::translate(&mut out, page.va + offset as u64, 0, bytes) else {
            return Translated::Never;
        };
        let made = match out.links {
            Links::Shared { made, .. } => made,
            Links::Own(_) => Vec::new(),
        };
        if !memory.append(assembler.bytes()) {
            return Translated::Full;
        }
        slots.extend(made);
        page.set_code(offset, base);
        if let Some(slot) = slots.remove(&(offset as u64)) {
            memory.set_word(slot, self.address(base) as u64);
        }
        Translated::Code {
            code: base,
            instructions: shape.instructions,
            bytes: assembler.bytes().len(),
        }
    }
}

/// The result of a translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Translated {
    /// The code exists.
    Code {
        /// Its offset in the arena.
        code: usize,
        /// Guest instructions that were translated for it now.
        instructions: u8,
        /// Bytes of code that were made for it now.
        bytes: usize,
    },
    /// Another thread is translating: ask again.
    Later,
    /// The arena is full.
    Full,
    /// There is not one whole instruction.
    Never,
}
