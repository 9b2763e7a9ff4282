//! IEEE 754 arithmetic as the RISC-V F and D extensions define it, over bit patterns.
//!
//! [`f32`](mod@self::f32) and [`f64`](mod@self::f64) hold the same operations for binary32 and
//! binary64. Every operation is exact in result and flags, in every rounding mode:
//!
//! * a NaN result is the canonical one (positive, quiet, no payload);
//! * tininess is detected after rounding;
//! * the flags are or-ed into `flags`, in the layout of the `fflags` CSR: [`NX`], [`UF`], [`OF`],
//!   [`DZ`], [`NV`]; nothing ever clears one;
//! * conversions to integers saturate and raise only [`NV`] when the value does not fit.
//!
//! `exact` computes with integers only; `fast` uses the host's floating-point unit where that is
//! provably the same, and is what the public functions use. The rounding mode of the host thread
//! must be the default one, which Rust requires anyway.
//!
//! Source: RISC-V unprivileged specification, chapters "F" and "D", version 2.2.
//!
//! ```
//! use stillpoint_soft::float::{self, Rounding};
//!
//! let (one, three) = (1f64.to_bits(), 3f64.to_bits());
//! let mut flags = 0;
//! let third = float::f64::div(one, three, Rounding::Rup, &mut flags);
//! assert_eq!(f64::from_bits(third), (1.0 / 3.0f64).next_up());
//! assert_eq!(flags, float::NX);
//! ```

mod exact;
mod fast;
mod format;
#[cfg(test)]
mod tests;

/// Inexact: the result was rounded.
pub const NX: u8 = 1;
/// Underflow: the result is tiny and inexact.
pub const UF: u8 = 2;
/// Overflow: the rounded result is beyond the largest finite number.
pub const OF: u8 = 4;
/// Division of a finite number by zero.
pub const DZ: u8 = 8;
/// Invalid operation.
pub const NV: u8 = 16;

/// A rounding mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Rounding {
    /// To nearest, ties to even.
    Rne = 0,
    /// Towards zero.
    Rtz = 1,
    /// Down, towards -∞.
    Rdn = 2,
    /// Up, towards +∞.
    Rup = 3,
    /// To nearest, ties away from zero.
    Rmm = 4,
}

impl Rounding {
    /// The mode that the `frm` CSR, or an instruction's static `rm` field, encodes. `None` for the
    /// reserved encodings 5 and 6, and for 7, which in an instruction means the mode in `frm`.
    #[inline]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Rne,
            1 => Self::Rtz,
            2 => Self::Rdn,
            3 => Self::Rup,
            4 => Self::Rmm,
            _ => return None,
        })
    }
}

