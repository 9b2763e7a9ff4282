//! Jumps, branches and the ends of blocks.
//!
//! A target in the same page as the block is reached through a link; one elsewhere through the
//! fetch translation, since which page it is may have changed. Operands in the slot: branches
//! compare `reg[1]` with `reg[2]`; `reg[3]` is the number of instructions up to and including
//! this one; `imm` is the distance of the target from the block's start.
//!
//! Source: The RISC-V Instruction Set Manual, volume I, "Control Transfer Instructions".

use super::{arrive, follow, next, operation};
use crate::block::Slot;
use crate::core::Core;
use crate::hart::{Hart, Leave};
use crate::page::{NO_TAG, tag};

#[inline(always)]
fn wide(immediate: i32) -> u64 {
    immediate as i64 as u64
}

/// Leaves the block of `at` to a link target.
///
/// # Safety
/// As for [`follow`].
#[inline(always)]
unsafe fn near(hart: &mut Hart, at: *const Slot) -> *const Slot {
    // SAFETY: handlers that call this are lowered with a link behind them.
    unsafe {
        let op = operation(at);
        hart.pc = hart.pc.wrapping_add(wide(op.imm));
        hart.budget -= i64::from(op.reg[3]);
        follow(hart, at)
    }
}

/// Leaves the block of `at` to a target in another page.
///
/// # Safety
/// As for [`arrive`]; `at` is an operation of `hart.block`.
#[inline(always)]
unsafe fn far(hart: &mut Hart, at: *const Slot) -> *const Slot {
    // SAFETY: the block is left here.
    unsafe {
        let op = operation(at);
        hart.pc = hart.pc.wrapping_add(wide(op.imm));
        hart.budget -= i64::from(op.reg[3]);
        arrive(hart)
    }
}

macro_rules! branches {
    ($($(#[$doc:meta])* $near:ident, $far:ident = |$a:ident, $b:ident| $condition:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// The target is in the same page.
        ///
        /// # Safety
        /// As every handler: called by `drive` on a slot of `hart.block`.
        pub unsafe fn $near(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            // SAFETY: a branch is followed by its link and then by an operation.
            unsafe {
                let op = operation(at);
                let $a = hart.r[op.reg[1] as usize];
                let $b = hart.r[op.reg[2] as usize];
                if $condition { near(hart, at) } else { next(hart, at, 2, core) }
            }
        }

        $(#[$doc])*
        ///
        /// The target is in another page.
        ///
        /// # Safety
        /// As every handler: called by `drive` on a slot of `hart.block`.
        pub unsafe fn $far(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            // SAFETY: a branch is followed by its link and then by an operation.
            unsafe {
                let op = operation(at);
                let $a = hart.r[op.reg[1] as usize];
                let $b = hart.r[op.reg[2] as usize];
                if $condition { far(hart, at) } else { next(hart, at, 2, core) }
            }
        }
    )*};
}

branches! {
    /// BEQ.
    beq, beq_far = |a, b| a == b;
    /// BNE.
    bne, bne_far = |a, b| a != b;
    /// BLT.
    blt, blt_far = |a, b| (a as i64) < b as i64;
    /// BGE.
    bge, bge_far = |a, b| a as i64 >= b as i64;
    /// BLTU.
    bltu, bltu_far = |a, b| a < b;
    /// BGEU.
    bgeu, bgeu_far = |a, b| a >= b;
}

/// JAL within the page; `reg[1]` is the distance of the return address in units of 2 bytes.
///
/// # Safety
/// As every handler.
pub unsafe fn jal(hart: &mut Hart, at: *const Slot, _: &mut Core) -> *const Slot {
    // SAFETY: lowered with a link behind it.
    unsafe {
        let op = operation(at);
        hart.r[op.reg[0] as usize] = hart.pc.wrapping_add(2 * u64::from(op.reg[1]));
        near(hart, at)
    }
}

/// JAL to another page.
///
/// # Safety
/// As every handler.
pub unsafe fn jal_far(hart: &mut Hart, at: *const Slot, _: &mut Core) -> *const Slot {
    // SAFETY: ends the block.
    unsafe {
        let op = operation(at);
        hart.r[op.reg[0] as usize] = hart.pc.wrapping_add(2 * u64::from(op.reg[1]));
        far(hart, at)
    }
}

/// JAL to x0 within the page, and the end of a block whose successor is in the same page.
///
/// # Safety
/// As every handler.
pub unsafe fn jump(hart: &mut Hart, at: *const Slot, _: &mut Core) -> *const Slot {
    // SAFETY: lowered with a link behind it.
    unsafe { near(hart, at) }
}

/// JAL to x0 to another page, and the end of a block at the end of its page.
///
/// # Safety
/// As every handler.
pub unsafe fn jump_far(hart: &mut Hart, at: *const Slot, _: &mut Core) -> *const Slot {
    // SAFETY: ends the block.
    unsafe { far(hart, at) }
}

/// JALR; `reg[2]` is the distance of the return address in units of 2 bytes.
///
/// # Safety
/// As every handler.
pub unsafe fn jalr(hart: &mut Hart, at: *const Slot, _: &mut Core) -> *const Slot {
    // SAFETY: ends the block.
    unsafe {
        let op = operation(at);
        let target = hart.r[op.reg[1] as usize].wrapping_add(wide(op.imm)) & !1;
        hart.r[op.reg[0] as usize] = hart.pc.wrapping_add(2 * u64::from(op.reg[2]));
        hart.pc = target;
        hart.budget -= i64::from(op.reg[3]);
        arrive(hart)
    }
}

/// JALR to x0: returns and jumps through tables.
///
/// # Safety
/// As every handler.
pub unsafe fn jump_register(hart: &mut Hart, at: *const Slot, _: &mut Core) -> *const Slot {
    // SAFETY: ends the block.
    unsafe {
        let op = operation(at);
        hart.pc = hart.r[op.reg[1] as usize].wrapping_add(wide(op.imm)) & !1;
        hart.budget -= i64::from(op.reg[3]);
        arrive(hart)
    }
}

/// First slot of a block that is one instruction across a page boundary: goes on only if the
/// second page is still the one that the block was decoded from.
///
/// # Safety
/// As every handler.
pub unsafe fn check_second_page(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
    // SAFETY: while bound, `fetch` has FETCH_ENTRIES entries; `hart.block` is this block; an
    // operation follows.
    unsafe {
        let va = hart.pc.wrapping_add(2);
        let entry = &*hart.fetch.add((va >> 12) as usize & (crate::hart::FETCH_ENTRIES - 1));
        let second_page = (*hart.block).second_page;
        debug_assert_ne!(second_page, NO_TAG);
        if entry.tag == tag(va) && va.wrapping_add(entry.delta) == second_page {
            return next(hart, at, 1, core);
        }
    }
    hart.leave = Leave::Lookup;
    super::NONE
}
