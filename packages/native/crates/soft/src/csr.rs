//! Control and status registers that supervisor and user mode can reach, with their WARL rules.
//!
//! | register | fields that can be written |
//! | --- | --- |
//! | `sstatus` | SIE, SPIE, SPP, FS, SUM, MXR; UXL reads 2, SD follows FS |
//! | `sie` | SSIE, STIE, SEIE |
//! | `sip` | SSIP; STIP follows `stimecmp`, SEIP the interrupt controller |
//! | `stvec` | base and mode 0 or 1; with a reserved mode the write is ignored |
//! | `sepc` | all but bit 0 |
//! | `satp` | modes bare, Sv39, Sv48, with 16 bits of ASID; with another mode the write is ignored |
//! | `scounteren` | CY, TM, IR |
//! | `senvcfg` | FIOM (no effect: one hart, in order) |
//! | `scause`, `stval`, `sscratch`, `stimecmp` | all bits |
//! | `fflags`, `frm`, `fcsr` | 5, 3, 8 bits; `frm` holds reserved modes too |
//!
//! Everything else does not exist and is illegal: machine-mode registers, hypervisor registers,
//! `hpmcounter3` to `hpmcounter31`, `scontext`.
//!
//! Source: The RISC-V Instruction Set Manual, volume II, "Control and Status Registers" and
//! "Supervisor-Level ISA"; extension Sstc.

use crate::core::Core;
use crate::csr_number as number;
use crate::hart::{Hart, USER, interrupt, status};
use crate::mmu;

/// Nanoseconds in one unit of `time`.
pub const NANOS_PER_TIME: u64 = 100;

/// The register does not exist here, or not for this mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Illegal;

/// The action required after a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// None: the block continues.
    None,
    /// Interrupts, timers or translations have changed: the block must be left.
    Leave,
}

/// Reads a register. `ticks` is the number of ticks before this instruction.
pub fn read(hart: &Hart, csr: u16, ticks: u64) -> Result<u64, Illegal> {
    if csr >> 8 & 3 > u16::from(hart.mode) {
        return Err(Illegal);
    }
    Ok(match csr {
        number::FFLAGS | number::FRM | number::FCSR if hart.fs == 0 => return Err(Illegal),
        number::FFLAGS => u64::from(hart.fflags),
        number::FRM => u64::from(hart.frm),
        number::FCSR => u64::from(hart.frm) << 5 | u64::from(hart.fflags),
        number::SSTATUS => hart.sstatus_value(),
        number::SIE => hart.sie,
        number::STVEC => hart.stvec,
        number::SCOUNTEREN => hart.scounteren,
        number::SENVCFG => hart.senvcfg,
        number::SSCRATCH => hart.sscratch,
        number::SEPC => hart.sepc,
        number::SCAUSE => hart.scause,
        number::STVAL => hart.stval,
        number::SIP => hart.sip,
        number::STIMECMP => hart.stimecmp,
        number::SATP => hart.satp,
        number::CYCLE..=number::INSTRET => {
            if hart.mode == USER && hart.scounteren >> (csr - number::CYCLE) & 1 == 0 {
                return Err(Illegal);
            }
            match csr {
                number::CYCLE => ticks,
                number::TIME => ticks.saturating_add(hart.idle_nanos) / NANOS_PER_TIME,
                _ => ticks.wrapping_sub(hart.traps),
            }
        }
        _ => return Err(Illegal),
    })
}

/// Writes a register that [`read`] has just allowed to be read.
pub fn write(hart: &mut Hart, core: &mut Core, csr: u16, value: u64) -> Result<Effect, Illegal> {
    if csr >> 10 == 3 {
        return Err(Illegal);
    }
    match csr {
        number::FFLAGS => {
            hart.fflags = value as u8 & 0x1f;
            hart.fs = 3;
        }
        number::FRM => {
            hart.frm = value as u8 & 7;
            hart.fs = 3;
        }
        number::FCSR => {
            hart.fflags = value as u8 & 0x1f;
            hart.frm = (value >> 5) as u8 & 7;
            hart.fs = 3;
        }
        number::SSTATUS => {
            let before = hart.sstatus;
            hart.sstatus = value & status::STORED;
            hart.fs = (value >> status::FS_SHIFT) as u8 & 3;
            let changed = before ^ hart.sstatus;
            if changed & status::MXR != 0 {
                core.forget_translations();
            }
            if changed & status::SUM != 0 {
                core.enter_context(hart);
            }
            if hart.interruptible() && hart.pending() != 0 {
                return Ok(Effect::Leave);
            }
        }
        number::SIE => {
            hart.sie = value & interrupt::ALL;
            return Ok(Effect::Leave);
        }
        number::STVEC if value & 2 == 0 => hart.stvec = value,
        number::STVEC => {}
        number::SCOUNTEREN => hart.scounteren = value & 7,
        number::SENVCFG => hart.senvcfg = value & 1,
        number::SSCRATCH => hart.sscratch = value,
        number::SEPC => hart.sepc = value & !1,
        number::SCAUSE => hart.scause = value,
        number::STVAL => hart.stval = value,
        number::SIP => {
            hart.sip = hart.sip & !interrupt::SOFTWARE | value & interrupt::SOFTWARE;
            return Ok(Effect::Leave);
        }
        number::STIMECMP => {
            hart.stimecmp = value;
            return Ok(Effect::Leave);
        }
        number::SATP => {
            if mmu::mode(value).is_some() {
                hart.satp = value;
                core.enter_context(hart);
                return Ok(Effect::Leave);
            }
        }
        _ => return Err(Illegal),
    }
    Ok(Effect::None)
}
