//! Jumps, branches and the ends of blocks.
//!
//! A target in the same page as the block is reached through a link; one elsewhere through the
//! fetch translation, since which page it is may have changed. Operands in the slot: branches
//! compare `reg[1]` with `reg[2]`; `reg[3]` is the number of instructions up to and including
//! this one; `imm` is the distance of the target from the block's start.
//!
//! Source: The RISC-V Instruction Set Manual, volume I, "Control Transfer Instructions".

use super::{Handler, arrive, follow, next, operation, operation_of};
use crate::block::{Head, Slot};
use crate::core::Core;
use crate::hart::{Hart, Leave};
use crate::page::{NO_TAG, tag};

/// A branch. Its slots are an operation and a link; an operation has to follow.
pub struct Branch {
    near: Handler,
    far: Handler,
}

impl Branch {
    /// Pushes its slots. One to another page keeps the (unused) link, so that all branches have the
    /// same shape.
    pub fn put(&self, is_near: bool, reg: [u8; 4], imm: i32, mut push: impl FnMut(Slot)) {
        push(slot(if is_near { self.near } else { self.far }, reg, imm));
        push(Slot::link(std::ptr::null()));
    }
}

/// A direct jump. Within its page its slots are an operation and a link, to another page the
/// operation alone; nothing has to follow.
pub struct Jump {
    near: Handler,
    far: Handler,
}

/// JAL; `reg[1]` is the distance of the return address in units of 2 bytes.
pub const JAL: Jump = Jump { near: jal, far: jal_far };

/// JAL to x0, and the end of a block.
pub const JUMP: Jump = Jump { near: jump, far: jump_far };

impl Jump {
    /// Pushes its slots.
    pub fn put(&self, is_near: bool, reg: [u8; 4], imm: i32, mut push: impl FnMut(Slot)) {
        push(slot(if is_near { self.near } else { self.far }, reg, imm));
        if is_near {
            push(Slot::link(std::ptr::null()));
        }
    }
}

fn slot(run: Handler, reg: [u8; 4], imm: i32) -> Slot {
    Slot { head: Head { run: operation_of(run) }, reg, imm }
}

#[inline(always)]
fn wide(immediate: i32) -> u64 {
    immediate as i64 as u64
}

/// Leaves the block of `at` to a link target.
///
/// # Safety
/// As of every handler, with a link behind `at`.
#[inline(always)]
unsafe fn near(hart: &mut Hart, at: *const Slot) -> *const Slot {
    // SAFETY: the caller's word. A link leads to the block at the target, of the same page.
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
/// As of every handler.
#[inline(always)]
unsafe fn far(hart: &mut Hart, at: *const Slot) -> *const Slot {
    // SAFETY: the handler's own slot, and bound, by the caller's word; the block is left before `arrive`.
    unsafe {
        let op = operation(at);
        hart.pc = hart.pc.wrapping_add(wide(op.imm));
        hart.budget -= i64::from(op.reg[3]);
        arrive(hart)
    }
}

macro_rules! branches {
    ($($(#[$doc:meta])* $branch:ident: $near:ident, $far:ident = |$a:ident, $b:ident| $condition:expr;)*) => {$(
        $(#[$doc])*
        pub const $branch: Branch = Branch { near: $near, far: $far };

        /// # Safety
        /// As every handler.
        unsafe fn $near(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            // SAFETY: the handler's own slot, by the caller's word; `Branch` alone has this handler and
            // puts a link behind it, `Flow::On` an operation behind that.
            unsafe {
                let op = operation(at);
                let $a = hart.r[op.reg[1] as usize];
                let $b = hart.r[op.reg[2] as usize];
                if $condition { near(hart, at) } else { next(hart, at, 2, core) }
            }
        }

        /// # Safety
        /// As every handler.
        unsafe fn $far(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            // SAFETY: as within the page.
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
    BEQ: beq, beq_far = |a, b| a == b;
    /// BNE.
    BNE: bne, bne_far = |a, b| a != b;
    /// BLT.
    BLT: blt, blt_far = |a, b| (a as i64) < b as i64;
    /// BGE.
    BGE: bge, bge_far = |a, b| a as i64 >= b as i64;
    /// BLTU.
    BLTU: bltu, bltu_far = |a, b| a < b;
    /// BGEU.
    BGEU: bgeu, bgeu_far = |a, b| a >= b;
}

/// # Safety
/// As every handler.
unsafe fn jal(hart: &mut Hart, at: *const Slot, _: &mut Core) -> *const Slot {
    // SAFETY: the handler's own slot, by the caller's word; `Jump` alone has this handler and puts a link
    // behind it.
    unsafe {
        let op = operation(at);
        hart.r[op.reg[0] as usize] = hart.pc.wrapping_add(2 * u64::from(op.reg[1]));
        near(hart, at)
    }
}

/// # Safety
/// As every handler.
unsafe fn jal_far(hart: &mut Hart, at: *const Slot, _: &mut Core) -> *const Slot {
    // SAFETY: the caller's word.
    unsafe {
        let op = operation(at);
        hart.r[op.reg[0] as usize] = hart.pc.wrapping_add(2 * u64::from(op.reg[1]));
        far(hart, at)
    }
}

/// # Safety
/// As every handler.
unsafe fn jump(hart: &mut Hart, at: *const Slot, _: &mut Core) -> *const Slot {
    // SAFETY: the handler's own slot, by the caller's word; `Jump` alone has this handler and puts a link
    // behind it.
    unsafe { near(hart, at) }
}

/// # Safety
/// As every handler.
unsafe fn jump_far(hart: &mut Hart, at: *const Slot, _: &mut Core) -> *const Slot {
    // SAFETY: the caller's word.
    unsafe { far(hart, at) }
}

/// JALR; `reg[2]` is the distance of the return address in units of 2 bytes.
///
/// # Safety
/// As every handler.
pub unsafe fn jalr(hart: &mut Hart, at: *const Slot, _: &mut Core) -> *const Slot {
    // SAFETY: the handler's own slot, and bound, by the caller's word; the block is left before `arrive`.
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
    // SAFETY: the handler's own slot, and bound, by the caller's word; the block is left before `arrive`.
    unsafe {
        let op = operation(at);
        hart.pc = hart.r[op.reg[1] as usize].wrapping_add(wide(op.imm)) & !1;
        hart.budget -= i64::from(op.reg[3]);
        arrive(hart)
    }
}

/// First slot of a block that is one instruction across a page boundary: continues only if the second
/// page is still the one that the block was decoded from.
///
/// # Safety
/// As every handler.
pub unsafe fn check_second_page(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
    // SAFETY: the caller's word: bound, so `Core::prepare` has set `fetch` to an array of FETCH_ENTRIES;
    // `hart.block` is live. The instruction that `Lowering` was made to check is added behind this.
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
