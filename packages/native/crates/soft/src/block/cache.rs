//! The store of decoded blocks: by physical address, by page, and when to forget them.

use super::{Block, Draft, Place, Slot, nowhere};
use crate::hart::{JUMP_ENTRIES, NO_TAG};
use crate::jit::{self, Translator};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Bytes of decoded code at which the cache is emptied.
pub const CAPACITY_BYTES: usize = 48 << 20;

/// Bytes that the cache asks the host for at once.
const SLAB_BYTES: usize = 64 << 10;

/// Bytes of a guest page.
const PAGE: u64 = 4096;
/// Bytes of the pieces in which a code page remembers where code is.
const CHUNK: u64 = 64;

/// Hash of one address: multiplication by an odd constant, high half.
#[derive(Default)]
pub struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// A map from addresses.
pub type AddressMap<T> = HashMap<u64, T, BuildHasherDefault<AddressHasher>>;

/// What a page's code looks like.
#[derive(Default)]
struct CodePage {
    /// One bit for each [`CHUNK`] that holds bytes of a live block.
    chunks: u64,
    blocks: Vec<*mut Block>,
    /// Writes that found the page protected and hit no code.
    near_misses: u32,
}
struct Slab {
    memory: *mut u8,
    used: usize,
}

const SLAB_LAYOUT: Layout = match Layout::from_size_align(SLAB_BYTES, 64) {
    Ok(layout) => layout,
    Err(_) => panic!("the slab size is a multiple of its alignment"),
};
/// All decoded blocks.
pub struct Cache {
    slabs: Vec<Slab>,
    by_pa: AddressMap<*mut Block>,
    pages: AddressMap<CodePage>,
    jumps: Box<[*const Block]>,
    /// A live block was killed since this was last cleared.
    pub killed: bool,
    /// Grows whenever a block dies or the cache is emptied.
    pub epoch: u64,
    /// Times the cache was emptied because it was full.
    pub flushes: u64,
    /// How often a block is interpreted before it is translated; `None`: for ever.
    pub heat: Option<u32>,
    /// Translated code, once there is some.
    pub translator: Option<Box<Translator>>,
}

/// Writes next to code in a page after which the page's blocks are dropped, so that writing to
/// it is fast again.
const NEAR_MISS_LIMIT: u32 = 64;

impl Cache {
    /// An empty cache, of blocks that are translated after having been interpreted `heat` times.
    pub fn new(heat: Option<u32>) -> Self {
        Self {
            slabs: Vec::new(),
            by_pa: AddressMap::default(),
            pages: AddressMap::default(),
            jumps: vec![nowhere(); JUMP_ENTRIES].into_boxed_slice(),
            killed: false,
            epoch: 0,
            flushes: 0,
            heat,
            translator: None,
        }
    }

    /// The jump cache, [`JUMP_ENTRIES`] long.
    pub fn jumps(&mut self) -> *mut *const Block {
        self.jumps.as_mut_ptr()
    }

    /// Whether the next insertion has to wait for [`Self::clear`].
    pub fn is_full(&self) -> bool {
        self.slabs.len() * SLAB_BYTES >= CAPACITY_BYTES
            || self.translator.as_ref().is_some_and(|translator| translator.is_full())
    }

    /// Frees every block. No pointer to a block or slot may be used afterwards.
    pub fn clear(&mut self) {
        for slab in self.slabs.drain(..) {
            // SAFETY: allocated with this layout in `insert`, freed once: the slab leaves the list.
            unsafe { dealloc(slab.memory, SLAB_LAYOUT) };
        }
        if let Some(translator) = &mut self.translator {
            translator.clear();
        }
        self.by_pa.clear();
        self.pages.clear();
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

    /// Makes the jump cache know `block`.
    ///
    /// # Safety
    /// `block` is of this cache, which was not emptied since.
    #[inline]
    pub unsafe fn remember(&mut self, block: *const Block) {
        // SAFETY: the caller's word: its memory lives until `clear`.
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
        let size = std::mem::size_of::<Block>()
            + drafts.len() * (std::mem::size_of::<Slot>() + std::mem::size_of::<Place>());
        let size = size.next_multiple_of(16);
        if size > SLAB_BYTES {
            return None;
        }
        if self.slabs.last().is_none_or(|slab| slab.used + size > SLAB_BYTES) {
            // SAFETY: the layout has a size that is not 0.
            let memory = unsafe { alloc_zeroed(SLAB_LAYOUT) };
            if memory.is_null() {
                return None;
            }
            self.slabs.push(Slab { memory, used: 0 });
        }
        let slab = self.slabs.last_mut()?;
        let translatable = self.heat.is_some() && second_page == NO_TAG;
        let heat = self.heat.unwrap_or(0);
        // SAFETY: `used + size` is within the slab; sizes are multiples of 16 and the slab is
        // 64-aligned, so header and slots are aligned; places are bytes. The region was never
        // handed out before, so nothing refers to it.
        let block = unsafe {
            let block: *mut Block = slab.memory.add(slab.used).cast();
            block.write(Block {
                pa,
                len: i64::from(instructions),
                entry: if translatable { jit::counting() } else { Block::first(block) },
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
        slab.used += size;
        self.by_pa.insert(pa, block);
        let first_page = pa & !(PAGE - 1);
        self.note(first_page, pa, u64::from(bytes), block);
        if second_page != NO_TAG {
            self.note(second_page, second_page, 2, block);
        }
        Some(block)
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
        if entry.chunks & chunk_mask(pa - page, len) == 0 {
            entry.near_misses += 1;
            if entry.near_misses < NEAR_MISS_LIMIT {
                return false;
            }
            return self.kill_page(page);
        }
        let mut hit = Vec::new();
        for block in &entry.blocks {
            // SAFETY: blocks of this cache live until `clear`, which empties this list too.
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
            // SAFETY: a block of this cache: its pages list it.
            unsafe { self.kill(block) };
        }
        !self.pages.contains_key(&page)
    }

    /// Kills every block with code in `page`. Returns true: the page holds no code any more.
    pub fn kill_page(&mut self, page: u64) -> bool {
        let blocks = self.pages.get(&page).map(|p| p.blocks.clone()).unwrap_or_default();
        for block in blocks {
            // SAFETY: a block of this cache: its pages list it.
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
        // SAFETY: blocks of this cache live until `clear`; handlers hold no reference to a
        // header across a call that can kill.
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
            if entry.blocks.is_empty() {
                self.pages.remove(&page);
                continue;
            }
            let mut chunks = 0;
            for other in &entry.blocks {
                // SAFETY: as above.
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

impl Drop for Cache {
    fn drop(&mut self) {
        self.clear();
    }
}

fn chunk_mask(offset: u64, bytes: u64) -> u64 {
    let first = offset / CHUNK;
    let last = (offset + bytes.max(1) - 1).min(PAGE - 1) / CHUNK;
    (u64::MAX >> (63 - last)) & (u64::MAX << first)
}
