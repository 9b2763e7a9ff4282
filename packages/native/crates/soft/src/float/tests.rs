//! The arithmetic against an independent implementation, and the fast path against the exact one.

mod rules;

use super::format::{Binary32, Binary64, Format, HostFormat};
use super::{DZ, NV, NX, OF, Rounding, UF, exact, fast};
use proptest::prelude::*;
use rustc_apfloat::{Float, FloatConvert, Round, Status, ieee};

const ROUNDINGS: [Rounding; 5] =
    [Rounding::Rne, Rounding::Rtz, Rounding::Rdn, Rounding::Rup, Rounding::Rmm];

fn rounding() -> impl Strategy<Value = Rounding> {
    prop_oneof![4 => Just(Rounding::Rne), 5 => proptest::sample::select(&ROUNDINGS[..])]
}

/// Bit patterns near everything that goes wrong: edges of the exponent range, subnormals, runs of
/// ones and zeros, single bits, NaNs with payloads.
fn operand<F: Format>() -> impl Strategy<Value = u64> {
    let top = (1u64 << F::EXPONENT_BITS) - 1;
    let bias = top / 2;
    let precision = u64::from(F::PRECISION);
    let exponent = prop_oneof![
        2 => Just(0),
        1 => Just(top),
        2 => 0..4u64,
        2 => top - 4..top,
        4 => bias - precision - 3..bias + precision + 4,
        2 => precision - 2..precision + 3,
        4 => 0..=top,
    ];
    let fraction = prop_oneof![
        2 => Just(0),
        1 => Just(F::FRACTION),
        1 => Just(1),
        2 => (0..F::FRACTION_BITS).prop_map(|bit| 1 << bit),
        2 => (0..F::FRACTION_BITS).prop_map(|bit| F::FRACTION << bit & F::FRACTION),
        1 => (0..F::FRACTION_BITS).prop_map(|bit| F::FRACTION >> bit),
        2 => (any::<u64>(), 0..F::FRACTION_BITS).prop_map(|(x, bit)| x << bit & F::FRACTION),
        3 => any::<u64>().prop_map(|x| x & F::FRACTION),
    ];
    (any::<bool>(), exponent, fraction).prop_map(|(negative, exponent, fraction)| {
        let sign = if negative { F::SIGN } else { 0 };
        sign | exponent << F::FRACTION_BITS | fraction
    })
}

/// Integers of every length, with runs of zeros below.
fn integer() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32, 0..64u32, any::<bool>()).prop_map(|(x, down, up, negate)| {
        let magnitude = x >> down >> up << up;
        if negate { magnitude.wrapping_neg() } else { magnitude }
    })
}

/// Runs an operation and gives its result with the flags that it raises.
fn observed<T>(flags_before: u8, operation: impl FnOnce(&mut u8) -> T) -> (T, u8) {
    let mut flags = flags_before;
    let result = operation(&mut flags);
    (result, flags)
}

/// Both results of one operation on the same operands must be equal, whatever flags stand.
macro_rules! prop_same {
    ($name:literal, $fast:expr, $exact:expr) => {
        for before in [0, NX, NV] {
            prop_assert_eq!(observed(before, $fast), observed(before, $exact), $name);
        }
    };
}

fn fast_is_exact<F: HostFormat>(a: u64, b: u64, c: u64, r: Rounding) -> Result<(), TestCaseError> {
    let negated = b ^ F::SIGN;
    prop_same!("add", |f| fast::add::<F>(a, b, r, f), |f| exact::add::<F>(a, b, r, f));
    prop_same!("sub", |f| fast::sub::<F>(a, b, r, f), |f| exact::add::<F>(a, negated, r, f));
    prop_same!("mul", |f| fast::mul::<F>(a, b, r, f), |f| exact::mul::<F>(a, b, r, f));
    prop_same!("div", |f| fast::div::<F>(a, b, r, f), |f| exact::div::<F>(a, b, r, f));
    prop_same!("sqrt", |f| fast::sqrt::<F>(a, r, f), |f| exact::sqrt::<F>(a, r, f));
    prop_same!("mul_add", |f| fast::mul_add::<F>(a, b, c, r, f), |f| exact::mul_add::<F>(
        a, b, c, r, f
    ));
    // Operands for which the result is exact, or nearly so.
    let product = exact::mul::<F>(a, b, r, &mut 0);
    let square = exact::mul::<F>(a, a, r, &mut 0);
    prop_same!("div back", |f| fast::div::<F>(product, b, r, f), |f| exact::div::<F>(
        product, b, r, f
    ));
    prop_same!("root of square", |f| fast::sqrt::<F>(square, r, f), |f| exact::sqrt::<F>(
        square, r, f
    ));
    prop_same!("residual", |f| fast::mul_add::<F>(a, b, product ^ F::SIGN, r, f), |f| {
        exact::mul_add::<F>(a, b, product ^ F::SIGN, r, f)
    });
    Ok(())
}

