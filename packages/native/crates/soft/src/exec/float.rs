//! Floating-point operations: registers, NaN boxing, rounding modes, `sstatus.FS`; the
//! arithmetic is in [`crate::float`].
//!
//! Operands in the slot: `reg[0..3]` are register slots, `reg[3]` is the rounding mode field,
//! `imm` the third source register of a fused multiply-add.
//!
//! Source: The RISC-V Instruction Set Manual, volume I, chapters "F Extension", "D Extension".

use super::{illegal, next, operation};
use crate::block::Slot;
use crate::core::Core;
use crate::float::{Rounding, f32 as single, f64 as double};
use crate::hart::Hart;

/// The rounding mode of an operation: its own, or `frm` if that holds one.
#[inline(always)]
fn rounding(hart: &Hart, op: &Slot) -> Option<Rounding> {
    Rounding::from_bits(if op.reg[3] == 7 { hart.frm } else { op.reg[3] })
}

/// Reads an operand of a width.
trait Width {
    /// The bits of a value.
    type Bits: Copy;
    /// From a register.
    fn take(register: u64) -> Self::Bits;
    /// To a register.
    fn put(bits: Self::Bits) -> u64;
}

struct Single;
struct Double;

impl Width for Single {
    type Bits = u32;
    #[inline(always)]
    fn take(register: u64) -> u32 {
        single::unboxed(register)
    }
    #[inline(always)]
    fn put(bits: u32) -> u64 {
        single::boxed(bits)
    }
}

impl Width for Double {
    type Bits = u64;
    #[inline(always)]
    fn take(register: u64) -> u64 {
        register
    }
    #[inline(always)]
    fn put(bits: u64) -> u64 {
        bits
    }
}

/// Rounded operations of two sources that write a floating-point register.
macro_rules! rounded {
    ($($name:ident: $width:ty, |$a:ident, $b:ident, $rm:ident, $flags:ident| $result:expr;)*) => {$(
        /// Rounded operation.
        ///
        /// # Safety
        /// As every handler.
        pub unsafe fn $name(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow.
            unsafe {
                let op = operation(at);
                let Some($rm) = rounding(hart, op) else { return illegal(hart, at, core) };
                if hart.fs == 0 {
                    return illegal(hart, at, core);
                }
                let $a = <$width>::take(hart.r[op.reg[1] as usize]);
                let $b = <$width>::take(hart.r[op.reg[2] as usize]);
                let $flags = &mut hart.fflags;
                let result = $result;
                hart.r[op.reg[0] as usize] = <$width>::put(result);
                hart.fs = 3;
                next(hart, at, 1, core)
            }
        }
    )*};
}

rounded! {
    fadd_s: Single, |a, b, rm, flags| single::add(a, b, rm, flags);
    fsub_s: Single, |a, b, rm, flags| single::sub(a, b, rm, flags);
    fmul_s: Single, |a, b, rm, flags| single::mul(a, b, rm, flags);
    fdiv_s: Single, |a, b, rm, flags| single::div(a, b, rm, flags);
    fsqrt_s: Single, |a, b, rm, flags| { let _ = b; single::sqrt(a, rm, flags) };
    fadd_d: Double, |a, b, rm, flags| double::add(a, b, rm, flags);
    fsub_d: Double, |a, b, rm, flags| double::sub(a, b, rm, flags);
    fmul_d: Double, |a, b, rm, flags| double::mul(a, b, rm, flags);
    fdiv_d: Double, |a, b, rm, flags| double::div(a, b, rm, flags);
    fsqrt_d: Double, |a, b, rm, flags| { let _ = b; double::sqrt(a, rm, flags) };
}

/// Fused multiply-adds: signs of the product and of the addend.
macro_rules! fused {
    ($($name:ident: $width:ty, $module:ident, $product:expr, $addend:expr;)*) => {$(
        /// Fused multiply-add.
        ///
        /// # Safety
        /// As every handler.
        pub unsafe fn $name(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow.
            unsafe {
                let op = operation(at);
                let Some(rm) = rounding(hart, op) else { return illegal(hart, at, core) };
                if hart.fs == 0 {
                    return illegal(hart, at, core);
                }
                let a = <$width>::take(hart.r[op.reg[1] as usize]) ^ $product;
                let b = <$width>::take(hart.r[op.reg[2] as usize]);
                let c = <$width>::take(hart.r[op.imm as u8 as usize]) ^ $addend;
                let result = $module::mul_add(a, b, c, rm, &mut hart.fflags);
                hart.r[op.reg[0] as usize] = <$width>::put(result);
                hart.fs = 3;
                next(hart, at, 1, core)
            }
        }
    )*};
}

