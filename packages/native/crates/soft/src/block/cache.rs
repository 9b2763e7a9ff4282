//! The store of decoded blocks: by physical address, by page, and when to forget them.

use super::address_map::AddressMap;
use super::shared::{MOST_BLOCKS, SharedBlocks};
use super::slabs::Slabs;
use super::{Block, Draft, Entries, Place, Slot, Translations, nowhere};
use crate::page::{NO_TAG, PAGE};
use std::sync::Arc;
use stillpoint_vmm::memory::GuestMemory;

/// Bytes of decoded code at which the cache is emptied.
pub const CAPACITY_BYTES: usize = 48 << 20;

/// Entries of the direct-mapped block cache. A power of two.
pub const JUMP_ENTRIES: usize = 8192;

/// Bytes of the pieces in which a code page remembers where code is.
const CHUNK: u64 = 64;

/// The code of one page.
#[derive(Default)]
struct CodePage {
    /// One bit for each [`CHUNK`] that holds bytes of a live block.
    chunks: u64,
    blocks: Vec<*mut Block>,
    /// Writes that found the page protected and hit no code.
    near_misses: u32,
    /// The page's shared blocks may be entered. Any write to the page ends that.
    is_adopted: bool,
    /// Virtual pages at which translations of the page that all machines share may be entered. Any
    /// write to the page ends that, too.
    views: Vec<u64>,
}

impl CodePage {
    /// Whether any block of the page is shared with other machines.
    fn is_shared(&self) -> bool {
        self.is_adopted || !self.views.is_empty()
    }
}

/// All decoded blocks, and the translations of the hot ones.
pub struct Cache<T: Translations> {
    slabs: Slabs,
    by_pa: AddressMap<*mut Block>,
    pages: AddressMap<CodePage>,
    jumps: Box<[*const Block]>,
    /// A live block was killed since this was last cleared.
    pub killed: bool,
    /// Grows whenever a block dies or the cache is emptied.
    pub epoch: u64,
    /// Times the cache was emptied because it was full.
    pub flushes: u64,
    /// Number of times that a block is interpreted before it is translated; `None`: always interpreted.
    pub heat: Option<u32>,
    /// Translated code, once there is some.
    pub translator: Option<Box<T>>,
    entries: Entries,
    /// Blocks that other machines decoded.
    shared: Option<Arc<SharedBlocks>>,
    /// Number of times that pages were parted from the translations that all machines share.
    parted: AddressMap<u8>,
    /// Blocks that were decoded since the blocks were last left to other machines.
    decoded: usize,
    /// Those of them that the family was told of.
    missed: usize,
}

/// New blocks that are worth leaving to other machines.
pub const WORTH_LEAVING: usize = 256;

/// Maximum number of times that a page is parted from shared translations before it gets translations of
/// this machine's own.
const MOST_PARTINGS: u8 = 3;

/// Virtual pages at which one page may have shared translations.
const MOST_VIEWS: usize = 16;

/// Writes next to code in a page after which the page's blocks are dropped, so that writing to
/// it is fast again.
const NEAR_MISS_LIMIT: u32 = 64;

impl<T: Translations> Cache<T> {
    /// An empty cache, of blocks that are translated after having been interpreted `heat` times.
    pub fn new(heat: Option<u32>, entries: Entries) -> Self {
        Self {
            slabs: Slabs::default(),
            by_pa: AddressMap::default(),
            pages: AddressMap::default(),
            jumps: vec![nowhere(); JUMP_ENTRIES].into_boxed_slice(),
            killed: false,
            epoch: 0,
            flushes: 0,
            heat,
            translator: None,
            entries,
            shared: None,
            parted: AddressMap::default(),
            decoded: 0,
            missed: 0,
        }
    }

    /// Gives the cache blocks that other machines decoded. Before anything is executed.
    pub fn share(&mut self, shared: Arc<SharedBlocks>) {
        self.shared = Some(shared);
    }

    /// The jump cache, [`JUMP_ENTRIES`] long.
    pub fn jumps(&mut self) -> *mut *const Block {
        self.jumps.as_mut_ptr()
    }

    /// Whether the next insertion must wait for [`Self::clear`].
    pub fn is_full(&self) -> bool {
        self.slabs.bytes() >= CAPACITY_BYTES
            || self.translator.as_ref().is_some_and(|translator| translator.is_full())
    }

    /// Frees every block. No pointer to a block or slot may be used afterwards.
    pub fn clear(&mut self) {
        self.slabs.clear();
        if let Some(translator) = &mut self.translator {
            translator.clear();
        }
        self.by_pa.clear();
        self.pages.clear();
        self.parted.clear();
        self.jumps.fill(nowhere());
        self.killed = true;
        self.epoch += 1;
    }