fn to_apfloat_round(rounding: Rounding) -> Round {
    match rounding {
        Rounding::Rne => Round::NearestTiesToEven,
        Rounding::Rtz => Round::TowardZero,
        Rounding::Rdn => Round::TowardNegative,
        Rounding::Rup => Round::TowardPositive,
        Rounding::Rmm => Round::NearestTiesToAway,
    }
}

fn status_flags(status: Status) -> u8 {
    [
        (Status::INEXACT, NX),
        (Status::UNDERFLOW, UF),
        (Status::OVERFLOW, OF),
        (Status::DIV_BY_ZERO, DZ),
        (Status::INVALID_OP, NV),
    ]
    .iter()
    .filter(|(bit, _)| status.contains(*bit))
    .fold(0, |flags, (_, flag)| flags | flag)
}

/// Compares a result with the other implementation's, in RISC-V terms: NaNs are canonical. Two
/// flags are left out where that implementation departs from the standard: it calls nothing tiny
/// that rounds to the smallest normal number, and no overflow what rounds to the largest.
fn prop_agree<F: Format>(
    name: &str,
    ours: (u64, u8),
    theirs: (u64, Status),
) -> Result<(), TestCaseError> {
    let (theirs, status) = theirs;
    let expected = if F::is_nan(theirs) { F::NAN } else { theirs };
    let mask = match F::magnitude(expected) {
        magnitude if magnitude == F::MIN_NORMAL => !UF,
        magnitude if magnitude == F::MAX_FINITE => !OF,
        _ => !0,
    };
    prop_assert_eq!(
        (ours.0, ours.1 & mask),
        (expected, status_flags(status) & mask),
        "{}: ours {:#x} {:#x}, theirs {:#x} {:?}",
        name,
        ours.0,
        ours.1,
        theirs,
        status
    );
    Ok(())
}

fn agrees_with_apfloat<F: Format, A: Float>(
    a: u64,
    b: u64,
    c: u64,
    r: Rounding,
) -> Result<(), TestCaseError> {
    let round = to_apfloat_round(r);
    let apfloat = |bits: u64| A::from_bits(bits.into());
    let bits = |value: rustc_apfloat::StatusAnd<A>| (value.value.to_bits() as u64, value.status);
    let check = prop_agree::<F>;
    check(
        "add",
        observed(0, |f| exact::add::<F>(a, b, r, f)),
        bits(apfloat(a).add_r(apfloat(b), round)),
    )?;
    check(
        "mul",
        observed(0, |f| exact::mul::<F>(a, b, r, f)),
        bits(apfloat(a).mul_r(apfloat(b), round)),
    )?;
    check(
        "div",
        observed(0, |f| exact::div::<F>(a, b, r, f)),
        bits(apfloat(a).div_r(apfloat(b), round)),
    )?;
    // With an infinity times zero the other implementation lets a quiet NaN addend pass.
    if !F::is_nan(c) {
        check(
            "mul_add",
            observed(0, |f| exact::mul_add::<F>(a, b, c, r, f)),
            bits(apfloat(a).mul_add_r(apfloat(b), apfloat(c), round)),
        )?;
    }
    let order = apfloat(a).partial_cmp(&apfloat(b));
    prop_assert_eq!(exact::compare::<F>(a, b), order);
    Ok(())
}

