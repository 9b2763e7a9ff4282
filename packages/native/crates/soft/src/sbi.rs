//! The supervisor binary interface: what firmware answers, answered by the engine.
//!
//! Version 2.0: base, TIME, IPI, RFENCE, HSM, SRST, DBCN, and the legacy calls. One hart, number
//! 0. A call costs one tick, as every trap.
//!
//! Source: RISC-V Supervisor Binary Interface Specification 2.0.

use crate::core::Core;
use crate::hart::{Hart, SUPERVISOR, interrupt, status};
use crate::mmu::Access;
use crate::page::PAGE;
use stillpoint_vmm::engine::Exit;

/// Error codes.
mod error {
    pub const NOT_SUPPORTED: i64 = -2;
    pub const INVALID_PARAM: i64 = -3;
    pub const INVALID_ADDRESS: i64 = -5;
    pub const ALREADY_AVAILABLE: i64 = -6;
}

/// Extension numbers.
mod extension {
    pub const BASE: u64 = 0x10;
    pub const TIME: u64 = 0x5449_4d45;
    pub const IPI: u64 = 0x0073_5049;
    pub const RFENCE: u64 = 0x5246_4e43;
    pub const HSM: u64 = 0x0048_534d;
    pub const SRST: u64 = 0x5352_5354;
    pub const DBCN: u64 = 0x4442_434e;
    pub const LEGACY_LAST: u64 = 8;
}

/// Specification version 2.0.
const VERSION: u64 = 2 << 24;
/// Implementation number: none was assigned, so one from the unassigned range.
const IMPLEMENTATION: u64 = 0x5354_4c50;
/// Maximum bytes of one debug console call; the guest gets the actual number.
const CONSOLE_BYTES: u64 = PAGE;

const A0: usize = 10;
const A1: usize = 11;
const A6: usize = 16;
const A7: usize = 17;

type Answer = Result<u64, i64>;

/// Answers the call in the hart's argument registers. `pc` is already behind the call.
pub fn call(hart: &mut Hart, core: &mut Core) {
    let (which, function) = (hart.r[A7], hart.r[A6]);
    let now = hart.now();
    core.platform().now = now;
    if which <= extension::LEGACY_LAST {
        legacy(hart, core, which);
        core.refresh();
        return;
    }
    let answer = match which {
        extension::BASE => base(hart, function),
        extension::TIME => time(hart, function),
        extension::IPI => ipi(hart, function),
        extension::RFENCE => fence(hart, core, function),
        extension::HSM => return state(hart, core, function),
        extension::SRST => reset(hart, core, function),
        extension::DBCN => console(hart, core, function),
        _ => Err(error::NOT_SUPPORTED),
    };
    core.refresh();
    give(hart, answer);
}

fn give(hart: &mut Hart, answer: Answer) {
    match answer {
        Ok(value) => {
            hart.r[A0] = 0;
            hart.r[A1] = value;
        }
        Err(code) => {
            hart.r[A0] = code as u64;
            hart.r[A1] = 0;
        }
    }
}

fn base(hart: &Hart, function: u64) -> Answer {
    match function {
        0 => Ok(VERSION),
        1 => Ok(IMPLEMENTATION),
        2 => Ok(1),
        3 => Ok(u64::from(matches!(
            hart.r[A0],
            0..=extension::LEGACY_LAST
                | extension::BASE
                | extension::TIME
                | extension::IPI
                | extension::RFENCE
                | extension::HSM
                | extension::SRST
                | extension::DBCN
        ))),
        // Vendor, architecture and implementation of the machine: not assigned.
        4..=6 => Ok(0),
        _ => Err(error::NOT_SUPPORTED),
    }
}

fn time(hart: &mut Hart, function: u64) -> Answer {
    if function != 0 {
        return Err(error::NOT_SUPPORTED);
    }
    hart.stimecmp = hart.r[A0];
    Ok(0)
}

/// Whether a hart mask names hart 0; an error if it names others.
fn names_this_hart(mask: u64, base: u64) -> Result<bool, i64> {
    if base == u64::MAX {
        return Ok(true);
    }
    if mask == 0 {
        return Ok(false);
    }
    if base != 0 || mask != 1 {
        return Err(error::INVALID_PARAM);
    }
    Ok(true)
}

fn ipi(hart: &mut Hart, function: u64) -> Answer {
    if function != 0 {
        return Err(error::NOT_SUPPORTED);
    }
    if names_this_hart(hart.r[A0], hart.r[A1])? {
        hart.sip |= interrupt::SOFTWARE;
    }
    Ok(0)
}

fn fence(hart: &Hart, core: &mut Core, function: u64) -> Answer {
    let asid = match function {
        0 => return names_this_hart(hart.r[A0], hart.r[A1]).map(|_| 0),
        1 => None,
        2 => Some(hart.r[A0 + 4] as u16),
        _ => return Err(error::NOT_SUPPORTED),
    };
    if !names_this_hart(hart.r[A0], hart.r[A1])? {
        return Ok(0);
    }
    let (start, size) = (hart.r[A0 + 2], hart.r[A0 + 3]);
    fence_range(core, start, size, asid);
    Ok(0)
}

/// A fence for many pages costs the host as much as one for all, which is also correct.
const FENCED_PAGES: u64 = 16;

