//! Packets that the host's end makes itself: datagrams, and news of those that went nowhere.

use std::net::IpAddr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, IpRepr, UdpPacket, UdpRepr};

use crate::addresses::Version;

pub(crate) const UDP_BYTES: usize = 8;
const ICMP_BYTES: usize = 8;
const HOP_LIMIT: u8 = 64;
const IPV6_BYTES: usize = 40;
/// An unreachable destination, and a parameter problem, in version 6 (RFC 4443).
const UNREACHABLE_6: u8 = 1;
const PROBLEM_6: u8 = 4;
/// An unreachable destination in version 4 (RFC 792).
const UNREACHABLE_4: u8 = 3;

/// A place of the network.
pub(crate) type Place = (IpAddr, u16);

/// Why a datagram could not be delivered, for the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// The port is unreachable.
    Port,
    /// It may not go there.
    Prohibited,
}

impl Unreachable {
    /// The code of it (RFC 792, RFC 1812, 5.2.7.1; RFC 4443, 3.1).
    fn code(self, version: Version) -> u8 {
        match (self, version) {
            (Self::Port, Version::Four) => 3,
            (Self::Prohibited, Version::Four) => 13,
            (Self::Port, Version::Six) => 4,
            (Self::Prohibited, Version::Six) => 1,
        }
    }
}

/// A packet with nothing in it yet, and where that begins. Both addresses are of one version.
pub(crate) fn packet(
    (from, to): (IpAddr, IpAddr),
    next_header: IpProtocol,
    hop_limit: u8,
    payload_len: usize,
) -> (Vec<u8>, usize) {
    let repr = IpRepr::new(from.into(), to.into(), next_header, payload_len, hop_limit);
    let start = repr.header_len();
    let mut packet = vec![0; start + payload_len];
    repr.emit(&mut packet[..], &ChecksumCapabilities::default());
    (packet, start)
}

/// A datagram as a packet. `bytes` are no more than fit into one.
pub(crate) fn datagram(from: Place, to: Place, bytes: &[u8]) -> Vec<u8> {
    let payload_len = UDP_BYTES + bytes.len();
    let (mut packet, start) = packet((from.0, to.0), IpProtocol::Udp, HOP_LIMIT, payload_len);
    UdpRepr { src_port: from.1, dst_port: to.1 }.emit(
        &mut UdpPacket::new_unchecked(&mut packet[start..]),
        &from.0.into(),
        &to.0.into(),
        bytes.len(),
        |place| place.copy_from_slice(bytes),
        &ChecksumCapabilities::default(),
    );
    packet
}

/// A message of ICMP as a packet; its checksum is still to be made.
pub(crate) fn message(places: (IpAddr, IpAddr), hop_limit: u8, mut message: Vec<u8>) -> Vec<u8> {
    let (from, to) = places;
    let protocol = match from {
        IpAddr::V4(_) => IpProtocol::Icmp,
        IpAddr::V6(_) => IpProtocol::Icmpv6,
    };
    let covered = match (from, to) {
        // Version 6 covers the places, too.
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let length = (message.len() as u32).to_be_bytes();
            let number = u32::from(u8::from(protocol)).to_be_bytes();
            [&from.octets()[..], &to.octets(), &length, &number, &message].concat()
        }
        _ => message.clone(),
    };
    let checksum = !covered.chunks(2).fold(0u16, |sum, word| {
        let word = u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]);
        let (sum, is_over) = sum.overflowing_add(word);
        sum + u16::from(is_over)
    });
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let (mut packet, start) = packet(places, protocol, hop_limit, message.len());
    packet[start..].copy_from_slice(&message);
    packet
}

/// Source, destination, and length of the header of a packet.
fn places_of(packet: &[u8]) -> Option<(IpAddr, IpAddr, usize)> {
    fn at<const N: usize>(packet: &[u8], at: usize) -> Option<IpAddr>
    where
        IpAddr: From<[u8; N]>,
    {
        packet.get(at..)?.first_chunk::<N>().map(|bytes| IpAddr::from(*bytes))
    }
    let first = *packet.first()?;
    if first >> 4 == 6 {
        Some((at::<16>(packet, 8)?, at::<16>(packet, 24)?, IPV6_BYTES))
    } else {
        Some((at::<4>(packet, 12)?, at::<4>(packet, 16)?, usize::from(first & 0xf) * 4))
    }
}

/// The part of a packet that an error message returns: its own headers.
pub(crate) fn headers_of(packet: &[u8]) -> &[u8] {
    let header_bytes = places_of(packet).map_or(0, |(_, _, header_bytes)| header_bytes);
    &packet[..packet.len().min(header_bytes + UDP_BYTES)]
}

/// The news that a packet with these headers went nowhere, from whom it was for.
pub(crate) fn unreachable(headers: &[u8], why: Unreachable) -> Option<Vec<u8>> {
    let (from, to, _) = places_of(headers)?;
    let version = Version::of(from);
    let kind = match version {
        Version::Four => UNREACHABLE_4,
        Version::Six => UNREACHABLE_6,
    };
    Some(back((to, from), [kind, why.code(version)], 0, headers))
}

/// The error for an IPv6 packet whose headers cannot be processed, from byte `at` on.
pub(crate) fn problem(packet: &[u8], code: u8, at: u32) -> Option<Vec<u8>> {
    // Enough of it to show the problem.
    let headers = &packet[..packet.len().min(at as usize + 8).min(MOST_RETURNED_BYTES)];
    let (from, to, _) = places_of(headers)?;
    Some(back((to, from), [PROBLEM_6, code], at, headers))
}

