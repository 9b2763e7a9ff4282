//! Environment calls, returns, waits, fences and CSR instructions.
//!
//! Source: The RISC-V Instruction Set Manual, volume I, chapter "Zicsr", volume II,
//! "Supervisor Instructions".

use super::{NONE, arrive, illegal, index_of, leave_behind, next, operation, trouble};
use crate::block::{Block, Slot};
use crate::core::{Core, Trouble};
use crate::csr::{self, Effect};
use crate::hart::{Hart, Leave, USER};
use crate::{sbi, trap};

/// An instruction that does not exist.
///
/// # Safety
/// As every handler.
pub unsafe fn reserved(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
    // SAFETY: the handler's own slot, by the caller's word.
    unsafe { illegal(hart, at, core) }
}

/// ECALL: to the guest's supervisor from user mode, to the firmware from supervisor mode.
///
/// # Safety
/// As every handler.
pub unsafe fn ecall(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
    // SAFETY: the handler's own slot, by the caller's word.
    unsafe {
        if hart.mode == USER {
            let cause = trap::USER_CALL;
            return trouble(hart, at, core, Trouble::Trap { cause, value: 0 });
        }
        let place = Block::place(hart.block, at);
        hart.pc = hart.pc.wrapping_add(2 * u64::from(place.half) + 4);
        hart.budget -= i64::from(place.index) + 1;
        hart.traps += 1;
    }
    sbi::call(hart, core);
    hart.leave = if core.exit.is_some() { Leave::Stop } else { Leave::Event };
    core.must_leave = false;
    NONE
}

/// EBREAK.
///
/// # Safety
/// As every handler.
pub unsafe fn ebreak(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
    // SAFETY: the handler's own slot, by the caller's word.
    unsafe {
        let place = Block::place(hart.block, at);
        let value = hart.pc.wrapping_add(2 * u64::from(place.half));
        trouble(hart, at, core, Trouble::Trap { cause: trap::BREAKPOINT, value })
    }
}

/// SRET.
///
/// # Safety
/// As every handler.
pub unsafe fn sret(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
    // SAFETY: the handler's own slot, by the caller's word; the block is left before `arrive`.
    unsafe {
        if hart.mode == USER {
            return illegal(hart, at, core);
        }
        hart.budget -= index_of(hart, at) as i64 + 1;
        trap::supervisor_return(hart, core);
        if hart.pending() != 0 && hart.interruptible() {
            hart.leave = Leave::Event;
            return NONE;
        }
        arrive(hart)
    }
}

/// WFI. In user mode it is illegal: nothing bounds how long it would take.
///
/// # Safety
/// As every handler.
pub unsafe fn wfi(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
    // SAFETY: the handler's own slot, by the caller's word; `Flow::Splits` puts an end behind it.
    unsafe {
        if hart.mode == USER {
            return illegal(hart, at, core);
        }
        hart.waiting = true;
        leave_behind(hart, at, Leave::Event)
    }
}

/// SFENCE.VMA; `imm` has bit 0 set if an address is named, bit 1 if an address space is.
///
/// # Safety
/// As every handler.
pub unsafe fn sfence_vma(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
    // SAFETY: the handler's own slot, by the caller's word; `Flow::Splits` puts an end behind it.
    unsafe {
        if hart.mode == USER {
            return illegal(hart, at, core);
        }
        let op = operation(at);
        let va = (op.imm & 1 != 0).then(|| hart.r[op.reg[1] as usize]);
        let asid = (op.imm & 2 != 0).then(|| hart.r[op.reg[2] as usize] as u16);
        core.fence(va, asid);
        leave_behind(hart, at, Leave::Lookup)
    }
}

/// The kind of write of a CSR instruction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Replace,
    Set,
    Clear,
}

/// `imm` is the CSR number; `reg[3]` says whether the register is read and whether it is written.
///
/// # Safety
/// `at` is an operation of `hart.block`, and not its last.
#[inline(always)]
unsafe fn access(
    hart: &mut Hart,
    at: *const Slot,
    core: &mut Core,
    change: Change,
    operand: u64,
) -> *const Slot {
    // SAFETY: the caller's word.
    unsafe {
        let op = operation(at);
        let csr = op.imm as u16;
        let ticks = hart.ticks().wrapping_add(index_of(hart, at));
        let Ok(before) = csr::read(hart, csr, ticks) else {
            return illegal(hart, at, core);
        };
        // Setting or clearing no bit changes nothing, and does not make floating-point state dirty;
        // a register that cannot be written refuses all the same.
        let is_void = change != Change::Replace && operand == 0;
        if op.reg[3] & WRITES != 0 && is_void && csr >> 10 == 3 {
            return illegal(hart, at, core);
        }
        if op.reg[3] & WRITES != 0 && !is_void {
            let value = match change {
                Change::Replace => operand,
                Change::Set => before | operand,
                Change::Clear => before & !operand,
            };
            match csr::write(hart, core, csr, value) {
                Err(csr::Illegal) => return illegal(hart, at, core),
                Ok(Effect::None) => {}
                Ok(Effect::Leave) => {
                    hart.r[op.reg[0] as usize] = before;
                    return leave_behind(hart, at, Leave::Event);
                }
            }
        }
        hart.r[op.reg[0] as usize] = before;
        next(hart, at, 1, core)
    }
}

/// In `reg[3]` of a CSR operation: the register is written.
pub const WRITES: u8 = 1;

macro_rules! accesses {
    ($($(#[$doc:meta])* $name:ident = $change:ident, |$hart:ident, $field:ident| $operand:expr;)*)
    => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// As every handler.
        pub unsafe fn $name($hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow.
            unsafe {
                let $field = operation(at).reg[1];
                let operand = $operand;
                access($hart, at, core, Change::$change, operand)
            }
        }
    )*};
}

accesses! {
    /// CSRRW
    csrrw = Replace, |hart, field| hart.r[field as usize];
    /// CSRRS
    csrrs = Set, |hart, field| hart.r[field as usize];
    /// CSRRC
    csrrc = Clear, |hart, field| hart.r[field as usize];
    /// CSRRWI
    csrrwi = Replace, |hart, field| u64::from(field);
    /// CSRRSI
    csrrsi = Set, |hart, field| u64::from(field);
    /// CSRRCI
    csrrci = Clear, |hart, field| u64::from(field);
}
