//! Questions for names over TCP: whole, in pieces, many, none.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod guest;

use std::net::{IpAddr, Ipv4Addr};

use guest::Guest;
use proptest::prelude::*;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use stillpoint_net::addresses::{NAME_PORT, NAME_SERVER};
use stillpoint_net::{Destinations, Egress, HostPattern, Ports, Rule, Transport};
use stillpoint_vmm::event::{EventBody, NetworkRefusal};

/// A question for the addresses of a name, with its length before it.
fn question(identity: u8, name: &str, kind: u8) -> Vec<u8> {
    let mut message = vec![0, 0, 7, identity, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.extend([0, 0, kind, 0, 1]);
    let length = (message.len() - 2) as u16;
    message[..2].copy_from_slice(&length.to_be_bytes());
    message
}

fn guest() -> Guest {
    let guest = Guest::new();
    let hosts = HostPattern::parse("localhost").expect("a pattern");
    let destinations = Destinations::Hosts(hosts);
    let rule = Rule { destinations, ports: Ports::Any, transport: Transport::Tcp };
    let known = |name: &str, last| (name.to_owned(), vec![Ipv4Addr::new(192, 0, 2, last).into()]);
    let table = [known("a.test", 1), known("b.test", 2)].into();
    guest.network.set_egress(Egress {
        allow: vec![rule],
        table,
        asks_host: true,
        ..Egress::default()
    });
    guest
}

fn connected(guest: &mut Guest, local: u16) -> SocketHandle {
    let handle = guest.connect(NAME_SERVER, NAME_PORT, local);
    guest.until(|guest| guest.get(handle).state() != State::SynSent);
    handle
}

/// The next answer: its identity, its code, and its addresses.
fn answer(guest: &mut Guest, handle: SocketHandle) -> (u8, u8, Vec<IpAddr>) {
    let mut bytes: Vec<u8> = Vec::new();
    let mut length = 2;
    while bytes.len() < length {
        guest.until(|guest| guest.get(handle).can_recv());
        let mut more = vec![0; length - bytes.len()];
        let count = guest.get(handle).recv_slice(&mut more).expect("can receive");
        bytes.extend(&more[..count]);
        if bytes.len() == 2 {
            length = 2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        }
    }
    let message = &bytes[2..];
    let count = usize::from(message[7]);
    let addresses = message[message.len() - 16 * count..]
        .chunks(16)
        .map(|record| IpAddr::from(<[u8; 4]>::try_from(&record[12..]).expect("an address")));
    (message[1], message[3] & 0xf, addresses.collect())
}

#[test]
fn questions_over_a_connection_are_all_answered_whoever_knows_the_answer() {
    let mut guest = guest();
    let handle = connected(&mut guest, 5000);
    let all = [
        question(1, "A.test", 1),
        question(2, "b.test", 1),
        question(3, "nobody.test", 1),
        // Version 6: it is known, and has none.
        question(4, "a.test", 28),
        question(5, "localhost", 1),
    ]
    .concat();
    // In pieces, as they may come.
    for piece in all.chunks(7) {
        assert_eq!(guest.get(handle).send_slice(piece), Ok(piece.len()));
        guest.turn();
    }
    let mut answers: Vec<_> = (0..5).map(|_| answer(&mut guest, handle)).collect();
    answers.sort();
    let at = |last| vec![IpAddr::from([192, 0, 2, last])];
    let (five, others) = answers.split_last().expect("five");
    assert_eq!(others, [(1, 0, at(1)), (2, 0, at(2)), (3, 3, vec![]), (4, 0, vec![])]);
    assert!(five.1 == 0 && five.2.iter().all(IpAddr::is_loopback) && !five.2.is_empty());
    let told = guest.wire.told.pop();
    assert!(
        matches!(&told, Some(EventBody::NetworkRefused { address, .. }) if address == "nobody.test"),
        "{told:?}"
    );
    // An end is answered with an end.
    guest.get(handle).close();
    guest.until(|guest| guest.get(handle).state() == State::TimeWait);
}

#[test]
fn a_connection_that_says_no_question_nothing_or_is_one_too_many_is_reset() {
    let mut guest = guest();
    let long = connected(&mut guest, 5000);
    guest.get(long).send_slice(&[0xff, 0xff, 1, 2, 3]).expect("open");
    guest.until(|guest| guest.get(long).state() == State::Closed);
    let silent: Vec<_> = (0..17).map(|local| connected(&mut guest, 6000 + local)).collect();
    let open = |guest: &mut Guest| {
        silent.iter().filter(|it| guest.get(**it).state() == State::Established).count()
    };
    guest.until(|guest| open(guest) == 16 && !guest.wire.told.is_empty());
    let told = guest.wire.told.pop();
    assert!(
        matches!(
            &told,
            Some(EventBody::NetworkRefused { port: 53, reason: NetworkRefusal::TooMany, .. })
        ),
        "{told:?}"
    );
    // Silence of theirs ends them, and who comes then is answered.
    guest.until(|guest| open(guest) == 0);
    assert!(guest.now > 10_000_000_000);
    let handle = connected(&mut guest, 7000);
    guest.get(handle).send_slice(&question(9, "a.test", 1)).expect("open");
    assert_eq!(answer(&mut guest, handle).0, 9);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// After any data the connection ends, and the next one is answered.
    #[test]
    fn any_bytes_are_survived(
        bytes in proptest::collection::vec(prop_oneof![3 => 0..4u8, 1 => any::<u8>()], 0..3_000),
        questions in 0..80usize,
        piece in 1..500usize,
    ) {
        let mut guest = guest();
        let handle = connected(&mut guest, 5000);
        let all = [question(1, "a.test", 1).repeat(questions), bytes].concat();
        for piece in all.chunks(piece) {
            if guest.get(handle).can_send() {
                let _ = guest.get(handle).send_slice(piece);
            }
            guest.turn();
        }
        guest.get(handle).close();
        guest.until(|guest| {
            while guest.get(handle).can_recv() {
                let _ = guest.get(handle).recv(|bytes| (bytes.len(), ()));
            }
            !guest.get(handle).is_active()  || guest.get(handle).state() == State::TimeWait
        });
        let next = connected(&mut guest, 5001);
        guest.get(next).send_slice(&question(2, "b.test", 1)).expect("open");
        prop_assert_eq!(answer(&mut guest, next).0, 2);
    }
}
