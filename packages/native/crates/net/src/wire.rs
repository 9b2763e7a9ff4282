//! Frames of the guest's, and packets for it.
//!
//! Both ends of the link are known, so the host learns nothing from frames: it answers requests for
//! the gateway's hardware address, and ignores claims to have it.

use std::net::IpAddr;

use smoltcp::wire::{IpProtocol, Ipv4Packet, TcpPacket, UdpPacket};
use stillpoint_vmm::network::{Headers, IPV6_HEADER_BYTES};

use crate::addresses::{
    GATEWAY, GATEWAY_HARDWARE, GATEWAY_LINK, NAME_SERVER, is_gateway, is_guests,
};
use crate::neighbours::{self, Heard};
use crate::packets::{self, Place, UDP_BYTES};

const ETHERNET_BYTES: usize = 14;
const TYPE_IPV4: [u8; 2] = [0x08, 0x00];
const TYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const TYPE_ARP: [u8; 2] = [0x08, 0x06];
const BROADCAST: [u8; 6] = [0xff; 6];
/// The prefix of hardware addresses of IPv6 groups (RFC 2464, 7).
const GROUP_6: [u8; 2] = [0x33, 0x33];
/// An ARP request: Ethernet, IPv4, lengths, operation.
const ARP_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
const ARP_BYTES: usize = 28;

/// Kinds of messages of ICMP that ask for an echo.
const ECHO_4: u8 = 8;
const ECHO_6: u8 = 128;

/// The content of a frame from the guest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent<'a> {
    /// The guest asks who the gateway is: the answer, as a frame.
    Question(Vec<u8>),
    /// A segment of TCP, or the beginning of one.
    Segment { packet: &'a [u8], segment: Segment },
    /// A datagram of the guest's.
    Datagram(Datagram<'a>),
    /// A part of a datagram.
    Part(&'a [u8]),
    /// A packet without its extension headers.
    Bare(Vec<u8>),
    /// A packet with a header that cannot be processed: code and offset of the parameter problem.
    Problem { packet: &'a [u8], destination: IpAddr, code: u8, at: u32 },
    /// A question for an echo, of the gateway.
    Echo(&'a [u8]),
    /// A report that nothing receives datagrams at this place of the guest's.
    Returned(Place),
    /// Another packet, to be refused if it is to leave this network.
    Packet { is_icmp: bool, destination: IpAddr },
    /// A frame that is ignored.
    Nothing,
}

/// The places of a segment and its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) source: Place,
    pub(crate) destination: Place,
    /// It asks for a connection.
    pub(crate) is_first: bool,
}

/// A datagram, in its packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    pub(crate) packet: &'a [u8],
    pub(crate) from: Place,
    pub(crate) to: Place,
    pub(crate) bytes: &'a [u8],
}

/// Reads a frame that the guest at `hardware` has sent.
pub(crate) fn read(frame: &[u8], hardware: [u8; 6]) -> Sent<'_> {
    let Some((header, payload)) = frame.split_at_checked(ETHERNET_BYTES) else {
        return Sent::Nothing;
    };
    let destination = &header[..6];
    let is_for_group = destination == BROADCAST || destination.starts_with(&GROUP_6);
    if destination != GATEWAY_HARDWARE && !is_for_group || header[6..12] != hardware {
        return Sent::Nothing;
    }
    let read = match [header[12], header[13]] {
        TYPE_ARP => return answer(payload, hardware).map_or(Sent::Nothing, Sent::Question),
        TYPE_IPV4 | TYPE_IPV6 => read_packet(payload),
        _ => Sent::Nothing,
    };
    match read {
        Sent::Question(answer) => Sent::Question(self::frame(&answer, hardware)),
        // Of packets to groups, only neighbour solicitations matter.
        _ if is_for_group => Sent::Nothing,
        read => read,
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

/// A packet and its payload.
struct Carrying<'a> {
    packet: &'a [u8],
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: &'a [u8],
}

/// Reads a packet that the guest has sent. What answers a question is a packet, too.
pub(crate) fn read_packet(packet: &[u8]) -> Sent<'_> {
    match packet.first().map(|first| first >> 4) {
        Some(4) => read_version_4(packet),
        Some(6) => read_version_6(packet),
        _ => Sent::Nothing,
    }
}

fn read_version_4(packet: &[u8]) -> Sent<'_> {
    let Ok(ipv4) = Ipv4Packet::new_checked(packet) else { return Sent::Nothing };
    let packet = &packet[..usize::from(ipv4.total_len())];
    let (source, destination) = (ipv4.src_addr().into(), ipv4.dst_addr().into());
    let is_part = ipv4.more_frags() || ipv4.frag_offset() != 0;
    let has_ports = matches!(ipv4.next_header(), IpProtocol::Tcp | IpProtocol::Udp);
    // A packet that is refused anyway is reported, whatever its checksum.
    if (is_part || has_ports) && !ipv4.verify_checksum() {
        return Sent::Nothing;
    }
    // A later fragment has no ports: the packet must be reassembled first.
    if is_part {
        return if is_guests(source) { Sent::Part(packet) } else { Sent::Nothing };
    }
    let payload = &packet[usize::from(ipv4.header_len())..];
    let protocol = ipv4.next_header().into();
    read_carried(&Carrying { packet, source, destination, protocol, payload })
}

