use super::super::ETHERNET_HEADER_BYTES;
use super::super::segment::{checksum, is_of_version_6, sum};
use super::*;
use crate::state::{StateReader, StateWriter};
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

const GUEST: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn connection(guest_port: u16) -> Connection {
    Connection {
        guest: Ipv4Addr::new(10, 0, 2, 15).into(),
        guest_port,
        peer: Ipv4Addr::new(10, 0, 2, 2).into(),
        peer_port: 4000,
    }
}

/// A segment of the peer's, made of a reset; the guest's with its places turned around.
fn segment(port: u16, by_guest: bool, sequence: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut frame = reset(&connection(port), sequence, PEER, GUEST);
    let total = (frame.len() - ETHERNET_HEADER_BYTES + data.len()) as u16;
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame[47] = flags;
    frame.extend(data);
    if by_guest {
        let (source, destination) = (frame[26..30].to_vec(), frame[30..34].to_vec());
        frame[26..30].copy_from_slice(&destination);
        frame[30..34].copy_from_slice(&source);
        let (source, destination) = (frame[34..36].to_vec(), frame[36..38].to_vec());
        frame[34..36].copy_from_slice(&destination);
        frame[36..38].copy_from_slice(&source);
    }
    frame
}

/// Places and sequence number of the only reset.
fn only_reset(connections: &Connections) -> (Vec<u8>, u32) {
    let resets = connections.resets(PEER, GUEST);
    assert_eq!(resets.len(), 1);
    let segment = Segment::read(&resets[0]).expect("a segment");
    assert_eq!(segment.flags, FLAG_RST);
    (resets[0][26..38].to_vec(), segment.sequence)
}

#[test]
fn a_reset_says_what_the_guest_expects_next() {
    let mut connections = Connections::default();
    connections.given(&segment(80, false, 100, FLAG_SYN, &[]));
    connections.sent(&segment(80, true, 7, FLAG_SYN, &[]));
    assert_eq!(only_reset(&connections).1, 101);
    connections.given(&segment(80, false, 101, 0x10, b"hello"));
    connections.given(&segment(80, false, 106, 0x10, b"again"));
    assert_eq!(only_reset(&connections).1, 111);
    // A retransmission counts once.
    connections.given(&segment(80, false, 101, 0x10, b"hello"));
    assert_eq!(only_reset(&connections).1, 111);
    let expected = segment(80, false, 0, 0, &[])[26..38].to_vec();
    assert_eq!(only_reset(&connections).0, expected);
}

#[test]
fn the_sequence_goes_on_over_its_end() {
    let mut connections = Connections::default();
    connections.given(&segment(80, false, u32::MAX - 1, FLAG_SYN, &[]));
    connections.given(&segment(80, false, u32::MAX, 0x10, b"hello"));
    assert_eq!(only_reset(&connections).1, 4);
}

#[test]
fn what_both_have_ended_or_one_has_reset_is_no_connection() {
    let mut connections = Connections::default();
    for port in [80, 81, 82] {
        connections.given(&segment(port, false, 1, FLAG_SYN, &[]));
    }
    connections.given(&segment(80, false, 2, FLAG_FIN, &[]));
    assert_eq!(connections.len(), 3, "the guest may go on sending");
    connections.sent(&segment(80, true, 2, FLAG_FIN, &[]));
    connections.sent(&segment(81, true, 2, FLAG_RST, &[]));
    connections.given(&segment(82, false, 2, FLAG_RST, &[]));
    assert!(connections.is_empty());
}

#[test]
fn a_reset_has_right_checksums() {
    let frame = reset(&connection(80), 9, PEER, GUEST);
    assert_eq!(checksum(sum(&frame[14..34])), [0, 0]);
    let pseudo = sum(&frame[26..34]) + 6 + 20;
    assert_eq!(checksum(pseudo + sum(&frame[34..])), [0, 0]);
}

#[test]
fn no_more_are_remembered_than_may_be() {
    let mut connections = Connections::default();
    for port in 0..=MAX_CONNECTIONS as u16 {
        connections.given(&segment(port, false, 1, FLAG_SYN, &[]));
    }
    assert_eq!(connections.len(), MAX_CONNECTIONS);
}

