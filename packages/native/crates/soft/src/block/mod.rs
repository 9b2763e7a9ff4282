//! Decoded blocks: straight runs of guest instructions as compact operations, cached by
//! guest-physical address.
//!
//! A block starts where control can arrive, continues past conditional branches that are not taken, and
//! ends at an unconditional jump, at an instruction that changes the meaning of the following ones, at the
//! end of its page, or at [`MAX_INSTRUCTIONS`]. In memory:
//!
//! ```text
//! Block header | slot 0 | slot 1 | … | place 0 | place 1 | …
//! ```
//!
//! Every instruction has one slot of 16 bytes; a branch, a direct jump and the end of a block have a
//! second one behind it, the *link*, which points to the block that control goes to. Pairs are fused by
//! giving the first slot another handler; the second stays unchanged, so that a fault in it is placed
//! exactly. `place` gives for each slot the number of instructions of the block before it and its address,
//! for faults and for reading the time; the hot path does not use it.
//!
//! A block whose bytes were written is *dead*: its length is then larger than any budget, so that
//! neither a link nor the jump cache can enter it. Its memory goes when the cache is emptied.

use crate::page::NO_TAG;

mod address_map;
mod cache;
mod shared;
mod slabs;

pub use address_map::{AddressHasher, AddressMap};
pub use cache::{CAPACITY_BYTES, Cache, JUMP_ENTRIES, WORTH_LEAVING};
pub use shared::SharedBlocks;

/// Maximum number of instructions in a block.
pub const MAX_INSTRUCTIONS: usize = 64;

/// The function that executes a slot. Its arguments are not known here: only [`crate::exec`] makes
/// operations from handlers, and calls them.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Operation(pub *const ());

/// The slots that blocks are entered through before they are translated.
#[derive(Clone, Copy)]
pub struct Entries {
    /// Of a block of the machine's own: counts, and has the block translated in the end.
    pub counting: *const Slot,
    /// Of a shared block: takes a copy of the machine's own once the block is hot.
    pub shared: *const Slot,
}

/// The translations of hot blocks. They are dropped together with the blocks.
pub trait Translations {
    /// Whether nothing more fits until [`Self::clear`].
    fn is_full(&self) -> bool;
    /// Forgets everything. Only while none of it runs.
    fn clear(&mut self);
    /// Prevents entry to translations of `pa`, whose bytes have changed.
    fn kill(&mut self, pa: u64);
    /// Forgets the shared translations of the physical page `pa`, which is at these virtual pages and
    /// about to be written.
    fn part(&mut self, pa: u64, vas: &[u64]);
}

/// One operation, or the link behind one.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Slot {
    /// The handler, or the target of a link.
    pub head: Head,
    /// Register slots: destination, first and second source, and one more byte as the
    /// operation needs it.
    pub reg: [u8; 4],
    /// Immediate.
    pub imm: i32,
}

/// The register bytes of a link. No operation has such registers.
const LINK: [u8; 4] = [0xff; 4];
/// As [`LINK`], of a link that stays as it is.
const FINAL_LINK: [u8; 4] = [0xfe; 4];

impl Slot {
    /// A link that may be aimed elsewhere.
    pub fn link(target: *const Block) -> Self {
        Self { head: Head { target }, reg: LINK, imm: 0 }
    }

    /// A link that stays as it is.
    pub fn final_link(target: *const Block) -> Self {
        Self { head: Head { target }, reg: FINAL_LINK, imm: 0 }
    }

    /// Whether this is a link.
    pub fn is_link(&self) -> bool {
        self.reg == LINK || self.is_final()
    }

    /// Whether this is a link that never changes.
    pub fn is_final(&self) -> bool {
        self.reg == FINAL_LINK
    }
}

/// First word of a slot.
#[derive(Clone, Copy)]
#[repr(C)]
pub union Head {
    /// Of an operation.
    pub run: Operation,
    /// Of a link.
    pub target: *const Block,
}

/// The place of a slot's instruction in its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Place {
    /// Instructions of the block before it.
    pub index: u8,
    /// Its distance from the block's start, in units of 2 bytes.
    pub half: u8,
}