/// The floor of a root squared is not above the radicand, and its successor squared is.
fn root_is_bracketed<F: Format>(a: u64) -> Result<(), TestCaseError> {
    let a = F::magnitude(a);
    if a == 0 || a >= F::INFINITY {
        return Ok(());
    }
    let root = exact::sqrt::<F>(a, Rounding::Rdn, &mut 0);
    let residual =
        |root: u64, rounding| exact::mul_add::<F>(root, root, a | F::SIGN, rounding, &mut 0);
    let below = residual(root, Rounding::Rup);
    prop_assert!(below & F::SIGN != 0 || below == 0);
    let above = residual(root + 1, Rounding::Rdn);
    prop_assert!(above & F::SIGN == 0);
    let is_exact = residual(root, Rounding::Rup) == 0 && residual(root, Rounding::Rdn) == F::SIGN;
    let up = observed(0, |f| exact::sqrt::<F>(a, Rounding::Rup, f));
    prop_assert_eq!(up, if is_exact { (root, 0) } else { (root + 1, NX) });
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn the_fast_path_is_the_exact_one_in_double_precision(
        a in operand::<Binary64>(), b in operand::<Binary64>(), c in operand::<Binary64>(),
        r in rounding(),
    ) {
        fast_is_exact::<Binary64>(a, b, c, r)?;
    }

    #[test]
    fn the_fast_path_is_the_exact_one_in_single_precision(
        a in operand::<Binary32>(), b in operand::<Binary32>(), c in operand::<Binary32>(),
        r in rounding(),
    ) {
        fast_is_exact::<Binary32>(a, b, c, r)?;
    }

    #[test]
    fn the_fast_conversions_are_the_exact_ones(
        value in integer(), wide in operand::<Binary64>(), narrow in operand::<Binary32>(),
        near in -3i64..=3, r in rounding(),
    ) {
        let signed = value as i64;
        let magnitude = signed.unsigned_abs();
        prop_same!("i64 to double", |f| fast::from_i64::<Binary64>(signed, r, f),
            |f| exact::from_integer::<Binary64>(signed < 0, magnitude, r, f));
        prop_same!("i64 to single", |f| fast::from_i64::<Binary32>(signed, r, f),
            |f| exact::from_integer::<Binary32>(signed < 0, magnitude, r, f));
        prop_same!("u64 to double", |f| fast::from_u64::<Binary64>(value, r, f),
            |f| exact::from_integer::<Binary64>(false, value, r, f));
        prop_same!("u64 to single", |f| fast::from_u64::<Binary32>(value, r, f),
            |f| exact::from_integer::<Binary32>(false, value, r, f));
        let narrow = narrow as u32;
        prop_same!("widen", |f| fast::widen(narrow, f),
            |f| exact::convert::<Binary32, Binary64>(narrow.into(), r, f));
        // Values on, beside and halfway between those of the narrow format.
        let half = u64::from(value & 1 == 0) << 28;
        let close = exact::convert::<Binary32, Binary64>(narrow.into(), r, &mut 0)
            .wrapping_add(half).wrapping_add_signed(near);
        for wide in [wide, close] {
            prop_same!("narrow", |f| fast::narrow(wide, r, f),
                |f| exact::convert::<Binary64, Binary32>(wide, r, f) as u32);
        }
    }

    #[test]
    fn double_precision_agrees_with_an_independent_implementation(
        a in operand::<Binary64>(), b in operand::<Binary64>(), c in operand::<Binary64>(),
        r in rounding(),
    ) {
        agrees_with_apfloat::<Binary64, ieee::Double>(a, b, c, r)?;
    }

    #[test]
    fn single_precision_agrees_with_an_independent_implementation(
        a in operand::<Binary32>(), b in operand::<Binary32>(), c in operand::<Binary32>(),
        r in rounding(),
    ) {
        agrees_with_apfloat::<Binary32, ieee::Single>(a, b, c, r)?;
    }

    #[test]
    fn conversions_agree_with_an_independent_implementation(
        a in operand::<Binary64>(), value in integer(), r in rounding(),
    ) {
        let round = to_apfloat_round(r);
        let apfloat = ieee::Double::from_bits(a.into());
        let converted: rustc_apfloat::StatusAnd<ieee::Single> =
            apfloat.convert_r(round, &mut false);
        // NaNs have tests of their own.
        if !Binary64::is_nan(a) {
            prop_agree::<Binary32>(
                "narrow",
                observed(0, |f| exact::convert::<Binary64, Binary32>(a, r, f)),
                (converted.value.to_bits() as u64, converted.status),
            )?;
        }
        let from = ieee::Double::from_i128_r((value as i64).into(), round);
        prop_agree::<Binary64>(
            "from i64",
            observed(0, |f| exact::from_integer::<Binary64>(
                (value as i64) < 0, (value as i64).unsigned_abs(), r, f)),
            (from.value.to_bits() as u64, from.status),
        )?;
        let integer = apfloat.to_i128_r(64, round, &mut false);
        let ours = observed(0, |f| super::f64::to_i64(a, r, f));
        prop_assert_eq!(ours.1, status_flags(integer.status));
        if ours.1 & NV == 0 {
            prop_assert_eq!(i128::from(ours.0), integer.value);
        }
        let integer = apfloat.to_u128_r(32, round, &mut false);
        let ours = observed(0, |f| super::f64::to_u32(a, r, f));
        prop_assert_eq!(ours.1, status_flags(integer.status));
        if ours.1 & NV == 0 {
            prop_assert_eq!(u128::from(ours.0), integer.value);
        }
    }

    #[test]
    fn a_root_lies_between_its_neighbours_squares(
        a in operand::<Binary64>(), b in operand::<Binary32>(),
    ) {
        root_is_bracketed::<Binary64>(a)?;
        root_is_bracketed::<Binary32>(b)?;
    }
}
