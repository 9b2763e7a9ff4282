use super::*;
use proptest::prelude::*;

const GUEST: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn connection(guest_port: u16) -> Connection {
    Connection {
        guest: Ipv4Addr::new(10, 0, 2, 15),
        guest_port,
        peer: Ipv4Addr::new(10, 0, 2, 2),
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
    // What is given twice was given once.
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

proptest! {
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
            let mut frame = segment(port, by_guest, sequence, flags, &[1; 20]);
            if let Some((at, byte)) = flip {
                let at = at % frame.len();
                frame[at] = byte;
            }
            frame.truncate(length);
            if by_guest { connections.sent(&frame) } else { connections.given(&frame) }
        }
        let mut state = StateWriter::new();
        connections.save(&mut state);
        let bytes = state.finish();
        let mut reader = StateReader::new("connections", &bytes);
        prop_assert_eq!(Connections::load(&mut reader), Ok(connections));
    }
}
