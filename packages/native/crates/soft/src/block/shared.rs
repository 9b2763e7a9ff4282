//! Decoded blocks that the machines of one family share: made once, then never changed.
//!
//! A machine leaves copies of its blocks to its family (see [`stillpoint_vmm::memory::Derived`]), each page
//! of code with a reference to the guest's page that it was decoded from. Another machine *adopts* a page
//! when it first executes there, if its own page is that very one: not an equal one, but the same host
//! page, which cannot have been written since. From then on the page is watched for writes like one with
//! blocks of the machine's own, and the first write parts the machine from all shared blocks of that page.
//! So shared blocks never have to be killed, and need no lock and no count while they execute.
//!
//! The parts of a block that change during execution are not in shared ones: links that lead to shared
//! blocks of the same page are resolved for good when the copy is made, others stay unresolved; all
//! machines together count the entries of a block, outside it. A block that becomes hot is translated for
//! all machines, or gets a copy in the machine's own cache, which is translated.

use super::slabs::Slabs;
use super::{AddressMap, Block, Entries, Place, Slot, nowhere};
use crate::page::{NO_TAG, PAGE_MASK};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use stillpoint_vmm::memory::{GuestMemory, KeptPage};

/// Maximum number of blocks that are shared in one family.
pub const MOST_BLOCKS: usize = 16 << 10;

/// Blocks of a family.
#[derive(Default)]
pub struct SharedBlocks {
    slabs: Slabs,
    by_pa: AddressMap<*const Block>,
    pages: AddressMap<KeptPage>,
    /// Number of entries of each block by machines of the family, by its number; counts that are lost
    /// between threads do not matter.
    entered: Vec<AtomicU8>,
    /// Blocks that machines of the family decoded because they are not here.
    missed: AtomicUsize,
}

// SAFETY: the blocks lie in `slabs`, which is not written once `new` has returned: `find` gives out
// constant pointers only. Their links lead to blocks of the same slabs or to `nowhere()` (`resolve`), their
// entry to a static. `entered` is atomic.
unsafe impl Send for SharedBlocks {}
// SAFETY: as above.
unsafe impl Sync for SharedBlocks {}

impl SharedBlocks {
    /// Copies of `blocks`, decoded from `memory`, and of the blocks shared `before` that are of other code.
    /// Leaves out blocks that no other machine can adopt; see [`GuestMemory::keep_page`] for
    /// `to_be_forked`.
    ///
    /// # Safety
    /// `blocks` are live blocks of a cache.
    pub unsafe fn new(
        blocks: impl Iterator<Item = *const Block>,
        entries: Entries,
        heat: u32,
        memory: &mut dyn GuestMemory,
        to_be_forked: bool,
        before: Option<&Self>,
    ) -> Self {
        let mut this = Self::default();
        let mut kept: AddressMap<bool> = AddressMap::default();
        for block in blocks {
            // SAFETY: the caller's word: live.
            let (pa, second_page) = unsafe { ((*block).pa, (*block).second_page) };
            let page = pa & PAGE_MASK;
            let is_kept = *kept.entry(page).or_insert_with(|| {
                let content = memory.keep_page(page, to_be_forked);
                content.is_some_and(|content| this.pages.insert(page, content).is_none())
            });
            if is_kept && second_page == NO_TAG {
                // SAFETY: the caller's word: live.
                unsafe { this.copy(block, entries.shared, heat.saturating_sub((*block).heat)) };
            }
        }
        // If not all have room, those that are hot go without: they are translated, and seldom entered here.
        let heat = heat.min(u32::from(u8::MAX));
        for is_hot in [false, true] {
            let Some(before) = before else { break };
            for (pa, block) in &before.by_pa {
                // SAFETY: the block is of `before.by_pa`, so in slabs that live while `before` is borrowed.
                let entered = before.entered(unsafe { (**block).heat });
                let page = pa & PAGE_MASK;
                let Some(content) = before.pages.get(&page).filter(|_| (entered >= heat) == is_hot)
                else {
                    continue;
                };
                let mine = this.pages.entry(page).or_insert_with(|| content.clone());
                if mine.address() == content.address() && !this.by_pa.contains_key(pa) {
                    // SAFETY: as above.
                    unsafe { this.copy(*block, entries.shared, entered) };
                }
            }
        }
        for block in this.by_pa.values() {
            // SAFETY: `copy` put the block into slabs of this, which no other code knows yet. Its links
            // lead where those of its original did, which is live, by the caller's contract, or of
            // `before`.
            unsafe { this.resolve(block.cast_mut()) };
        }
        this
    }

