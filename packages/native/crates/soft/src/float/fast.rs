//! The host's floating-point unit, where its result is certain to be the exact one and its
//! inexactness cheaply known; [`exact`] everywhere else.
//!
//! The host rounds to nearest, ties to even (the only mode that Rust's arithmetic has), and its
//! flags are out of reach. So an operation goes through the host when
//!
//! * the guest rounds to nearest even,
//! * the host's result is finite (so no operand was ∞ or NaN) and above the smallest normal
//!   number (so neither underflow nor a loss to it can have happened), or the operation cannot
//!   underflow, and
//! * whether it was inexact does not matter, because the sticky NX flag is set already, or follows
//!   from the operands by an argument given at each operation.

use super::exact;
use super::format::{Binary32, Binary64, Format, HostFormat};
use super::{NX, Rounding};

/// Trailing zeros of a normal number's significand.
#[inline(always)]
fn trailing_zeros<F: Format>(bits: u64) -> u32 {
    (bits & F::FRACTION | F::MIN_NORMAL).trailing_zeros()
}

/// Whether the product of two normal numbers is a number of the format, given the host's
/// product, a safely normal one.
///
/// The exact product of two significands of P digits has 2P-1 digits, or 2P if it carries, and as
/// many trailing zeros as both together. It is exact if the rest fits into P digits. A carry shows
/// in the exponent; rounding may feign one, but then the product is inexact by either count.
#[inline(always)]
fn is_exact_product<F: Format>(a: u64, b: u64, product: u64) -> bool {
    let exponent = |bits: u64| (F::magnitude(bits) >> F::FRACTION_BITS) as i32;
    let carry = exponent(product) - (exponent(a) + exponent(b) + F::EMIN - 1);
    trailing_zeros::<F>(a) + trailing_zeros::<F>(b) >= F::FRACTION_BITS + carry as u32
}

#[inline(always)]
pub(super) fn add<F: HostFormat>(a: u64, b: u64, rounding: Rounding, flags: &mut u8) -> u64 {
    if rounding == Rounding::Rne {
        let sum = F::host_add(a, b);
        // A sum in the subnormal range is exact, so underflow is impossible.
        if F::magnitude(sum) < F::INFINITY {
            if *flags & NX != 0 {
                return sum;
            }
            // Knuth's TwoSum: the rounding error of a sum is itself a number of the format. Its
            // steps cannot overflow unless the sum is nearly the largest number.
            if F::magnitude(sum) < F::MAX_FINITE - (4 << F::FRACTION_BITS) {
                let b_rounded = F::host_sub(sum, a);
                let a_rounded = F::host_sub(sum, b_rounded);
                let error = F::host_add(F::host_sub(a, a_rounded), F::host_sub(b, b_rounded));
                if F::magnitude(error) != 0 {
                    *flags |= NX;
                }
                return sum;
            }
        }
    }
    add_exact::<F>(a, b, rounding, flags)
}

#[cold]
#[inline(never)]
fn add_exact<F: Format>(a: u64, b: u64, rounding: Rounding, flags: &mut u8) -> u64 {
    exact::add::<F>(a, b, rounding, flags)
}

#[inline(always)]
pub(super) fn sub<F: HostFormat>(a: u64, b: u64, rounding: Rounding, flags: &mut u8) -> u64 {
    // Flipping the sign of a NaN changes neither its kind nor the canonical result.
    add::<F>(a, b ^ F::SIGN, rounding, flags)
}

#[inline(always)]
pub(super) fn mul<F: HostFormat>(a: u64, b: u64, rounding: Rounding, flags: &mut u8) -> u64 {
    if rounding == Rounding::Rne {
        let product = F::host_mul(a, b);
        if F::is_safely_normal(product) {
            if *flags & NX != 0 {
                return product;
            }
            if F::is_safely_normal(a) && F::is_safely_normal(b) {
                if !is_exact_product::<F>(a, b, product) {
                    *flags |= NX;
                }
                return product;
            }
        }
    }
    mul_exact::<F>(a, b, rounding, flags)
}

#[cold]
#[inline(never)]
fn mul_exact<F: Format>(a: u64, b: u64, rounding: Rounding, flags: &mut u8) -> u64 {
    exact::mul::<F>(a, b, rounding, flags)
}