/// Header of a decoded block; its slots follow it in memory.
#[repr(C, align(16))]
pub struct Block {
    /// Guest-physical address of the first instruction.
    pub pa: u64,
    /// Instructions in the block: the budget that entering it needs. `i64::MAX` when dead.
    pub len: i64,
    /// The start of execution: the first slot, or a translator's replacement.
    pub entry: *const Slot,
    /// Slots.
    pub slots: u32,
    /// Instructions, kept when the block is dead.
    pub instructions: u16,
    /// Bytes of guest code.
    pub bytes: u16,
    /// Of a [`Single`]: the instruction's bits.
    pub raw: u32,
    /// Number of further entries before a translator is asked. For a shared block, its number among them.
    pub heat: u32,
    /// The guest-physical page of the second half of a block that is one instruction across a
    /// page boundary, else [`crate::page::NO_TAG`].
    pub second_page: u64,
}

impl Block {
    /// First slot.
    #[inline]
    pub fn first(this: *const Self) -> *const Slot {
        // Pointer arithmetic only: one header behind the block is its first slot.
        this.wrapping_add(1).cast()
    }

    /// The place of `slot`.
    ///
    /// # Safety
    /// `this` is a live block (see `exec::Handler`) and `slot` is one of its slots.
    pub unsafe fn place(this: *const Self, slot: *const Slot) -> Place {
        let first = Self::first(this);
        // SAFETY: both point into the same block, by the caller's contract; the code that makes blocks
        // (`Cache::insert`, `Single::new`) puts as many places behind the slots as there are slots.
        unsafe {
            let index = slot.offset_from(first) as usize;
            let places: *const Place = first.add((*this).slots as usize).cast();
            *places.add(index)
        }
    }
}
/// One instruction's operation(s) before they get their place in memory.
#[derive(Clone, Copy)]
pub struct Draft {
    /// The operation, or a link (whose target is filled in).
    pub slot: Slot,
    /// The place of its instruction.
    pub place: Place,
    /// Whether this is a link.
    pub is_link: bool,
}
/// A header that may be shared between threads: it never changes.
struct Shared(Block);

// SAFETY: the pointers in it are null and it is never written.
unsafe impl Sync for Shared {}

static NOWHERE: Shared = Shared(Block {
    pa: NO_TAG,
    len: i64::MAX,
    entry: std::ptr::null(),
    slots: 0,
    instructions: 0,
    bytes: 0,
    raw: 0,
    heat: 0,
    second_page: NO_TAG,
});

/// The block that no one can enter: target of links that lead nowhere.
#[inline]
pub fn nowhere() -> *const Block {
    &raw const NOWHERE.0
}

/// Slots of the longest single instruction: a branch, its link, the end, its link.
const SINGLE_SLOTS: usize = 4;

/// One instruction as a block of its own, outside the cache and without a place: it executes at any
/// `hart.pc`. Run it with a budget of exactly 1, so that it enters no other block.
#[repr(C)]
pub struct Single {
    block: Block,
    slots: [Slot; SINGLE_SLOTS],
    places: [Place; SINGLE_SLOTS],
}

impl Single {
    /// A block of the instruction's slots; an illegal-instruction exception reports `raw`. `None` if these
    /// are not the slots of one instruction.
    pub fn new(raw: u32, drafts: &[Draft]) -> Option<Box<Self>> {
        if drafts.len() > SINGLE_SLOTS {
            return None;
        }
        let empty = Slot { head: Head { target: nowhere() }, reg: [0; 4], imm: 0 };
        let mut single = Box::new(Self {
            block: Block {
                pa: NO_TAG,
                len: 1,
                entry: std::ptr::null(),
                slots: SINGLE_SLOTS as u32,
                instructions: 1,
                bytes: 0,
                raw,
                heat: 0,
                second_page: NO_TAG,
            },
            slots: [empty; SINGLE_SLOTS],
            places: [Place { index: 0, half: 0 }; SINGLE_SLOTS],
        });
        for (index, draft) in drafts.iter().enumerate() {
            if !draft.is_link {
                single.slots[index] = draft.slot;
            }
            single.places[index] = draft.place;
        }
        Some(single)
    }

    /// The block, good while this lives.
    pub fn block(&self) -> *const Block {
        (&raw const *self).cast()
    }
}
