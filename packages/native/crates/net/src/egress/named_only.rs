//! Addresses that only a rule inside their range allows: those of the host, of its links and of
//! services that tell a host its identity, and such addresses in another notation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Cidr;

const fn range(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Cidr {
    Cidr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits)
}

const fn range_6(first: [u16; 8], bits: u8) -> Cidr {
    let [a, b, c, d, e, f, g, h] = first;
    Cidr::new(IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), bits)
}

/// The ranges.
pub(super) const NAMED_ONLY: &[Cidr] = &[
    // This host, and its loopback.
    range(0, 0, 0, 0, 8),
    range(127, 0, 0, 0, 8),
    range_6([0, 0, 0, 0, 0, 0, 0, 0], 128),
    range_6([0, 0, 0, 0, 0, 0, 0, 1], 128),
    // Links, with the metadata services of most clouds.
    range(169, 254, 0, 0, 16),
    range_6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    // Sites, as they were once called.
    range_6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
    // Metadata services elsewhere.
    range(100, 100, 100, 200, 32),
    range(168, 63, 129, 16, 32),
    range(192, 0, 0, 192, 32),
    range_6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32),
    range_6([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128),
    range_6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128),
    // Local networks, where such services live in version 6.
    range_6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    // Multicast addresses, and reserved ones.
    range(224, 0, 0, 0, 4),
    range(240, 0, 0, 0, 4),
    range_6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
    // Addresses of version 4 in clothes that no packet has to wear, and a tunnel that hides them.
    range_6([0, 0, 0, 0, 0, 0, 0, 0], 96),
    range_6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
    range_6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96),
    range_6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    range_6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32),
];

/// Ranges whose addresses hold one of version 4, right behind the bits that they share: as they are
/// (RFC 4291, 2.5.5), translated (RFC 2765, RFC 6052), and through a tunnel (RFC 3056).
const HOLDING: &[Cidr] = &[
    range_6([0, 0, 0, 0, 0, 0, 0, 0], 96),
    range_6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
    range_6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96),
    range_6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96),
    range_6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
];

/// The range that holds an address of version 4, and that address.
fn held_by(address: IpAddr) -> Option<(&'static Cidr, Ipv4Addr)> {
    let IpAddr::V6(bits) = address else { return None };
    let holding = HOLDING.iter().find(|range| range.contains(address))?;
    let held = bits.to_bits() >> (96 - holding.bits);
    Some((holding, Ipv4Addr::from_bits(held as u32)))
}

/// The address of version 4 that one of version 6 leads to.
pub(super) fn held_address(address: IpAddr) -> Option<Ipv4Addr> {
    held_by(address).map(|(_, held)| held)
}

/// The smallest range with an address whose rules have to lie in it, if there is one.
pub(super) fn named_only(address: IpAddr) -> Option<Cidr> {
    let plain = NAMED_ONLY.iter().copied().filter(|range| range.contains(address));
    let held = held_by(address).and_then(|(holding, held)| {
        let inner = named_only(held.into())?;
        let (IpAddr::V6(outer), IpAddr::V4(first)) = (holding.first, inner.first) else {
            return None;
        };
        let first = outer.to_bits() | u128::from(first.to_bits()) << (96 - holding.bits);
        Some(Cidr::new(Ipv6Addr::from_bits(first).into(), holding.bits + inner.bits))
    });
    plain.chain(held).max_by_key(|range| range.bits)
}