fused! {
    fmadd_s: Single, single, 0, 0;
    fmsub_s: Single, single, 0, single::SIGN;
    fnmsub_s: Single, single, single::SIGN, 0;
    fnmadd_s: Single, single, single::SIGN, single::SIGN;
    fmadd_d: Double, double, 0, 0;
    fmsub_d: Double, double, 0, double::SIGN;
    fnmsub_d: Double, double, double::SIGN, 0;
    fnmadd_d: Double, double, double::SIGN, double::SIGN;
}

/// Operations on bits that write a floating-point register and are not rounded.
macro_rules! exact {
    ($($name:ident: $width:ty, |$a:ident, $b:ident, $flags:ident| $result:expr;)*) => {$(
        /// Operation that needs no rounding.
        ///
        /// # Safety
        /// As every handler.
        pub unsafe fn $name(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow.
            unsafe {
                if hart.fs == 0 {
                    return illegal(hart, at, core);
                }
                let op = operation(at);
                let $a = <$width>::take(hart.r[op.reg[1] as usize]);
                let $b = <$width>::take(hart.r[op.reg[2] as usize]);
                let $flags = &mut hart.fflags;
                let result = $result;
                hart.r[op.reg[0] as usize] = <$width>::put(result);
                hart.fs = 3;
                next(hart, at, 1, core)
            }
        }
    )*};
}

exact! {
    fsgnj_s: Single, |a, b, flags| { let _ = flags; a & !single::SIGN | b & single::SIGN };
    fsgnjn_s: Single, |a, b, flags| { let _ = flags; a & !single::SIGN | !b & single::SIGN };
    fsgnjx_s: Single, |a, b, flags| { let _ = flags; a ^ b & single::SIGN };
    fmin_s: Single, |a, b, flags| single::min(a, b, flags);
    fmax_s: Single, |a, b, flags| single::max(a, b, flags);
    fsgnj_d: Double, |a, b, flags| { let _ = flags; a & !double::SIGN | b & double::SIGN };
    fsgnjn_d: Double, |a, b, flags| { let _ = flags; a & !double::SIGN | !b & double::SIGN };
    fsgnjx_d: Double, |a, b, flags| { let _ = flags; a ^ b & double::SIGN };
    fmin_d: Double, |a, b, flags| double::min(a, b, flags);
    fmax_d: Double, |a, b, flags| double::max(a, b, flags);
}

/// Operations that write an integer register; they dirty FS only if they raise a flag.
macro_rules! inspected {
    ($($name:ident: $width:ty, |$a:ident, $b:ident, $flags:ident| $result:expr;)*) => {$(
        /// Operation with an integer result.
        ///
        /// # Safety
        /// As every handler.
        pub unsafe fn $name(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow.
            unsafe {
                if hart.fs == 0 {
                    return illegal(hart, at, core);
                }
                let op = operation(at);
                let $a = <$width>::take(hart.r[op.reg[1] as usize]);
                let $b = <$width>::take(hart.r[op.reg[2] as usize]);
                let before = hart.fflags;
                let $flags = &mut hart.fflags;
                let result = $result;
                hart.r[op.reg[0] as usize] = result;
                if hart.fflags != before {
                    hart.fs = 3;
                }
                next(hart, at, 1, core)
            }
        }
    )*};
}

inspected! {
    feq_s: Single, |a, b, flags| u64::from(single::eq(a, b, flags));
    flt_s: Single, |a, b, flags| u64::from(single::lt(a, b, flags));
    fle_s: Single, |a, b, flags| u64::from(single::le(a, b, flags));
    fclass_s: Single, |a, b, flags| { let _ = (b, flags); single::classify(a) };
    feq_d: Double, |a, b, flags| u64::from(double::eq(a, b, flags));
    flt_d: Double, |a, b, flags| u64::from(double::lt(a, b, flags));
    fle_d: Double, |a, b, flags| u64::from(double::le(a, b, flags));
    fclass_d: Double, |a, b, flags| { let _ = (b, flags); double::classify(a) };
}

