//! Ranges of addresses.

use std::net::Ipv4Addr;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    pub(super) first: Ipv4Addr,
    pub(super) bits: u8,
}

impl Cidr {
    /// The addresses that share the first `bits` bits, 0 to 32, with `address`.
    pub const fn new(address: Ipv4Addr, bits: u8) -> Self {
        let bits = if bits > 32 { 32 } else { bits };
        let first = Ipv4Addr::from_bits(address.to_bits() & mask(bits));
        Self { first, bits }
    }

    /// Reads `address/bits`, or an address alone.
    ///
    /// # Errors
    /// What was expected and found.
    ///
    /// ```
    /// use stillpoint_net::Cidr;
    /// let range: Cidr = Cidr::parse("10.1.0.0/16")?;
    /// assert!(range.contains("10.1.255.1".parse().expect("an address")));
    /// assert!(Cidr::parse("10.1.0.0/33").is_err());
    /// # Ok::<(), String>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, String> {
        let problem = || format!("expected an IPv4 address, or address/0 to /32, found {text:?}");
        let (address, bits) = text.split_once('/').unwrap_or((text, "32"));
        let bits = match bits.parse() {
            Ok(bits @ 0..=32u8) => bits,
            _ => return Err(problem()),
        };
        address.parse().map(|address| Self::new(address, bits)).map_err(|_| problem())
    }

    /// Whether an address is one of them.
    pub const fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.bits) == self.first.to_bits()
    }

    pub(super) fn lies_in(&self, other: &Self) -> bool {
        self.bits >= other.bits && other.contains(self.first)
    }
}

const fn mask(bits: u8) -> u32 {
    // A shift by all bits is none.
    (u32::MAX as u64).wrapping_shl(32 - bits as u32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_range_holds_what_shares_its_bits(address in any::<u32>(), bits in 0..=32u8, flip in 0..32u32) {
            let range = Cidr::new(Ipv4Addr::from_bits(address), bits);
            let other = Ipv4Addr::from_bits(address ^ 1 << flip);
            prop_assert!(range.contains(Ipv4Addr::from_bits(address)));
            prop_assert_eq!(range.contains(other), flip < 32 - u32::from(bits));
            let text = format!("{}/{bits}", Ipv4Addr::from_bits(address));
            prop_assert_eq!(Cidr::parse(&text), Ok(range));
        }

        #[test]
        fn any_text_is_a_range_or_refused(text in "[0-9./]{0,20}") {
            if let Ok(range) = Cidr::parse(&text) {
                prop_assert!(range.contains(range.first));
            }
        }
    }
}
