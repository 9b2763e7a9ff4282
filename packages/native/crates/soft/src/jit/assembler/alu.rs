//! Arithmetic on registers and on places in the hart.

use super::{Alu, Assembler, Condition, Shift, near};
use dynasmrt::{DynasmApi, dynasm};

macro_rules! per_alu {
    ($ops:expr, $alu:expr, $($operands:tt)*) => {
        match $alu {
            Alu::Add => dynasm!($ops; .arch x64; add $($operands)*),
            Alu::Or => dynasm!($ops; .arch x64; or $($operands)*),
            Alu::And => dynasm!($ops; .arch x64; and $($operands)*),
            Alu::Sub => dynasm!($ops; .arch x64; sub $($operands)*),
            Alu::Xor => dynasm!($ops; .arch x64; xor $($operands)*),
            Alu::Cmp => dynasm!($ops; .arch x64; cmp $($operands)*),
        }
    };
}

macro_rules! per_shift {
    ($ops:expr, $shift:expr, $($operands:tt)*) => {
        match $shift {
            Shift::Left => dynasm!($ops; .arch x64; shl $($operands)*),
            Shift::Right => dynasm!($ops; .arch x64; shr $($operands)*),
            Shift::Arithmetic => dynasm!($ops; .arch x64; sar $($operands)*),
        }
    };
}

impl Assembler {
    /// `d op= s`
    pub fn alu(&mut self, alu: Alu, wide: bool, d: u8, s: u8) {
        if wide {
            per_alu!(self.ops, alu, Rq(d), Rq(s));
        } else {
            per_alu!(self.ops, alu, Rd(d), Rd(s));
        }
    }

    /// `d op= hart[place]`
    pub fn alu_place(&mut self, alu: Alu, wide: bool, d: u8, place: i32) {
        match (near(place), wide) {
            (Ok(b), true) => per_alu!(self.ops, alu, Rq(d), [BYTE rbp + b]),
            (Err(w), true) => per_alu!(self.ops, alu, Rq(d), [DWORD rbp + w]),
            (Ok(b), false) => per_alu!(self.ops, alu, Rd(d), [BYTE rbp + b]),
            (Err(w), false) => per_alu!(self.ops, alu, Rd(d), [DWORD rbp + w]),
        }
    }

    /// `d op= value`
    pub fn alu_constant(&mut self, alu: Alu, wide: bool, d: u8, value: i32) {
        match (i8::try_from(value), wide) {
            (Ok(short), _) => {
                // The sign-extended byte form, which the assembler's tables do not choose.
                if wide || d >= 8 {
                    self.raw(&[0x40 | u8::from(wide) << 3 | d >> 3]);
                }
                self.raw(&[0x83, 0xc0 | alu.digit() << 3 | d & 7, short as u8]);
            }
            (Err(_), true) => per_alu!(self.ops, alu, Rq(d), DWORD value),
            (Err(_), false) => per_alu!(self.ops, alu, Rd(d), DWORD value),
        }
    }

    /// `hart[place] op= value`, 64 bits.
    pub fn alu_place_constant(&mut self, alu: Alu, place: i32, value: i32) {
        match (near(place), i8::try_from(value)) {
            (Ok(b), Ok(short)) => {
                // As above, on `[rbp + b]`.
                self.raw(&[0x48, 0x83, 0x45 | alu.digit() << 3, b as u8, short as u8]);
            }
            (Ok(b), Err(_)) => per_alu!(self.ops, alu, QWORD [BYTE rbp + b], DWORD value),
            (Err(w), _) => per_alu!(self.ops, alu, QWORD [DWORD rbp + w], DWORD value),
        }
    }

    /// Compares `s` with itself for zero.
    pub fn test(&mut self, s: u8) {
        dynasm!(self.ops; .arch x64; test Rq(s), Rq(s));
    }

    /// `d = a + b`
    pub fn add_into(&mut self, d: u8, a: u8, b: u8) {
        dynasm!(self.ops; .arch x64; lea Rq(d), [Rq(a) + Rq(b)]);
    }

    /// `d = a + offset`
    pub fn offset_into(&mut self, d: u8, a: u8, offset: i32) {
        match i8::try_from(offset) {
            Ok(b) => dynasm!(self.ops; .arch x64; lea Rq(d), [BYTE Rq(a) + b]),
            Err(_) => dynasm!(self.ops; .arch x64; lea Rq(d), [DWORD Rq(a) + offset]),
        }
    }

    /// Shift by a constant below the width.
    pub fn shift(&mut self, shift: Shift, wide: bool, d: u8, by: u8) {
        let by = by as i8;
        if wide {
            per_shift!(self.ops, shift, Rq(d), BYTE by);
        } else {
            per_shift!(self.ops, shift, Rd(d), BYTE by);
        }
    }

    /// Shift by `cl`, which the processor reduces modulo the width.
    pub fn shift_by_cl(&mut self, shift: Shift, wide: bool, d: u8) {
        if wide {
            per_shift!(self.ops, shift, Rq(d), cl);
        } else {
            per_shift!(self.ops, shift, Rd(d), cl);
        }
    }

    /// Low 32 bits of `s`, sign-extended.
    pub fn extend(&mut self, d: u8, s: u8) {
        dynasm!(self.ops; .arch x64; movsxd Rq(d), Rd(s));
    }

    /// Low 16 bits of `s`, zero-extended.
    pub fn extend16_zero(&mut self, d: u8, s: u8) {
        dynasm!(self.ops; .arch x64; movzx Rd(d), Rw(s));
    }

    /// Low 8 bits of `s`, zero-extended.
    pub fn extend8_zero(&mut self, d: u8, s: u8) {
        dynasm!(self.ops; .arch x64; movzx Rd(d), Rb(s));
    }

    /// `d = condition ? 1 : 0`
    pub fn set_if(&mut self, condition: Condition, d: u8) {
        // setcc r/m8 with a REX prefix, so that every register has a low byte.
        let rex = 0x40 | u8::from(d >= 8);
        self.raw(&[rex, 0x0f, 0x90 | condition as u8, 0xc0 | d & 7]);
        self.extend8_zero(d, d);
    }

    /// `d *= s`
    pub fn multiply(&mut self, wide: bool, d: u8, s: u8) {
        if wide {
            dynasm!(self.ops; .arch x64; imul Rq(d), Rq(s));
        } else {
            dynasm!(self.ops; .arch x64; imul Rd(d), Rd(s));
        }
    }

    /// `rdx:rax = rax * s`
    pub fn multiply_wide(&mut self, signed: bool, s: u8) {
        if signed {
            dynasm!(self.ops; .arch x64; imul Rq(s));
        } else {
            dynasm!(self.ops; .arch x64; mul Rq(s));
        }
    }

    /// `rax, rdx = rdx:rax / s`, after `rdx` was made the extension of `rax`.
    pub fn divide(&mut self, signed: bool, wide: bool, s: u8) {
        match (signed, wide) {
            (true, true) => dynasm!(self.ops; .arch x64; cqo; idiv Rq(s)),
            (true, false) => dynasm!(self.ops; .arch x64; cdq; idiv Rd(s)),
            (false, true) => dynasm!(self.ops; .arch x64; xor edx, edx; div Rq(s)),
            (false, false) => dynasm!(self.ops; .arch x64; xor edx, edx; div Rd(s)),
        }
    }

    /// Two's complement negation.
    pub fn negate(&mut self, wide: bool, d: u8) {
        if wide {
            dynasm!(self.ops; .arch x64; neg Rq(d));
        } else {
            dynasm!(self.ops; .arch x64; neg Rd(d));
        }
    }
}
