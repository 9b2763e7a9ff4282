use super::*;
use crate::addresses::{GUEST, GUEST_6, NAME_SERVER, NAME_SERVER_6};
use proptest::prelude::*;

fn datagram(bytes: usize) -> Vec<u8> {
    let bytes: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
    packets::datagram((GUEST.into(), 5), (NAME_SERVER.into(), 9), &bytes)
}

fn datagram_6(bytes: usize) -> Vec<u8> {
    let bytes: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
    packets::datagram((GUEST_6.into(), 5), (NAME_SERVER_6.into(), 9), &bytes)
}

/// A part of a packet's payload, as a fragment with a number.
fn part_of(packet: &[u8], begin: usize, end: usize, is_last: bool, ident: u32) -> Vec<u8> {
    let (header, payload) = packet.split_at(packet.len() - payload(packet).len());
    let bytes = &payload[begin..end];
    match header.len() {
        20 => part_of_version_4(header, bytes, begin as u16, is_last, ident as u16),
        _ => part_of_version_6(header, bytes, begin as u16, is_last, ident),
    }
}

fn part(packet: &[u8], begin: usize, end: usize, is_last: bool) -> Vec<u8> {
    part_of(packet, begin, end, is_last, 7)
}

fn payload(packet: &[u8]) -> &[u8] {
    &packet[if packet[0] >> 4 == 6 { 40 } else { 20 }..]
}

proptest! {
    #[test]
    fn a_packet_is_whole_whatever_the_order_of_its_parts(
        bytes in 0..5_000usize,
        mtu in 28..1_500usize,
        is_of_version_6 in any::<bool>(),
        order in any::<prop::sample::Index>(),
        again in any::<prop::sample::Index>(),
    ) {
        let packet = if is_of_version_6 { datagram_6(bytes) } else { datagram(bytes) };
        let mtu = if is_of_version_6 { mtu + 28 } else { mtu };
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
        let is_sound = matches!(wire::read_packet(&whole[0]), wire::Sent::Datagram(it) if it.bytes.len() == bytes);
        prop_assert!(is_sound);
    }

    /// Whatever comes: no more is kept than may be, and what is given is no fragment.
    #[test]
    fn any_parts_are_bounded(
        parts in proptest::collection::vec((0..40u32, 0..2_000usize, 1..600usize, any::<bool>(), any::<bool>()), 1..200),
    ) {
        let packets = [datagram(3_000), datagram_6(3_000)];
        let mut fragments = Fragments::default();
        for (ident, begin, length, is_last, is_of_version_6) in parts {
            let packet = &packets[usize::from(is_of_version_6)];
            let part = part_of(packet, begin & !7, (begin & !7) + length, is_last, ident);
            if let Some(whole) = fragments.take(u64::from(ident), &part) {
                prop_assert!(Fragment::read(&whole).is_none_or(|it| it.begin == 0 && it.is_last));
            }
            prop_assert!(fragments.packets.len() <= MOST_PACKETS);
            prop_assert!(fragments.bytes() <= MOST_PACKETS * MOST_BYTES);
        }
    }
}

#[test]
fn parts_that_overlap_or_leave_something_out_are_nothing_and_nothing_follows_of_them() {
    for packet in [datagram(56), datagram_6(56)] {
        refuses_what_overlaps(&packet);
    }
}

fn refuses_what_overlaps(packet: &[u8]) {
    let end = payload(packet).len();
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
            let whole = fragments.take(0, &part(packet, begin, end, is_last));
            assert_eq!(whole, None, "{why}");
        }
        // Nor is the rest of it, sent as it should have been: the name is taken for a while.
        let (first, last) = (part(packet, 0, 32, false), part(packet, 32, end, true));
        assert_eq!(fragments.take(1, &first), None, "{why}");
        assert_eq!(fragments.take(1, &last), None, "{why}");
        assert_eq!(fragments.take(PATIENCE_NANOS, &first), None);
        assert!(fragments.take(PATIENCE_NANOS, &last).is_some(), "{why}: it is forgotten");
    }
}

#[test]
fn a_packet_that_is_never_whole_makes_room_and_is_forgotten() {
    let packets = [datagram(56), datagram_6(56)];
    let first = |ident: u32| part_of(&packets[ident as usize % 2], 0, 32, false, ident);
    let mut fragments = Fragments::default();
    for ident in 0..1_000 {
        assert_eq!(fragments.take(ident.into(), &first(ident)), None);
    }
    assert_eq!(fragments.packets.len(), MOST_PACKETS);
    assert_eq!(fragments.take(2 * PATIENCE_NANOS, &first(1)), None);
    assert_eq!(fragments.packets.len(), 1);
}

#[test]
fn what_another_sent_or_what_is_for_another_is_another_packet() {
    let packet = datagram_6(56);
    let (first, mut last) = (part(&packet, 0, 32, false), part(&packet, 32, 64, true));
    let mut fragments = Fragments::default();
    for at in [23, 39] {
        let right = last[at];
        last[at] ^= 1;
        assert_eq!(fragments.take(0, &first), None);
        assert_eq!(fragments.take(0, &last), None);
        last[at] = right;
    }
    assert!(fragments.take(0, &last).is_some());
}
