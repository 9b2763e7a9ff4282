//! The rules that are RISC-V's own, or that it chose among those of the standard.

use super::super::{DZ, NV, NX, Rounding, UF};
use super::{ROUNDINGS, observed};

const INFINITY: u64 = f64::INFINITY.to_bits();
const QUIET: u64 = 0xfff8_0000_0000_1234;
const SIGNALLING: u64 = 0x7ff0_0000_0000_0001;

#[test]
fn nan_results_are_canonical_and_only_signalling_operands_are_invalid() {
    let one = 1f64.to_bits();
    for (nan, expected) in [(QUIET, 0), (SIGNALLING, NV)] {
        let results = [
            observed(0, |f| super::super::f64::add(nan, one, Rounding::Rne, f)),
            observed(0, |f| super::super::f64::sub(one, nan, Rounding::Rne, f)),
            observed(0, |f| super::super::f64::mul(nan, one, Rounding::Rne, f)),
            observed(0, |f| super::super::f64::div(one, nan, Rounding::Rne, f)),
            observed(0, |f| super::super::f64::sqrt(nan, Rounding::Rne, f)),
            observed(0, |f| super::super::f64::mul_add(one, one, nan, Rounding::Rne, f)),
        ];
        for result in results {
            assert_eq!(result, (super::super::f64::NAN, expected));
        }
        let narrow = observed(0, |f| super::super::f32::from_f64(nan, Rounding::Rne, f));
        assert_eq!(narrow, (super::super::f32::NAN, expected));
    }
}

#[test]
fn infinity_times_zero_is_invalid_even_with_a_quiet_nan_addend() {
    for addend in [QUIET, SIGNALLING, 1f64.to_bits(), INFINITY] {
        let result =
            observed(0, |f| super::super::f64::mul_add(INFINITY, 0, addend, Rounding::Rne, f));
        assert_eq!(result, (super::super::f64::NAN, NV));
    }
}

#[test]
fn comparisons_are_quiet_for_equality_and_signalling_for_order() {
    let one = 1f64.to_bits();
    assert_eq!(observed(0, |f| super::super::f64::eq(QUIET, one, f)), (false, 0));
    assert_eq!(observed(0, |f| super::super::f64::eq(SIGNALLING, one, f)), (false, NV));
    assert_eq!(observed(0, |f| super::super::f64::lt(QUIET, one, f)), (false, NV));
    assert_eq!(observed(0, |f| super::super::f64::le(one, QUIET, f)), (false, NV));
    let (zero, minus_zero) = (0, (-0f64).to_bits());
    assert_eq!(observed(0, |f| super::super::f64::eq(zero, minus_zero, f)), (true, 0));
    assert_eq!(observed(0, |f| super::super::f64::lt(minus_zero, zero, f)), (false, 0));
    assert_eq!(observed(0, |f| super::super::f64::le(zero, minus_zero, f)), (true, 0));
}

#[test]
fn minimum_and_maximum_prefer_numbers_and_order_zeros() {
    let (one, zero, minus_zero) = (1f64.to_bits(), 0, (-0f64).to_bits());
    for (a, b) in [(zero, minus_zero), (minus_zero, zero)] {
        assert_eq!(observed(0, |f| super::super::f64::min(a, b, f)), (minus_zero, 0));
        assert_eq!(observed(0, |f| super::super::f64::max(a, b, f)), (zero, 0));
    }
    for (nan, flags) in [(QUIET, 0), (SIGNALLING, NV)] {
        assert_eq!(observed(0, |f| super::super::f64::min(nan, one, f)), (one, flags));
        assert_eq!(observed(0, |f| super::super::f64::max(one, nan, f)), (one, flags));
        assert_eq!(
            observed(0, |f| super::super::f64::max(QUIET, nan, f)),
            (super::super::f64::NAN, flags)
        );
    }
}

