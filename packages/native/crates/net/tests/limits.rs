//! Limits of a published port and of what a guest reaches: connections at once, and bytes in a second
//! of guest time.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod guest;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use guest::Guest;
use guest::bare::{ANY, Bare, received, socket};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use stillpoint_net::addresses::GATEWAY;
use stillpoint_net::{
    Cidr, Destinations, Egress, Ports, Published, Rule, TrafficLimits, Transport,
};
use stillpoint_vmm::event::{EventBody, NetworkRefusal};
use stillpoint_vmm::network::Link;

const SPEED: u64 = 64 * 1024;

fn slow() -> TrafficLimits {
    TrafficLimits { bytes_per_second: Some(SPEED), ..TrafficLimits::default() }
}

fn few(connections: usize) -> TrafficLimits {
    TrafficLimits { connections: Some(connections), ..TrafficLimits::default() }
}

fn publish(guest: &Guest, limits: TrafficLimits) -> Published {
    guest.network.publish_within(limits, Transport::Tcp, 80, ANY).expect("a port")
}

fn udp() -> Egress {
    let addresses = Cidr::parse("127.0.0.1").expect("an address");
    let destinations = Destinations::Addresses(addresses);
    let rule = Rule { destinations, ports: Ports::Any, transport: Transport::Udp };
    Egress { allow: vec![rule], ..Egress::default() }
}

/// Takes what a connection of the guest's has received; how many bytes those were.
fn take(guest: &mut Guest, handle: SocketHandle) -> usize {
    let socket = guest.get(handle);
    let mut count = 0;
    while socket.can_recv() {
        count += socket.recv(|bytes| (bytes.len(), bytes.len())).expect("can receive");
    }
    count
}

#[test]
fn bytes_of_a_published_port_take_their_time_and_its_connections_get_the_same() {
    let mut guest = Guest::new();
    let published = publish(&guest, slow());
    let handles: Vec<_> = (0..3).map(|_| guest.listen(80)).collect();
    // All of it is in the host's kernel before the guest looks.
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let mut client = TcpStream::connect(published.address).expect("listens");
            client.write_all(&[7; 40 * 1024]).expect("taken");
            client
        })
        .collect();
    let mut found = [0; 3];
    guest.until(|guest| {
        for (handle, count) in handles.iter().zip(&mut found) {
            *count += take(guest, *handle);
        }
        found.iter().sum::<usize>() >= 60 * 1024
    });
    let equal = found.iter().sum::<usize>() / 3;
    assert!(found.iter().all(|count| count.abs_diff(equal) <= equal / 2), "{found:?}");
    // Nothing but time makes the rest come, and a limit of one port is none of another's.
    let due = guest.link.as_ref().and_then(Link::deadline).expect("something waits");
    assert!(due <= guest.now + 100_000_000);
    guest.until(|guest| {
        for (handle, count) in handles.iter().zip(&mut found) {
            *count += take(guest, *handle);
        }
        found.iter().sum::<usize>() == 120 * 1024
    });
    let least = (120 * 1024 * 1_000_000_000_u64 / SPEED) - 100_000_000;
    assert!(guest.now >= least, "{} ns", guest.now);
    assert!(guest.now <= 2 * least, "{} ns", guest.now);
    drop(clients);
    guest.until(|guest| {
        handles.iter().for_each(|handle| guest.get(*handle).close());
        guest.network.connections() == 0
    });
}

#[test]
fn what_the_guest_sends_takes_its_time_too_and_every_byte_arrives() {
    let mut guest = Guest::new();
    let server = TcpListener::bind(ANY).expect("a port");
    let port = server.local_addr().expect("an address").port();
    let rule = Rule::tcp(Cidr::parse("127.0.0.1").expect("an address"), Ports::Any);
    guest.network.set_egress(Egress { allow: vec![rule], limits: slow(), ..Egress::default() });
    let reading = thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("somebody comes");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("an end");
        all
    });
    let expected: Vec<u8> = (0..100 * 1024).map(|index| (index % 251) as u8).collect();
    let handle = guest.connect(GATEWAY, port, 5000);
    let mut sent = 0;
    guest.until(|guest| {
        let socket = guest.get(handle);
        if socket.may_send() && sent < expected.len() {
            sent += socket.send_slice(&expected[sent..]).expect("open");
        } else if sent == expected.len() && socket.state() == State::Established {
            socket.close();
        }
        reading.is_finished()
    });
    assert!(reading.join().expect("no panic") == expected);
    let least = (100 * 1024 * 1_000_000_000_u64 / SPEED) - 100_000_000;
    assert!(guest.now >= least, "{} ns", guest.now);
}

