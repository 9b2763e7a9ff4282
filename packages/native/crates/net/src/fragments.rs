//! Datagrams in parts (RFC 791, 3.2): what the guest sends in fragments is looked at once it is whole.
//!
//! ```text
//!  fragment ──▶ Fragments ── not all yet ──▶ kept, for some guest time
//!                   │
//!                   └── the last one ──▶ the packet, as if it had been sent whole
//! ```
//! Nothing is passed on of a packet whose parts overlap, end in different places or leave something
//! out, as RFC 5722 has it for version 6: what a receiver makes of those is its own, and no policy can
//! be told from it. A TCP of our time sends no fragments; only datagrams are put together.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use smoltcp::wire::{IpProtocol, Ipv4Packet};
use stillpoint_vmm::network::GuestPort;
use stillpoint_vmm::time::Nanos;

use crate::wire;

const HEADER_BYTES: usize = 20;
/// Most bytes of a packet behind its header.
const MOST_BYTES: usize = u16::MAX as usize - HEADER_BYTES;
/// Packets that are not whole, at once; the oldest makes room for the next.
const MOST_PACKETS: usize = 16;
/// Fragments of a packet: far more than any link here makes of one.
const MOST_FRAGMENTS: usize = 256;
/// Guest time within which a packet is to be whole (RFC 1122, 3.3.2: 60 to 120 s, for links that are slow).
const PATIENCE_NANOS: Nanos = 30_000_000_000;

/// What fragments of one packet have in common.
type Name = (Ipv4Addr, u16);

#[derive(Debug, Default)]
struct Parts {
    began_at: Nanos,
    /// By where they begin.
    parts: BTreeMap<usize, Vec<u8>>,
    /// Where the packet ends, once its last part is there.
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
        let fragment = Ipv4Packet::new_checked(packet).ok()?;
        if fragment.next_header() != IpProtocol::Udp {
            return None;
        }
        self.packets.retain(|_, parts| parts.began_at + PATIENCE_NANOS > now);
        let name = (fragment.dst_addr(), fragment.ident());
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
        Some(packet_of(&fragment, &payload))
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.packets.values().flat_map(|parts| parts.parts.values()).map(Vec::len).sum()
    }
}

