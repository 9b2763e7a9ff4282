//! Handlers: what each operation does.
//!
//! A handler gets the hart, its own slot and the core. It ends by calling the handler of the next
//! slot in tail position, so that in optimised builds a block runs as one chain of jumps with the
//! three arguments in registers; where the compiler does not make jumps of these calls, the
//! host stack grows by at most one frame for each slot of one block, because control returns to
//! [`drive`] between blocks.
//!
//! Rules that every handler keeps:
//! * `hart.pc` and `hart.budget` are those of the block's start until the block is left;
//! * a handler that can fault does nothing visible before it knows that it will not;
//! * leaving means: `pc` of the next instruction, `budget` less the instructions executed (and
//!   one for a trap), `leave` set, null returned, or the next block entered.

pub mod atomic;
pub mod control;
pub mod float;
pub mod integer;
pub mod memory;
pub mod system;

use crate::block::{Block, JUMP_ENTRIES, Operation, Slot};
use crate::core::{Core, Trouble};
use crate::hart::{FETCH_ENTRIES, Hart, Leave};
use crate::page::{NO_TAG, tag};
use crate::trap;
use stillpoint_vmm::engine::Exit;

/// A function that executes a slot, and then continues with the next slot or returns the first slot of the
/// next block, or null with [`Hart::leave`] set.
///
/// # Safety
/// The contract of every handler for its caller:
/// * *its slot*: `at` is an operation of `hart.block`, and `hart.pc` is where that block starts;
/// * *live*: `hart.block` is of the cache and was not emptied since, or one of the shared blocks that
///   the cache holds, or a [`crate::block::Single`] that lives until the handler is back;
/// * *bound*: the core is between `Core::bind` and `Core::unbind` of one call to the engine
///   (`engine/seam.rs`), and the hart was made ready (`Core::prepare`).
///
/// `Lowering`, which makes all blocks, guarantees the slots behind an operation: an operation that needs a
/// link always has it ([`control::Branch`], [`control::Jump`]); and a block that has not ended is closed by
/// a jump, so that another operation follows each one that continues (`Flow::On`).
pub type Handler = unsafe fn(&mut Hart, *const Slot, &mut Core) -> *const Slot;

/// The operation that `handler` executes.
pub const fn operation_of(handler: Handler) -> Operation {
    Operation(handler as *const ())
}

/// Executes the slot at `at`.
///
/// # Safety
/// `at` is an operation of a live block, and what its handler asks for holds.
#[inline(always)]
pub unsafe fn execute(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
    // SAFETY: the slot is no link by the caller's word, and every operation was made by
    // `operation_of`, from a handler.
    unsafe {
        let handler = std::mem::transmute::<*const (), Handler>((*at).head.run.0);
        handler(hart, at, core)
    }
}

/// Nothing to run: the inner loop ends.
pub const NONE: *const Slot = std::ptr::null();

/// Runs from `at` until a handler returns null.
///
/// # Safety
/// As of a [`Handler`], of `at`, which is the entry of a block that fits the budget.
pub unsafe fn drive(hart: &mut Hart, core: &mut Core, mut at: *const Slot) {
    while !at.is_null() {
        // SAFETY: the first is the caller's word. Handlers return what `arrive` or `follow` entered, which
        // set `hart.block` to the live block of that entry, or null.
        at = unsafe { execute(hart, at, core) };
    }
}

/// Runs one instruction that is a block of its own, at `hart.pc`, and nothing behind it. At least
/// one tick must be left.
///
/// # Safety
/// `block` is that of a living [`crate::block::Single`], and the core is bound.
pub unsafe fn single(hart: &mut Hart, core: &mut Core, block: *const Block) {
    // With a budget of 1 no other block can be entered. Moving both ends keeps the time.
    let rest = hart.budget - 1;
    hart.budget = 1;
    hart.ticks_end = hart.ticks_end.wrapping_sub(rest as u64);
    hart.block = block;
    // SAFETY: the caller's word; `Single::new` makes blocks of one instruction, which fits the budget of 1.
    unsafe { drive(hart, core, Block::first(block)) };
    hart.budget += rest;
    hart.ticks_end = hart.ticks_end.wrapping_add(rest as u64);
}

/// The operation of a slot.
///
/// # Safety
/// `at` is a slot of a block in the cache.
#[inline(always)]
pub unsafe fn operation<'a>(at: *const Slot) -> &'a Slot {
    // SAFETY: by the caller's word; `run_slice` alone writes to slots of a block that can be entered, to
    // links, while no handler runs.
    unsafe { &*at }
}

/// Continues with the slot `count` further.
///
/// # Safety
/// That slot exists and is an operation.
#[inline(always)]
pub unsafe fn next(hart: &mut Hart, at: *const Slot, count: usize, core: &mut Core) -> *const Slot {
    // SAFETY: the caller's word: it is an operation, of the block that is executed.
    unsafe { execute(hart, at.add(count), core) }
}

