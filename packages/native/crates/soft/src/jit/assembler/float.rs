//! Floating-point instructions, on `xmm0` and `xmm1`.

// The macro converts register numbers whether they need it or not.
#![allow(clippy::useless_conversion)]

use super::{Assembler, BIAS, RAX};
use dynasmrt::{DynasmApi, dynasm};

/// Floating-point arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FloatOperation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Root,
}

impl Assembler {
    /// Compares 32 bits of the hart with a constant.
    pub fn compare_place32(&mut self, place: i32, value: i32) {
        let w = place - BIAS;
        dynasm!(self.ops; .arch x64; cmp DWORD [DWORD rbp + w], DWORD value);
    }

    /// Stores a constant into 32 bits of the hart.
    pub fn store_place32_constant(&mut self, place: i32, value: i32) {
        let w = place - BIAS;
        dynasm!(self.ops; .arch x64; mov DWORD [DWORD rbp + w], DWORD value);
    }

    /// Stores 32 bits into the hart.
    pub fn store_place32(&mut self, place: i32, s: u8) {
        let w = place - BIAS;
        dynasm!(self.ops; .arch x64; mov [DWORD rbp + w], Rd(s));
    }

    /// `xmm0 = hart[place]`
    pub fn float_load(&mut self, double: bool, place: i32) {
        let w = place - BIAS;
        if double {
            dynasm!(self.ops; .arch x64; movsd xmm0, QWORD [DWORD rbp + w]);
        } else {
            dynasm!(self.ops; .arch x64; movss xmm0, DWORD [DWORD rbp + w]);
        }
    }

    /// `xmm1 = hart[place]`
    pub fn float_load_second(&mut self, double: bool, place: i32) {
        let w = place - BIAS;
        if double {
            dynasm!(self.ops; .arch x64; movsd xmm1, QWORD [DWORD rbp + w]);
        } else {
            dynasm!(self.ops; .arch x64; movss xmm1, DWORD [DWORD rbp + w]);
        }
    }

    /// `xmm0 = xmm0 op hart[place]`; the root is of the place alone.
    pub fn float_combine(&mut self, operation: FloatOperation, double: bool, place: i32) {
        use FloatOperation::{Add, Divide, Multiply, Root, Subtract};
        let w = place - BIAS;
        match (operation, double) {
            (Add, true) => dynasm!(self.ops; .arch x64; addsd xmm0, QWORD [DWORD rbp + w]),
            (Add, false) => dynasm!(self.ops; .arch x64; addss xmm0, DWORD [DWORD rbp + w]),
            (Subtract, true) => dynasm!(self.ops; .arch x64; subsd xmm0, QWORD [DWORD rbp + w]),
            (Subtract, false) => dynasm!(self.ops; .arch x64; subss xmm0, DWORD [DWORD rbp + w]),
            (Multiply, true) => dynasm!(self.ops; .arch x64; mulsd xmm0, QWORD [DWORD rbp + w]),
            (Multiply, false) => dynasm!(self.ops; .arch x64; mulss xmm0, DWORD [DWORD rbp + w]),
            (Divide, true) => dynasm!(self.ops; .arch x64; divsd xmm0, QWORD [DWORD rbp + w]),
            (Divide, false) => dynasm!(self.ops; .arch x64; divss xmm0, DWORD [DWORD rbp + w]),
            (Root, true) => dynasm!(self.ops; .arch x64; sqrtsd xmm0, QWORD [DWORD rbp + w]),
            (Root, false) => dynasm!(self.ops; .arch x64; sqrtss xmm0, DWORD [DWORD rbp + w]),
        }
    }

