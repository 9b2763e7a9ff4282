//! The two interchange formats, and how the host names them.

/// An IEEE 754 binary interchange format of at most 64 bits.
///
/// Bit patterns travel as `u64`, zero-extended, so that one implementation serves both formats.
pub(super) trait Format: Copy {
    /// Digits of the significand, the implicit one included.
    const PRECISION: u32;
    /// Bits of the exponent field.
    const EXPONENT_BITS: u32;

    /// Exponent of the smallest normal number, and of every subnormal one.
    const EMIN: i32 = 2 - (1 << (Self::EXPONENT_BITS - 1));
    /// Exponent of the largest finite number.
    const EMAX: i32 = (1 << (Self::EXPONENT_BITS - 1)) - 1;
    /// Bits of the stored fraction.
    const FRACTION_BITS: u32 = Self::PRECISION - 1;
    /// The stored fraction.
    const FRACTION: u64 = (1 << Self::FRACTION_BITS) - 1;
    /// The exponent field with every bit set, in place: also the bit pattern of +∞.
    const INFINITY: u64 = ((1 << Self::EXPONENT_BITS) - 1) << Self::FRACTION_BITS;
    /// The sign bit.
    const SIGN: u64 = 1 << (Self::FRACTION_BITS + Self::EXPONENT_BITS);
    /// The fraction's top bit, which tells a quiet NaN from a signalling one.
    const QUIET: u64 = 1 << (Self::FRACTION_BITS - 1);
    /// The NaN that every operation gives: positive, quiet, no payload.
    const NAN: u64 = Self::INFINITY | Self::QUIET;
    /// The smallest normal number.
    const MIN_NORMAL: u64 = 1 << Self::FRACTION_BITS;
    /// The largest finite number.
    const MAX_FINITE: u64 = Self::INFINITY - 1;

    /// Whether `bits` is any NaN.
    #[inline(always)]
    fn is_nan(bits: u64) -> bool {
        bits & !Self::SIGN > Self::INFINITY
    }

    /// Whether `bits` is a signalling NaN.
    #[inline(always)]
    fn is_signalling(bits: u64) -> bool {
        Self::is_nan(bits) && bits & Self::QUIET == 0
    }

    /// The magnitude's bit pattern.
    #[inline(always)]
    fn magnitude(bits: u64) -> u64 {
        bits & !Self::SIGN
    }

    /// Whether the magnitude is a normal number above the smallest one: neither zero, subnormal,
    /// ∞ nor NaN, and not a value that rounding may have carried up from below the normal range.
    #[inline(always)]
    fn is_safely_normal(bits: u64) -> bool {
        let magnitude = Self::magnitude(bits);
        magnitude > Self::MIN_NORMAL && magnitude < Self::INFINITY
    }
}

/// The host's own arithmetic on a format: round to nearest, ties to even, no flags.
pub(super) trait HostFormat: Format {
    /// Addition.
    fn host_add(a: u64, b: u64) -> u64;
    /// Subtraction.
    fn host_sub(a: u64, b: u64) -> u64;
    /// Multiplication.
    fn host_mul(a: u64, b: u64) -> u64;
    /// Division.
    fn host_div(a: u64, b: u64) -> u64;
    /// Square root.
    fn host_sqrt(a: u64) -> u64;
    /// Fused multiply and add.
    fn host_mul_add(a: u64, b: u64, c: u64) -> u64;
    /// The nearest value to a signed integer.
    fn host_from_i64(value: i64) -> u64;
    /// The nearest value to an unsigned integer.
    fn host_from_u64(value: u64) -> u64;
}

/// binary32, single precision.
#[derive(Clone, Copy)]
pub(super) struct Binary32;

/// binary64, double precision.
#[derive(Clone, Copy)]
pub(super) struct Binary64;

impl Format for Binary32 {
    const PRECISION: u32 = 24;
    const EXPONENT_BITS: u32 = 8;
}

impl Format for Binary64 {
    const PRECISION: u32 = 53;
    const EXPONENT_BITS: u32 = 11;
}

macro_rules! host_format {
    ($format:ty, $host:ty, $bits:ty) => {
        impl HostFormat for $format {
            #[inline(always)]
            fn host_add(a: u64, b: u64) -> u64 {
                u64::from(
                    (<$host>::from_bits(a as $bits) + <$host>::from_bits(b as $bits)).to_bits(),
                )
            }
            #[inline(always)]
            fn host_sub(a: u64, b: u64) -> u64 {
                u64::from(
                    (<$host>::from_bits(a as $bits) - <$host>::from_bits(b as $bits)).to_bits(),
                )
            }
            #[inline(always)]
            fn host_mul(a: u64, b: u64) -> u64 {
                u64::from(
                    (<$host>::from_bits(a as $bits) * <$host>::from_bits(b as $bits)).to_bits(),
                )
            }
            #[inline(always)]
            fn host_div(a: u64, b: u64) -> u64 {
                u64::from(
                    (<$host>::from_bits(a as $bits) / <$host>::from_bits(b as $bits)).to_bits(),
                )
            }
            #[inline(always)]
            fn host_sqrt(a: u64) -> u64 {
                u64::from(<$host>::from_bits(a as $bits).sqrt().to_bits())
            }
            #[inline(always)]
            fn host_mul_add(a: u64, b: u64, c: u64) -> u64 {
                let (a, b) = (<$host>::from_bits(a as $bits), <$host>::from_bits(b as $bits));
                u64::from(a.mul_add(b, <$host>::from_bits(c as $bits)).to_bits())
            }
            #[inline(always)]
            fn host_from_i64(value: i64) -> u64 {
                u64::from((value as $host).to_bits())
            }
            #[inline(always)]
            fn host_from_u64(value: u64) -> u64 {
                u64::from((value as $host).to_bits())
            }
        }
    };
}

host_format!(Binary32, f32, u32);
host_format!(Binary64, f64, u64);