#[inline(always)]
pub(super) fn div<F: HostFormat>(a: u64, b: u64, rounding: Rounding, flags: &mut u8) -> u64 {
    // A normal divisor keeps division by zero out, and ∞, by which a quotient is zero.
    if rounding == Rounding::Rne && F::is_safely_normal(b) {
        let quotient = F::host_div(a, b);
        if F::is_safely_normal(quotient) {
            if *flags & NX != 0 {
                return quotient;
            }
            if F::is_safely_normal(a) {
                // The quotient is exact if, multiplied exactly, it gives back the dividend.
                let back = F::host_mul(quotient, b);
                if back != a || !is_exact_product::<F>(quotient, b, back) {
                    *flags |= NX;
                }
                return quotient;
            }
        }
    }
    div_exact::<F>(a, b, rounding, flags)
}

#[cold]
#[inline(never)]
fn div_exact<F: Format>(a: u64, b: u64, rounding: Rounding, flags: &mut u8) -> u64 {
    exact::div::<F>(a, b, rounding, flags)
}

#[inline(always)]
pub(super) fn sqrt<F: HostFormat>(a: u64, rounding: Rounding, flags: &mut u8) -> u64 {
    // The root of a normal number is far inside the normal range.
    if rounding == Rounding::Rne && F::is_safely_normal(a) && a & F::SIGN == 0 {
        let root = F::host_sqrt(a);
        if *flags & NX == 0 {
            let back = F::host_mul(root, root);
            if back != a || !is_exact_product::<F>(root, root, back) {
                *flags |= NX;
            }
        }
        return root;
    }
    sqrt_exact::<F>(a, rounding, flags)
}

#[cold]
#[inline(never)]
fn sqrt_exact<F: Format>(a: u64, rounding: Rounding, flags: &mut u8) -> u64 {
    exact::sqrt::<F>(a, rounding, flags)
}

#[inline(always)]
pub(super) fn mul_add<F: HostFormat>(
    a: u64,
    b: u64,
    c: u64,
    rounding: Rounding,
    flags: &mut u8,
) -> u64 {
    // It is expensive to know whether a fused result is exact; but numeric programs have NX set
    // almost from their first operation on.
    if rounding == Rounding::Rne && *flags & NX != 0 {
        let result = F::host_mul_add(a, b, c);
        if F::is_safely_normal(result) {
            return result;
        }
    }
    mul_add_exact::<F>(a, b, c, rounding, flags)
}

#[cold]
#[inline(never)]
fn mul_add_exact<F: Format>(a: u64, b: u64, c: u64, rounding: Rounding, flags: &mut u8) -> u64 {
    exact::mul_add::<F>(a, b, c, rounding, flags)
}

/// Whether an integer of this magnitude is a number of the format.
#[inline(always)]
fn is_exact_integer<F: Format>(magnitude: u64) -> bool {
    magnitude == 0 || 64 - magnitude.leading_zeros() - magnitude.trailing_zeros() <= F::PRECISION
}

#[inline(always)]
pub(super) fn from_i64<F: HostFormat>(value: i64, rounding: Rounding, flags: &mut u8) -> u64 {
    let magnitude = value.unsigned_abs();
    if is_exact_integer::<F>(magnitude) {
        return F::host_from_i64(value);
    }
    exact::from_integer::<F>(value < 0, magnitude, rounding, flags)
}

#[inline(always)]
pub(super) fn from_u64<F: HostFormat>(value: u64, rounding: Rounding, flags: &mut u8) -> u64 {
    if is_exact_integer::<F>(value) {
        return F::host_from_u64(value);
    }
    exact::from_integer::<F>(false, value, rounding, flags)
}

#[inline(always)]
pub(super) fn narrow(a: u64, rounding: Rounding, flags: &mut u8) -> u32 {
    if rounding == Rounding::Rne {
        let wide = f64::from_bits(a);
        let narrow = wide as f32;
        if Binary32::is_safely_normal(narrow.to_bits().into()) {
            if f64::from(narrow) != wide {
                *flags |= NX;
            }
            return narrow.to_bits();
        }
    }
    exact::convert::<Binary64, Binary32>(a, rounding, flags) as u32
}

#[inline(always)]
pub(super) fn widen(a: u32, flags: &mut u8) -> u64 {
    if Binary32::is_safely_normal(a.into()) {
        return f64::from(f32::from_bits(a)).to_bits();
    }
    exact::convert::<Binary32, Binary64>(a.into(), Rounding::Rne, flags)
}
