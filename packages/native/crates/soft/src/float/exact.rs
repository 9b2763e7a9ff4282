//! IEEE 754 arithmetic by integers alone: the reference, right for every operand and rounding
//! mode.
//!
//! An operation computes its mathematically exact result as `significand * 2^exponent` in 128
//! bits, where bits that do not fit are folded into the lowest one ("sticky": set when anything
//! non-zero was lost), and [`round`] brings that into the format once.

use super::format::Format;
use super::{DZ, NV, NX, OF, Rounding, UF};
use std::cmp::Ordering;

/// An operand taken apart.
#[derive(Clone, Copy)]
enum Class {
    Zero,
    /// `significand * 2^exponent`, the significand with [`Format::PRECISION`] digits: subnormal
    /// numbers are normalized.
    Finite {
        exponent: i32,
        significand: u64,
    },
    Infinite,
    Nan,
}

fn is_negative<F: Format>(bits: u64) -> bool {
    bits & F::SIGN != 0
}

fn unpack<F: Format>(bits: u64) -> Class {
    let magnitude = F::magnitude(bits);
    let fraction = bits & F::FRACTION;
    match magnitude >> F::FRACTION_BITS {
        0 if fraction == 0 => Class::Zero,
        0 => {
            let shift = fraction.leading_zeros() - (64 - F::PRECISION);
            Class::Finite {
                exponent: F::EMIN - F::FRACTION_BITS as i32 - shift as i32,
                significand: fraction << shift,
            }
        }
        _ if magnitude > F::INFINITY => Class::Nan,
        _ if magnitude == F::INFINITY => Class::Infinite,
        biased => Class::Finite {
            exponent: F::EMIN - F::FRACTION_BITS as i32 + (biased as i32 - 1),
            significand: fraction | F::MIN_NORMAL,
        },
    }
}

fn sign<F: Format>(negative: bool) -> u64 {
    if negative { F::SIGN } else { 0 }
}

/// The result of an operation that has none: the canonical NaN, and the invalid flag.
fn invalid<F: Format>(flags: &mut u8) -> u64 {
    *flags |= NV;
    F::NAN
}

/// The result of an operation on a NaN among `operands`.
fn nan_of<F: Format, const N: usize>(operands: [u64; N], flags: &mut u8) -> u64 {
    if operands.iter().any(|bits| F::is_signalling(*bits)) {
        *flags |= NV;
    }
    F::NAN
}

/// Shifts right, folding lost bits into the lowest one.
fn shift_right_sticky(value: u128, by: u32) -> u128 {
    match by {
        0 => value,
        1..128 => value >> by | u128::from(value << (128 - by) != 0),
        _ => u128::from(value != 0),
    }
}

/// `value / 2^shift` as an integer, rounded, and whether anything was lost.
fn round_shift(negative: bool, value: u128, shift: u32, rounding: Rounding) -> (u128, bool) {
    if shift == 0 {
        return (value, false);
    }
    let (kept, lost, half) = match shift {
        1..128 => (value >> shift, value & ((1 << shift) - 1), 1 << (shift - 1)),
        // Everything is lost, and is below half of the place that is kept: all significands are
        // below 2^127.
        _ => (0, value, u128::MAX),
    };
    let up = match rounding {
        Rounding::Rne => lost > half || lost == half && kept & 1 == 1,
        Rounding::Rmm => lost >= half,
        Rounding::Rtz => false,
        Rounding::Rdn => lost != 0 && negative,
        Rounding::Rup => lost != 0 && !negative,
    };
    (kept + u128::from(up), lost != 0)
}

