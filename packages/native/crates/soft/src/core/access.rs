//! The slow paths of loads, stores and atomic operations: misses, page crossings, devices, code.

use super::{Core, Trouble};
use crate::hart::{Hart, interrupt};
use crate::mmu::Access;
use crate::page::{NO_TAG, PAGE, PAGE_MASK};
use crate::plic;
use stillpoint_vmm::memory::MemoryError;

/// Widest access.
const WIDEST: usize = 8;

impl Core {
    /// Makes the next reads of the page of `va` fast.
    fn fill_read(&mut self, va: u64, pa: u64, host: *mut u8) {
        self.fast().fill_data(va, host, pa & PAGE_MASK, false);
    }

    /// Makes the next reads and writes of the page of `va` fast, unless the page holds code.
    fn fill_write(&mut self, va: u64, pa: u64, host: *mut u8) {
        let page = pa & PAGE_MASK;
        if !self.cache().is_code_page(page) {
            self.fast().fill_data(va, host, page, true);
        }
    }

    /// Loads `size` (1, 2, 4, 8) bytes, zero-extended. `index` is the number of instructions of
    /// the block before this one.
    pub fn load(&mut self, hart: &Hart, va: u64, size: u64, index: u64) -> Result<u64, Trouble> {
        self.profile.data_misses += 1;
        if va & !PAGE_MASK > PAGE - size {
            return self.load_across(hart, va, size);
        }
        let pa = self.translate(hart, va, Access::Load)?;
        if self.is_memory(pa) {
            let Some(host) = self.page_for_read(pa)? else {
                return Err(Trouble::Trap { cause: Access::Load.access_fault(), value: va });
            };
            self.fill_read(va, pa, host);
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
        if (plic::BASE..plic::BASE + plic::SIZE).contains(&pa) {
            if size != 4 {
                return Err(refused);
            }
            self.plic.lines = self.platform().interrupt_lines();
            let value = self.plic.read(pa - plic::BASE);
            self.leave_if_due(hart);
            return Ok(u64::from(value));
        }
        self.stamp(hart, index);
        let mut bytes = [0u8; WIDEST];
        let done = self.platform().mmio_read(pa, &mut bytes[..size as usize]);
        self.refresh();
        self.leave_if_due(hart);
        done.map(|()| u64::from_le_bytes(bytes)).map_err(|_| refused)
    }

    /// Ends the block behind an access to a device if the run loop has something to do: the external interrupt is no
    /// longer as the hart has it, or the machine asks for attention. Most accesses, to a console above all, change neither.
    fn leave_if_due(&mut self, hart: &Hart) {
        self.plic.lines = self.platform().interrupt_lines();
        let is_pending = hart.sip & interrupt::EXTERNAL != 0;
        self.must_leave |= self.plic.interrupts() != is_pending || self.platform().attention;
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
        self.profile.data_misses += 1;
        if va & !PAGE_MASK > PAGE - size {
            return self.store_across(hart, va, size, value);
        }
        let pa = self.translate(hart, va, Access::Store)?;
        if self.is_memory(pa) {
            let refused = Trouble::Trap { cause: Access::Store.access_fault(), value: va };
            let Some(host) = self.page_for_write(pa)? else { return Err(refused) };
            self.fill_write(va, pa, host);
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
        // A device may write memory, the reserved bytes included.
        hart.reservation = NO_TAG;
        if (plic::BASE..plic::BASE + plic::SIZE).contains(&pa) {
            if size != 4 {
                return Err(refused);
            }
            self.plic.lines = self.platform().interrupt_lines();
            self.plic.write(pa - plic::BASE, value as u32);
            self.leave_if_due(hart);
            return Ok(());
        }
        self.stamp(hart, index);
        let bytes = value.to_le_bytes();
        let done = self.platform().mmio_write(pa, &bytes[..size as usize]);
        self.refresh();
        self.leave_if_due(hart);
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
            self.fill_read(va, pa, host);
        } else {
            self.fill_write(va, pa, host);
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
}