/// Enters the block at `hart.pc` if that is known without a long look.
///
/// # Safety
/// The core is bound; the block before was left.
#[inline(always)]
pub unsafe fn arrive(hart: &mut Hart) -> *const Slot {
    let va = hart.pc;
    // SAFETY: bound, so `Core::prepare` has set `fetch` to an array of FETCH_ENTRIES and `jumps` to the
    // JUMP_ENTRIES of the cache, which `Cache::remember` alone fills and `Cache::clear` empties.
    unsafe {
        let entry = &*hart.fetch.add((va >> 12) as usize & (FETCH_ENTRIES - 1));
        if entry.tag == tag(va) {
            let pa = va.wrapping_add(entry.delta);
            let block: *const Block = *hart.jumps.add((pa >> 1) as usize & (JUMP_ENTRIES - 1));
            if (*block).pa == pa && hart.budget >= (*block).len {
                hart.block = block;
                return (*block).entry;
            }
        }
    }
    hart.leave = Leave::Lookup;
    NONE
}

/// Follows the link behind `at`. `pc` and `budget` are already those of the target.
///
/// # Safety
/// `at` has a link, and the target is in the same page as the block.
#[inline(always)]
pub unsafe fn follow(hart: &mut Hart, at: *const Slot) -> *const Slot {
    // SAFETY: the caller's word: a link is behind `at`. `Cache::insert`, `Cache::own`, `SharedBlocks` and
    // `run_slice`, which alone write links, aim them at `nowhere()`, which is static, or at blocks of the
    // cache, which go when those go that lead to them.
    unsafe {
        let link = at.add(1);
        let target = (*link).head.target;
        if hart.budget < (*target).len {
            hart.link = link.cast_mut();
            hart.leave = Leave::Link;
            return NONE;
        }
        hart.block = target;
        (*target).entry
    }
}

/// Instructions of the block before `at`.
///
/// # Safety
/// `at` is a slot of `hart.block`.
pub unsafe fn index_of(hart: &Hart, at: *const Slot) -> u64 {
    // SAFETY: the caller's word: a slot of `hart.block`.
    u64::from(unsafe { Block::place(hart.block, at) }.index)
}

/// Leaves the block behind the instruction at `at`, which has completed.
///
/// # Safety
/// `at` is an operation of `hart.block` that another slot follows.
#[cold]
#[inline(never)]
pub unsafe fn leave_behind(hart: &mut Hart, at: *const Slot, leave: Leave) -> *const Slot {
    // SAFETY: the caller's word: another slot of `hart.block` follows.
    let place = unsafe { Block::place(hart.block, at.add(1)) };
    hart.pc = hart.pc.wrapping_add(2 * u64::from(place.half));
    hart.budget -= i64::from(place.index);
    hart.leave = leave;
    NONE
}

/// Leaves the block before the instruction at `at`, which traps or cannot be executed.
///
/// # Safety
/// `at` is an operation of `hart.block`.
#[cold]
#[inline(never)]
pub unsafe fn trouble(
    hart: &mut Hart,
    at: *const Slot,
    core: &mut Core,
    trouble: Trouble,
) -> *const Slot {
    // SAFETY: the caller's word: a slot of `hart.block`.
    let place = unsafe { Block::place(hart.block, at) };
    hart.pc = hart.pc.wrapping_add(2 * u64::from(place.half));
    hart.budget -= i64::from(place.index);
    match trouble {
        Trouble::Trap { cause, value } => {
            trap::exception(hart, core, cause, value);
            // A device may have been accessed on the way to the exception.
            if std::mem::take(&mut core.must_leave) {
                hart.leave = Leave::Event;
                return NONE;
            }
            // SAFETY: bound by the caller's word; the block was left above.
            unsafe { arrive(hart) }
        }
        Trouble::Host(message) => {
            core.exit = Some(Exit::Fault(message));
            hart.leave = Leave::Stop;
            NONE
        }
    }
}

/// The illegal-instruction exception for the slot at `at`, whose bits are read again.
///
/// # Safety
/// `at` is an operation of `hart.block`.
#[cold]
#[inline(never)]
pub unsafe fn illegal(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
    // SAFETY: the caller's word: `hart.block` is live, and `at` is a slot of it.
    let (place, pa, second_page, raw) = unsafe {
        let header = &*hart.block;
        (Block::place(hart.block, at), header.pa, header.second_page, header.raw)
    };
    if pa == NO_TAG {
        let trap = Trouble::Trap { cause: trap::ILLEGAL, value: u64::from(raw) };
        // SAFETY: the caller's word: an operation of `hart.block`.
        return unsafe { trouble(hart, at, core, trap) };
    }
    let mut bytes = [0u8; 4];
    let at_pa = pa + 2 * u64::from(place.half);
    let value = match core.fetch_bytes(at_pa, &mut bytes) {
        Ok(2) if bytes[0] & 3 == 3 && second_page != NO_TAG => {
            match core.fetch_bytes(second_page, &mut bytes[2..]) {
                Ok(_) => u64::from(u32::from_le_bytes(bytes)),
                // SAFETY: the caller's word: an operation of `hart.block`.
                Err(host) => return unsafe { trouble(hart, at, core, host) },
            }
        }
        Ok(_) if bytes[0] & 3 == 3 => u64::from(u32::from_le_bytes(bytes)),
        Ok(_) => u64::from(u16::from_le_bytes([bytes[0], bytes[1]])),
        // SAFETY: the caller's word: an operation of `hart.block`.
        Err(host) => return unsafe { trouble(hart, at, core, host) },
    };
    // SAFETY: the caller's word: an operation of `hart.block`.
    unsafe { trouble(hart, at, core, Trouble::Trap { cause: trap::ILLEGAL, value }) }
}
