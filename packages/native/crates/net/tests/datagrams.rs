//! Datagrams and names: a guest that writes its frames itself, and real sockets of the host's.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod guest;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use guest::bare::{ANY, Bare, frame, received, socket};
use guest::{HARDWARE, MTU};
use proptest::prelude::*;
use smoltcp::wire::Ipv4Packet;
use stillpoint_net::addresses::{GATEWAY, GATEWAY_HARDWARE, NAME_PORT, NAME_SERVER};
use stillpoint_net::{
    Cidr, Destinations, Egress, HostPattern, Limits, NetworkError, Ports, Rule, Transport,
};
use stillpoint_vmm::event::{NetworkProtocol, NetworkRefusal};
use stillpoint_vmm::network::Expecting;

fn udp(destinations: Destinations, ports: Ports) -> Rule {
    Rule { destinations, ports, transport: Transport::Udp }
}

fn loopback(ports: Ports) -> Egress {
    let addresses = Cidr::parse("127.0.0.1").expect("an address");
    let allow = vec![udp(Destinations::Addresses(addresses), ports)];
    Egress { allow, ..Egress::default() }
}

#[test]
fn each_peer_of_a_published_port_gets_the_answers_that_are_for_it() {
    let mut guest = Bare::new();
    let published = guest.0.network.publish(Transport::Udp, 5353, ANY).expect("a port");
    guest.exchange(Vec::new(), 0);
    assert_eq!(guest.expecting(), Some(Expecting::Connections));
    let peers: Vec<_> = (0..3u8).map(|_| socket().0).collect();
    for (peer, number) in peers.iter().zip(0u8..) {
        peer.send_to(&[number; 9], published.address).expect("sent");
    }
    for _ in 0..3 {
        let (from, port, bytes) = guest.next();
        assert_eq!((from.0, port, bytes.len()), (GATEWAY.into(), 5353, 9));
        // A datagram from another port than the one asked is not delivered.
        guest.send(5354, from, b"not this");
        guest.send(5353, from, &[&bytes[..], b" answered"].concat());
    }
    assert_eq!(guest.expecting(), Some(Expecting::Bytes));
    for (peer, number) in peers.iter().zip(0u8..) {
        let (answer, from) = received(peer);
        assert_eq!(answer, [&[number; 9][..], b" answered"].concat());
        assert_eq!(from, published.address);
    }
    // Nothing, and as much as fits.
    let most = vec![7; usize::from(MTU) - 28];
    for sent in [&[][..], &most] {
        peers[0].send_to(sent, published.address).expect("sent");
        assert_eq!(guest.next().2, sent);
    }
    let reasons: Vec<_> = guest.refused().into_iter().map(|refused| refused.3).collect();
    assert_eq!(reasons, [NetworkRefusal::NotAllowed; 3]);
    guest.exchange(Vec::new(), 31_000_000_000);
    assert_eq!(guest.expecting(), Some(Expecting::Connections), "flows end in silence");
    guest.0.network.unpublish(published.id);
    guest.exchange(Vec::new(), 0);
    assert_eq!(guest.expecting(), Some(Expecting::Nothing));
    UdpSocket::bind(published.address).expect("the port is free again");
}

#[test]
fn the_same_port_may_be_published_for_both_and_is_in_use_for_a_second_one() {
    let guest = Bare::new();
    let network = &guest.0.network;
    let first = network.publish(Transport::Udp, 53, ANY).expect("a port");
    network.publish(Transport::Tcp, 53, ANY).expect("a port");
    let again = network.publish(Transport::Udp, 53, first.address);
    assert_eq!(again.map_err(|error: NetworkError| error.name()), Err("PortInUse"));
    let problems =
        match network.publish_at("sctp", 0, ("localhost", 70_000), (Some(0.5), Some(1.0))) {
            Err(NetworkError::Invalid { problems }) => problems.len(),
            _ => 0,
        };
    assert_eq!(problems, 6);
}

