//! Exceptions, interrupts and the return from them. Everything is delegated to supervisor mode;
//! machine mode is the engine.
//!
//! Source: The RISC-V Instruction Set Manual, volume II, "Supervisor-Level ISA", `sstatus`,
//! `stvec`, `scause`, and "Machine-Level ISA", interrupt priority.

use crate::core::Core;
use crate::hart::{Hart, SUPERVISOR, USER, interrupt, status};

/// Illegal instruction.
pub const ILLEGAL: u64 = 2;
/// Breakpoint.
pub const BREAKPOINT: u64 = 3;
/// Environment call from user mode.
pub const USER_CALL: u64 = 8;
/// The interrupt bit of `scause`.
const INTERRUPT: u64 = 1 << 63;

/// Takes an exception at `hart.pc`. It costs one tick, and retires nothing.
pub fn exception(hart: &mut Hart, core: &mut Core, cause: u64, value: u64) {
    enter(hart, core, cause, value, 0);
}

/// Takes the interrupt that comes first among those pending and enabled, if the mode allows one.
/// Returns whether it did.
pub fn interrupt(hart: &mut Hart, core: &mut Core) -> bool {
    let pending = hart.pending();
    if pending == 0 || !hart.interruptible() {
        return false;
    }
    let code = if pending & interrupt::EXTERNAL != 0 {
        9
    } else if pending & interrupt::SOFTWARE != 0 {
        1
    } else {
        5
    };
    let vectored = if hart.stvec & 1 != 0 { 4 * code } else { 0 };
    enter(hart, core, INTERRUPT | code, 0, vectored);
    true
}

fn enter(hart: &mut Hart, core: &mut Core, cause: u64, value: u64, offset: u64) {
    hart.budget -= 1;
    hart.traps += 1;
    hart.scause = cause;
    hart.stval = value;
    hart.sepc = hart.pc;
    let mut status = hart.sstatus & !(status::SPP | status::SPIE | status::SIE);
    if hart.sstatus & status::SIE != 0 {
        status |= status::SPIE;
    }
    if hart.mode == SUPERVISOR {
        status |= status::SPP;
    }
    hart.sstatus = status;
    hart.mode = SUPERVISOR;
    hart.pc = (hart.stvec & !3).wrapping_add(offset);
    core.enter_context(hart);
}

/// SRET: `hart.pc` becomes `sepc`.
pub fn supervisor_return(hart: &mut Hart, core: &mut Core) {
    hart.mode = if hart.sstatus & status::SPP != 0 { SUPERVISOR } else { USER };
    let mut status = hart.sstatus & !(status::SPP | status::SIE);
    if hart.sstatus & status::SPIE != 0 {
        status |= status::SIE;
    }
    hart.sstatus = status | status::SPIE;
    hart.pc = hart.sepc;
    core.enter_context(hart);
}