    /// Copies a block, to be entered through `entry`, and `entered` so often before; its links lead where
    /// they did.
    ///
    /// # Safety
    /// `block` is a block with its slots and places behind it.
    unsafe fn copy(&mut self, block: *const Block, entry: *const Slot, entered: u32) {
        if self.by_pa.len() >= MOST_BLOCKS {
            return;
        }
        // SAFETY: the caller's word: the block has `Block::size` bytes; `Slabs::take` gives as many, and
        // nothing twice.
        unsafe {
            let size = Block::size((*block).slots as usize);
            let Some(taken) = self.slabs.take(size) else { return };
            std::ptr::copy_nonoverlapping(block.cast::<u8>(), taken, size);
            let copy: *mut Block = taken.cast();
            (*copy).len = i64::from((*copy).instructions);
            (*copy).entry = entry;
            (*copy).heat = self.entered.len() as u32;
            self.entered.push(AtomicU8::new(entered.min(u32::from(u8::MAX)) as u8));
            self.by_pa.insert((*copy).pa, copy);
        }
    }

    /// Makes the links of `block` lead to blocks of this, or nowhere.
    ///
    /// # Safety
    /// `block` is of this, and its links lead to headers that are still there.
    unsafe fn resolve(&self, block: *mut Block) {
        // SAFETY: the caller's word; `slots` slots follow the header of each block, and of a link
        // (`Slot::is_link`) the head is a target.
        unsafe {
            let first: *mut Slot = Block::first(block).cast_mut();
            for slot in 0..(*block).slots as usize {
                let slot = first.add(slot);
                if !(*slot).is_link() {
                    continue;
                }
                let target = (*(*slot).head.target).pa;
                let found = self.by_pa.get(&target).copied();
                let found = found.filter(|_| (target ^ (*block).pa) & PAGE_MASK == 0);
                *slot = Slot::final_link(found.unwrap_or(nowhere()));
            }
        }
    }

    /// Number of entries of the block with this number.
    fn entered(&self, number: u32) -> u32 {
        let entered = self.entered.get(number as usize);
        entered.map_or(0, |entered| u32::from(entered.load(Ordering::Relaxed)))
    }

    /// Counts an entry of the block with this number; whether it was entered `heat` times before.
    pub fn enter(&self, number: u32, heat: u32) -> bool {
        let Some(entered) = self.entered.get(number as usize) else { return false };
        let times = entered.load(Ordering::Relaxed);
        if u32::from(times) < heat.min(u32::from(u8::MAX)) {
            entered.store(times + 1, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Counts so many blocks that a machine had to decode; returns the number of all so far.
    pub fn miss(&self, blocks: usize) -> usize {
        self.missed.fetch_add(blocks, Ordering::Relaxed).saturating_add(blocks)
    }

    /// Number of blocks.
    pub fn count(&self) -> usize {
        self.by_pa.len()
    }

    /// The block at `pa`.
    pub fn find(&self, pa: u64) -> Option<*const Block> {
        self.by_pa.get(&pa).copied()
    }

    /// Whether the blocks of guest page `page` were decoded from `host`.
    pub fn are_of(&self, page: u64, host: *const u8) -> bool {
        self.pages.get(&page).is_some_and(|kept| std::ptr::eq(kept.address().as_ptr(), host))
    }
}

impl Block {
    /// Bytes of a block of so many slots, with them and their places.
    pub fn size(slots: usize) -> usize {
        size_of::<Self>() + slots * (size_of::<Slot>() + size_of::<Place>())
    }
}
