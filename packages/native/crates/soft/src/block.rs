//! Decoded blocks: straight runs of guest instructions as compact operations, cached by
//! guest-physical address.
//!
//! A block starts where control can arrive, runs on past conditional branches that are not
//! taken, and ends at an unconditional jump, at an instruction that changes what the following
//! ones mean, at the end of its page, or at [`MAX_INSTRUCTIONS`]. In memory:
//!
//! ```text
//! Block header | slot 0 | slot 1 | … | place 0 | place 1 | …
//! ```
//!
//! Every instruction has one slot of 16 bytes; a branch, a direct jump and the end of a block
//! have a second one behind it, the *link*, which points to the block that control goes to.
//! Pairs are fused by giving the first slot another handler; the second stays what it was, so
//! that a fault in it is placed exactly. `place` says for each slot how many instructions of the
//! block come before it and where it is, for faults and for reading the time; nothing in the hot
//! path looks at it.
//!
//! A block whose bytes were written is *dead*: its length is then larger than any budget, so that
//! neither a link nor the jump cache can enter it. Its memory goes when the cache is emptied.

use crate::core::Core;
use crate::hart::Hart;

/// Most instructions in a block.
pub const MAX_INSTRUCTIONS: usize = 64;

/// Bytes of decoded code at which the cache is emptied.
pub const CAPACITY_BYTES: usize = 48 << 20;

/// Bytes that the cache asks the host for at once.
const SLAB_BYTES: usize = 256 << 10;

/// What executes a slot: does its work, and then goes on with the next slot or returns the first
/// slot of the next block, or null with [`Hart::leave`] set.
pub type Handler = unsafe fn(&mut Hart, *const Slot, &mut Core) -> *const Slot;

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

/// First word of a slot.
#[derive(Clone, Copy)]
#[repr(C)]
pub union Head {
    /// Of an operation.
    pub run: Handler,
    /// Of a link.
    pub target: *const Block,
}

/// Where a slot's instruction stands in its block.
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
    /// Where execution starts: the first slot, or what a translator has put in its place.
    pub entry: *const Slot,
    /// Slots.
    pub slots: u32,
    /// Instructions, kept when the block is dead.
    pub instructions: u16,
    /// Bytes of guest code.
    pub bytes: u16,
    /// The guest-physical page of the second half of a block that is one instruction across a
    /// page boundary, else [`crate::hart::NO_TAG`].
    pub second_page: u64,
    /// How often the block may still be entered before a translator is asked.
    pub heat: u32,
    /// Whether links may lead here.
    pub linkable: bool,
}

impl Block {
    /// First slot.
    #[inline]
    pub fn first(this: *const Self) -> *const Slot {
        // Pointer arithmetic only: one header behind the block is its first slot.
        this.wrapping_add(1).cast()
    }

    /// Where `slot` stands.
    ///
    /// # Safety
    /// `this` is a block of the cache and `slot` is one of its slots.
    pub unsafe fn place(this: *const Self, slot: *const Slot) -> Place {
        let first = Self::first(this);
        // SAFETY: both point into the same allocation, by the caller's word; the places follow
        // the slots there.
        unsafe {
            let index = slot.offset_from(first) as usize;
            let places: *const Place = first.add((*this).slots as usize).cast();
            *places.add(index)
        }
    }
}