/// Conversions to integers.
macro_rules! to_integer {
    ($($name:ident: $width:ty, |$a:ident, $rm:ident, $flags:ident| $result:expr;)*) => {$(
        /// Conversion to an integer.
        ///
        /// # Safety
        /// As every handler.
        pub unsafe fn $name(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow.
            unsafe {
                let op = operation(at);
                let Some($rm) = rounding(hart, op) else { return illegal(hart, at, core) };
                if hart.fs == 0 {
                    return illegal(hart, at, core);
                }
                let $a = <$width>::take(hart.r[op.reg[1] as usize]);
                let before = hart.fflags;
                let $flags = &mut hart.fflags;
                let result = $result;
                hart.r[op.reg[0] as usize] = result;
                if hart.fflags != before {
                    hart.fs = 3;
                }
                next(hart, at, 1, core)
            }
        }
    )*};
}

to_integer! {
    fcvt_w_s: Single, |a, rm, flags| single::to_i32(a, rm, flags) as i64 as u64;
    fcvt_wu_s: Single, |a, rm, flags| single::to_u32(a, rm, flags) as i32 as i64 as u64;
    fcvt_l_s: Single, |a, rm, flags| single::to_i64(a, rm, flags) as u64;
    fcvt_lu_s: Single, |a, rm, flags| single::to_u64(a, rm, flags);
    fcvt_w_d: Double, |a, rm, flags| double::to_i32(a, rm, flags) as i64 as u64;
    fcvt_wu_d: Double, |a, rm, flags| double::to_u32(a, rm, flags) as i32 as i64 as u64;
    fcvt_l_d: Double, |a, rm, flags| double::to_i64(a, rm, flags) as u64;
    fcvt_lu_d: Double, |a, rm, flags| double::to_u64(a, rm, flags);
}

/// Conversions that write a floating-point register, from a whole register.
macro_rules! converted {
    ($($name:ident: |$a:ident, $rm:ident, $flags:ident| $result:expr;)*) => {$(
        /// Conversion to floating point.
        ///
        /// # Safety
        /// As every handler.
        pub unsafe fn $name(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow.
            unsafe {
                let op = operation(at);
                let Some($rm) = rounding(hart, op) else { return illegal(hart, at, core) };
                if hart.fs == 0 {
                    return illegal(hart, at, core);
                }
                let $a = hart.r[op.reg[1] as usize];
                let $flags = &mut hart.fflags;
                let result = $result;
                hart.r[op.reg[0] as usize] = result;
                hart.fs = 3;
                next(hart, at, 1, core)
            }
        }
    )*};
}

converted! {
    fcvt_s_w: |a, rm, flags| single::boxed(single::from_i32(a as i32, rm, flags));
    fcvt_s_wu: |a, rm, flags| single::boxed(single::from_u32(a as u32, rm, flags));
    fcvt_s_l: |a, rm, flags| single::boxed(single::from_i64(a as i64, rm, flags));
    fcvt_s_lu: |a, rm, flags| single::boxed(single::from_u64(a, rm, flags));
    fcvt_d_w: |a, rm, flags| double::from_i32(a as i32, rm, flags);
    fcvt_d_wu: |a, rm, flags| double::from_u32(a as u32, rm, flags);
    fcvt_d_l: |a, rm, flags| double::from_i64(a as i64, rm, flags);
    fcvt_d_lu: |a, rm, flags| double::from_u64(a, rm, flags);
    fcvt_s_d: |a, rm, flags| single::boxed(single::from_f64(a, rm, flags));
    fcvt_d_s: |a, rm, flags| { let _ = rm; double::from_f32(single::unboxed(a), flags) };
}

/// Moves of bits between the files.
macro_rules! moves {
    ($($name:ident: dirties $dirties:literal, |$a:ident| $result:expr;)*) => {$(
        /// Move of bits.
        ///
        /// # Safety
        /// As every handler.
        pub unsafe fn $name(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow.
            unsafe {
                if hart.fs == 0 {
                    return illegal(hart, at, core);
                }
                let op = operation(at);
                let $a = hart.r[op.reg[1] as usize];
                hart.r[op.reg[0] as usize] = $result;
                if $dirties {
                    hart.fs = 3;
                }
                next(hart, at, 1, core)
            }
        }
    )*};
}

moves! {
    fmv_x_w: dirties false, |a| a as i32 as i64 as u64;
    fmv_x_d: dirties false, |a| a;
    fmv_w_x: dirties true, |a| single::boxed(a as u32);
    fmv_d_x: dirties true, |a| a;
}
