//! What the handlers share besides the hart: translation cache, interrupt controller, decoded
//! blocks, and the platform while a run lasts; and the slow paths of memory accesses.

use crate::block::Cache;
use crate::hart::{DATA_ENTRIES, DataEntry, FETCH_ENTRIES, FetchEntry, Hart, NO_TAG, USER, status};
use crate::jit::{self, Translator};
use crate::mmu::{self, Access, Mode, Tlb, TlbEntry, pte};
use crate::plic::{self, Plic};
use stillpoint_vmm::engine::Exit;
use stillpoint_vmm::memory::MemoryError;
use stillpoint_vmm::platform::Platform;

/// Bytes of a guest page.
pub const PAGE: u64 = 4096;
/// Bits of a page address.
pub const PAGE_MASK: u64 = !(PAGE - 1);

/// Contexts of fast data translations: user, supervisor, supervisor with SUM.
const CONTEXTS: usize = 3;
/// Modes of fast fetch translations.
const MODES: usize = 2;

/// Why an access did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The guest gets an exception.
    Trap {
        /// Exception code.
        cause: u64,
        /// What `stval` is to hold.
        value: u64,
    },
    /// The host cannot provide the content of memory: the run ends with a fault.
    Host(String),
}

/// What is derived from state and may vanish between any two instructions.
pub struct Fast {
    data: Box<[DataEntry]>,
    fetch: Box<[FetchEntry]>,
    /// Decoded blocks.
    pub cache: Cache,
}

impl Fast {
    fn new(heat: Option<u32>) -> Self {
        Self {
            data: vec![DataEntry::EMPTY; CONTEXTS * DATA_ENTRIES].into_boxed_slice(),
            fetch: vec![FetchEntry::EMPTY; MODES * FETCH_ENTRIES].into_boxed_slice(),
            cache: Cache::new(heat),
        }
    }

    fn forget_translations(&mut self) {
        self.data.fill(DataEntry::EMPTY);
        self.fetch.fill(FetchEntry::EMPTY);
    }

    fn forget_data_slot(&mut self, va: u64) {
        let index = (va >> 12) as usize % DATA_ENTRIES;
        for context in 0..CONTEXTS {
            self.data[context * DATA_ENTRIES + index] = DataEntry::EMPTY;
        }
    }

    fn forget_fetch_slot(&mut self, va: u64) {
        let index = (va >> 12) as usize % FETCH_ENTRIES;
        for mode in 0..MODES {
            self.fetch[mode * FETCH_ENTRIES + index] = FetchEntry::EMPTY;
        }
    }

    /// Drops the host pointers into one guest page.
    fn forget_page(&mut self, page: u64) {
        for entry in &mut self.data {
            if entry.page == page {
                *entry = DataEntry::EMPTY;
            }
        }
    }

    /// Makes writes to one guest page go the slow way.
    fn protect_page(&mut self, page: u64) {
        for entry in &mut self.data {
            if entry.page == page {
                entry.write = NO_TAG;
            }
        }
    }
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
    /// Why the run ends, where `Leave::Stop` says that it does.
    pub exit: Option<Exit>,
    /// A device was accessed or code was overwritten: the block must be left after the
    /// instruction in progress.
    pub must_leave: bool,
    /// How often a block is interpreted before it is translated; `None`: for ever. No state: the
    /// guest cannot tell.
    pub heat: Option<u32>,
}

/// Widest access.
const WIDEST: usize = 8;

impl Core {
    /// A core at reset.
    pub fn new() -> Self {
        Self {
            platform: std::ptr::null_mut(),
            tlb: Tlb::new(),
            plic: Plic::new(),
            fast: None,
            generation: 0,
            exit: None,
            must_leave: false,
            heat: jit::DEFAULT_HEAT,
        }
    }