fn fence_range(core: &mut Core, start: u64, size: u64, asid: Option<u16>) {
    let whole = size == u64::MAX || start == 0 && size == 0 || size > FENCED_PAGES * PAGE;
    if whole {
        core.fence(None, asid);
    } else {
        let first = start & !(PAGE - 1);
        let pages = (start - first + size).div_ceil(PAGE);
        for page in 0..pages {
            core.fence(Some(first.wrapping_add(page * PAGE)), asid);
        }
    }
}

/// Hart state management. A start or a resumption sets registers, so it answers itself.
fn state(hart: &mut Hart, core: &mut Core, function: u64) {
    let answer = match function {
        0 if hart.r[A0] == 0 => Err(error::ALREADY_AVAILABLE),
        0 => Err(error::INVALID_PARAM),
        1 => {
            // The only hart stops: nothing will ever start it again.
            hart.stopped = true;
            return;
        }
        2 if hart.r[A0] == 0 => Ok(0),
        2 => Err(error::INVALID_PARAM),
        3 => match hart.r[A0] {
            0 => {
                hart.waiting = true;
                Ok(0)
            }
            0x8000_0000 if !core.platform().memory.contains(hart.r[A1] & !1, 2) => {
                Err(error::INVALID_ADDRESS)
            }
            0x8000_0000 => {
                hart.waiting = true;
                hart.mode = SUPERVISOR;
                hart.sstatus &= !status::SIE;
                hart.satp = 0;
                hart.pc = hart.r[A1] & !1;
                hart.r[A1] = hart.r[A1 + 1];
                hart.r[A0] = 0;
                core.forget_translations();
                core.enter_context(hart);
                return;
            }
            _ => Err(error::INVALID_PARAM),
        },
        _ => Err(error::NOT_SUPPORTED),
    };
    give(hart, answer);
}

fn reset(hart: &Hart, core: &mut Core, function: u64) -> Answer {
    if function != 0 {
        return Err(error::NOT_SUPPORTED);
    }
    let (kind, reason) = (hart.r[A0], hart.r[A1]);
    let reason = u32::try_from(reason).map_err(|_| error::INVALID_PARAM)?;
    // 0 none, 1 system failure, and the ranges for implementations and vendors.
    if !(reason <= 1 || reason >= 0xe000_0000) {
        return Err(error::INVALID_PARAM);
    }
    match kind {
        0 => core.exit = Some(Exit::Halted { reason }),
        1 | 2 => core.exit = Some(Exit::Reset { reason }),
        _ => return Err(error::INVALID_PARAM),
    }
    Ok(0)
}

fn console(hart: &Hart, core: &mut Core, function: u64) -> Answer {
    match function {
        0 | 1 => {
            let (count, low, high) = (hart.r[A0], hart.r[A1], hart.r[A1 + 1]);
            let memory = &core.platform().memory;
            let offset = low.wrapping_sub(memory.base());
            let size = memory.size_bytes();
            if high != 0 || offset > size || count > size - offset {
                return Err(error::INVALID_PARAM);
            }
            let count = count.min(CONSOLE_BYTES);
            let mut bytes = vec![0u8; count as usize];
            if function == 0 {
                core.platform().memory.read(low, &mut bytes).map_err(|_| error::INVALID_PARAM)?;
                for byte in &bytes {
                    core.platform().console_write(*byte);
                }
                return Ok(count);
            }
            let mut got = 0;
            while got < count {
                let Some(byte) = core.platform().console_read() else { break };
                bytes[got as usize] = byte;
                got += 1;
            }
            core.write_physical(low, &bytes[..got as usize]).map_err(|_| error::INVALID_PARAM)?;
            Ok(got)
        }
        2 => {
            core.platform().console_write(hart.r[A0] as u8);
            Ok(0)
        }
        _ => Err(error::NOT_SUPPORTED),
    }
}

/// The calls of version 0.1: the answer is in `a0` alone.
fn legacy(hart: &mut Hart, core: &mut Core, which: u64) {
    hart.r[A0] = match which {
        0 => {
            hart.stimecmp = hart.r[A0];
            0
        }
        1 => {
            core.platform().console_write(hart.r[A0] as u8);
            0
        }
        2 => core.platform().console_read().map_or(u64::MAX, u64::from),
        3 => {
            hart.sip &= !interrupt::SOFTWARE;
            0
        }
        4 => {
            if legacy_mask(hart, core) {
                hart.sip |= interrupt::SOFTWARE;
            }
            0
        }
        5 => 0,
        6 | 7 => {
            let asid = (which == 7).then(|| hart.r[A0 + 3] as u16);
            if legacy_mask(hart, core) {
                fence_range(core, hart.r[A0 + 1], hart.r[A0 + 2], asid);
            }
            0
        }
        _ => {
            core.exit = Some(Exit::Halted { reason: 0 });
            0
        }
    };
}

/// Whether the hart mask that `a0` points to names this hart. A null pointer names all.
fn legacy_mask(hart: &Hart, core: &mut Core) -> bool {
    let va = hart.r[A0];
    if va == 0 {
        return true;
    }
    let Ok(pa) = core.translate(hart, va, Access::Load) else { return false };
    let mut byte = [0u8];
    core.platform().memory.read(pa, &mut byte).is_ok() && byte[0] & 1 != 0
}