impl Parts {
    /// Whether a fragment can be one of this packet's, beside those that are there.
    fn add(&mut self, fragment: &Ipv4Packet<&[u8]>) -> bool {
        let (begin, bytes) = (usize::from(fragment.frag_offset()), fragment.payload());
        let end = begin + bytes.len();
        let is_last = !fragment.more_frags();
        // All but the last end where another may begin.
        if bytes.is_empty() || end > MOST_BYTES || !is_last && !bytes.len().is_multiple_of(8) {
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

/// A packet as its sender would have sent it whole.
fn packet_of(fragment: &Ipv4Packet<&[u8]>, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; HEADER_BYTES + payload.len()];
    packet[HEADER_BYTES..].copy_from_slice(payload);
    let mut whole = Ipv4Packet::new_unchecked(&mut packet[..]);
    whole.set_version(4);
    whole.set_header_len(HEADER_BYTES as u8);
    whole.set_total_len((HEADER_BYTES + payload.len()) as u16);
    whole.set_ident(fragment.ident());
    whole.clear_flags();
    whole.set_frag_offset(0);
    whole.set_hop_limit(fragment.hop_limit());
    whole.set_next_header(fragment.next_header());
    whole.set_src_addr(fragment.src_addr());
    whole.set_dst_addr(fragment.dst_addr());
    whole.fill_checksum();
    packet
}

/// Gives the guest a packet, in parts if it is above `mtu` bytes. What does not fit is lost, as datagrams
/// are, and with one part all of it.
pub(crate) fn give(
    guest: &mut dyn GuestPort,
    packet: &[u8],
    (hardware, mtu): ([u8; 6], usize),
    ident: &mut u16,
) {
    *ident = ident.wrapping_add(1);
    for part in parts_of(packet, mtu, *ident) {
        if !guest.give(&wire::frame(&part, hardware)) {
            break;
        }
    }
}

/// A packet in parts of which none is above `mtu` bytes; itself, if it is not.
fn parts_of(packet: &[u8], mtu: usize, ident: u16) -> Vec<Vec<u8>> {
    if packet.len() <= mtu {
        return vec![packet.to_vec()];
    }
    let (header, payload) = packet.split_at(HEADER_BYTES);
    let step = ((mtu - HEADER_BYTES) / 8 * 8).max(8);
    let count = payload.len().div_ceil(step);
    (0..)
        .zip(payload.chunks(step))
        .map(|(index, bytes)| {
            let mut part = [header, bytes].concat();
            let mut fragment = Ipv4Packet::new_unchecked(&mut part[..]);
            fragment.set_total_len((HEADER_BYTES + bytes.len()) as u16);
            fragment.set_ident(ident);
            fragment.clear_flags();
            fragment.set_more_frags(index + 1 < count);
            fragment.set_frag_offset((index * step) as u16);
            fragment.fill_checksum();
            part
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::{GUEST, NAME_SERVER};
    use crate::packets;
    use proptest::prelude::*;

    fn datagram(bytes: usize) -> Vec<u8> {
        let bytes: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
        packets::datagram((GUEST, 5), (NAME_SERVER, 9), &bytes)
    }

    /// A part of a packet's payload, as a fragment.
    fn part(packet: &[u8], begin: usize, end: usize, is_last: bool) -> Vec<u8> {
        let mut part = [&packet[..20], &packet[20 + begin..20 + end]].concat();
        let mut fragment = Ipv4Packet::new_unchecked(&mut part[..]);
        fragment.set_total_len((20 + end - begin) as u16);
        fragment.set_ident(7);
        fragment.set_more_frags(!is_last);
        fragment.set_frag_offset(begin as u16);
        fragment.fill_checksum();
        part
    }

    fn payload(packet: &[u8]) -> &[u8] {
        &packet[20..]
    }

    proptest! {
        #[test]
        fn a_packet_is_whole_whatever_the_order_of_its_parts(
            bytes in 0..5_000usize,
            mtu in 28..1_500usize,
            order in any::<prop::sample::Index>(),
            again in any::<prop::sample::Index>(),
        ) {
            let packet = datagram(bytes);
            let mut parts = parts_of(&packet, mtu, 7);
            prop_assume!(parts.len() > 1 && parts.len() <= MOST_FRAGMENTS);
            prop_assert!(parts.iter().all(|part| part.len() <= mtu));
            let twice = parts[again.index(parts.len())].clone();
            let at = order.index(parts.len());
            parts.rotate_left(at);
            parts.insert(0, twice);
            let mut fragments = Fragments::default();
            let whole: Vec<_> =
                parts.iter().filter_map(|part| fragments.take(0, part)).collect();
            prop_assert_eq!(whole.len(), 1);
            prop_assert_eq!(payload(&whole[0]), payload(&packet));
            prop_assert!(Ipv4Packet::new_checked(&whole[0][..]).expect("a packet").verify_checksum());
        }

        /// Whatever comes: no more is kept than may be, and what is given is no fragment.
        #[test]
        fn any_parts_are_bounded(
            parts in proptest::collection::vec((0..40u16, 0..2_000usize, 1..600usize, any::<bool>()), 1..200),
        ) {
            let packet = datagram(3_000);
            let mut fragments = Fragments::default();
            for (ident, begin, length, is_last) in parts {
                let mut part = part(&packet, begin & !7, (begin & !7) + length, is_last);
                let mut fragment = Ipv4Packet::new_unchecked(&mut part[..]);
                fragment.set_ident(ident);
                fragment.fill_checksum();
                if let Some(whole) = fragments.take(u64::from(ident), &part) {
                    let whole = Ipv4Packet::new_checked(&whole[..]).expect("a packet");
                    prop_assert!(!whole.more_frags() && whole.frag_offset() == 0);
                }
                prop_assert!(fragments.packets.len() <= MOST_PACKETS);
                prop_assert!(fragments.bytes() <= MOST_PACKETS * MOST_BYTES);
            }
        }
    }

    #[test]
    fn parts_that_overlap_or_leave_something_out_are_nothing_and_nothing_follows_of_them() {
        let packet = datagram(56);
        let end = packet.len() - 20;
        for (why, parts) in [
            ("a part within another", vec![(0, 32, false), (8, 24, false), (32, end, true)]),
            ("one that begins in another", vec![(0, 32, false), (24, end, true)]),
            ("one that ends in another", vec![(32, end, true), (0, 40, false)]),
            ("one that holds another", vec![(8, 16, false), (0, 32, false), (32, end, true)]),
            ("two ends", vec![(0, 32, false), (40, 48, true), (32, end, true)]),
            ("one behind the end", vec![(0, 32, false), (40, end, false), (32, 40, true)]),
            ("one that ends nowhere", vec![(0, 20, false), (24, end, true)]),
        ] {
            let mut fragments = Fragments::default();
            for (begin, end, is_last) in parts {
                let whole = fragments.take(0, &part(&packet, begin, end, is_last));
                assert_eq!(whole, None, "{why}");
            }
            // Nor is the rest of it, sent as it should have been: the name is taken for a while.
            let (first, last) = (part(&packet, 0, 32, false), part(&packet, 32, end, true));
            assert_eq!(fragments.take(1, &first), None, "{why}");
            assert_eq!(fragments.take(1, &last), None, "{why}");
            assert_eq!(fragments.take(PATIENCE_NANOS, &first), None);
            assert!(fragments.take(PATIENCE_NANOS, &last).is_some(), "{why}: it is forgotten");
        }
    }

    #[test]
    fn a_packet_that_is_never_whole_makes_room_and_is_forgotten() {
        let packet = datagram(56);
        let first = |ident: u16| {
            let mut part = part(&packet, 0, 32, false);
            let mut fragment = Ipv4Packet::new_unchecked(&mut part[..]);
            fragment.set_ident(ident);
            fragment.fill_checksum();
            part
        };
        let mut fragments = Fragments::default();
        for ident in 0..1_000 {
            assert_eq!(fragments.take(u64::from(ident), &first(ident)), None);
        }
        assert_eq!(fragments.packets.len(), MOST_PACKETS);
        assert_eq!(fragments.take(2 * PATIENCE_NANOS, &first(1)), None);
        assert_eq!(fragments.packets.len(), 1);
    }
}
