//! The data that handlers share besides the hart: translation cache, interrupt controller, decoded
//! blocks, and the platform during a run; and the slow paths of memory accesses.

mod access;
mod fast;
mod shared;
mod translate;

pub use fast::Fast;

use crate::block::{Cache, Entries, WORTH_LEAVING};
use crate::hart::{Hart, USER, status};
use crate::jit::{self, Store, Translator};
use crate::mmu::{self, Mode, Removed, Tlb};
use crate::page::PAGE_MASK;
use crate::plic::Plic;
use crate::profile::Profile;
use std::sync::Arc;
use stillpoint_vmm::engine::Exit;
use stillpoint_vmm::platform::Platform;

/// Why an access failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The guest gets an exception.
    Trap {
        /// Exception code.
        cause: u64,
        /// The value for `stval`.
        value: u64,
    },
    /// The host cannot provide the content of memory: the run ends with a fault.
    Host(String),
}
/// The engine without its registers.
pub struct Core {
    platform: *mut Platform,
    /// The translation cache.
    pub tlb: Tlb,
    /// The interrupt controller.
    pub plic: Plic,
    fast: Option<Box<Fast>>,
    generation: u64,
    /// The reason for the end of the run, if `Leave::Stop` is set.
    pub exit: Option<Exit>,
    /// A device was accessed or code was overwritten: the block must be left after the
    /// instruction in progress.
    pub must_leave: bool,
    /// Number of times that a block is interpreted before it is translated; `None`: always
    /// interpreted. Not state: the guest cannot tell.
    pub heat: Option<u32>,
    /// Number of new blocks that are worth leaving to other machines. Not state either.
    pub worth_leaving: usize,
    entries: Entries,
    /// The store of shared translations. Not state either.
    pub store: Arc<Store>,
    /// Counts for tools.
    pub profile: Profile,
}

impl Core {
    /// A core at reset, whose blocks are entered through `entries`.
    pub fn new(entries: Entries) -> Self {
        Self {
            platform: std::ptr::null_mut(),
            tlb: Tlb::new(),
            plic: Plic::new(),
            fast: None,
            generation: 0,
            exit: None,
            must_leave: false,
            heat: jit::DEFAULT_HEAT,
            worth_leaving: WORTH_LEAVING,
            entries,
            store: Store::of_process().clone(),
            profile: Profile::default(),
        }
    }

    /// A core with the same state and nothing derived.
    pub fn copy(&self) -> Self {
        let (tlb, plic) = (self.tlb.clone(), self.plic.clone());
        Self { tlb, plic, ..Self::new(self.entries) }.set_as(self)
    }

    /// Takes over the settings of an engine, which are not state.
    pub fn set_as(self, other: &Self) -> Self {
        let store = other.store.clone();
        Self { heat: other.heat, worth_leaving: other.worth_leaving, store, ..self }
    }

    /// Lends the platform for a run. Every other method that touches memory or devices may be
    /// called only between this and [`Self::unbind`].
    pub fn bind(&mut self, platform: *mut Platform) {
        self.platform = platform;
        self.refresh();
    }

    /// Makes the hart ready to execute. Apart from [`Self::bind`], because a hart that only waits
    /// needs nothing derived.
    pub fn prepare(&mut self, hart: &mut Hart) {
        if hart.jumps.is_null() {
            if self.fast.is_none()
                && let Some(shared) = self.platform().memory.derived().get()
            {
                self.cache().share(shared);
            }
            self.enter_context(hart);
            hart.jumps = self.fast().cache.jumps();
        }
    }

    /// Gives the platform back.
    pub fn unbind(&mut self, hart: &mut Hart) {
        if let Some(fast) = &mut self.fast
            && let Some(translator) = &mut fast.cache.translator
        {
            translator.let_go();
        }
        self.platform = std::ptr::null_mut();
        hart.data = std::ptr::null_mut();
        hart.fetch = std::ptr::null_mut();
        hart.jumps = std::ptr::null_mut();
        hart.block = std::ptr::null();
        hart.link = std::ptr::null_mut();
    }

    /// The platform of the run in progress.
    pub fn platform(&mut self) -> &mut Platform {
        debug_assert!(!self.platform.is_null());
        // SAFETY: `bind` got the pointer from the exclusive reference that `Engine::run` or
        // `Engine::step` holds until after `unbind`; all uses in between go through here, and
        // the result borrows `self`, so that no two of them live at a time.
        unsafe { &mut *self.platform }
    }

    /// The derived data, made on first use.
    pub fn fast(&mut self) -> &mut Fast {
        let (heat, entries) = (self.heat, self.entries);
        self.fast.get_or_insert_with(|| Box::new(Fast::new(heat, entries)))
    }

    /// The decoded blocks.
    pub fn cache(&mut self) -> &mut Cache<Translator> {
        &mut self.fast().cache
    }

    /// Translated code, if there is any.
    #[inline]
    pub fn translator(&mut self) -> Option<&mut Translator> {
        self.cache().translator.as_deref_mut()
    }

    /// Drops everything derived.
    pub fn forget_everything(&mut self) {
        self.fast = None;
    }

    /// Drops host pointers. Fetch translations have none.
    pub fn forget_pointers(&mut self) {
        if let Some(fast) = &mut self.fast {
            fast.forget_data();
        }
    }

