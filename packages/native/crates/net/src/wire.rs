//! Frames of the guest's, and packets for it.
//!
//! Both ends of the link are known, so nothing is learnt from frames: who asks for the gateway's
//! hardware address is answered, and who claims to have it is not listened to.

use smoltcp::wire::{IpProtocol, Ipv4Packet, TcpPacket, UdpPacket};
use std::net::Ipv4Addr;

use crate::addresses::{GATEWAY, GATEWAY_HARDWARE, GUEST, NAME_SERVER};
use crate::packets::Place;

const ETHERNET_BYTES: usize = 14;
const TYPE_IPV4: [u8; 2] = [0x08, 0x00];
const TYPE_ARP: [u8; 2] = [0x08, 0x06];
const BROADCAST: [u8; 6] = [0xff; 6];
/// An ARP request: Ethernet, IPv4, lengths, operation.
const ARP_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
const ARP_BYTES: usize = 28;
const UDP_BYTES: usize = 8;

/// What a frame of the guest's is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent<'a> {
    /// The guest asks who the gateway is: the answer.
    Question(Vec<u8>),
    /// A segment of TCP, or the beginning of one.
    Segment { packet: &'a [u8], segment: Segment },
    /// A datagram of the guest's.
    Datagram(Datagram<'a>),
    /// A part of a datagram.
    Part(&'a [u8]),
    /// Another packet, to be refused if it is to leave this network.
    Packet { packet: &'a [u8], protocol: u8, destination: Ipv4Addr },
    /// Nothing that anybody here looks at.
    Nothing,
}

/// The places of a segment and what it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) source: (Ipv4Addr, u16),
    pub(crate) destination: (Ipv4Addr, u16),
    /// It asks for a connection.
    pub(crate) is_first: bool,
}

/// A datagram, in its packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    pub(crate) packet: &'a [u8],
    /// The guest's port.
    pub(crate) from: u16,
    pub(crate) to: Place,
    pub(crate) bytes: &'a [u8],
}

/// Reads a frame that the guest at `hardware` has sent.
pub(crate) fn read(frame: &[u8], hardware: [u8; 6]) -> Sent<'_> {
    let Some((header, payload)) = frame.split_at_checked(ETHERNET_BYTES) else {
        return Sent::Nothing;
    };
    let destination = &header[..6];
    if destination != GATEWAY_HARDWARE && destination != BROADCAST || header[6..12] != hardware {
        return Sent::Nothing;
    }
    match [header[12], header[13]] {
        TYPE_ARP => answer(payload, hardware).map_or(Sent::Nothing, Sent::Question),
        TYPE_IPV4 if destination == GATEWAY_HARDWARE => read_packet(payload),
        _ => Sent::Nothing,
    }
}

/// The answer to a question for the hardware address of the gateway, or of who answers for names.
fn answer(question: &[u8], hardware: [u8; 6]) -> Option<Vec<u8>> {
    let question = question.get(..ARP_BYTES)?;
    let asked = [GATEWAY, NAME_SERVER].into_iter().find(|who| question[24..28] == who.octets())?;
    if question[..8] != ARP_REQUEST {
        return None;
    }
    let mut frame = [&hardware[..], &GATEWAY_HARDWARE, &TYPE_ARP, &ARP_REQUEST[..7], &[2]].concat();
    frame.extend(GATEWAY_HARDWARE);
    frame.extend(asked.octets());
    frame.extend(hardware);
    frame.extend(&question[14..18]);
    Some(frame)
}