macro_rules! operations {
    ($format:ty, $bits:ty) => {
        use super::format::Format;
        use super::{NV, Rounding, exact, fast};
        use std::cmp::Ordering;

        /// The canonical NaN.
        pub const NAN: $bits = <$format>::NAN as $bits;
        /// The sign bit: xor it to negate.
        pub const SIGN: $bits = <$format>::SIGN as $bits;

        /// `a + b`.
        #[inline]
        pub fn add(a: $bits, b: $bits, rounding: Rounding, flags: &mut u8) -> $bits {
            fast::add::<$format>(a.into(), b.into(), rounding, flags) as $bits
        }

        /// `a - b`.
        #[inline]
        pub fn sub(a: $bits, b: $bits, rounding: Rounding, flags: &mut u8) -> $bits {
            fast::sub::<$format>(a.into(), b.into(), rounding, flags) as $bits
        }

        /// `a * b`.
        #[inline]
        pub fn mul(a: $bits, b: $bits, rounding: Rounding, flags: &mut u8) -> $bits {
            fast::mul::<$format>(a.into(), b.into(), rounding, flags) as $bits
        }

        /// `a / b`.
        #[inline]
        pub fn div(a: $bits, b: $bits, rounding: Rounding, flags: &mut u8) -> $bits {
            fast::div::<$format>(a.into(), b.into(), rounding, flags) as $bits
        }

        /// The square root of `a`.
        #[inline]
        pub fn sqrt(a: $bits, rounding: Rounding, flags: &mut u8) -> $bits {
            fast::sqrt::<$format>(a.into(), rounding, flags) as $bits
        }

        /// `a * b + c`, rounded once.
        ///
        /// The other three fused instructions negate operands: FMSUB is `mul_add(a, b, c ^ SIGN)`,
        /// FNMSUB `mul_add(a ^ SIGN, b, c)`, FNMADD `mul_add(a ^ SIGN, b, c ^ SIGN)`. ∞ times zero
        /// is invalid for any `c`.
        #[inline]
        pub fn mul_add(a: $bits, b: $bits, c: $bits, rounding: Rounding, flags: &mut u8) -> $bits {
            fast::mul_add::<$format>(a.into(), b.into(), c.into(), rounding, flags) as $bits
        }

        /// The smaller operand: a number rather than a NaN, -0 rather than +0. A signalling NaN is
        /// invalid.
        #[inline]
        pub fn min(a: $bits, b: $bits, flags: &mut u8) -> $bits {
            exact::extremum::<$format>(a.into(), b.into(), false, flags) as $bits
        }

        /// The larger operand: a number rather than a NaN, +0 rather than -0. A signalling NaN is
        /// invalid.
        #[inline]
        pub fn max(a: $bits, b: $bits, flags: &mut u8) -> $bits {
            exact::extremum::<$format>(a.into(), b.into(), true, flags) as $bits
        }

        /// `a == b`, false if either is a NaN; only a signalling NaN is invalid.
        #[inline]
        pub fn eq(a: $bits, b: $bits, flags: &mut u8) -> bool {
            if <$format>::is_signalling(a.into()) || <$format>::is_signalling(b.into()) {
                *flags |= NV;
            }
            exact::compare::<$format>(a.into(), b.into()) == Some(Ordering::Equal)
        }

        /// `a < b`, false and invalid if either is a NaN.
        #[inline]
        pub fn lt(a: $bits, b: $bits, flags: &mut u8) -> bool {
            match exact::compare::<$format>(a.into(), b.into()) {
                Some(order) => order.is_lt(),
                None => {
                    *flags |= NV;
                    false
                }
            }
        }

        /// `a <= b`, false and invalid if either is a NaN.
        #[inline]
        pub fn le(a: $bits, b: $bits, flags: &mut u8) -> bool {
            match exact::compare::<$format>(a.into(), b.into()) {
                Some(order) => order.is_le(),
                None => {
                    *flags |= NV;
                    false
                }
            }
        }

        /// The mask of FCLASS, one bit set: 0 -∞, 1 negative normal, 2 negative subnormal, 3 -0,
        /// 4 +0, 5 positive subnormal, 6 positive normal, 7 +∞, 8 signalling NaN, 9 quiet NaN.
        #[inline]
        pub fn classify(a: $bits) -> u64 {
            exact::classify::<$format>(a.into())
        }

        /// `a` rounded to a 32-bit signed integer.
        #[inline]
        pub fn to_i32(a: $bits, rounding: Rounding, flags: &mut u8) -> i32 {
            to_integer(a, i32::MIN.into(), i32::MAX.into(), rounding, flags) as i32
        }

        /// `a` rounded to a 32-bit unsigned integer. The instruction sign-extends it from bit 31.
        #[inline]
        pub fn to_u32(a: $bits, rounding: Rounding, flags: &mut u8) -> u32 {
            to_integer(a, u32::MIN.into(), u32::MAX.into(), rounding, flags) as u32
        }

        /// `a` rounded to a 64-bit signed integer.
        #[inline]
        pub fn to_i64(a: $bits, rounding: Rounding, flags: &mut u8) -> i64 {
            to_integer(a, i64::MIN.into(), i64::MAX.into(), rounding, flags) as i64
        }

        /// `a` rounded to a 64-bit unsigned integer.
        #[inline]
        pub fn to_u64(a: $bits, rounding: Rounding, flags: &mut u8) -> u64 {
            to_integer(a, u64::MIN.into(), u64::MAX.into(), rounding, flags) as u64
        }

        fn to_integer(a: $bits, min: i128, max: i128, rounding: Rounding, flags: &mut u8) -> i128 {
            exact::to_integer::<$format>(a.into(), min, max, rounding, flags)
        }

        /// The nearest value to a 32-bit signed integer.
        #[inline]
        pub fn from_i32(value: i32, rounding: Rounding, flags: &mut u8) -> $bits {
            from_i64(value.into(), rounding, flags)
        }

        /// The nearest value to a 32-bit unsigned integer.
        #[inline]
        pub fn from_u32(value: u32, rounding: Rounding, flags: &mut u8) -> $bits {
            from_i64(value.into(), rounding, flags)
        }

        /// The nearest value to a 64-bit signed integer.
        #[inline]
        pub fn from_i64(value: i64, rounding: Rounding, flags: &mut u8) -> $bits {
            fast::from_i64::<$format>(value, rounding, flags) as $bits
        }

        /// The nearest value to a 64-bit unsigned integer.
        #[inline]
        pub fn from_u64(value: u64, rounding: Rounding, flags: &mut u8) -> $bits {
            fast::from_u64::<$format>(value, rounding, flags) as $bits
        }
    };
}

/// Operations on binary32, the F extension.
pub mod f32 {
    operations!(super::format::Binary32, u32);

    /// The binary32 value of a 64-bit register: the canonical NaN unless it is NaN-boxed (all upper
    /// bits set).
    #[inline]
    pub fn unboxed(register: u64) -> u32 {
        if register >> 32 == 0xffff_ffff { register as u32 } else { NAN }
    }

    /// A 64-bit register that holds `a`, NaN-boxed.
    #[inline]
    pub fn boxed(a: u32) -> u64 {
        0xffff_ffff_0000_0000 | u64::from(a)
    }

    /// The nearest value to a binary64 one.
    #[inline]
    pub fn from_f64(a: u64, rounding: Rounding, flags: &mut u8) -> u32 {
        fast::narrow(a, rounding, flags)
    }
}

/// Operations on binary64, the D extension.
pub mod f64 {
    operations!(super::format::Binary64, u64);

    /// A binary32 value, exactly.
    #[inline]
    pub fn from_f32(a: u32, flags: &mut u8) -> u64 {
        fast::widen(a, flags)
    }
}
