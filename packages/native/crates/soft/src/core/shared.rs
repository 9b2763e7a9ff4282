//! Code that other machines decoded and translated, and code left to them.

use super::{Core, Trouble};
use crate::block::Block;
use crate::page::PAGE_MASK;
use stillpoint_vmm::memory::GuestMemory;

impl Core {
    /// The block at `pa` that another machine decoded from the page that this machine has there.
    pub fn shared_block(&mut self, pa: u64) -> Result<Option<*const Block>, Trouble> {
        let Some((block, is_adopted)) = self.cache().find_shared(pa) else { return Ok(None) };
        if is_adopted {
            return Ok(Some(block));
        }
        let Some(host) = self.page_for_read(pa)? else { return Ok(None) };
        let page = pa & PAGE_MASK;
        if !self.cache().adopt(page, host) {
            return Ok(None);
        }
        self.protect_code(page);
        Ok(Some(block))
    }

    /// Leaves derived data to the machines that have the same memory.
    pub fn leave_derived(&mut self, memory: &mut dyn GuestMemory, to_be_forked: bool) {
        // Pages that the host wrote since the last run differ from the decoded code.
        let pages = memory.take_touched_watched();
        self.drop_code(&pages);
        for page in pages {
            memory.watch_page(page, false);
        }
        if let Some(fast) = &mut self.fast {
            fast.cache.leave(memory, to_be_forked, self.worth_leaving);
        }
    }

    /// Whether the page of `pa` may have shared translations at the page of `va`.
    pub fn may_share(&mut self, va: u64, pa: u64) -> bool {
        self.cache().may_share(pa & PAGE_MASK, va & PAGE_MASK)
    }

    /// Has writes to the page of `pa` be seen, because translations of it are shared at the page of `va`.
    pub fn watch_view(&mut self, va: u64, pa: u64) {
        let page = pa & PAGE_MASK;
        if !self.cache().is_code_page(page) {
            self.protect_code(page);
        }
        self.cache().note_view(page, va & PAGE_MASK);
    }

    /// The content of the page of `pa`. `None` if there is no memory.
    pub fn code_page(
        &mut self,
        pa: u64,
    ) -> Result<Option<&[u8; crate::page::PAGE as usize]>, Trouble> {
        let Some(host) = self.page_for_read(pa)? else { return Ok(None) };
        // SAFETY: a readable page, which is not written while the core is borrowed: the platform's other
        // users need it too, and pages that other machines share are not written.
        Ok(Some(unsafe { &*host.cast() }))
    }
}