fn read_version_6(packet: &[u8]) -> Sent<'_> {
    let Some(headers) = Headers::read(packet) else { return Sent::Nothing };
    match headers {
        Headers::Problem { destination, code, at } => {
            Sent::Problem { packet, destination: destination.into(), code, at }
        }
        Headers::Part { source, .. } if is_guests(source.into()) => Sent::Part(packet),
        Headers::Part { .. } => Sent::Nothing,
        Headers::Whole { source, destination, hop_limit, protocol, is_extended, payload } => {
            let heard = match IpProtocol::from(protocol) {
                IpProtocol::Icmpv6 => neighbours::hear(payload, (source, destination), hop_limit),
                _ => Heard::Other,
            };
            match heard {
                // A neighbour solicitation has no extension headers (RFC 6980).
                Heard::Question(answer) if !is_extended => return Sent::Question(answer),
                Heard::Question(_) | Heard::Talk => return Sent::Nothing,
                Heard::Other => {}
            }
            let (source, destination) = (source.into(), destination.into());
            if !is_guests(source) {
                return Sent::Nothing;
            }
            if is_extended {
                let places = (source, destination);
                let (mut bare, start) =
                    packets::packet(places, protocol.into(), hop_limit, payload.len());
                bare[start..].copy_from_slice(payload);
                return Sent::Bare(bare);
            }
            let packet = &packet[..IPV6_HEADER_BYTES + payload.len()];
            read_carried(&Carrying { packet, source, destination, protocol, payload })
        }
    }
}

fn read_carried<'a>(carrying: &Carrying<'a>) -> Sent<'a> {
    let Carrying { packet, source, destination, protocol, payload } = *carrying;
    let places = (source.into(), destination.into());
    match IpProtocol::from(protocol) {
        IpProtocol::Tcp => {
            let Ok(tcp) = TcpPacket::new_checked(payload) else { return Sent::Nothing };
            let has_ports = tcp.src_port() != 0 && tcp.dst_port() != 0;
            if !has_ports || !tcp.verify_checksum(&places.0, &places.1) {
                return Sent::Nothing;
            }
            let segment = Segment {
                source: (source, tcp.src_port()),
                destination: (destination, tcp.dst_port()),
                is_first: tcp.syn() && !tcp.ack() && !tcp.rst() && !tcp.fin(),
            };
            Sent::Segment { packet, segment }
        }
        IpProtocol::Udp => {
            // The header is checked against the packet's length, which the datagram's must not
            // exceed.
            let Ok(udp) = UdpPacket::new_checked(payload) else { return Sent::Nothing };
            let is_sound = udp.verify_checksum(&places.0, &places.1)
                // Only version 4 may do without.
                && (udp.checksum() != 0 || source.is_ipv4())
                && is_guests(source)
                && udp.src_port() != 0
                && udp.dst_port() != 0;
            if !is_sound {
                return Sent::Nothing;
            }
            let bytes = payload.get(UDP_BYTES..usize::from(udp.len())).unwrap_or_default();
            let (from, to) = ((source, udp.src_port()), (destination, udp.dst_port()));
            Sent::Datagram(Datagram { packet, from, to, bytes })
        }
        protocol => {
            let kind = payload.first().copied();
            let (is_icmp, is_echo) = match (source, protocol) {
                (IpAddr::V4(_), IpProtocol::Icmp) => (true, kind == Some(ECHO_4)),
                (IpAddr::V6(_), IpProtocol::Icmpv6) => (true, kind == Some(ECHO_6)),
                _ => (false, false),
            };
            match is_icmp && (is_gateway(destination) || destination == GATEWAY_LINK) {
                true if is_echo => Sent::Echo(packet),
                true => packets::returned(payload, source).map_or(Sent::Nothing, Sent::Returned),
                false => Sent::Packet { is_icmp, destination },
            }
        }
    }
}

/// A packet in a frame for the guest at `hardware`.
pub(crate) fn frame(packet: &[u8], hardware: [u8; 6]) -> Vec<u8> {
    let kind = match packet.first().map(|first| first >> 4) {
        Some(6) => &TYPE_IPV6,
        _ => &TYPE_IPV4,
    };
    [&hardware[..], &GATEWAY_HARDWARE, kind, packet].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::{GUEST, GUEST_6, NAME_SERVER_6};
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

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
            version in prop_oneof![Just(0x45u8), Just(0x60), any::<u8>()],
        ) {
            if is_ip && bytes.len() > 14 {
                let kind = if version >> 4 == 6 { &TYPE_IPV6 } else { &TYPE_IPV4 };
                let header = [&GATEWAY_HARDWARE[..], &HARDWARE, kind].concat();
                bytes[..14].copy_from_slice(&header);
                bytes[14] = version;
            }
            match read(&bytes, HARDWARE) {
                Sent::Segment { packet, .. } | Sent::Echo(packet) | Sent::Part(packet) => {
                    prop_assert!(packet.len() <= bytes.len() - 14);
                }
                Sent::Datagram(datagram) => {
                    prop_assert!(datagram.bytes.len() + 28 <= datagram.packet.len());
                }
                Sent::Bare(packet) => prop_assert!(packet.len() < bytes.len() - 14),
                Sent::Nothing
                | Sent::Question(_)
                | Sent::Packet { .. }
                | Sent::Problem { .. }
                | Sent::Returned(_) => {}
            }
        }

        #[test]
        fn a_datagram_is_read_whole_or_not_at_all(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            is_of_version_6 in any::<bool>(),
            at in 0..108usize,
            flip in any::<u8>(),
            length in 0..122usize,
        ) {
            let (guest, server): (IpAddr, IpAddr) = match is_of_version_6 {
                true => (GUEST_6.into(), NAME_SERVER_6.into()),
                false => (GUEST.into(), NAME_SERVER.into()),
            };
            let sent = packets::datagram((guest, 5), (server, 53), &bytes);
            let mut frame = frame(&sent, GATEWAY_HARDWARE);
            frame[6..12].copy_from_slice(&HARDWARE);
            let whole = Sent::Datagram(Datagram {
                packet: &sent,
                from: (guest, 5),
                to: (server, 53),
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