#[test]
fn one_connection_too_many_waits_at_a_port_and_is_refused_outside() {
    let mut guest = Guest::new();
    let published = publish(&guest, few(1));
    let handles: Vec<_> = (0..2).map(|_| guest.listen(80)).collect();
    let mut clients: Vec<_> =
        (0..2).map(|_| TcpStream::connect(published.address).expect("listens")).collect();
    let established = |guest: &mut Guest| {
        let is_open = |handle: &&SocketHandle| {
            guest.sockets.get::<smoltcp::socket::tcp::Socket<'_>>(**handle).is_open()
        };
        handles.iter().filter(is_open).count()
    };
    guest.until(|guest| guest.network.connections() == 1);
    for _ in 0..50 {
        guest.turn();
    }
    assert_eq!(guest.network.connections(), 1);
    assert_eq!(established(&mut guest), 2, "one is taken, one listens");
    drop(clients.remove(0));
    let first = handles.iter().copied().find(|handle| guest.get(*handle).state() != State::Listen);
    let first = first.expect("one was taken");
    guest.until(|guest| {
        guest.get(first).close();
        handles.iter().all(|handle| guest.get(*handle).state() != State::Listen)
    });

    let server = TcpListener::bind(ANY).expect("a port");
    let port = server.local_addr().expect("an address").port();
    let rule = Rule::tcp(Cidr::parse("127.0.0.1").expect("an address"), Ports::Any);
    guest.network.set_egress(Egress { allow: vec![rule], limits: few(1), ..Egress::default() });
    let first = guest.connect(GATEWAY, port, 5000);
    guest.until(|guest| guest.get(first).state() == State::Established);
    let second = guest.connect(GATEWAY, port, 5001);
    guest.until(|guest| guest.get(second).state() == State::Closed);
    let told = guest.wire.told.pop();
    assert!(
        matches!(told, Some(EventBody::NetworkRefused { reason: NetworkRefusal::TooMany, .. })),
        "{told:?}"
    );
    // A client that is still there has its connection: limits of the outside are not its own.
    clients[0].set_nonblocking(true).expect("open");
    let read = clients[0].read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(read, Err(ErrorKind::WouldBlock));
}

#[test]
fn datagrams_beyond_a_limit_are_lost_on_the_way_out_and_wait_on_the_way_in() {
    let mut guest = Bare::new();
    let limits = TrafficLimits { bytes_per_second: Some(10_000), ..TrafficLimits::default() };
    let (server, port) = socket();
    guest.0.network.set_egress(Egress { limits, ..udp() });
    for number in 0..20 {
        guest.send(7000, (GATEWAY, port), &[number; 1000]);
    }
    assert_eq!(received(&server).0, [0; 1000]);
    let refused = guest.refused();
    assert_eq!(refused.len(), 19, "{refused:?}");
    assert!(refused.iter().all(|(.., reason)| *reason == NetworkRefusal::TooMany));
    assert!(guest.given().is_empty(), "the guest does not take the place for a closed one");
    guest.exchange(Vec::new(), 100_000_000);
    guest.send(7000, (GATEWAY, port), b"later");
    assert_eq!(received(&server).0, b"later");

    let network = &guest.0.network;
    let published = network.publish_within(limits, Transport::Udp, 53, ANY).expect("a port");
    let (peer, _) = socket();
    for number in 0..3_u8 {
        peer.send_to(&[number; 1000], published.address).expect("sent");
    }
    let begun = guest.0.now;
    assert_eq!(guest.next().2, [0; 1000]);
    for number in 1..3_u8 {
        guest.exchange(Vec::new(), 1000);
        assert!(guest.given().is_empty(), "the next one waits");
        guest.exchange(Vec::new(), 100_000_000);
        assert_eq!(guest.next().2, [number; 1000], "in their order, and none is lost");
    }
    assert!(guest.0.now - begun >= 200_000_000);
}
