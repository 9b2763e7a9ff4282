//! TCP segments in frames: parsing one, and building a reset.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ETHERNET_HEADER_BYTES;
use super::headers::{Headers, IPV6_HEADER_BYTES};

const IPV4_HEADER_BYTES: usize = 20;
const TCP_HEADER_BYTES: usize = 20;
const TYPE_IPV4: [u8; 2] = [8, 0];
const TYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const PROTOCOL_TCP: u8 = 6;
pub(super) const FLAG_FIN: u8 = 1;
pub(super) const FLAG_SYN: u8 = 2;
pub(super) const FLAG_RST: u8 = 4;
pub(super) const FLAG_ACK: u8 = 16;

/// The two places of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection {
    /// The guest's address.
    pub guest: IpAddr,
    /// The guest's port.
    pub guest_port: u16,
    /// The peer's address.
    pub peer: IpAddr,
    /// The peer's port.
    pub peer_port: u16,
}

/// A parsed TCP segment, over either version of IP.
pub(super) struct Segment {
    pub(super) source: IpAddr,
    pub(super) source_port: u16,
    pub(super) destination: IpAddr,
    pub(super) destination_port: u16,
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) flags: u8,
    /// Bytes that it says.
    pub(super) data: u32,
    /// Sequence numbers that it takes.
    pub(super) length: u32,
}

impl Segment {
    /// Parses a frame; `None` if it is not a complete segment. The reader checks checksums.
    pub(super) fn read(frame: &[u8]) -> Option<Self> {
        let (ethernet, packet) = frame.split_at_checked(ETHERNET_HEADER_BYTES)?;
        let (source, destination, segment) = match [ethernet[12], ethernet[13]] {
            TYPE_IPV4 => read_version_4(packet)?,
            TYPE_IPV6 => read_version_6(packet)?,
            _ => return None,
        };
        if segment.len() < TCP_HEADER_BYTES {
            return None;
        }
        let data = segment.len().checked_sub(usize::from(segment[12] >> 4) * 4)?;
        let flags = segment[13];
        let ends = u32::from(flags & FLAG_SYN != 0) + u32::from(flags & FLAG_FIN != 0);
        Some(Self {
            source,
            source_port: u16_at(segment, 0),
            destination,
            destination_port: u16_at(segment, 2),
            sequence: u32_at(segment, 4),
            acknowledgement: u32_at(segment, 8),
            flags,
            data: data as u32,
            length: data as u32 + ends,
        })
    }
}

/// Whether a frame's type is IPv6.
pub fn is_of_version_6(frame: &[u8]) -> bool {
    frame.get(12..ETHERNET_HEADER_BYTES) == Some(&TYPE_IPV6)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Source and destination of a segment, and the segment.
type Placed<'a> = (IpAddr, IpAddr, &'a [u8]);

fn read_version_4(packet: &[u8]) -> Option<Placed<'_>> {
    if packet.len() < IPV4_HEADER_BYTES {
        return None;
    }
    let (header, total) = (usize::from(packet[0] & 15) * 4, usize::from(u16_at(packet, 2)));
    // A fragment but the first has no header; a first one says too little.
    let is_fragment = u16_at(packet, 6) & 0x3fff != 0;
    if packet[0] >> 4 != 4 || header < IPV4_HEADER_BYTES || packet[9] != PROTOCOL_TCP || is_fragment
    {
        return None;
    }
    let address = |at| IpAddr::V4(Ipv4Addr::from(u32_at(packet, at)));
    Some((address(12), address(16), packet.get(header..total)?))
}

fn read_version_6(packet: &[u8]) -> Option<Placed<'_>> {
    match Headers::read(packet)? {
        Headers::Whole { protocol: PROTOCOL_TCP, source, destination, payload, .. } => {
            Some((source.into(), destination.into(), payload))
        }
        _ => None,
    }
}

/// Adds 16-bit words up, as the Internet's checksums do.
pub(super) fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).fold(0, |sum, word| {
        sum + (u32::from(word[0]) << 8) + word.get(1).map_or(0, |low| u32::from(*low))
    })
}

/// The checksum of what adds up to `sum`.
pub(super) fn checksum(mut sum: u32) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// A frame that ends a connection in the guest, as of `sequence`.
pub(super) fn reset(
    connection: &Connection,
    sequence: u32,
    peer: [u8; 6],
    guest: [u8; 6],
) -> Vec<u8> {
    let mut segment = Vec::with_capacity(TCP_HEADER_BYTES);
    segment.extend(connection.peer_port.to_be_bytes());
    segment.extend(connection.guest_port.to_be_bytes());
    segment.extend(sequence.to_be_bytes());
    segment.extend([0, 0, 0, 0, 0x50, FLAG_RST, 0, 0, 0, 0, 0, 0]);
    let (header, kind) = match (connection.peer, connection.guest) {
        (IpAddr::V4(peer), IpAddr::V4(guest)) => (header_version_4(peer, guest), TYPE_IPV4),
        (peer, guest) => (header_version_6(of_version_6(peer), of_version_6(guest)), TYPE_IPV6),
    };
    let places = match kind {
        TYPE_IPV4 => &header[12..20],
        _ => &header[8..40],
    };
    let pseudo = sum(places) + u32::from(PROTOCOL_TCP) + TCP_HEADER_BYTES as u32;
    let check = checksum(pseudo + sum(&segment));
    segment[16..18].copy_from_slice(&check);
    [&guest[..], &peer, &kind, &header, &segment].concat()
}

/// The places of a connection are of one version, as a packet's are.
fn of_version_6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn header_version_4(peer: Ipv4Addr, guest: Ipv4Addr) -> Vec<u8> {
    let total = (IPV4_HEADER_BYTES + TCP_HEADER_BYTES) as u16;
    let mut header = vec![0x45, 0];
    header.extend(total.to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, PROTOCOL_TCP, 0, 0]);
    header.extend(peer.octets());
    header.extend(guest.octets());
    let check = checksum(sum(&header));
    header[10..12].copy_from_slice(&check);
    header
}

fn header_version_6(peer: Ipv6Addr, guest: Ipv6Addr) -> Vec<u8> {
    let mut header = Vec::with_capacity(IPV6_HEADER_BYTES);
    header.extend([0x60, 0, 0, 0, 0, TCP_HEADER_BYTES as u8, PROTOCOL_TCP, 64]);
    header.extend(peer.octets());
    header.extend(guest.octets());
    header
}