/// Reads a packet that the guest has sent.
pub(crate) fn read_packet(packet: &[u8]) -> Sent<'_> {
    let Ok(ipv4) = Ipv4Packet::new_checked(packet) else { return Sent::Nothing };
    let packet = &packet[..usize::from(ipv4.total_len())];
    if ipv4.version() != 4 {
        return Sent::Nothing;
    }
    let (source, destination) = (ipv4.src_addr(), ipv4.dst_addr());
    // No port can be told from a later part: it has to be whole first.
    if ipv4.more_frags() || ipv4.frag_offset() != 0 {
        let is_sound = ipv4.verify_checksum() && source == GUEST;
        return if is_sound { Sent::Part(packet) } else { Sent::Nothing };
    }
    if ipv4.next_header() == IpProtocol::Tcp {
        let Ok(tcp) = TcpPacket::new_checked(ipv4.payload()) else { return Sent::Nothing };
        let (from, to) = (source.into(), destination.into());
        if tcp.src_port() == 0
            || tcp.dst_port() == 0
            || !ipv4.verify_checksum()
            || !tcp.verify_checksum(&from, &to)
        {
            return Sent::Nothing;
        }
        let segment = Segment {
            source: (source, tcp.src_port()),
            destination: (destination, tcp.dst_port()),
            is_first: tcp.syn() && !tcp.ack() && !tcp.rst() && !tcp.fin(),
        };
        return Sent::Segment { packet, segment };
    }
    if ipv4.next_header() == IpProtocol::Udp {
        // The header is looked at with the packet's length, which the datagram's may not pass.
        let payload = &packet[usize::from(ipv4.header_len())..];
        let Ok(udp) = UdpPacket::new_checked(payload) else { return Sent::Nothing };
        let is_sound = ipv4.verify_checksum()
            && udp.verify_checksum(&source.into(), &destination.into())
            && source == GUEST
            && udp.src_port() != 0
            && udp.dst_port() != 0;
        if !is_sound {
            return Sent::Nothing;
        }
        let bytes = payload.get(UDP_BYTES..usize::from(udp.len())).unwrap_or_default();
        let to = (destination, udp.dst_port());
        return Sent::Datagram(Datagram { packet, from: udp.src_port(), to, bytes });
    }
    Sent::Packet { packet, protocol: ipv4.next_header().into(), destination }
}

/// A packet in a frame for the guest at `hardware`.
pub(crate) fn frame(packet: &[u8], hardware: [u8; 6]) -> Vec<u8> {
    [&hardware[..], &GATEWAY_HARDWARE, &TYPE_IPV4, packet].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets;
    use proptest::prelude::*;

    const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn question(target: Ipv4Addr) -> Vec<u8> {
        let mut frame = [&BROADCAST[..], &HARDWARE, &TYPE_ARP, &ARP_REQUEST, &HARDWARE].concat();
        frame.extend(GUEST.octets());
        frame.extend([0; 6]);
        frame.extend(target.octets());
        frame
    }

    #[test]
    fn only_those_who_are_there_answer_for_themselves() {
        for who in [GATEWAY, NAME_SERVER] {
            let frame = question(who);
            let Sent::Question(answer) = read(&frame, HARDWARE) else { panic!("no answer") };
            assert_eq!(answer[..6], HARDWARE);
            assert_eq!(answer[20..22], [0, 2]);
            assert_eq!(answer[22..28], GATEWAY_HARDWARE);
            assert_eq!(answer[28..32], who.octets());
            assert_eq!(answer[38..42], GUEST.octets());
        }
        let frame = question(GATEWAY);
        assert_eq!(read(&question(Ipv4Addr::new(10, 0, 2, 4)), HARDWARE), Sent::Nothing);
        assert_eq!(read(&frame, [2, 0, 0, 0, 0, 9]), Sent::Nothing, "in another's name");
    }

    proptest! {
        #[test]
        fn any_frame_is_read(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..120),
            is_ip in any::<bool>(),
            version in prop_oneof![Just(0x45u8), any::<u8>()],
        ) {
            if is_ip && bytes.len() > 14 {
                let header = [&GATEWAY_HARDWARE[..], &HARDWARE, &TYPE_IPV4].concat();
                bytes[..14].copy_from_slice(&header);
                bytes[14] = version;
            }
            match read(&bytes, HARDWARE) {
                Sent::Segment { packet, .. } | Sent::Packet { packet, .. } | Sent::Part(packet) => {
                    prop_assert!(packet.len() <= bytes.len() - 14);
                }
                Sent::Datagram(datagram) => {
                    prop_assert!(datagram.bytes.len() + 28 <= datagram.packet.len());
                }
                Sent::Nothing | Sent::Question(_) => {}
            }
        }

        #[test]
        fn a_datagram_is_read_whole_or_not_at_all(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            at in 0..88usize,
            flip in any::<u8>(),
            length in 0..102usize,
        ) {
            let sent = packets::datagram((GUEST, 5), (NAME_SERVER, 53), &bytes);
            let mut frame = [&GATEWAY_HARDWARE[..], &HARDWARE, &TYPE_IPV4, &sent].concat();
            let whole = Sent::Datagram(Datagram {
                packet: &sent,
                from: 5,
                to: (NAME_SERVER, 53),
                bytes: &bytes,
            });
            prop_assert_eq!(read(&frame, HARDWARE), whole);
            if let Some(byte) = frame.get_mut(14 + at) {
                *byte ^= flip;
            }
            frame.truncate(length);
            if let Sent::Datagram(datagram) = read(&frame, HARDWARE) {
                prop_assert!(datagram.bytes.len() + 28 <= datagram.packet.len());
                prop_assert!(datagram.packet.len() + 14 <= frame.len());
            }
        }
    }
}