/// A client and the guest send in turns, then both end.
fn conversation(
    exchanges: &[(u16, u16)],
    cut: usize,
    repeated: bool,
) -> (Vec<EventBody>, Connections) {
    let mut connections = Connections::default();
    let mut told = connections.given(&segment(80, false, 99, FLAG_SYN, &[]));
    told.extend(connections.sent(&segment(80, true, 499, FLAG_SYN | FLAG_ACK, &[])));
    let (mut client, mut guest) = (100u32, 500u32);
    for (request, answer) in exchanges {
        for (by_guest, count) in [(false, *request), (true, *answer)] {
            let mut left = usize::from(count);
            while left > 0 {
                let data = vec![1; left.min(cut)];
                let at = if by_guest { &mut guest } else { &mut client };
                let frame = segment(80, by_guest, *at, FLAG_ACK, &data);
                for _ in 0..1 + usize::from(repeated) {
                    let sent = |connections: &mut Connections| connections.sent(&frame);
                    let given = |connections: &mut Connections| connections.given(&frame);
                    told.extend(if by_guest {
                        sent(&mut connections)
                    } else {
                        given(&mut connections)
                    });
                }
                *at += data.len() as u32;
                left -= data.len();
            }
        }
    }
    told.extend(connections.sent(&segment(80, true, guest, FLAG_FIN | FLAG_ACK, &[])));
    told.extend(connections.given(&segment(80, false, client, FLAG_FIN | FLAG_ACK, &[])));
    (told, connections)
}

fn opened(open: u64) -> EventBody {
    EventBody::ConnectionOpened {
        direction: ConnectionDirection::Inward,
        guest_port: 80,
        peer_address: "10.0.2.2".to_owned(),
        peer_port: 4000,
        open,
    }
}

fn closed(bytes_in: u64, bytes_out: u64, end: ConnectionEnd) -> EventBody {
    EventBody::ConnectionClosed {
        direction: ConnectionDirection::Inward,
        guest_port: 80,
        peer_address: "10.0.2.2".to_owned(),
        peer_port: 4000,
        bytes_in,
        bytes_out,
        end,
        open: 0,
    }
}

#[test]
fn a_connection_is_told_once_both_have_agreed_and_when_it_is_over() {
    let mut connections = Connections::default();
    assert_eq!(connections.given(&segment(80, false, 1, FLAG_SYN, &[])), []);
    let agreed = segment(80, true, 7, FLAG_SYN | FLAG_ACK, &[]);
    assert_eq!(connections.sent(&agreed), [opened(1)]);
    assert_eq!(connections.sent(&agreed), [], "said again");
    assert_eq!(connections.given(&segment(80, false, 2, FLAG_ACK, b"hello")), []);
    let reset = segment(80, false, 7, FLAG_RST, &[]);
    assert_eq!(connections.given(&reset), [closed(5, 0, ConnectionEnd::Reset)]);
    // One that was refused never was one.
    connections.given(&segment(81, false, 1, FLAG_SYN, &[]));
    assert_eq!(connections.sent(&segment(81, true, 0, FLAG_RST | FLAG_ACK, &[])), []);
    // One that the guest asks for is open when it is answered.
    assert_eq!(connections.sent(&segment(82, true, 1, FLAG_SYN, &[])), []);
    let answered = connections.given(&segment(82, false, 1, FLAG_SYN | FLAG_ACK, &[]));
    assert!(matches!(
        answered[..],
        [EventBody::ConnectionOpened { direction: ConnectionDirection::Outward, open: 1, .. }]
    ));
}

#[test]
fn the_first_form_is_brought_up_and_tells_of_nothing() {
    let mut state = StateWriter::new();
    state.u32(1).u32(0x0a00_020f).u16(80).u32(0x0a00_0202).u16(4000).u32(7).bool(false).bool(true);
    let bytes = state.finish();
    let mut reader = StateReader::new("connections", &bytes);
    let mut connections = Connections::load_first(&mut reader).expect("the first form");
    assert_eq!(only_reset(&connections).1, 7);
    assert_eq!(connections.sent(&segment(80, true, 7, FLAG_RST, &[])), []);
    assert!(connections.is_empty());
}

fn connection_6(guest_port: u16) -> Connection {
    let address = |host| Ipv6Addr::new(0xfd53, 0x5449, 0x4c4c, 0, 0, 0, 0, host).into();
    Connection { guest: address(0x15), guest_port, peer: address(2), peer_port: 4000 }
}

