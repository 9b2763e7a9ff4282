//! Fragmented datagrams (RFC 791, 3.2; RFC 8200, 4.5): the guest's fragments are reassembled before they are
//! processed.
//!
//! ```text
//!  fragment ──▶ Fragments ── not all yet ──▶ kept, for some guest time
//!                   │
//!                   └── the last one ──▶ the packet, as if it had been sent whole
//! ```
//! A packet whose fragments overlap, end in different places or leave gaps is dropped, in both versions, as
//! RFC 5722 requires for IPv6: receivers reassemble such packets differently, so no policy can be applied to
//! them. Present TCP implementations send no fragments; only datagrams are reassembled.

use std::collections::BTreeMap;
use std::net::IpAddr;

use smoltcp::wire::{IpProtocol, Ipv4Packet};
use stillpoint_vmm::network::{GuestPort, Headers, IPV6_HEADER_BYTES};
use stillpoint_vmm::time::Nanos;

use crate::packets;
use crate::wire;

const IPV4_HEADER_BYTES: usize = 20;
/// Bytes of the header that a part of version 6 has besides.
const FRAGMENT_HEADER_BYTES: usize = 8;
const FRAGMENT: u8 = 44;
/// Maximum bytes of a packet behind its header, in IPv6; IPv4 counts the header too.
const MOST_BYTES: usize = u16::MAX as usize;
const HOP_LIMIT: u8 = 64;
/// Packets that are not whole, at once; the oldest makes room for the next.
const MOST_PACKETS: usize = 16;
/// Fragments of a packet: far more than any link here makes of one.
const MOST_FRAGMENTS: usize = 256;
/// Guest time within which a packet is to be whole (RFC 1122, 3.3.2: 60 to 120 s, for links that are slow).
const PATIENCE_NANOS: Nanos = 30_000_000_000;

/// The key of a packet's fragments: source, destination, and identification.
type Name = (IpAddr, IpAddr, u32);

/// A part of a packet.
struct Fragment<'a> {
    name: Name,
    protocol: IpProtocol,
    begin: usize,
    is_last: bool,
    bytes: &'a [u8],
    /// Maximum bytes of the whole.
    most_bytes: usize,
}

impl<'a> Fragment<'a> {
    fn read(packet: &'a [u8]) -> Option<Self> {
        if packet.first()? >> 4 == 6 {
            return match Headers::read(packet)? {
                Headers::Part {
                    source,
                    destination,
                    protocol,
                    identity,
                    begin,
                    is_last,
                    payload,
                } => Some(Self {
                    name: (source.into(), destination.into(), identity),
                    protocol: protocol.into(),
                    begin,
                    is_last,
                    bytes: payload,
                    most_bytes: MOST_BYTES,
                }),
                _ => None,
            };
        }
        let ipv4 = Ipv4Packet::new_checked(packet).ok()?;
        Some(Self {
            name: (ipv4.src_addr().into(), ipv4.dst_addr().into(), ipv4.ident().into()),
            protocol: ipv4.next_header(),
            begin: ipv4.frag_offset().into(),
            is_last: !ipv4.more_frags(),
            bytes: packet.get(ipv4.header_len().into()..ipv4.total_len().into())?,
            most_bytes: MOST_BYTES - IPV4_HEADER_BYTES,
        })
    }
}

#[derive(Debug, Default)]
struct Parts {
    began_at: Nanos,
    /// By where they begin.
    parts: BTreeMap<usize, Vec<u8>>,
    /// The end of the packet, once its last fragment has arrived.
    end: Option<usize>,
    /// It can be nothing any more: what follows of it is dropped as well.
    is_refused: bool,
}

/// Packets of the guest's that are not whole yet.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    packets: BTreeMap<Name, Parts>,
}

impl Fragments {
    /// Takes a sound packet that is one of several parts; the whole, if it was the last one missing.
    pub(crate) fn take(&mut self, now: Nanos, packet: &[u8]) -> Option<Vec<u8>> {
        let fragment = Fragment::read(packet)?;
        if fragment.protocol != IpProtocol::Udp {
            return None;
        }
        self.packets.retain(|_, parts| parts.began_at + PATIENCE_NANOS > now);
        let name = fragment.name;
        if self.packets.len() >= MOST_PACKETS && !self.packets.contains_key(&name) {
            let oldest = self.packets.iter().min_by_key(|(_, parts)| parts.began_at);
            let oldest = oldest.map(|(name, _)| *name)?;
            self.packets.remove(&oldest);
        }
        let begin = || Parts { began_at: now, ..Parts::default() };
        let parts = self.packets.entry(name).or_insert_with(begin);
        if !parts.is_refused && !parts.add(&fragment) {
            *parts = Parts { began_at: parts.began_at, is_refused: true, ..Parts::default() };
        }
        let payload = parts.whole()?;
        self.packets.remove(&name);
        let (source, destination, _) = name;
        let places = (source, destination);
        let (mut whole, start) = packets::packet(places, IpProtocol::Udp, HOP_LIMIT, payload.len());
        whole[start..].copy_from_slice(&payload);
        Some(whole)
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.packets.values().flat_map(|parts| parts.parts.values()).map(Vec::len).sum()
    }
}