#[test]
fn whom_the_guest_may_reach_answers_it_and_whom_it_may_not_never_hears() {
    let mut guest = Bare::new();
    let (server, port) = socket();
    server.set_nonblocking(true).expect("open");
    // Over the other protocol it is allowed.
    let addresses = Cidr::parse("127.0.0.1").expect("an address");
    let allow = vec![Rule::tcp(addresses, Ports::Any)];
    guest.0.network.set_egress(Egress { allow, ..Egress::default() });
    guest.send(7000, (GATEWAY, port), b"hello");
    let address = GATEWAY.to_string();
    let refused = (NetworkProtocol::Udp, address, port, NetworkRefusal::NotAllowed);
    assert_eq!(guest.refused(), std::slice::from_ref(&refused));
    let [news] = guest.given().try_into().expect("one packet");
    assert_eq!((news[9], &news[20..22]), (1, &[3, 13][..]), "prohibited, it is told");
    assert_eq!(news[12..16], GATEWAY.octets());
    assert!(server.recv_from(&mut [0; 9]).is_err(), "nothing came");

    server.set_nonblocking(false).expect("open");
    guest.0.network.set_egress(loopback(Ports::These(vec![port..=port])));
    guest.send(7000, (GATEWAY, port), b"hello");
    let (bytes, from) = received(&server);
    assert_eq!(bytes, b"hello");
    server.send_to(b"and back", from).expect("sent");
    assert_eq!(guest.next(), ((GATEWAY.into(), port), 7000, b"and back".to_vec()));
    // The same two have the same flow.
    guest.send(7000, (GATEWAY, port), b"again");
    assert_eq!(received(&server), (b"again".to_vec(), from));
    assert_eq!(guest.expecting(), Some(Expecting::Bytes));

    // A policy that says otherwise ends it.
    guest.0.network.set_egress(Egress::default());
    guest.send(7000, (GATEWAY, port), b"once more");
    assert_eq!(guest.refused(), [refused]);
    assert_eq!(guest.expecting(), Some(Expecting::Nothing));
}

#[test]
fn who_listens_no_more_is_told_as_unreachable() {
    let mut guest = Bare::new();
    let (server, port) = socket();
    guest.0.network.set_egress(loopback(Ports::Any));
    drop(server);
    guest.send(7000, (GATEWAY, port), b"hello");
    let mut refused = Vec::new();
    while refused.is_empty() {
        std::thread::yield_now();
        guest.exchange(Vec::new(), 1000);
        refused = guest.refused();
    }
    let address = GATEWAY.to_string();
    assert_eq!(refused, [(NetworkProtocol::Udp, address, port, NetworkRefusal::Unreachable)]);
    let [news] = guest.given().try_into().expect("one packet");
    assert_eq!((news[9], &news[20..22]), (1, &[3, 3][..]), "nobody at the port");
}

#[test]
fn flows_are_bounded_and_the_one_that_was_silent_for_longest_goes() {
    let mut guest = Bare::with(Limits { flows: 3, ..Limits::default() });
    let (server, port) = socket();
    guest.0.network.set_egress(loopback(Ports::Any));
    let mut from = BTreeMap::new();
    for local in [1, 2, 3, 1, 4] {
        guest.send(local, (GATEWAY, port), &[local as u8]);
        from.insert(local, received(&server).1);
    }
    // The second one is gone: its answer goes nowhere, the others arrive.
    for local in 1..=4u16 {
        let _ = server.send_to(&[local as u8], from[&local]);
    }
    let mut answered: Vec<_> = (0..3).map(|_| guest.next().1).collect();
    answered.sort_unstable();
    assert_eq!(answered, [1, 3, 4]);
}