    /// Pages that hold code.
    pub fn code_pages(&self) -> impl Iterator<Item = u64> + '_ {
        self.pages.keys().copied()
    }

    /// Whether `page` holds code of a live block.
    #[inline]
    pub fn is_code_page(&self, page: u64) -> bool {
        self.pages.contains_key(&page)
    }

    /// The live block at `pa`.
    #[inline]
    pub fn find(&self, pa: u64) -> Option<*mut Block> {
        self.by_pa.get(&pa).copied()
    }

    /// The shared block at `pa`, and whether its page is adopted.
    pub fn find_shared(&self, pa: u64) -> Option<(*const Block, bool)> {
        let block = self.shared.as_ref()?.find(pa)?;
        Some((block, self.pages.get(&(pa & !(PAGE - 1))).is_some_and(|page| page.is_adopted)))
    }

    /// Lets the shared blocks of `page` be entered, if they were decoded from `host`. The caller ensures
    /// that writes to the page are reported to [`Self::written`].
    pub fn adopt(&mut self, page: u64, host: *const u8) -> bool {
        let theirs = self.shared.as_ref().is_some_and(|shared| shared.are_of(page, host));
        if theirs {
            self.pages.entry(page).or_default().is_adopted = true;
        }
        theirs
    }

    /// Whether translations of the physical page `page` at the virtual page `va` may be shared with other
    /// machines.
    pub fn may_share(&self, page: u64, va: u64) -> bool {
        self.parted.get(&page).is_none_or(|times| *times < MOST_PARTINGS)
            && self
                .pages
                .get(&page)
                .is_none_or(|known| known.views.len() < MOST_VIEWS || known.views.contains(&va))
    }

    /// Has the next write to `page` end the sharing of its translations at the virtual page `va`. The
    /// caller sees to it that writes to the page are reported to [`Self::written`].
    pub fn note_view(&mut self, page: u64, va: u64) {
        let views = &mut self.pages.entry(page).or_default().views;
        if !views.contains(&va) {
            views.push(va);
        }
    }

    /// Leaves the blocks to the other machines that have the pages they were decoded from, if there are
    /// such machines and `worth_leaving` new blocks, and if all of them together have decoded a quarter of
    /// the number that is shared already: what each lacks a little of is worth one copy, too; see
    /// [`GuestMemory::keep_page`] for `to_be_forked`.
    pub fn leave(
        &mut self,
        memory: &mut dyn GuestMemory,
        to_be_forked: bool,
        worth_leaving: usize,
    ) {
        if self.decoded < worth_leaving || !to_be_forked && !memory.has_family() {
            return;
        }
        let before: Option<Arc<SharedBlocks>> = memory.derived().get();
        let known = before.as_ref().map_or(0, |before| before.count());
        let fresh = std::mem::replace(&mut self.missed, self.decoded).abs_diff(self.decoded);
        let missed = before.as_ref().map_or(self.decoded, |before| before.miss(fresh));
        if missed < (known / 4).min(worth_leaving.saturating_mul(16)) {
            return;
        }
        self.decoded = 0;
        self.missed = 0;
        // Of too many those that were arrived at lately.
        let recent = self.by_pa.len() > MOST_BLOCKS;
        let all = self.by_pa.iter().filter(|_| !recent).map(|(_, block)| block.cast_const());
        let known = |block: &*const Block| {
            // SAFETY: `remember` alone puts pointers into the jump cache, which `clear` empties: blocks of
            // this cache, shared ones, which it holds, or `nowhere()`.
            let pa = unsafe { (**block).pa };
            self.by_pa.get(&pa).is_some_and(|live| std::ptr::eq(*live, *block))
        };
        let jumps = self.jumps.iter().copied().filter(|block| recent && known(block));
        // SAFETY: `all` are of `by_pa`, which `kill` takes blocks out of and `clear` empties before their
        // memory goes; `jumps` are those of them that `known` finds there.
        let shared = unsafe {
            let blocks = all.chain(jumps);
            let heat = self.heat.unwrap_or(0);
            SharedBlocks::new(blocks, self.entries, heat, memory, to_be_forked, before.as_deref())
        };
        memory.derived().set(Arc::new(shared));
    }

    /// Shared blocks, and blocks of this cache's own.
    pub fn counts(&self) -> (usize, usize) {
        (self.shared.as_ref().map_or(0, |shared| shared.count()), self.by_pa.len())
    }

    /// Makes the jump cache know `block`.
    ///
    /// # Safety
    /// `block` is of this cache, which was not emptied since, or one of the shared blocks that it holds.
    #[inline]
    pub unsafe fn remember(&mut self, block: *const Block) {
        // SAFETY: the caller's word: `slabs` has its memory until `clear`, `shared` for good.
        let pa = unsafe { (*block).pa };
        self.jumps[(pa >> 1) as usize & (JUMP_ENTRIES - 1)] = block;
    }

    /// Puts a block into memory. `bytes` of guest code at `pa` make `instructions`; a block that
    /// is one instruction across a page boundary says in which page it ends.
    ///
    /// `None` if the host has no memory or the block is larger than a slab.
    pub fn insert(
        &mut self,
        pa: u64,
        bytes: u16,
        instructions: u16,
        second_page: u64,
        drafts: &[Draft],
    ) -> Option<*mut Block> {
        let taken = self.slabs.take(Block::size(drafts.len()))?;
        let translatable = self.heat.is_some() && second_page == NO_TAG;
        let heat = self.heat.unwrap_or(0);
        // SAFETY: `Slabs::take` gave as many bytes as `Block::size` says for these slots, at a multiple of
        // 16, which header and slots ask for (places are bytes), and gives nothing twice.
        let block = unsafe {
            let block: *mut Block = taken.cast();
            block.write(Block {
                pa,
                len: i64::from(instructions),
                entry: if translatable { self.entries.counting } else { Block::first(block) },
                slots: drafts.len() as u32,
                instructions,
                bytes,
                raw: 0,
                heat,
                second_page,
            });
            let slots: *mut Slot = block.add(1).cast();
            let places: *mut Place = slots.add(drafts.len()).cast();
            for (index, draft) in drafts.iter().enumerate() {
                let mut slot = draft.slot;
                if draft.is_link {
                    slot.head.target = nowhere();
                }
                slots.add(index).write(slot);
                places.add(index).write(draft.place);
            }
            block
        };
        self.decoded += 1;
        self.know(pa, bytes, second_page, block);
        Some(block)
    }

    /// Counts that a shared block is entered; whether its family has entered it as often as makes a block
    /// hot.
    ///
    /// # Safety
    /// `shared` is a block of those that this cache was given.
    pub unsafe fn is_hot(&mut self, shared: *const Block) -> bool {
        let (Some(heat), Some(blocks)) = (self.heat, &self.shared) else { return false };
        // SAFETY: by the caller's contract, `self.shared` holds it, and gives out constant pointers only.
        blocks.enter(unsafe { (*shared).heat }, heat)
    }

    /// The machine's own copy of a shared block.
    ///
    /// # Safety
    /// `shared` is a block of those that this cache was given.
    pub unsafe fn own(&mut self, shared: *const Block) -> Option<*const Block> {
        // SAFETY: by the caller's contract, `self.shared` holds it, and gives out constant pointers only.
        let block = unsafe { &*shared };
        let own = match self.find(block.pa) {
            Some(own) => own,
            None if self.is_full() => return None,
            None => {
                let size = Block::size(block.slots as usize);
                let own: *mut Block = self.slabs.take(size)?.cast();
                // SAFETY: a block has `Block::size` bytes (`insert`, `SharedBlocks`), slots behind the
                // header; `Slabs::take` gave as many, and gives nothing twice.
                unsafe {
                    std::ptr::copy_nonoverlapping(shared.cast::<u8>(), own.cast::<u8>(), size);
                    (*own).entry = self.entries.counting;
                    (*own).heat = 0;
                    let first: *mut Slot = Block::first(own).cast_mut();
                    for slot in 0..block.slots as usize {
                        let slot = first.add(slot);
                        if (*slot).is_link() {
                            *slot = Slot::link((*slot).head.target);
                        }
                    }
                }
                self.know(block.pa, block.bytes, NO_TAG, own);
                own
            }
        };
        // SAFETY: `find` gives blocks of `by_pa`, which `clear` empties before their memory goes; blocks
        // made here have been taken from `slabs` since.
        unsafe { self.remember(own) };
        Some(own)
    }

    /// Enters a block into the lists.
    fn know(&mut self, pa: u64, bytes: u16, second_page: u64, block: *mut Block) {
        self.by_pa.insert(pa, block);
        let first_page = pa & !(PAGE - 1);
        self.note(first_page, pa, u64::from(bytes), block);
        if second_page != NO_TAG {
            self.note(second_page, second_page, 2, block);
        }
    }

    fn note(&mut self, page: u64, start: u64, bytes: u64, block: *mut Block) {
        let entry = self.pages.entry(page).or_default();
        entry.chunks |= chunk_mask(start - page, bytes.min(page + PAGE - start));
        entry.blocks.push(block);
    }

    /// Kills every block that has a byte in `[pa, pa + len)`, within one page. Returns whether the
    /// page holds no code any more.
    pub fn written(&mut self, pa: u64, len: u64) -> bool {
        let page = pa & !(PAGE - 1);
        let Some(entry) = self.pages.get_mut(&page) else { return true };
        if entry.is_shared() {
            return self.kill_page(page);
        }
        if entry.chunks & chunk_mask(pa - page, len) == 0 {
            entry.near_misses += 1;
            if entry.near_misses < NEAR_MISS_LIMIT {
                return false;
            }
            return self.kill_page(page);
        }
        let mut hit = Vec::new();
        for block in &entry.blocks {
            // SAFETY: `note` alone adds to this list, blocks of `slabs`; `clear` empties both.
            let header = unsafe { &**block };
            let (start, end) = if header.pa & !(PAGE - 1) == page {
                (header.pa, header.pa + u64::from(header.bytes))
            } else {
                (page, page + 2)
            };
            if start < pa + len && pa < end {
                hit.push(*block);
            }
        }
        for block in hit {
            // SAFETY: of `pages`, to which `note` alone adds, blocks of `slabs`; `clear` empties both.
            unsafe { self.kill(block) };
        }
        !self.pages.contains_key(&page)
    }

    /// Kills every block with code in `page`, and parts it from those that are shared. Returns
    /// true: the page holds no code any more.
    pub fn kill_page(&mut self, page: u64) -> bool {
        let Some(known) = self.pages.get_mut(&page) else { return true };
        if std::mem::take(&mut known.is_adopted) {
            // Blocks of a page are side by side in the jump cache.
            let first = (page >> 1) as usize & (JUMP_ENTRIES - 1);
            self.jumps[first..first + (PAGE >> 1) as usize].fill(nowhere());
            self.killed = true;
            self.epoch += 1;
        }
        let views = std::mem::take(&mut known.views);
        if !views.is_empty() {
            let times = self.parted.entry(page).or_default();
            *times = times.saturating_add(1);
            if let Some(translator) = &mut self.translator {
                translator.part(page, &views);
            }
            self.killed = true;
            self.epoch += 1;
        }
        let blocks = self.pages.get(&page).map(|p| p.blocks.clone()).unwrap_or_default();
        for block in blocks {
            // SAFETY: of `pages`, to which `note` alone adds, blocks of `slabs`; `clear` empties both.
            unsafe { self.kill(block) };
        }
        self.pages.remove(&page);
        true
    }

    /// Makes `block` impossible to enter and forgets it.
    ///
    /// # Safety
    /// `block` is of this cache, which was not emptied since.
    pub unsafe fn kill(&mut self, block: *mut Block) {
        // SAFETY: by the caller's contract, `slabs` has its memory until `clear`. No reference to a header
        // is alive: handlers keep pointers (`Hart::block`), and read the fields that they need at once.
        let (pa, second_page) = unsafe {
            (*block).len = i64::MAX;
            ((*block).pa, (*block).second_page)
        };
        self.killed = true;
        self.epoch += 1;
        if let Some(translator) = &mut self.translator {
            translator.kill(pa);
        }
        if self.by_pa.get(&pa) == Some(&block) {
            self.by_pa.remove(&pa);
        }
        for page in [pa & !(PAGE - 1), second_page] {
            let Some(entry) = self.pages.get_mut(&page) else { continue };
            entry.blocks.retain(|other| *other != block);
            if entry.blocks.is_empty() && !entry.is_shared() {
                self.pages.remove(&page);
                continue;
            }
            let mut chunks = 0;
            for other in &entry.blocks {
                // SAFETY: of `pages`, as in `kill_page`.
                let header = unsafe { &**other };
                if header.pa & !(PAGE - 1) == page {
                    let offset = header.pa - page;
                    chunks |= chunk_mask(offset, u64::from(header.bytes).min(PAGE - offset));
                } else {
                    chunks |= chunk_mask(0, 2);
                }
            }
            entry.chunks = chunks;
        }
    }
}

impl<T: Translations> Drop for Cache<T> {
    fn drop(&mut self) {
        self.clear();
    }
}

fn chunk_mask(offset: u64, bytes: u64) -> u64 {
    let first = offset / CHUNK;
    let last = (offset + bytes.max(1) - 1).min(PAGE - 1) / CHUNK;
    (u64::MAX >> (63 - last)) & (u64::MAX << first)
}