    /// Drops what follows from registers that were set from outside.
    pub fn forget_contexts(&mut self) {
        if let Some(fast) = &mut self.fast {
            fast.forget_translations();
        }
    }

    /// Drops data that the platform has made stale: pointers after a change of generation, and code
    /// that devices or the host wrote to.
    pub fn refresh(&mut self) {
        self.must_leave |= self.follow_generation();
        let pages = self.platform().memory.take_touched_watched();
        self.drop_code(&pages);
        for page in pages {
            self.platform().memory.watch_page(page, false);
            self.must_leave = true;
        }
    }

    /// Drops code decoded from these pages.
    fn drop_code(&mut self, pages: &[u64]) {
        for page in pages {
            if let Some(fast) = &mut self.fast {
                fast.cache.kill_page(page & PAGE_MASK);
            }
        }
    }

    /// Points the hart at the fast translations of its address space, mode and SUM.
    pub fn enter_context(&mut self, hart: &mut Hart) {
        let context = match (hart.mode, hart.sstatus & status::SUM != 0) {
            (USER, _) => 0,
            (_, false) => 1,
            (_, true) => 2,
        };
        let mode = usize::from(hart.mode);
        let space = match mmu::mode(hart.satp) {
            Some(Mode::Levels(_)) => Some(mmu::asid(hart.satp)),
            Some(Mode::Bare) | None => None,
        };
        self.fast();
        if let Some(fast) = &mut self.fast {
            (hart.data, hart.fetch) = fast.enter(space, context, mode, &self.tlb);
        }
    }

    /// Drops all derived translations after a change of MXR, or a fence.
    pub fn forget_translations(&mut self) {
        self.profile.forgotten += 1;
        self.fast().forget_translations();
    }

    /// SFENCE.VMA: `va` and `asid` are `None` where the instruction names `x0`.
    pub fn fence(&mut self, va: Option<u64>, asid: Option<u16>) {
        match self.tlb.fence(va, asid) {
            Removed::At { va, data, fetch } => {
                self.profile.fences += 1;
                if data {
                    self.fast().forget_data_slot(va);
                }
                if fetch {
                    self.fast().forget_fetch_slot(va);
                }
            }
            Removed::Space(asid) => {
                if let Some(fast) = &mut self.fast {
                    fast.forget(Some(asid), &self.tlb);
                }
            }
            Removed::Anywhere => self.forget_translations(),
        }
    }

    /// The host address of a guest page, for reading. `Ok(None)` if there is no memory.
    fn page_for_read(&mut self, pa: u64) -> Result<Option<*mut u8>, Trouble> {
        match self.platform().memory.page_for_read(pa & PAGE_MASK) {
            Some(page) => Ok(Some(page.as_ptr())),
            None => self.no_page(),
        }
    }

    /// The host address of a guest page, for writing. `Ok(None)` if there is no memory.
    fn page_for_write(&mut self, pa: u64) -> Result<Option<*mut u8>, Trouble> {
        let page = pa & PAGE_MASK;
        let before = self.page_for_read(page)?;
        let after = match self.platform().memory.page_for_write(page) {
            Some(page) => Some(page.as_ptr()),
            None => self.no_page()?,
        };
        if before != after {
            self.fast().forget_page(page);
        }
        self.follow_generation();
        Ok(after)
    }

    /// No page was returned: there is none, or the host failed.
    #[cold]
    fn no_page<T>(&mut self) -> Result<Option<T>, Trouble> {
        match self.platform().memory.failure() {
            Some(error) => Err(Trouble::Host(error.to_string())),
            None => Ok(None),
        }
    }

    /// Drops every host pointer if memory says that they are no longer good.
    fn follow_generation(&mut self) -> bool {
        let generation = self.platform().memory.generation();
        let is_new = generation != self.generation;
        if is_new {
            self.generation = generation;
            self.forget_pointers();
        }
        is_new
    }

    /// Whether memory (not a device) is at `pa`.
    fn is_memory(&mut self, pa: u64) -> bool {
        let memory = &self.platform().memory;
        pa.wrapping_sub(memory.base()) < memory.size_bytes()
    }

    /// Tells the block cache that bytes of memory were changed by the hart itself.
    fn code_written(&mut self, pa: u64, len: u64) {
        let page = pa & PAGE_MASK;
        let cache = self.cache();
        if !cache.is_code_page(page) {
            return;
        }
        let free = cache.written(pa, len);
        let killed = std::mem::take(&mut cache.killed);
        if free {
            self.platform().memory.watch_page(page, false);
        }
        self.must_leave |= killed;
    }

    /// Makes a page's writes visible to the block cache from now on.
    pub fn protect_code(&mut self, page: u64) {
        self.fast().protect_page(page);
        self.platform().memory.watch_page(page, true);
    }

    /// Empties the block cache. Only between blocks.
    pub fn flush_blocks(&mut self, hart: &mut Hart) {
        hart.block = std::ptr::null();
        hart.link = std::ptr::null_mut();
        let pages: Vec<u64> = self.cache().code_pages().collect();
        for page in pages {
            self.platform().memory.watch_page(page, false);
        }
        self.cache().clear();
        self.cache().flushes += 1;
    }
}