#[test]
fn connections_of_version_6_are_told_reset_and_saved_like_others() {
    let mut connections = Connections::default();
    let told = |connection: &Connection, flags: u8| {
        let mut frame = reset(connection, 100, PEER, GUEST);
        frame[ETHERNET_HEADER_BYTES + 40 + 13] = flags;
        frame
    };
    connections.given(&told(&connection_6(80), FLAG_SYN));
    connections.given(&segment(80, false, 1, FLAG_SYN, &[]));
    assert_eq!(connections.len(), 2, "the same ports over another version are another connection");
    // The guest's answer has its places turned around.
    let mut agreed = told(&connection_6(80), FLAG_SYN | FLAG_ACK);
    let (peer, guest) = (agreed[22..38].to_vec(), agreed[38..54].to_vec());
    agreed[22..38].copy_from_slice(&guest);
    agreed[38..54].copy_from_slice(&peer);
    agreed[54..58].copy_from_slice(&[0, 80, 0x0f, 0xa0]);
    let events = connections.sent(&agreed);
    assert!(
        matches!(&events[..], [EventBody::ConnectionOpened { peer_address, guest_port: 80, .. }]
            if peer_address == "fd53:5449:4c4c::2"),
        "{events:?}"
    );
    let resets = connections.resets(PEER, GUEST);
    assert_eq!(resets.len(), 2);
    let frame = resets.iter().find(|frame| is_of_version_6(frame)).expect("one of version 6");
    assert_eq!(Segment::read(frame).map(|it| (it.sequence, it.flags)), Some((101, FLAG_RST)));
    let pseudo = sum(&frame[22..54]) + 6 + 20;
    assert_eq!(checksum(pseudo + sum(&frame[54..])), [0, 0]);
    let mut state = StateWriter::new();
    connections.save(&mut state);
    let bytes = state.finish();
    let mut reader = StateReader::new("connections", &bytes);
    assert_eq!(Connections::load(&mut reader), Ok(connections.clone()));
    // A connection between two versions is none.
    let mut mixed = StateWriter::new();
    mixed.u32(1).u8(4).u32(1).u16(80).u8(6).u64(0).u64(1).u16(4000);
    mixed.u32(0).u32(0).bool(false).bool(false).bool(false).bool(false).u64(0).u64(0).u64(0).u64(0);
    let bytes = mixed.finish();
    assert!(Connections::load(&mut StateReader::new("connections", &bytes)).is_err());
}

proptest! {
    /// For any segmentation and any retransmissions.
    #[test]
    fn every_answer_and_every_byte_is_told_once(
        exchanges in proptest::collection::vec((1..2_000u16, 1..2_000u16), 0..6),
        cut in 1..900usize,
        repeated in any::<bool>(),
    ) {
        let (told, mut connections) = conversation(&exchanges, cut, repeated);
        let served = exchanges.iter().map(|(request, answer)| EventBody::RequestServed {
            guest_port: 80,
            peer_address: "10.0.2.2".to_owned(),
            peer_port: 4000,
            request_bytes: u64::from(*request),
            answer_bytes: u64::from(*answer),
        });
        let bytes_in = exchanges.iter().map(|(request, _)| u64::from(*request)).sum();
        let bytes_out = exchanges.iter().map(|(_, answer)| u64::from(*answer)).sum();
        let expected: Vec<_> =
            std::iter::once(opened(1)).chain(served).chain([closed(bytes_in, bytes_out, ConnectionEnd::Closed)]).collect();
        prop_assert_eq!(told, expected);
        prop_assert_eq!(connections.take_traffic(), Traffic { bytes_in, bytes_out });
        prop_assert_eq!(connections.take_traffic(), Traffic::default());
        prop_assert!(connections.is_empty());
    }

    /// Whatever passes, and however it is cut: no panic, and what is saved is the same again.
    #[test]
    fn any_frames_are_survived_and_saved(
        frames in proptest::collection::vec(
            (any::<bool>(), 0..6u16, any::<u32>(), any::<u8>(), 0..80usize,
             proptest::option::of((0..70usize, any::<u8>()))),
            0..40,
        ),
    ) {
        let mut connections = Connections::default();
        for (by_guest, port, sequence, flags, length, flip) in frames {
            let mut frame = match port {
                0..3 => segment(port, by_guest, sequence, flags, &[1; 20]),
                _ => reset(&connection_6(port), sequence, PEER, GUEST),
            };
            if let Some((at, byte)) = flip {
                let at = at % frame.len();
                frame[at] = byte;
            }
            frame.truncate(length);
            let _ = if by_guest { connections.sent(&frame) } else { connections.given(&frame) };
        }
        let mut state = StateWriter::new();
        connections.save(&mut state);
        let bytes = state.finish();
        let mut reader = StateReader::new("connections", &bytes);
        prop_assert_eq!(Connections::load(&mut reader), Ok(connections));
    }
}
