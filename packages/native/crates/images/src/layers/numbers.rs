//! Numbers as tar's headers and PAX records hold them.

/// A header's field: octal digits, or GNU's base 256 with the highest bit set. `None`: neither.
pub(super) fn field(bytes: &[u8]) -> Option<i64> {
    let first = *bytes.first()?;
    if first & 0x80 != 0 {
        return base_256(bytes);
    }
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let digits = bytes[..end].trim_ascii();
    digits.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

fn base_256(bytes: &[u8]) -> Option<i64> {
    let is_negative = bytes[0] & 0x40 != 0;
    // The marker is no digit; a negative number keeps its sign in the bits above.
    let first = if is_negative { i128::from(bytes[0] as i8) } else { i128::from(bytes[0] & 0x3f) };
    let value = bytes[1..]
        .iter()
        .try_fold(first, |value, byte| value.checked_mul(256)?.checked_add(i128::from(*byte)))?;
    i64::try_from(value).ok()
}

/// Decimal digits, nothing else.
pub(super) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Seconds with a fraction, as PAX writes times: whole seconds rounded down, and nanoseconds.
pub(super) fn time(bytes: &[u8]) -> Option<(i64, u32)> {
    let (is_negative, digits) = match bytes.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, bytes),
    };
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanos = (0..9).fold(0_u32, |value, at| {
        value * 10 + fraction.get(at).map_or(0, |digit| u32::from(digit - b'0'))
    });
    Some(match (is_negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanos),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_form_are_read() {
        assert_eq!(field(b"0000644\0"), Some(0o644));
        assert_eq!(field(b"   17 \0 "), Some(0o17));
        assert_eq!(field(b"\0\0\0\0"), Some(0));
        assert_eq!(field(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(field(&[0xff; 12]), Some(-1));
        assert_eq!(field(b"00009\0"), None);
        assert_eq!(field(&[0xbf; 12]), None);
        assert_eq!(time(b"1.5"), Some((1, 500_000_000)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"12345678901.1234567899"), Some((12_345_678_901, 123_456_789)));
        assert_eq!(time(b"1e3"), None);
        assert_eq!(time(b""), None);
        assert_eq!(decimal(b"18446744073709551616"), None);
    }
}