/// The place at which nothing listens, if an ICMP message says so about a datagram.
pub(crate) fn returned(message: &[u8], source: IpAddr) -> Option<Place> {
    let version = Version::of(source);
    let kind = match version {
        Version::Four => UNREACHABLE_4,
        Version::Six => UNREACHABLE_6,
    };
    let (start, packet) = message.split_at_checked(ICMP_BYTES)?;
    let (_, to, header_bytes) = places_of(packet)?;
    let protocol = *packet.get(if version == Version::Six { 6 } else { 9 })?;
    let is_datagram = IpProtocol::from(protocol) == IpProtocol::Udp;
    let port = packet.get(header_bytes + 2..)?.first_chunk().map(|it| u16::from_be_bytes(*it))?;
    let is_news = start[..2] == [kind, Unreachable::Port.code(version)];
    (is_news && is_datagram && to == source).then_some((to, port))
}

/// Maximum bytes of a packet in an error message, which then fits every link.
const MOST_RETURNED_BYTES: usize = 1280 - IPV6_BYTES - ICMP_BYTES;

fn back(places: (IpAddr, IpAddr), kind: [u8; 2], word: u32, headers: &[u8]) -> Vec<u8> {
    let news = [&kind[..], &[0; 2], &word.to_be_bytes(), headers].concat();
    message(places, HOP_LIMIT, news)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::{GATEWAY, GATEWAY_6, GUEST, GUEST_6};
    use proptest::prelude::*;
    use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, Icmpv6Packet, Ipv4Packet, Ipv6Packet};
    use std::net::{Ipv4Addr, Ipv6Addr};

    proptest! {
        #[test]
        fn a_datagram_is_read_as_it_was_written(
            ports in any::<(u16, u16)>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let packet = datagram((GATEWAY.into(), ports.0), (GUEST.into(), ports.1), &bytes);
            let ipv4 = Ipv4Packet::new_checked(&packet[..]).expect("a packet");
            prop_assert!(ipv4.verify_checksum());
            let udp = UdpPacket::new_checked(ipv4.payload()).expect("a datagram");
            prop_assert!(udp.verify_checksum(&GATEWAY.into(), &GUEST.into()));
            prop_assert_eq!((udp.src_port(), udp.dst_port(), udp.payload()), (ports.0, ports.1, &bytes[..]));
            let packet = datagram((GATEWAY_6.into(), ports.0), (GUEST_6.into(), ports.1), &bytes);
            let ipv6 = Ipv6Packet::new_checked(&packet[..]).expect("a packet");
            let udp = UdpPacket::new_checked(ipv6.payload()).expect("a datagram");
            prop_assert!(udp.checksum() != 0 && udp.verify_checksum(&GATEWAY_6.into(), &GUEST_6.into()));
            prop_assert_eq!((udp.src_port(), udp.dst_port(), udp.payload()), (ports.0, ports.1, &bytes[..]));
        }
    }

    #[test]
    fn who_sent_what_went_nowhere_knows_it_again() {
        let there = Ipv4Addr::new(192, 0, 2, 1).into();
        let sent = datagram((GUEST.into(), 7), (there, 9), b"hello");
        let packet = unreachable(headers_of(&sent), Unreachable::Prohibited).expect("whole");
        let ipv4 = Ipv4Packet::new_checked(&packet[..]).expect("a packet");
        assert_eq!(ipv4.dst_addr(), GUEST);
        let icmp = Icmpv4Packet::new_checked(ipv4.payload()).expect("a message");
        assert!(icmp.verify_checksum());
        assert_eq!((icmp.msg_type(), icmp.msg_code()), (Icmpv4Message::DstUnreachable, 13));
        assert_eq!(icmp.data(), &sent[..28], "its headers, and no more");
        assert_eq!(unreachable(&sent[..19], Unreachable::Port), None);
    }

    #[test]
    fn who_sent_what_went_nowhere_over_version_6_knows_it_again() {
        let there = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        let sent = datagram((GUEST_6.into(), 7), (there.into(), 9), b"hello");
        let news = |packet: Vec<u8>| {
            let ipv6 = Ipv6Packet::new_checked(&packet[..]).expect("a packet");
            assert_eq!((ipv6.src_addr(), ipv6.dst_addr()), (there, GUEST_6));
            let icmp = Icmpv6Packet::new_checked(ipv6.payload()).expect("a message");
            assert!(icmp.verify_checksum(&there, &GUEST_6));
            (u8::from(icmp.msg_type()), icmp.msg_code(), ipv6.payload()[4..].to_vec())
        };
        let headers = headers_of(&sent);
        assert_eq!(headers, &sent[..48], "its headers, and no more");
        let returned = [&[0; 4], headers].concat();
        let told = |why| unreachable(headers, why).map(news);
        assert_eq!(told(Unreachable::Prohibited), Some((1, 1, returned.clone())));
        assert_eq!(told(Unreachable::Port), Some((1, 4, returned)));
        assert_eq!(unreachable(&sent[..39], Unreachable::Port), None);
        let wrong = [&[0, 0, 0, 40][..], &sent[..48]].concat();
        assert_eq!(problem(&sent, 1, 40).map(news), Some((4, 1, wrong)));
    }
}