/// Rounds `significand * 2^exponent` into the format and raises the resulting flags.
///
/// The significand is below 2^127 and, if its lowest bit is sticky, has at least two bits more
/// than the format.
fn round<F: Format>(
    negative: bool,
    exponent: i32,
    significand: u128,
    rounding: Rounding,
    flags: &mut u8,
) -> u64 {
    if significand == 0 {
        return sign::<F>(negative);
    }
    let digits = 128 - significand.leading_zeros() as i32;
    // Exponent of the leading digit, then of the last digit that the format can keep.
    let leading = exponent + digits - 1;
    let last = leading.max(F::EMIN) - F::FRACTION_BITS as i32;
    let (kept, inexact) = match last - exponent {
        shift @ 1.. => round_shift(negative, significand, shift as u32, rounding),
        shift => (significand << -shift, false),
    };
    // Adding instead of joining carries a full significand into the exponent, and a full
    // subnormal one into the smallest normal number.
    let mut magnitude = ((leading.max(F::EMIN) - F::EMIN) as u64) << F::FRACTION_BITS;
    magnitude = magnitude.saturating_add(kept as u64);
    if leading > F::EMAX || magnitude >= F::INFINITY {
        *flags |= OF | NX;
        let to_infinity = match rounding {
            Rounding::Rne | Rounding::Rmm => true,
            Rounding::Rtz => false,
            Rounding::Rdn => negative,
            Rounding::Rup => !negative,
        };
        magnitude = if to_infinity { F::INFINITY } else { F::MAX_FINITE };
    } else if inexact {
        *flags |= NX;
        // Tininess is detected after rounding: as if the exponent had no lower bound.
        let tiny = leading < F::EMIN - 1
            || leading == F::EMIN - 1 && {
                let shift = (leading - F::FRACTION_BITS as i32 - exponent).max(0) as u32;
                round_shift(negative, significand, shift, rounding).0 >> F::PRECISION == 0
            };
        if tiny {
            *flags |= UF;
        }
    }
    magnitude | sign::<F>(negative)
}

/// The sign of an exact zero that is the sum of operands with these signs.
fn zero_sum<F: Format>(a_negative: bool, b_negative: bool, rounding: Rounding) -> u64 {
    let negative = if a_negative == b_negative { a_negative } else { rounding == Rounding::Rdn };
    sign::<F>(negative)
}

/// A signed number that is not zero, exact.
#[derive(Clone, Copy)]
struct Term {
    negative: bool,
    exponent: i32,
    significand: u128,
}

/// The rounded sum of two terms of at most 106 digits each.
fn add_terms<F: Format>(a: Term, b: Term, rounding: Rounding, flags: &mut u8) -> u64 {
    // Both leading digits are moved to bit 125, then the smaller number is shifted down to the
    // place of the larger. Digits are lost only when the leading digits are at least 20 places
    // apart, so that at most one place cancels and sticky is exact enough.
    let normalize = |term: Term| {
        let up = term.significand.leading_zeros() - 2;
        Term { exponent: term.exponent - up as i32, significand: term.significand << up, ..term }
    };
    let (a, b) = (normalize(a), normalize(b));
    let a_is_larger = (a.exponent, a.significand) >= (b.exponent, b.significand);
    let (large, small) = if a_is_larger { (a, b) } else { (b, a) };
    let aligned = shift_right_sticky(small.significand, large.exponent.abs_diff(small.exponent));
    if large.negative == small.negative {
        let sum = large.significand + aligned;
        return round::<F>(large.negative, large.exponent, sum, rounding, flags);
    }
    match large.significand - aligned {
        0 => zero_sum::<F>(a.negative, b.negative, rounding),
        sum => round::<F>(large.negative, large.exponent, sum, rounding, flags),
    }
}

pub(super) fn add<F: Format>(a: u64, b: u64, rounding: Rounding, flags: &mut u8) -> u64 {
    let (a_negative, b_negative) = (is_negative::<F>(a), is_negative::<F>(b));
    match (unpack::<F>(a), unpack::<F>(b)) {
        (Class::Nan, _) | (_, Class::Nan) => nan_of::<F, 2>([a, b], flags),
        (Class::Infinite, Class::Infinite) if a_negative != b_negative => invalid::<F>(flags),
        (Class::Infinite, _) => a,
        (_, Class::Infinite) => b,
        (Class::Zero, Class::Zero) => zero_sum::<F>(a_negative, b_negative, rounding),
        (Class::Zero, Class::Finite { .. }) => b,
        (Class::Finite { .. }, Class::Zero) => a,
        (
            Class::Finite { exponent: ea, significand: sa },
            Class::Finite { exponent: eb, significand: sb },
        ) => {
            let a = Term { negative: a_negative, exponent: ea, significand: sa.into() };
            let b = Term { negative: b_negative, exponent: eb, significand: sb.into() };
            add_terms::<F>(a, b, rounding, flags)
        }
    }
}

