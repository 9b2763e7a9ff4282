//! Address translation: the walk of the page tables, and fetches.

use super::{Core, Trouble};
use crate::hart::{Hart, USER, status};
use crate::mmu::{self, Access, Mode, TlbEntry, pte};
use crate::page::{PAGE, PAGE_MASK};

impl Core {
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
        self.profile.walks += 1;
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

    /// The physical address that an instruction fetch at `va` goes to; makes the next ones fast.
    pub fn fetch_address(&mut self, hart: &Hart, va: u64) -> Result<u64, Trouble> {
        let pa = self.translate(hart, va, Access::Fetch)?;
        if !self.is_memory(pa) {
            return Err(Trouble::Trap { cause: Access::Fetch.access_fault(), value: va });
        }
        self.fast().fill_fetch(va, pa);
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
}
