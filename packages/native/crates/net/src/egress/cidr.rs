//! Ranges of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses, of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    pub(super) first: IpAddr,
    pub(super) bits: u8,
}

/// Bits of an address, the first ones highest, and how many there are.
const fn bits_of(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (address.to_bits() as u128, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

impl Cidr {
    /// The addresses that share the first `bits` bits, 0 to 32 or to 128, with `address`.
    pub const fn new(address: IpAddr, bits: u8) -> Self {
        let (all, most) = bits_of(address);
        let bits = if bits > most { most } else { bits };
        let first = all & !rest(most - bits);
        let first = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(first as u32)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(first)),
        };
        Self { first, bits }
    }

    /// Reads `address/bits`, or an address alone.
    ///
    /// # Errors
    /// The expected and the found value.
    ///
    /// ```
    /// use stillpoint_net::Cidr;
    /// let range: Cidr = Cidr::parse("10.1.0.0/16")?;
    /// assert!(range.contains("10.1.255.1".parse().expect("an address")));
    /// assert!(Cidr::parse("2001:db8::/32")?.contains("2001:db8::1".parse().expect("an address")));
    /// assert!(Cidr::parse("10.1.0.0/33").is_err());
    /// # Ok::<(), String>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, String> {
        let problem = || {
            format!(
                "expected an address, or address/0 to /32 of version 4, /0 to /128 of version 6, \
                 found {text:?}"
            )
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| problem())?;
        let (_, most) = bits_of(address);
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| problem()))?;
        if bits > most { Err(problem()) } else { Ok(Self::new(address, bits)) }
    }

    /// Whether an address lies in the range.
    pub const fn contains(&self, address: IpAddr) -> bool {
        let ((first, most), (other, others)) = (bits_of(self.first), bits_of(address));
        most == others && (first ^ other) & !rest(most - self.bits) == 0
    }

    /// Whether it is a single address.
    pub(super) fn is_of_one(&self) -> bool {
        self.bits == bits_of(self.first).1
    }

    pub(super) fn lies_in(&self, other: &Self) -> bool {
        self.bits >= other.bits && other.contains(self.first)
    }
}

/// The lowest `bits` bits.
const fn rest(bits: u8) -> u128 {
    // A shift by all bits is none.
    if bits >= 128 { u128::MAX } else { (1 << bits) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_range_holds_what_shares_its_bits(
            address in any::<IpAddr>(),
            bits in 0..=128u8,
            flip in 0..128u32,
        ) {
            let most = bits_of(address).1;
            let (bits, flip) = (bits.min(most), flip % u32::from(most));
            let range = Cidr::new(address, bits);
            let other = match address {
                IpAddr::V4(address) => IpAddr::from((address.to_bits() ^ 1 << flip).to_be_bytes()),
                IpAddr::V6(address) => IpAddr::from((address.to_bits() ^ 1 << flip).to_be_bytes()),
            };
            prop_assert!(range.contains(address));
            prop_assert_eq!(range.contains(other), flip < u32::from(most - bits));
            let text = format!("{address}/{bits}");
            prop_assert_eq!(Cidr::parse(&text), Ok(range));
        }

        #[test]
        fn no_range_holds_an_address_of_the_other_version(address: u32, bits in 0..=32u8) {
            let address = Ipv4Addr::from_bits(address);
            let mapped = IpAddr::V6(address.to_ipv6_mapped());
            prop_assert!(!Cidr::new(address.into(), bits).contains(mapped));
            prop_assert!(!Cidr::new(mapped, bits).contains(address.into()));
        }

        #[test]
        fn any_text_is_a_range_or_refused(text in "[0-9a-f:./]{0,24}") {
            if let Ok(range) = Cidr::parse(&text) {
                prop_assert!(range.contains(range.first));
            }
        }
    }
}