pub(super) fn mul<F: Format>(a: u64, b: u64, rounding: Rounding, flags: &mut u8) -> u64 {
    let negative = is_negative::<F>(a ^ b);
    match (unpack::<F>(a), unpack::<F>(b)) {
        (Class::Nan, _) | (_, Class::Nan) => nan_of::<F, 2>([a, b], flags),
        (Class::Infinite, Class::Zero) | (Class::Zero, Class::Infinite) => invalid::<F>(flags),
        (Class::Infinite, _) | (_, Class::Infinite) => F::INFINITY | sign::<F>(negative),
        (Class::Zero, _) | (_, Class::Zero) => sign::<F>(negative),
        (
            Class::Finite { exponent: ea, significand: sa },
            Class::Finite { exponent: eb, significand: sb },
        ) => round::<F>(negative, ea + eb, u128::from(sa) * u128::from(sb), rounding, flags),
    }
}

pub(super) fn mul_add<F: Format>(
    a: u64,
    b: u64,
    c: u64,
    rounding: Rounding,
    flags: &mut u8,
) -> u64 {
    let product_negative = is_negative::<F>(a ^ b);
    let c_negative = is_negative::<F>(c);
    match (unpack::<F>(a), unpack::<F>(b), unpack::<F>(c)) {
        // Invalid even when the addend is a quiet NaN (unprivileged specification, F chapter).
        (Class::Infinite, Class::Zero, _) | (Class::Zero, Class::Infinite, _) => {
            invalid::<F>(flags)
        }
        (Class::Nan, ..) | (_, Class::Nan, _) | (.., Class::Nan) => {
            nan_of::<F, 3>([a, b, c], flags)
        }
        (Class::Infinite, _, Class::Infinite) | (_, Class::Infinite, Class::Infinite)
            if product_negative != c_negative =>
        {
            invalid::<F>(flags)
        }
        (Class::Infinite, ..) | (_, Class::Infinite, _) => {
            F::INFINITY | sign::<F>(product_negative)
        }
        (.., Class::Infinite) => c,
        (Class::Zero, _, Class::Zero) | (_, Class::Zero, Class::Zero) => {
            zero_sum::<F>(product_negative, c_negative, rounding)
        }
        (Class::Zero, ..) | (_, Class::Zero, _) => c,
        (
            Class::Finite { exponent: ea, significand: sa },
            Class::Finite { exponent: eb, significand: sb },
            c,
        ) => {
            let exponent = ea + eb;
            let significand = u128::from(sa) * u128::from(sb);
            match c {
                Class::Finite { exponent: ec, significand: sc } => {
                    let product = Term { negative: product_negative, exponent, significand };
                    let c = Term { negative: c_negative, exponent: ec, significand: sc.into() };
                    add_terms::<F>(product, c, rounding, flags)
                }
                _ => round::<F>(product_negative, exponent, significand, rounding, flags),
            }
        }
    }
}

pub(super) fn div<F: Format>(a: u64, b: u64, rounding: Rounding, flags: &mut u8) -> u64 {
    let negative = is_negative::<F>(a ^ b);
    match (unpack::<F>(a), unpack::<F>(b)) {
        (Class::Nan, _) | (_, Class::Nan) => nan_of::<F, 2>([a, b], flags),
        (Class::Infinite, Class::Infinite) | (Class::Zero, Class::Zero) => invalid::<F>(flags),
        (Class::Infinite, _) => F::INFINITY | sign::<F>(negative),
        (_, Class::Infinite) | (Class::Zero, _) => sign::<F>(negative),
        (_, Class::Zero) => {
            *flags |= DZ;
            F::INFINITY | sign::<F>(negative)
        }
        (
            Class::Finite { exponent: ea, significand: sa },
            Class::Finite { exponent: eb, significand: sb },
        ) => {
            // The quotient has at least 64 digits: sticky lies below what any format keeps.
            let (numerator, denominator) = (u128::from(sa) << 64, u128::from(sb));
            let quotient = numerator / denominator;
            let sticky = u128::from(numerator % denominator != 0);
            round::<F>(negative, ea - eb - 64, quotient | sticky, rounding, flags)
        }
    }
}

pub(super) fn sqrt<F: Format>(a: u64, rounding: Rounding, flags: &mut u8) -> u64 {
    match unpack::<F>(a) {
        Class::Nan => nan_of::<F, 1>([a], flags),
        Class::Zero => a,
        _ if is_negative::<F>(a) => invalid::<F>(flags),
        Class::Infinite => a,
        Class::Finite { exponent, significand } => {
            // An even exponent, and a radicand of 126 or 127 digits: a root of 63 or 64.
            let up = 127 - F::PRECISION as i32;
            let up = up - i32::from((exponent - up) % 2 != 0);
            let radicand = u128::from(significand) << up;
            let root = radicand.isqrt();
            let sticky = u128::from(root * root != radicand);
            round::<F>(false, (exponent - up) / 2, root | sticky, rounding, flags)
        }
    }
}