    /// A core with the same state and nothing derived.
    pub fn copy(&self) -> Self {
        Self { tlb: self.tlb.clone(), plic: self.plic.clone(), heat: self.heat, ..Self::new() }
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
            self.enter_context(hart);
            hart.jumps = self.fast().cache.jumps();
        }
    }

    /// Gives the platform back.
    pub fn unbind(&mut self, hart: &mut Hart) {
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

    /// What is derived, made when first needed.
    pub fn fast(&mut self) -> &mut Fast {
        let heat = self.heat;
        self.fast.get_or_insert_with(|| Box::new(Fast::new(heat)))
    }

    /// The decoded blocks.
    pub fn cache(&mut self) -> &mut Cache {
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

    /// Drops host pointers.
    pub fn forget_pointers(&mut self) {
        if let Some(fast) = &mut self.fast {
            fast.forget_translations();
        }
    }

    /// Drops what the platform has made stale: pointers after a change of generation, code that
    /// devices or the host wrote to.
    pub fn refresh(&mut self) {
        self.follow_generation();
        for page in self.platform().memory.take_touched_watched() {
            let page = page & PAGE_MASK;
            if let Some(fast) = &mut self.fast {
                fast.cache.kill_page(page);
            }
            self.platform().memory.watch_page(page, false);
            self.must_leave = true;
        }
    }

    /// Points the hart at the fast translations of its mode and SUM.
    pub fn enter_context(&mut self, hart: &mut Hart) {
        let context = match (hart.mode, hart.sstatus & status::SUM != 0) {
            (USER, _) => 0,
            (_, false) => 1,
            (_, true) => 2,
        };
        let mode = usize::from(hart.mode);
        let fast = self.fast();
        hart.data = fast.data[context * DATA_ENTRIES..].as_mut_ptr();
        hart.fetch = fast.fetch[mode * FETCH_ENTRIES..].as_mut_ptr();
    }

    /// What a change of `satp` or MXR, or a fence, leaves of the derived translations: nothing.
    pub fn forget_translations(&mut self) {
        self.fast().forget_translations();
    }

    /// SFENCE.VMA: `va` and `asid` are `None` where the instruction names `x0`.
    pub fn fence(&mut self, va: Option<u64>, asid: Option<u16>) {
        match (self.tlb.fence(va, asid), va) {
            (true, Some(va)) => {
                self.fast().forget_data_slot(va);
                self.fast().forget_fetch_slot(va);
            }
            _ => self.forget_translations(),
        }
    }

    /// The host address of a guest page, for reading. `Ok(None)` if no memory is there.
    fn page_for_read(&mut self, pa: u64) -> Result<Option<*mut u8>, Trouble> {
        match self.platform().memory.page_for_read(pa & PAGE_MASK) {
            Some(page) => Ok(Some(page.as_ptr())),
            None => self.no_page(),
        }
    }

    /// The host address of a guest page, for writing. `Ok(None)` if no memory is there.
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

    /// No page was given: because there is none, or because the host could not.
    #[cold]
    fn no_page<T>(&mut self) -> Result<Option<T>, Trouble> {
        match self.platform().memory.failure() {
            Some(error) => Err(Trouble::Host(error.to_string())),
            None => Ok(None),
        }
    }

    /// Drops every host pointer if memory says that they are no longer good.
    fn follow_generation(&mut self) {
        let generation = self.platform().memory.generation();
        if generation != self.generation {
            self.generation = generation;
            self.forget_pointers();
        }
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

    /// Reads the aligned 8 bytes at `pa` for the page table walk.
    fn read_entry(&mut self, pa: u64) -> Result<Option<u64>, Trouble> {
        let Some(page) = self.page_for_read(pa)? else { return Ok(None) };
        // SAFETY: the page is readable for 4096 bytes and `pa` is 8-aligned, so within it.
        Ok(Some(unsafe { page.add((pa & !PAGE_MASK) as usize).cast::<u64>().read() }))
    }

    /// The physical address of `va`, filling the translation cache and setting A and D.
    pub fn translate(&mut self, hart: &Hart, va: u64, access: Access) -> Result<u64, Trouble> {
        let levels = match mmu::mode(hart.satp) {
            None | Some(Mode::Bare) => return Ok(va),
            Some(Mode::Levels(levels)) => levels,
        };
        let asid = mmu::asid(hart.satp);
        let user = hart.mode == USER;
        let sum = hart.sstatus & status::SUM != 0;
        let mxr = hart.sstatus & status::MXR != 0;
        if let Some(entry) = self.tlb.find(va, access, asid)
            && mmu::allows(entry.pte, access, user, sum, mxr)
            && (access != Access::Store || entry.pte & pte::D != 0)
        {
            return Ok(entry.physical_page() | va & !PAGE_MASK);
        }
        let entry = self.walk(hart, va, access, levels)?;
        if !mmu::allows(entry.pte, access, user, sum, mxr) {
            return Err(Trouble::Trap { cause: access.page_fault(), value: va });
        }
        self.tlb.insert(entry, access);
        match access {
            Access::Fetch => self.fast().forget_fetch_slot(va),
            Access::Load | Access::Store => self.fast().forget_data_slot(va),
        }
        Ok(entry.physical_page() | va & !PAGE_MASK)
    }

    fn walk(
        &mut self,
        hart: &Hart,
        va: u64,
        access: Access,
        levels: u32,
    ) -> Result<TlbEntry, Trouble> {
        let fault = Trouble::Trap { cause: access.page_fault(), value: va };
        let no_access = Trouble::Trap { cause: access.access_fault(), value: va };
        if !mmu::is_canonical(va, levels) {
            return Err(fault);
        }
        let user = hart.mode == USER;
        let sum = hart.sstatus & status::SUM != 0;
        let mxr = hart.sstatus & status::MXR != 0;
        let mut table = (hart.satp & pte::PPN_MASK) << 12;
        let mut global = 0;
        for level in (0..levels).rev() {
            let index = va >> (12 + 9 * level) & 0x1ff;
            let at = table + 8 * index;
            let Some(entry) = self.read_entry(at)? else { return Err(no_access) };
            if entry & pte::V == 0
                || entry & (pte::R | pte::W) == pte::W
                || entry & pte::RESERVED != 0
            {
                return Err(fault);
            }
            let ppn = entry >> pte::PPN_SHIFT & pte::PPN_MASK;
            global |= entry & pte::G;
            if entry & (pte::R | pte::X) == 0 {
                if entry & (pte::D | pte::A | pte::U) != 0 {
                    return Err(fault);
                }
                table = ppn << 12;
                continue;
            }
            let below = (1u64 << (9 * level)) - 1;
            if !mmu::allows(entry, access, user, sum, mxr) || ppn & below != 0 {
                return Err(fault);
            }
            let wanted = entry | pte::A | if access == Access::Store { pte::D } else { 0 };
            if wanted != entry {
                let Some(page) = self.page_for_write(at)? else { return Err(no_access) };
                // SAFETY: the page is writable for 4096 bytes and `at` is 8-aligned.
                unsafe { page.add((at & !PAGE_MASK) as usize).cast::<u64>().write(wanted) };
                self.code_written(at, 8);
            }
            let page_number = ppn | va >> 12 & below;
            return Ok(TlbEntry {
                page: va & PAGE_MASK,
                pte: wanted & 0x3ff | global | page_number << pte::PPN_SHIFT,
                asid: mmu::asid(hart.satp),
                level: level as u8,
            });
        }
        Err(fault)
    }

    /// Makes the next reads of the page of `va` fast.
    fn fill_read(&mut self, hart: &Hart, va: u64, pa: u64, host: *mut u8) {
        let index = (va >> 12) as usize % DATA_ENTRIES;
        let page = pa & PAGE_MASK;
        let addend = (host as u64).wrapping_sub(va & PAGE_MASK);
        // SAFETY: `hart.data` points to DATA_ENTRIES entries of the current context while a
        // platform is bound.
        let entry = unsafe { &mut *hart.data.add(index) };
        *entry = DataEntry { read: va & PAGE_MASK, write: NO_TAG, addend, page };
    }

    /// Makes the next reads and writes of the page of `va` fast, unless the page holds code.
    fn fill_write(&mut self, hart: &Hart, va: u64, pa: u64, host: *mut u8) {
        let index = (va >> 12) as usize % DATA_ENTRIES;
        let page = pa & PAGE_MASK;
        let addend = (host as u64).wrapping_sub(va & PAGE_MASK);
        if self.cache().is_code_page(page) {
            return;
        }
        // SAFETY: as in `fill_read`.
        let entry = unsafe { &mut *hart.data.add(index) };
        // What may be written may be read: W without R is reserved.
        *entry = DataEntry { read: va & PAGE_MASK, write: va & PAGE_MASK, addend, page };
    }

    /// Loads `size` (1, 2, 4, 8) bytes, zero-extended. `index` is the number of instructions of
    /// the block before this one.
    pub fn load(&mut self, hart: &Hart, va: u64, size: u64, index: u64) -> Result<u64, Trouble> {
        if va & !PAGE_MASK > PAGE - size {
            return self.load_across(hart, va, size);
        }
        let pa = self.translate(hart, va, Access::Load)?;
        if self.is_memory(pa) {
            let Some(host) = self.page_for_read(pa)? else {
                return Err(Trouble::Trap { cause: Access::Load.access_fault(), value: va });
            };
            self.fill_read(hart, va, pa, host);
            let mut bytes = [0u8; WIDEST];
            // SAFETY: the page is readable for 4096 bytes and the access does not cross it;
            // `size` is at most 8.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    host.add((pa & !PAGE_MASK) as usize),
                    bytes.as_mut_ptr(),
                    size as usize,
                );
            }
            return Ok(u64::from_le_bytes(bytes));
        }
        self.device_load(hart, va, pa, size, index)
    }

    fn load_across(&mut self, hart: &Hart, va: u64, size: u64) -> Result<u64, Trouble> {
        let second = (va | !PAGE_MASK).wrapping_add(1);
        let low = self.translate(hart, va, Access::Load)?;
        let high = self.translate(hart, second, Access::Load)?;
        let head = second.wrapping_sub(va);
        let mut value = 0u64;
        for byte in 0..size {
            let (pa, at) = if byte < head {
                (low + byte, va.wrapping_add(byte))
            } else {
                (high + (byte - head), second.wrapping_add(byte - head))
            };
            let refused = Trouble::Trap { cause: Access::Load.access_fault(), value: at };
            if !self.is_memory(pa) {
                return Err(refused);
            }
            let Some(host) = self.page_for_read(pa)? else { return Err(refused) };
            // SAFETY: one byte within a readable page.
            let one = unsafe { host.add((pa & !PAGE_MASK) as usize).read() };
            value |= u64::from(one) << (8 * byte);
        }
        Ok(value)
    }

    fn device_load(
        &mut self,
        hart: &Hart,
        va: u64,
        pa: u64,
        size: u64,
        index: u64,
    ) -> Result<u64, Trouble> {
        let refused = Trouble::Trap { cause: Access::Load.access_fault(), value: va };
        if !pa.is_multiple_of(size) {
            return Err(refused);
        }
        self.must_leave = true;
        if (plic::BASE..plic::BASE + plic::SIZE).contains(&pa) {
            if size != 4 {
                return Err(refused);
            }
            self.plic.lines = self.platform().interrupt_lines();
            return Ok(u64::from(self.plic.read(pa - plic::BASE)));
        }
        self.stamp(hart, index);
        let mut bytes = [0u8; WIDEST];
        let done = self.platform().mmio_read(pa, &mut bytes[..size as usize]);
        self.refresh();
        done.map(|()| u64::from_le_bytes(bytes)).map_err(|_| refused)
    }

    /// Tells the platform the time at which the instruction in progress completes.
    pub fn stamp(&mut self, hart: &Hart, index: u64) {
        let now = hart.now().saturating_add(index + 1);
        self.platform().now = now;
    }

    /// Stores the low `size` (1, 2, 4, 8) bytes of `value`.
    pub fn store(
        &mut self,
        hart: &mut Hart,
        va: u64,
        size: u64,
        value: u64,
        index: u64,
    ) -> Result<(), Trouble> {
        if va & !PAGE_MASK > PAGE - size {
            return self.store_across(hart, va, size, value);
        }
        let pa = self.translate(hart, va, Access::Store)?;
        if self.is_memory(pa) {
            let refused = Trouble::Trap { cause: Access::Store.access_fault(), value: va };
            let Some(host) = self.page_for_write(pa)? else { return Err(refused) };
            self.fill_write(hart, va, pa, host);
            // SAFETY: the page is writable for 4096 bytes and the access does not cross it;
            // `size` is at most 8.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    value.to_le_bytes().as_ptr(),
                    host.add((pa & !PAGE_MASK) as usize),
                    size as usize,
                );
            }
            self.code_written(pa, size);
            return Ok(());
        }
        self.device_store(hart, va, pa, size, value, index)
    }

    fn store_across(&mut self, hart: &Hart, va: u64, size: u64, value: u64) -> Result<(), Trouble> {
        let second = (va | !PAGE_MASK).wrapping_add(1);
        let low = self.translate(hart, va, Access::Store)?;
        let high = self.translate(hart, second, Access::Store)?;
        let head = second.wrapping_sub(va);
        for (pa, at) in [(low, va), (high, second)] {
            if !self.is_memory(pa) {
                return Err(Trouble::Trap { cause: Access::Store.access_fault(), value: at });
            }
        }
        for (byte, one) in value.to_le_bytes().into_iter().enumerate().take(size as usize) {
            let byte = byte as u64;
            let pa = if byte < head { low + byte } else { high + (byte - head) };
            let Some(host) = self.page_for_write(pa)? else {
                return Err(Trouble::Trap { cause: Access::Store.access_fault(), value: va });
            };
            // SAFETY: one byte within a writable page.
            unsafe { host.add((pa & !PAGE_MASK) as usize).write(one) };
            self.code_written(pa, 1);
        }
        Ok(())
    }

    fn device_store(
        &mut self,
        hart: &mut Hart,
        va: u64,
        pa: u64,
        size: u64,
        value: u64,
        index: u64,
    ) -> Result<(), Trouble> {
        let refused = Trouble::Trap { cause: Access::Store.access_fault(), value: va };
        if !pa.is_multiple_of(size) {
            return Err(refused);
        }
        self.must_leave = true;
        // A device may write memory, the reserved bytes included.
        hart.reservation = NO_TAG;
        if (plic::BASE..plic::BASE + plic::SIZE).contains(&pa) {
            if size != 4 {
                return Err(refused);
            }
            self.plic.lines = self.platform().interrupt_lines();
            self.plic.write(pa - plic::BASE, value as u32);
            return Ok(());
        }
        self.stamp(hart, index);
        let bytes = value.to_le_bytes();
        let done = self.platform().mmio_write(pa, &bytes[..size as usize]);
        self.refresh();
        done.map_err(|_| refused)
    }

    /// The physical and host addresses of `size` aligned bytes of memory that an atomic
    /// operation may read and, for `Access::Store`, write.
    pub fn atomic(
        &mut self,
        hart: &Hart,
        va: u64,
        size: u64,
        access: Access,
    ) -> Result<(u64, *mut u8), Trouble> {
        if !va.is_multiple_of(size) {
            let cause = if access == Access::Load { 4 } else { 6 };
            return Err(Trouble::Trap { cause, value: va });
        }
        let pa = self.translate(hart, va, access)?;
        let refused = Trouble::Trap { cause: access.access_fault(), value: va };
        if !self.is_memory(pa) {
            return Err(refused);
        }
        let page =
            if access == Access::Load { self.page_for_read(pa)? } else { self.page_for_write(pa)? };
        let Some(host) = page else { return Err(refused) };
        if access == Access::Load {
            self.fill_read(hart, va, pa, host);
        } else {
            self.fill_write(hart, va, pa, host);
        }
        // The offset stays within the page.
        Ok((pa, host.wrapping_add((pa & !PAGE_MASK) as usize)))
    }

    /// Writes memory for the firmware.
    pub fn write_physical(&mut self, pa: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        self.platform().memory.write(pa, bytes)?;
        self.refresh();
        let mut at = pa;
        let end = pa + bytes.len() as u64;
        while at < end {
            let next = ((at & PAGE_MASK) + PAGE).min(end);
            self.code_written(at, next - at);
            at = next;
        }
        Ok(())
    }

    /// Tells the block cache about a write that an atomic operation did itself.
    pub fn atomic_written(&mut self, pa: u64, size: u64) {
        self.code_written(pa, size);
    }

    /// The physical address that an instruction fetch at `va` goes to; makes the next ones fast.
    pub fn fetch_address(&mut self, hart: &Hart, va: u64) -> Result<u64, Trouble> {
        let pa = self.translate(hart, va, Access::Fetch)?;
        if !self.is_memory(pa) {
            return Err(Trouble::Trap { cause: Access::Fetch.access_fault(), value: va });
        }
        let index = (va >> 12) as usize % FETCH_ENTRIES;
        // SAFETY: `hart.fetch` points to FETCH_ENTRIES entries of the current mode while a
        // platform is bound.
        unsafe {
            *hart.fetch.add(index) = FetchEntry { tag: va & PAGE_MASK, delta: pa.wrapping_sub(va) };
        }
        Ok(pa)
    }

    /// Copies the rest of the page from `pa` on, at most as long as `into`; returns how much.
    pub fn fetch_bytes(&mut self, pa: u64, into: &mut [u8]) -> Result<usize, Trouble> {
        let Some(host) = self.page_for_read(pa)? else { return Ok(0) };
        let offset = (pa & !PAGE_MASK) as usize;
        let len = into.len().min(PAGE as usize - offset);
        // SAFETY: `offset + len` is within the readable page; `into` is a distinct allocation.
        unsafe { std::ptr::copy_nonoverlapping(host.add(offset), into.as_mut_ptr(), len) };
        Ok(len)
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

impl Default for Core {
    fn default() -> Self {
        Self::new()
    }
}