#[test]
fn classes_are_told_apart() {
    let values = [
        f32::NEG_INFINITY.to_bits(),
        (-1f32).to_bits(),
        0x8000_0001,
        0x8000_0000,
        0,
        1,
        1f32.to_bits(),
        f32::INFINITY.to_bits(),
        0x7f80_0001,
        0xffc0_0000,
    ];
    for (bit, value) in values.into_iter().enumerate() {
        assert_eq!(super::super::f32::classify(value), 1 << bit, "{value:#x}");
    }
}

#[test]
fn tininess_is_detected_after_rounding() {
    let min_normal = f64::MIN_POSITIVE.to_bits();
    let below_one = 1f64.next_down().to_bits();
    // 2^-1022 * (1 - 2^-53) rounds to 2^-1022 with or without an exponent bound: tiny only where
    // 53 digits suffice to stay below.
    let product =
        |rounding| observed(0, |f| super::super::f64::mul(min_normal, below_one, rounding, f));
    assert_eq!(product(Rounding::Rne), (min_normal, UF | NX));
    assert_eq!(product(Rounding::Rtz), (min_normal - 1, UF | NX));
    // 2^-1022 * (1 + 2^-52) * (1 - 2^-53) lies above 2^-1022 * (1 - 2^-54): rounded to 53 digits
    // it is no longer tiny.
    let result =
        observed(0, |f| super::super::f64::mul(min_normal + 1, below_one, Rounding::Rdn, f));
    assert_eq!(result, (min_normal, NX));
}

#[test]
fn conversions_to_integers_saturate_and_are_then_only_invalid() {
    let to = |value: f64, rounding| {
        let bits = value.to_bits();
        [
            observed(0, |f| i128::from(super::super::f64::to_i32(bits, rounding, f))),
            observed(0, |f| i128::from(super::super::f64::to_u32(bits, rounding, f))),
            observed(0, |f| i128::from(super::super::f64::to_i64(bits, rounding, f))),
            observed(0, |f| i128::from(super::super::f64::to_u64(bits, rounding, f))),
        ]
    };
    let min = [i128::from(i32::MIN), 0, i128::from(i64::MIN), 0].map(|x| (x, NV));
    let max =
        [i32::MAX.into(), u32::MAX.into(), i64::MAX.into(), i128::from(u64::MAX)].map(|x| (x, NV));
    for rounding in ROUNDINGS {
        assert_eq!(to(f64::NAN, rounding), max);
        assert_eq!(to(-f64::NAN, rounding), max);
        assert_eq!(to(f64::INFINITY, rounding), max);
        assert_eq!(to(1e300, rounding), max);
        assert_eq!(to(f64::NEG_INFINITY, rounding), min);
        assert_eq!(to(-1e300, rounding), min);
        assert_eq!(to(-0.0, rounding), [(0, 0); 4]);
    }
    // A negative fraction that rounds to zero fits an unsigned integer.
    assert_eq!(to(-0.75, Rounding::Rtz), [(0, NX); 4]);
    assert_eq!(to(-0.75, Rounding::Rne), [(-1, NX), (0, NV), (-1, NX), (0, NV)]);
    assert_eq!(to(-0.5, Rounding::Rne), [(0, NX); 4]);
    assert_eq!(to(-0.5, Rounding::Rmm), [(-1, NX), (0, NV), (-1, NX), (0, NV)]);
}

#[test]
fn a_register_that_is_not_boxed_reads_as_the_canonical_nan() {
    assert_eq!(super::super::f32::unboxed(super::super::f32::boxed(7)), 7);
    assert_eq!(super::super::f32::unboxed(7), super::super::f32::NAN);
    assert_eq!(super::super::f32::unboxed(0xffff_fffe_0000_0000), super::super::f32::NAN);
}

#[test]
fn division_by_zero_is_its_own_flag() {
    let (one, minus_zero) = (1f64.to_bits(), (-0f64).to_bits());
    let result = observed(0, |f| super::super::f64::div(one, minus_zero, Rounding::Rne, f));
    assert_eq!(result, (f64::NEG_INFINITY.to_bits(), DZ));
    let result = observed(0, |f| super::super::f64::div(0, minus_zero, Rounding::Rne, f));
    assert_eq!(result, (super::super::f64::NAN, NV));
}