impl Parts {
    /// Adds a fragment; returns whether it is consistent with the others.
    fn add(&mut self, fragment: &Fragment<'_>) -> bool {
        let Fragment { begin, is_last, bytes, most_bytes, .. } = *fragment;
        let end = begin + bytes.len();
        // All but the last end where another may begin.
        if bytes.is_empty() || end > most_bytes || !is_last && !bytes.len().is_multiple_of(8) {
            return false;
        }
        // The same again, as a link may deliver it, is no other.
        if self.parts.get(&begin).is_some_and(|known| known == bytes) {
            return is_last == (self.end == Some(end));
        }
        let before = self.parts.range(..=begin).next_back();
        let overlaps = before.is_some_and(|(at, known)| at + known.len() > begin)
            || self.parts.range(begin..end).next().is_some();
        let furthest = self.parts.last_key_value().map_or(0, |(at, known)| at + known.len());
        let is_behind = match self.end {
            Some(last) => is_last || end > last,
            None => is_last && furthest > end,
        };
        if overlaps || is_behind || self.parts.len() >= MOST_FRAGMENTS {
            return false;
        }
        if is_last {
            self.end = Some(end);
        }
        self.parts.insert(begin, bytes.to_vec());
        true
    }

    /// All of it, if nothing is missing.
    fn whole(&self) -> Option<Vec<u8>> {
        let end = self.end?;
        let count: usize = self.parts.values().map(Vec::len).sum();
        // None overlaps another, and none is behind the end.
        (count == end).then(|| self.parts.values().flatten().copied().collect())
    }
}

/// Delivers a packet to the guest, in fragments if it is above `mtu` bytes. Packets that do not fit are lost,
/// as datagrams are; the loss of one fragment loses the packet.
pub(crate) fn give(
    guest: &mut dyn GuestPort,
    packet: &[u8],
    (hardware, mtu): ([u8; 6], usize),
    ident: &mut u32,
) {
    *ident = ident.wrapping_add(1);
    for part in parts_of(packet, mtu, *ident) {
        if !guest.give(&wire::frame(&part, hardware)) {
            break;
        }
    }
}

/// A packet in parts of which none is above `mtu` bytes; itself, if it is not.
fn parts_of(packet: &[u8], mtu: usize, ident: u32) -> Vec<Vec<u8>> {
    if packet.len() <= mtu {
        return vec![packet.to_vec()];
    }
    let (header_bytes, more_bytes) = match packet[0] >> 4 {
        6 => (IPV6_HEADER_BYTES, FRAGMENT_HEADER_BYTES),
        _ => (IPV4_HEADER_BYTES, 0),
    };
    let (header, payload) = packet.split_at(header_bytes);
    let step = (mtu.saturating_sub(header_bytes + more_bytes) / 8 * 8).max(8);
    let count = payload.len().div_ceil(step);
    let part = |(index, bytes): (usize, &[u8])| {
        let (begin, is_last) = (index * step, index + 1 == count);
        match more_bytes {
            0 => part_of_version_4(header, bytes, begin as u16, is_last, ident as u16),
            _ => part_of_version_6(header, bytes, begin as u16, is_last, ident),
        }
    };
    payload.chunks(step).enumerate().map(part).collect()
}

fn part_of_version_4(
    header: &[u8],
    bytes: &[u8],
    begin: u16,
    is_last: bool,
    ident: u16,
) -> Vec<u8> {
    let mut part = [header, bytes].concat();
    let length = part.len() as u16;
    let mut fragment = Ipv4Packet::new_unchecked(&mut part[..]);
    fragment.set_total_len(length);
    fragment.set_ident(ident);
    fragment.clear_flags();
    fragment.set_more_frags(!is_last);
    fragment.set_frag_offset(begin);
    fragment.fill_checksum();
    part
}

fn part_of_version_6(
    header: &[u8],
    bytes: &[u8],
    begin: u16,
    is_last: bool,
    ident: u32,
) -> Vec<u8> {
    let protocol = header[6];
    let place = (begin | u16::from(!is_last)).to_be_bytes();
    let fragment = [&[protocol, 0][..], &place, &ident.to_be_bytes()].concat();
    let mut part = [header, &fragment, bytes].concat();
    part[4..6].copy_from_slice(&((fragment.len() + bytes.len()) as u16).to_be_bytes());
    part[6] = FRAGMENT;
    part
}

#[cfg(test)]
mod tests;