    /// `xmm0 = ±(xmm0 * xmm1) ± hart[place]`, rounded once. Needs FMA3.
    pub fn float_fuse(&mut self, double: bool, minus_product: bool, minus: bool, place: i32) {
        let w = place - BIAS;
        match (double, minus_product, minus) {
            (true, false, false) => {
                dynasm!(self.ops; .arch x64; vfmadd213sd xmm0, xmm1, QWORD [DWORD rbp + w]);
            }
            (true, false, true) => {
                dynasm!(self.ops; .arch x64; vfmsub213sd xmm0, xmm1, QWORD [DWORD rbp + w]);
            }
            (true, true, false) => {
                dynasm!(self.ops; .arch x64; vfnmadd213sd xmm0, xmm1, QWORD [DWORD rbp + w]);
            }
            (true, true, true) => {
                dynasm!(self.ops; .arch x64; vfnmsub213sd xmm0, xmm1, QWORD [DWORD rbp + w]);
            }
            (false, false, false) => {
                dynasm!(self.ops; .arch x64; vfmadd213ss xmm0, xmm1, DWORD [DWORD rbp + w]);
            }
            (false, false, true) => {
                dynasm!(self.ops; .arch x64; vfmsub213ss xmm0, xmm1, DWORD [DWORD rbp + w]);
            }
            (false, true, false) => {
                dynasm!(self.ops; .arch x64; vfnmadd213ss xmm0, xmm1, DWORD [DWORD rbp + w]);
            }
            (false, true, true) => {
                dynasm!(self.ops; .arch x64; vfnmsub213ss xmm0, xmm1, DWORD [DWORD rbp + w]);
            }
        }
    }

    /// Compares `xmm0` with the place: the flags of an unsigned comparison, parity if unordered.
    pub fn float_compare(&mut self, double: bool, place: i32) {
        let w = place - BIAS;
        if double {
            dynasm!(self.ops; .arch x64; ucomisd xmm0, QWORD [DWORD rbp + w]);
        } else {
            dynasm!(self.ops; .arch x64; ucomiss xmm0, DWORD [DWORD rbp + w]);
        }
    }

    /// `rax` (or `eax`) = the bits of `xmm0`.
    pub fn float_bits(&mut self, double: bool) {
        if double {
            dynasm!(self.ops; .arch x64; movq rax, xmm0);
        } else {
            dynasm!(self.ops; .arch x64; movd eax, xmm0);
        }
    }

    /// `ecx` = the exponent field of the number in `rax`, less `least`, then compares it with the
    /// field of infinity, less `least`: above or equal means outside of that range.
    pub fn compare_exponent(&mut self, double: bool, least: i8) {
        let (fraction, field) = if double { (52i8, 0x7ff) } else { (23, 0xff) };
        let above = field - i32::from(least);
        dynasm!(self.ops; .arch x64
            ; mov rcx, rax
            ; shr rcx, BYTE fraction
            ; and ecx, DWORD field
            ; sub ecx, BYTE least
            ; cmp ecx, DWORD above
        );
    }

    /// `xmm0 = rax` as a signed number.
    pub fn float_from_integer(&mut self, double: bool) {
        if double {
            dynasm!(self.ops; .arch x64; cvtsi2sd xmm0, rax);
        } else {
            dynasm!(self.ops; .arch x64; cvtsi2ss xmm0, rax);
        }
    }

    /// `rax = xmm0` towards zero; the least number if it does not fit.
    pub fn float_to_integer(&mut self, double: bool) {
        if double {
            dynasm!(self.ops; .arch x64; cvttsd2si rax, xmm0);
        } else {
            dynasm!(self.ops; .arch x64; cvttss2si rax, xmm0);
        }
    }

    /// `xmm0` in the other format.
    pub fn float_convert(&mut self, to_double: bool) {
        if to_double {
            dynasm!(self.ops; .arch x64; cvtss2sd xmm0, xmm0);
        } else {
            dynasm!(self.ops; .arch x64; cvtsd2ss xmm0, xmm0);
        }
    }

    /// `eax = (hart[place] as u32) & mask`, then compares it with `value`.
    pub fn compare_masked(&mut self, place: i32, mask: i32, value: i32) {
        self.load_place32(RAX, place);
        dynasm!(self.ops; .arch x64; and eax, DWORD mask; cmp eax, DWORD value);
    }
}