/// The order of two numbers; `None` if either is a NaN.
pub(super) fn compare<F: Format>(a: u64, b: u64) -> Option<Ordering> {
    if F::is_nan(a) || F::is_nan(b) {
        return None;
    }
    Some(ordinal::<F>(a).cmp(&ordinal::<F>(b)))
}

/// An integer that orders numbers as their values do, both zeros being 0.
fn ordinal<F: Format>(bits: u64) -> i64 {
    let magnitude = F::magnitude(bits) as i64;
    if is_negative::<F>(bits) { -magnitude } else { magnitude }
}

/// minimumNumber, or maximumNumber if `largest`, of IEEE 754-2019.
pub(super) fn extremum<F: Format>(a: u64, b: u64, largest: bool, flags: &mut u8) -> u64 {
    if F::is_signalling(a) || F::is_signalling(b) {
        *flags |= NV;
    }
    match (F::is_nan(a), F::is_nan(b)) {
        (true, true) => F::NAN,
        (true, false) => b,
        (false, true) => a,
        (false, false) => {
            // -0 is below +0.
            let key = |bits| (ordinal::<F>(bits), !is_negative::<F>(bits));
            if (key(a) < key(b)) != largest { a } else { b }
        }
    }
}

/// The ten-bit mask of FCLASS.
pub(super) fn classify<F: Format>(bits: u64) -> u64 {
    let magnitude = F::magnitude(bits);
    // From -∞ (bit 0) to +∞ (bit 7), mirrored about the zeros.
    let from_zero = if magnitude == 0 {
        0
    } else if magnitude < F::MIN_NORMAL {
        1
    } else if magnitude < F::INFINITY {
        2
    } else if magnitude == F::INFINITY {
        3
    } else {
        return if F::is_signalling(bits) { 1 << 8 } else { 1 << 9 };
    };
    if is_negative::<F>(bits) { 1 << (3 - from_zero) } else { 1 << (4 + from_zero) }
}

/// The value rounded to an integer in `[min, max]`. Outside it, and for NaN (taken as positive):
/// the invalid flag and the nearest bound.
pub(super) fn to_integer<F: Format>(
    bits: u64,
    min: i128,
    max: i128,
    rounding: Rounding,
    flags: &mut u8,
) -> i128 {
    let negative = is_negative::<F>(bits);
    let (exponent, significand) = match unpack::<F>(bits) {
        Class::Zero => return 0,
        Class::Finite { exponent, significand } if exponent <= 64 => (exponent, significand),
        Class::Nan => {
            *flags |= NV;
            return max;
        }
        _ => {
            *flags |= NV;
            return if negative { min } else { max };
        }
    };
    let (magnitude, inexact) = match exponent {
        0.. => (u128::from(significand) << exponent, false),
        _ => round_shift(negative, significand.into(), exponent.unsigned_abs(), rounding),
    };
    let value = if negative { -(magnitude as i128) } else { magnitude as i128 };
    if value < min || value > max {
        *flags |= NV;
        return value.clamp(min, max);
    }
    if inexact {
        *flags |= NX;
    }
    value
}

/// The nearest value to `±magnitude`.
pub(super) fn from_integer<F: Format>(
    negative: bool,
    magnitude: u64,
    rounding: Rounding,
    flags: &mut u8,
) -> u64 {
    round::<F>(negative, 0, magnitude.into(), rounding, flags)
}

/// A value of one format in another.
pub(super) fn convert<From: Format, To: Format>(
    bits: u64,
    rounding: Rounding,
    flags: &mut u8,
) -> u64 {
    let negative = is_negative::<From>(bits);
    match unpack::<From>(bits) {
        Class::Nan => {
            if From::is_signalling(bits) {
                *flags |= NV;
            }
            To::NAN
        }
        Class::Infinite => To::INFINITY | sign::<To>(negative),
        Class::Zero => sign::<To>(negative),
        Class::Finite { exponent, significand } => {
            round::<To>(negative, exponent, significand.into(), rounding, flags)
        }
    }
}
