//! Integer arithmetic: RV64I register and immediate operations, and M.
//!
//! Source: The RISC-V Instruction Set Manual, volume I, chapters "RV32I", "RV64I", "M Extension".

use super::{next, operation};
use crate::block::Slot;
use crate::core::Core;
use crate::hart::Hart;

/// `rd = f(rs1, rs2)`.
macro_rules! register {
    ($($(#[$doc:meta])* $name:ident = |$a:ident, $b:ident| $result:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// As every handler: called by `drive` on a slot of `hart.block`.
        pub unsafe fn $name(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow.
            unsafe {
                let op = operation(at);
                let $a = hart.r[op.reg[1] as usize];
                let $b = hart.r[op.reg[2] as usize];
                hart.r[op.reg[0] as usize] = $result;
                next(hart, at, 1, core)
            }
        }
    )*};
}

/// `rd = f(rs1, immediate)`.
macro_rules! immediate {
    ($($(#[$doc:meta])* $name:ident = |$a:ident, $i:ident| $result:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// As every handler: called by `drive` on a slot of `hart.block`.
        pub unsafe fn $name(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow.
            unsafe {
                let op = operation(at);
                let $a = hart.r[op.reg[1] as usize];
                let $i = op.imm;
                hart.r[op.reg[0] as usize] = $result;
                next(hart, at, 1, core)
            }
        }
    )*};
}

#[inline(always)]
fn wide(immediate: i32) -> u64 {
    immediate as i64 as u64
}

#[inline(always)]
fn word(value: u32) -> u64 {
    value as i32 as i64 as u64
}

register! {
    /// ADD
    add = |a, b| a.wrapping_add(b);
    /// SUB
    sub = |a, b| a.wrapping_sub(b);
    /// SLL
    sll = |a, b| a << (b & 63);
    /// SLT
    slt = |a, b| u64::from((a as i64) < b as i64);
    /// SLTU
    sltu = |a, b| u64::from(a < b);
    /// XOR
    xor = |a, b| a ^ b;
    /// SRL
    srl = |a, b| a >> (b & 63);
    /// SRA
    sra = |a, b| (a as i64 >> (b & 63)) as u64;
    /// OR
    or = |a, b| a | b;
    /// AND
    and = |a, b| a & b;
    /// ADDW
    addw = |a, b| word((a as u32).wrapping_add(b as u32));
    /// SUBW
    subw = |a, b| word((a as u32).wrapping_sub(b as u32));
    /// SLLW
    sllw = |a, b| word((a as u32) << (b & 31));
    /// SRLW
    srlw = |a, b| word(a as u32 >> (b & 31));
    /// SRAW
    sraw = |a, b| (a as i32 >> (b & 31)) as i64 as u64;
    /// MUL
    mul = |a, b| a.wrapping_mul(b);
    /// MULH
    mulh = |a, b| ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64;
    /// MULHSU
    mulhsu = |a, b| ((i128::from(a as i64).wrapping_mul(i128::from(b))) >> 64) as u64;
    /// MULHU
    mulhu = |a, b| ((u128::from(a) * u128::from(b)) >> 64) as u64;
    /// DIV: by zero gives -1, overflow the dividend.
    div = |a, b| if b == 0 { u64::MAX } else { (a as i64).wrapping_div(b as i64) as u64 };
    /// DIVU: by zero gives the largest value.
    divu = |a, b| a.checked_div(b).unwrap_or(u64::MAX);
    /// REM: by zero gives the dividend, overflow 0.
    rem = |a, b| if b == 0 { a } else { (a as i64).wrapping_rem(b as i64) as u64 };
    /// REMU: by zero gives the dividend.
    remu = |a, b| if b == 0 { a } else { a % b };
    /// MULW
    mulw = |a, b| word((a as u32).wrapping_mul(b as u32));
    /// DIVW
    divw = |a, b| if b as u32 == 0 {
        u64::MAX
    } else {
        (a as i32).wrapping_div(b as i32) as i64 as u64
    };
    /// DIVUW
    divuw = |a, b| (a as u32).checked_div(b as u32).map_or(u64::MAX, word);
    /// REMW
    remw = |a, b| if b as u32 == 0 {
        word(a as u32)
    } else {
        (a as i32).wrapping_rem(b as i32) as i64 as u64
    };
    /// REMUW
    remuw = |a, b| if b as u32 == 0 { word(a as u32) } else { word(a as u32 % b as u32) };
}

immediate! {
    /// ADDI
    addi = |a, i| a.wrapping_add(wide(i));
    /// SLTI
    slti = |a, i| u64::from((a as i64) < i64::from(i));
    /// SLTIU
    sltiu = |a, i| u64::from(a < wide(i));
    /// XORI
    xori = |a, i| a ^ wide(i);
    /// ORI
    ori = |a, i| a | wide(i);
    /// ANDI
    andi = |a, i| a & wide(i);
    /// SLLI
    slli = |a, i| a << (i & 63);
    /// SRLI
    srli = |a, i| a >> (i & 63);
    /// SRAI
    srai = |a, i| (a as i64 >> (i & 63)) as u64;
    /// ADDIW
    addiw = |a, i| word((a as u32).wrapping_add(i as u32));
    /// SLLIW
    slliw = |a, i| word((a as u32) << (i & 31));
    /// SRLIW
    srliw = |a, i| word(a as u32 >> (i & 31));
    /// SRAIW
    sraiw = |a, i| (a as i32 >> (i & 31)) as i64 as u64;
}

/// LUI, and ADDI to x0: `rd = immediate`.
///
/// # Safety
/// As every handler.
pub unsafe fn li(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
    // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow.
    unsafe {
        let op = operation(at);
        hart.r[op.reg[0] as usize] = wide(op.imm);
        next(hart, at, 1, core)
    }
}

/// `rd = rs1`.
///
/// # Safety
/// As every handler.
pub unsafe fn mv(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
    // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow.
    unsafe {
        let op = operation(at);
        hart.r[op.reg[0] as usize] = hart.r[op.reg[1] as usize];
        next(hart, at, 1, core)
    }
}

/// AUIPC; the immediate includes the distance from the block's start.
///
/// # Safety
/// As every handler.
pub unsafe fn auipc(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
    // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow.
    unsafe {
        let op = operation(at);
        hart.r[op.reg[0] as usize] = hart.pc.wrapping_add(wide(op.imm));
        next(hart, at, 1, core)
    }
}

/// FENCE, FENCE.I and other instructions without effect here: one hart sees its own writes at once,
/// code included.
///
/// # Safety
/// As every handler.
pub unsafe fn nop(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
    // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow.
    unsafe { next(hart, at, 1, core) }
}
