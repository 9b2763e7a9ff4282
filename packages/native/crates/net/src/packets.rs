//! Packets that the host's end makes itself: datagrams, and news of those that went nowhere.

use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr};

const IPV4_BYTES: usize = 20;
const UDP_BYTES: usize = 8;
const ICMP_BYTES: usize = 8;
const HOP_LIMIT: u8 = 64;
const UNREACHABLE: u8 = 3;

/// A place of the network.
pub(crate) type Place = (Ipv4Addr, u16);

/// Why a datagram went nowhere, as the guest is told (RFC 792; RFC 1812, 5.2.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Unreachable {
    /// Nobody is there.
    Port = 3,
    /// It may not go there.
    Prohibited = 13,
}

fn packet(from: Ipv4Addr, to: Ipv4Addr, next_header: IpProtocol, payload_len: usize) -> Vec<u8> {
    let repr =
        Ipv4Repr { src_addr: from, dst_addr: to, next_header, payload_len, hop_limit: HOP_LIMIT };
    let mut packet = vec![0; IPV4_BYTES + payload_len];
    repr.emit(&mut Ipv4Packet::new_unchecked(&mut packet), &ChecksumCapabilities::default());
    packet
}

/// A datagram as a packet. `bytes` are no more than fit into one.
pub(crate) fn datagram(from: Place, to: Place, bytes: &[u8]) -> Vec<u8> {
    let mut packet = packet(from.0, to.0, IpProtocol::Udp, UDP_BYTES + bytes.len());
    UdpRepr { src_port: from.1, dst_port: to.1 }.emit(
        &mut UdpPacket::new_unchecked(&mut packet[IPV4_BYTES..]),
        &from.0.into(),
        &to.0.into(),
        bytes.len(),
        |place| place.copy_from_slice(bytes),
        &ChecksumCapabilities::default(),
    );
    packet
}

/// What comes back of a packet is its own headers: these bytes of it.
pub(crate) fn headers_of(packet: &[u8]) -> &[u8] {
    let header_bytes = packet.first().map_or(0, |first| usize::from(first & 0xf) * 4);
    &packet[..packet.len().min(header_bytes + UDP_BYTES)]
}

/// The news that a packet with these headers went nowhere, from whom it was for.
pub(crate) fn unreachable(headers: &[u8], why: Unreachable) -> Option<Vec<u8>> {
    let sent = Ipv4Packet::new_unchecked(headers.get(..IPV4_BYTES)?);
    let (from, to) = (sent.dst_addr(), sent.src_addr());
    let mut packet = packet(from, to, IpProtocol::Icmp, ICMP_BYTES + headers.len());
    let message = &mut packet[IPV4_BYTES..];
    message[..2].copy_from_slice(&[UNREACHABLE, why as u8]);
    message[ICMP_BYTES..].copy_from_slice(headers);
    let checksum = !message.chunks(2).fold(0u16, |sum, word| {
        let word = u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]);
        let (sum, is_over) = sum.overflowing_add(word);
        sum + u16::from(is_over)
    });
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::{GATEWAY, GUEST};
    use proptest::prelude::*;
    use smoltcp::wire::{Icmpv4Message, Icmpv4Packet};

    proptest! {
        #[test]
        fn a_datagram_is_read_as_it_was_written(
            ports in any::<(u16, u16)>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let packet = datagram((GATEWAY, ports.0), (GUEST, ports.1), &bytes);
            let ipv4 = Ipv4Packet::new_checked(&packet[..]).expect("a packet");
            prop_assert!(ipv4.verify_checksum());
            let udp = UdpPacket::new_checked(ipv4.payload()).expect("a datagram");
            prop_assert!(udp.verify_checksum(&GATEWAY.into(), &GUEST.into()));
            prop_assert_eq!((udp.src_port(), udp.dst_port(), udp.payload()), (ports.0, ports.1, &bytes[..]));
        }
    }

    #[test]
    fn who_sent_what_went_nowhere_knows_it_again() {
        let sent = datagram((GUEST, 7), (Ipv4Addr::new(192, 0, 2, 1), 9), b"hello");
        let packet = unreachable(headers_of(&sent), Unreachable::Prohibited).expect("whole");
        let ipv4 = Ipv4Packet::new_checked(&packet[..]).expect("a packet");
        assert_eq!(ipv4.dst_addr(), GUEST);
        let icmp = Icmpv4Packet::new_checked(ipv4.payload()).expect("a message");
        assert!(icmp.verify_checksum());
        assert_eq!((icmp.msg_type(), icmp.msg_code()), (Icmpv4Message::DstUnreachable, 13));
        assert_eq!(icmp.data(), &sent[..28], "its headers, and no more");
        assert_eq!(unreachable(&sent[..19], Unreachable::Port), None);
    }
}