/// A question for a name's addresses of version 4.
fn question(name: &str) -> Vec<u8> {
    let mut message = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

impl Bare {
    /// Queries a name: the code of the answer, and the addresses.
    fn asks(&mut self, name: &str) -> (u8, Vec<Ipv4Addr>) {
        self.send(6000, (NAME_SERVER, NAME_PORT), &question(name));
        let (from, port, answer) = self.next();
        assert_eq!(
            (from, port, &answer[..2]),
            ((NAME_SERVER.into(), NAME_PORT), 6000, &[7, 9][..])
        );
        let count = usize::from(answer[7]);
        let addresses = answer[answer.len() - 16 * count..]
            .chunks(16)
            .map(|record| Ipv4Addr::from(<[u8; 4]>::try_from(&record[12..]).expect("an address")));
        (answer[3] & 0xf, addresses.collect())
    }
}

fn named(pattern: &str, table: &[(&str, &str)], asks_host: bool) -> Egress {
    let pattern = HostPattern::parse(pattern).expect("a pattern");
    let hosts = || Destinations::Hosts(pattern.clone());
    let rule = Rule { destinations: hosts(), ports: Ports::Any, transport: Transport::Tcp };
    let known = |(name, address): &(&str, &str)| {
        ((*name).to_owned(), vec![address.parse().expect("an address")])
    };
    let table = table.iter().map(known).collect();
    Egress { allow: vec![udp(hosts(), Ports::Any), rule], table, asks_host, ..Egress::default() }
}

#[test]
fn names_of_the_table_are_answered_and_all_others_are_refused_and_told() {
    let mut guest = Bare::new();
    let refused =
        |name: &str| (NetworkProtocol::Udp, name.to_owned(), NAME_PORT, NetworkRefusal::NotAllowed);
    assert_eq!(guest.asks("db.test"), (3, vec![]), "before anything was said");
    assert_eq!(guest.refused(), [refused("db.test")]);
    guest.0.network.set_egress(named("db.test", &[("db.test", "192.0.2.7")], true));
    assert_eq!(guest.asks("DB.test"), (0, vec![Ipv4Addr::new(192, 0, 2, 7)]));
    assert_eq!(guest.refused(), []);
    assert_eq!(guest.asks("other.test"), (3, vec![]));
    assert_eq!(guest.refused(), [refused("other.test")]);
}

#[test]
fn the_hosts_resolver_is_asked_for_what_is_allowed_and_its_answer_opens_no_loopback() {
    let mut guest = Bare::new();
    let server = TcpListener::bind(ANY).expect("a port");
    let port = server.local_addr().expect("an address").port();
    server.set_nonblocking(true).expect("open");
    guest.0.network.set_egress(named("*", &[("here.test", "10.0.2.2")], true));
    // Every host knows this one, and it is the host itself.
    let (code, addresses) = guest.asks("localhost");
    assert_eq!(code, 0);
    assert!(addresses.iter().all(Ipv4Addr::is_loopback) && !addresses.is_empty(), "{addresses:?}");
    assert_eq!(guest.asks("here.test").1, [GATEWAY]);
    assert_eq!(guest.refused(), []);
    for address in [Ipv4Addr::LOCALHOST, GATEWAY] {
        guest.send(7000, (address, port), b"hello");
        let refused = (NetworkProtocol::Udp, address.to_string(), port, NetworkRefusal::NotAllowed);
        assert_eq!(guest.refused(), [refused]);
        let handle = guest.0.connect(address, port, 7000);
        guest.0.until(|guest| guest.get(handle).state() == smoltcp::socket::tcp::State::Closed);
        let refused = (NetworkProtocol::Tcp, address.to_string(), port, NetworkRefusal::NotAllowed);
        assert_eq!(guest.refused(), [refused]);
        guest.given();
    }
    assert!(server.accept().is_err(), "nobody came");
}

#[test]
fn who_waits_for_the_hosts_resolver_keeps_the_guest_in_host_time() {
    let mut guest = Bare::new();
    guest.0.network.set_egress(named("localhost", &[], true));
    guest.send(6000, (NAME_SERVER, NAME_PORT), &question("localhost"));
    // The answer is there now, or is waited for.
    let is_answered = !guest.0.wire.to_guest.is_empty();
    assert!(is_answered || guest.expecting() == Some(Expecting::Bytes));
    guest.next();
    assert_eq!(guest.expecting(), Some(Expecting::Nothing));
}

fn datagrams() -> impl Strategy<Value = Vec<u8>> {
    let to = prop_oneof![
        3 => Just((NAME_SERVER, NAME_PORT)),
        1 => Just((GATEWAY, 9)),
        1 => (any::<u32>(), any::<u16>()).prop_map(|(it, port)| (Ipv4Addr::from_bits(it), port)),
    ];
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..80),
        "[a-z.]{0,20}".prop_map(|name| question(&name)),
    ];
    (any::<u16>(), to, bytes, proptest::option::of((0..80usize, any::<u8>())), 14..150usize)
        .prop_map(|(from, to, bytes, flip, length)| {
            let mut frame = frame(from, to, &bytes);
            if let Some((at, byte)) = flip
                && let Some(place) = frame.get_mut(14 + at)
            {
                *place ^= byte;
            }
            frame.truncate(length);
            frame
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_datagrams_are_bounded_and_answered_by_frames_of_the_gateway(
        frames in proptest::collection::vec(datagrams(), 1..40),
        room in 0..9usize,
    ) {
        let mut guest = Bare::with(Limits { flows: 3, ..Limits::default() });
        guest.0.network.set_egress(named("*", &[("a", "127.0.0.1")], false));
        guest.0.wire.room = room;
        for frame in frames {
            guest.exchange(vec![frame], 1_000_000);
            for given in guest.0.wire.to_guest.drain(..) {
                prop_assert_eq!(&given[..6], &HARDWARE[..]);
                prop_assert_eq!(&given[6..12], &GATEWAY_HARDWARE[..]);
                prop_assert!(given.len() <= usize::from(MTU) + 14);
                prop_assert!(Ipv4Packet::new_checked(&given[14..]).is_ok_and(|it| it.verify_checksum()));
            }
        }
    }
}
