//! Traffic through a link, with real sockets of the host's and another stack as the guest.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod guest;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::thread;

use guest::{Guest, HARDWARE, MTU};
use proptest::prelude::*;
use smoltcp::socket::tcp::State;
use socket2::{Domain, Socket, Type};
use stillpoint_net::addresses::{GATEWAY, GATEWAY_HARDWARE};
use stillpoint_net::{Cidr, Egress, Limits, Network, NetworkError, Ports, Rule, Transport};
use stillpoint_vmm::event::{EventBody, NetworkRefusal};
use stillpoint_vmm::network::{Expecting, Link};

const ANY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);

fn bytes(count: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// The guest answers every byte with the byte, and ends when its peer has.
fn echo(guest: &mut Guest, handle: smoltcp::iface::SocketHandle) {
    let socket = guest.get(handle);
    while socket.can_recv() && socket.can_send() {
        let room = socket.send_capacity() - socket.send_queue();
        let taken = socket
            .recv(|bytes| {
                let count = bytes.len().min(room);
                (count, bytes[..count].to_vec())
            })
            .expect("can receive");
        if taken.is_empty() {
            break;
        }
        assert_eq!(socket.send_slice(&taken), Ok(taken.len()));
    }
    if socket.state() == State::CloseWait && socket.recv_queue() == 0 {
        socket.close();
    }
}

#[test]
fn every_byte_arrives_once_in_order_and_an_end_is_only_the_end_of_one_direction() {
    let mut guest = Guest::new();
    let published = guest.network.publish(Transport::Tcp, 80, ANY).expect("a port");
    let expected = bytes(3 << 20, 1);
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let sent = expected.clone();
            thread::spawn(move || {
                let mut stream = TcpStream::connect(published.address).expect("listens");
                let mut reader = stream.try_clone().expect("another hold");
                let reading = thread::spawn(move || {
                    let mut all = Vec::new();
                    reader.read_to_end(&mut all).map(|_| all)
                });
                stream.write_all(&sent).expect("taken");
                stream.shutdown(Shutdown::Write).expect("open");
                reading.join().expect("no panic").expect("no reset")
            })
        })
        .collect();
    let handles: Vec<_> = (0..3).map(|_| guest.listen(80)).collect();
    let mut most = 0;
    guest.until(|guest| {
        handles.iter().for_each(|handle| echo(guest, *handle));
        most = most.max(guest.network.connections());
        clients.iter().all(|client| client.is_finished())
    });
    for client in clients {
        assert!(client.join().expect("no panic") == expected, "the same bytes");
    }
    assert_eq!(most, 3);
    guest.until(|guest| guest.network.connections() == 0);
}

#[test]
fn a_reader_that_stops_holds_the_guest_up_and_loses_nothing() {
    let mut guest = Guest::new();
    let published = guest.network.publish(Transport::Tcp, 80, ANY).expect("a port");
    let mut client = TcpStream::connect(published.address).expect("listens");
    let handle = guest.listen(80);
    let expected = bytes(16 << 20, 2);
    let mut sent = 0;
    let mut still = 0;
    // Until nothing moves any more, the guest sends into a reader that does not read.
    guest.until(|guest| {
        let before = sent;
        let socket = guest.get(handle);
        if socket.may_send() {
            sent += socket.send_slice(&expected[sent..]).expect("open");
        }
        still = if sent == before && sent > 0 { still + 1 } else { 0 };
        still > 300
    });
    assert!(sent < expected.len(), "{sent} bytes went nowhere");
    let reading = thread::spawn(move || {
        let mut all = Vec::new();
        client.read_to_end(&mut all).map(|_| all)
    });
    guest.until(|guest| {
        let socket = guest.get(handle);
        if sent < expected.len() {
            sent += socket.send_slice(&expected[sent..]).expect("open");
        } else if socket.state() == State::Established {
            socket.close();
        }
        reading.is_finished()
    });
    assert!(reading.join().expect("no panic").expect("no reset") == expected);
}

#[test]
fn a_reset_is_a_reset_in_both_directions_and_so_is_a_port_where_nobody_listens() {
    let mut guest = Guest::new();
    let published = guest.network.publish(Transport::Tcp, 80, ANY).expect("a port");
    let reset = |mut stream: TcpStream| {
        thread::spawn(move || stream.read(&mut [0; 9]).map_err(|error| error.kind()))
    };
    let nobody = reset(TcpStream::connect(published.address).expect("listens"));
    guest.until(|_| nobody.is_finished());
    assert_eq!(nobody.join().expect("no panic"), Err(ErrorKind::ConnectionReset));

    let handle = guest.listen(80);
    let client = reset(TcpStream::connect(published.address).expect("listens"));
    guest.until(|guest| guest.get(handle).state() == State::Established);
    guest.get(handle).abort();
    guest.until(|_| client.is_finished());
    assert_eq!(client.join().expect("no panic"), Err(ErrorKind::ConnectionReset));

    let handle = guest.listen(80);
    let client = TcpStream::connect(published.address).expect("listens");
    guest.until(|guest| guest.get(handle).state() == State::Established);
    socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).expect("open");
    drop(client);
    guest.until(|guest| guest.get(handle).state() == State::Closed);
    guest.until(|guest| guest.network.connections() == 0);
}

#[test]
fn a_port_that_is_closed_listens_no_more_and_its_connections_go_on() {
    let mut guest = Guest::new();
    let published = guest.network.publish(Transport::Tcp, 80, ANY).expect("a port");
    let handle = guest.listen(80);
    let mut client = TcpStream::connect(published.address).expect("listens");
    guest.until(|guest| guest.get(handle).state() == State::Established);
    guest.network.unpublish(published.id);
    guest.network.unpublish(published.id);
    guest.until(|guest| guest.link.as_ref().is_some_and(|link| !link.is_ready()));
    assert!(TcpStream::connect(published.address).is_err());
    client.write_all(b"still here").expect("open");
    guest.until(|guest| guest.get(handle).recv_queue() == 10);
    // Its place is free again.
    let again = guest.network.publish(Transport::Tcp, 80, published.address).expect("free");
    assert_eq!(again.address, published.address);
}

#[test]
fn what_cannot_be_published_is_refused_by_name() {
    let guest = Guest::with(Limits { ports: 2, ..Limits::default() });
    let publish = |port, address: SocketAddrV4| {
        guest
            .network
            .publish(Transport::Tcp, port, address)
            .map_err(|error: NetworkError| error.name())
    };
    assert_eq!(publish(0, ANY), Err("NetworkInvalid"));
    let taken = publish(80, ANY).expect("a port");
    let SocketAddr::V4(taken) = taken.address else { panic!("{}", taken.address) };
    assert_eq!(publish(80, taken), Err("PortInUse"));
    let nowhere = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 0);
    assert_eq!(publish(80, nowhere), Err("AddressUnknown"));
    publish(81, ANY).expect("a port");
    assert_eq!(publish(82, ANY), Err("TooManyPorts"));
    let Guest { network, link, .. } = guest;
    drop(link);
    assert_eq!(
        network.publish(Transport::Tcp, 80, ANY).map_err(|error| error.name()),
        Err("Closed")
    );
}

#[test]
fn no_more_connections_than_may_be_are_open_and_the_others_wait() {
    let mut guest = Guest::with(Limits { connections: 2, ..Limits::default() });
    let published = guest.network.publish(Transport::Tcp, 80, ANY).expect("a port");
    let handles: Vec<_> = (0..3).map(|_| guest.listen(80)).collect();
    let mut clients: Vec<_> =
        (0..3).map(|_| TcpStream::connect(published.address).expect("listens")).collect();
    let established = |guest: &mut Guest| {
        handles.iter().filter(|handle| guest.get(**handle).state() == State::Established).count()
    };
    guest.until(|guest| established(guest) == 2);
    (0..100).for_each(|_| guest.turn());
    assert_eq!((established(&mut guest), guest.network.connections()), (2, 2));
    // Whichever goes makes room for the third.
    for client in &clients {
        socket2::SockRef::from(client).set_linger(Some(std::time::Duration::ZERO)).expect("open");
    }
    clients.truncate(1);
    guest.until(|guest| {
        guest.turn();
        handles.iter().filter(|handle| guest.get(**handle).state() == State::Closed).count() >= 1
    });
}

fn allow(addresses: &str, ports: Ports) -> Egress {
    let rule = Rule::tcp(Cidr::parse(addresses).expect("a range"), ports);
    Egress { allow: vec![rule], ..Egress::default() }
}

#[test]
fn nobody_is_reached_who_is_not_allowed_and_the_guest_is_told_at_once() {
    let mut guest = Guest::new();
    let server = TcpListener::bind(ANY).expect("a port");
    let port = server.local_addr().expect("an address").port();
    server.set_nonblocking(true).expect("open");
    guest.network.set_egress(allow("0.0.0.0/0", Ports::Any));
    for (number, address) in
        [GATEWAY, Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(127, 0, 0, 1)]
            .into_iter()
            .enumerate()
    {
        let handle = guest.connect(address, port, 5000 + number as u16);
        guest.until(|guest| guest.get(handle).state() == State::Closed);
        let Some(EventBody::NetworkRefused { address: told, port: at, reason, count: 1, .. }) =
            guest.wire.told.pop()
        else {
            panic!("{address} is refused and it is told");
        };
        assert_eq!((told, at, reason), (address.to_string(), port, NetworkRefusal::NotAllowed));
    }
    assert!(server.accept().is_err(), "nobody came");
}

#[test]
fn who_is_named_is_reached_and_who_does_not_answer_is_told_as_unreachable() {
    let mut guest = Guest::new();
    let server = TcpListener::bind(ANY).expect("a port");
    let port = server.local_addr().expect("an address").port();
    // An unused port, on which nothing listens.
    let silent = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    silent.bind(&SocketAddr::V4(ANY).into()).expect("a port");
    let nobodys = silent.local_addr().expect("an address").as_socket().expect("of IP").port();
    let ports = Ports::These(vec![port..=port, nobodys..=nobodys]);
    guest.network.set_egress(allow("127.0.0.1", ports));
    let expected = bytes(1 << 20, 3);
    let answering = thread::spawn({
        let expected = expected.clone();
        move || {
            let (mut stream, _) = server.accept().expect("somebody comes");
            let mut asked = [0; 3];
            stream.read_exact(&mut asked).expect("asked");
            stream.write_all(&expected).expect("taken");
            asked
        }
    });
    let handle = guest.connect(GATEWAY, port, 5000);
    guest.until(|guest| guest.get(handle).state() == State::Established);
    assert_eq!(guest.link.as_ref().map(Link::expecting), Some(Expecting::Bytes));
    guest.get(handle).send_slice(b"all").expect("open");
    let mut found = Vec::new();
    guest.until(|guest| {
        let socket = guest.get(handle);
        while socket.can_recv() {
            let taken = socket.recv(|bytes| (bytes.len(), bytes.to_vec())).expect("can receive");
            found.extend(taken);
        }
        socket.state() == State::CloseWait && socket.recv_queue() == 0
    });
    assert_eq!(answering.join().expect("no panic"), *b"all");
    assert!(found == expected);
    guest.get(handle).close();
    guest.until(|guest| guest.network.connections() == 0);

    let handle = guest.connect(GATEWAY, nobodys, 5001);
    guest.until(|guest| guest.get(handle).state() == State::Closed);
    let told = guest.wire.told.pop();
    assert!(
        matches!(told, Some(EventBody::NetworkRefused { reason: NetworkRefusal::Unreachable, .. })),
        "{told:?}"
    );
}

#[test]
fn a_flood_of_refusals_is_counted_and_not_told_one_by_one() {
    let mut guest = Guest::new();
    for round in 0..200 {
        for port in 0..10 {
            let mut frame = vec![0; 54];
            frame[..6].copy_from_slice(&GATEWAY_HARDWARE);
            frame[6..12].copy_from_slice(&HARDWARE);
            frame[12] = 8;
            frame[14..34].copy_from_slice(&[
                0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 132, 0, 0, 10, 0, 2, 15, 1, 1, 1, 1,
            ]);
            frame[37] = port;
            guest.wire.to_host.push(frame);
        }
        assert!(round < 200);
        guest.turn();
    }
    let counts: u64 = guest
        .wire
        .told
        .iter()
        .map(|event| match event {
            EventBody::NetworkRefused { count, .. } => *count,
            other => panic!("{other:?}"),
        })
        .sum();
    assert!(guest.wire.told.len() < 80, "{} events", guest.wire.told.len());
    assert!(counts > 60 && counts <= 2000, "{counts}");
}

#[test]
fn connections_of_before_are_reset_first_of_all() {
    let resets = vec![vec![1; 60], vec![2; 60]];
    let (_network, mut link) =
        Network::with_link((HARDWARE, MTU), resets.clone(), Limits::default(), || {})
            .expect("a thread");
    assert!(link.is_ready());
    let mut wire = guest::Wire { room: 1, ..guest::Wire::default() };
    link.exchange(0, Vec::new(), &mut wire);
    assert_eq!(wire.to_guest, resets[..1].to_vec(), "as many as there is room for");
    wire.room = 9;
    link.exchange(0, Vec::new(), &mut wire);
    assert_eq!(wire.to_guest, resets);
}

#[derive(Debug, Clone)]
struct Packet {
    protocol: u8,
    destination: [u8; 4],
    ports: (u16, u16),
    sequence: u32,
    flags: u8,
    fragment: u16,
    options: u8,
    total: Option<u16>,
    payload: Vec<u8>,
    has_checksums: bool,
}

fn packets() -> impl Strategy<Value = Packet> {
    let destination = prop_oneof![
        Just([10, 0, 2, 2]),
        Just([1, 1, 1, 1]),
        Just([127, 0, 0, 1]),
        Just([10, 0, 2, 255]),
        any::<[u8; 4]>(),
    ];
    let port = || prop_oneof![Just(80u16), Just(0), 1..6u16, any::<u16>()];
    (
        prop_oneof![5 => Just(6u8), 1 => Just(1), 1 => Just(17), 1 => any::<u8>()],
        destination,
        (port(), port()),
        any::<u32>(),
        any::<u8>(),
        prop_oneof![4 => Just(0u16), 1 => any::<u16>()],
        0x40..=0x5fu8,
        proptest::option::weighted(0.2, any::<u16>()),
        proptest::collection::vec(any::<u8>(), 0..200),
        proptest::bool::weighted(0.9),
    )
        .prop_map(
            |(
                protocol,
                destination,
                ports,
                sequence,
                flags,
                fragment,
                options,
                total,
                payload,
                has_checksums,
            )| {
                Packet {
                    protocol,
                    destination,
                    ports,
                    sequence,
                    flags,
                    fragment,
                    options,
                    total,
                    payload,
                    has_checksums,
                }
            },
        )
}

fn checksum(bytes: &[u8], start: u32) -> [u8; 2] {
    let mut sum = start;
    for word in bytes.chunks(2) {
        sum += (u32::from(word[0]) << 8) + word.get(1).map_or(0, |low| u32::from(*low));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

impl Packet {
    fn frame(&self) -> Vec<u8> {
        let mut segment = [self.ports.0.to_be_bytes(), self.ports.1.to_be_bytes()].concat();
        segment.extend(self.sequence.to_be_bytes());
        segment.extend([0, 0, 0, 1, (self.options & 0xf0) | 0x50, self.flags, 0x20, 0, 0, 0, 0, 0]);
        segment.extend(&self.payload);
        let total = self.total.unwrap_or((20 + segment.len()) as u16);
        let mut header = vec![self.options, 0];
        header.extend(total.to_be_bytes());
        header.extend([0, 1]);
        header.extend(self.fragment.to_be_bytes());
        header.extend([64, self.protocol, 0, 0, 10, 0, 2, 15]);
        header.extend(self.destination);
        if self.has_checksums {
            let check = checksum(&header, 0);
            header[10..12].copy_from_slice(&check);
            let pseudo = header[12..20]
                .chunks(2)
                .fold(0, |sum, word| sum + (u32::from(word[0]) << 8) + u32::from(word[1]))
                + 6
                + segment.len() as u32;
            let check = checksum(&segment, pseudo);
            segment[16..18].copy_from_slice(&check);
        }
        [&GATEWAY_HARDWARE[..], &HARDWARE, &[8, 0], &header, &segment].concat()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever a guest sends: no panic, no more connections than may be, nothing reached.
    #[test]
    fn any_frames_are_survived(
        frames in proptest::collection::vec((packets(), 0..400usize, proptest::option::weighted(0.2, (0..60usize, any::<u8>()))), 1..40),
        room in 0..9usize,
    ) {
        let mut guest = Guest::with(Limits { connections: 3, flows: 2, ports: 2 });
        guest.wire.room = room;
        let published = guest.network.publish(Transport::Tcp, 80, ANY).expect("a port");
        let _client = TcpStream::connect(published.address).expect("listens");
        for (packet, length, flip) in frames {
            let mut frame = packet.frame();
            if let Some((at, byte)) = flip {
                let at = at % frame.len();
                frame[at] = byte;
            }
            frame.truncate(length.max(14));
            guest.wire.to_host.push(frame);
            let sent = std::mem::take(&mut guest.wire.to_host);
            guest.now += 1_000_000;
            let (link, wire, now) = (guest.link.as_mut(), &mut guest.wire, guest.now);
            link.expect("there").exchange(now, sent, wire);
            prop_assert!(guest.network.connections() <= 3);
            prop_assert!(wire_is_sound(&guest.wire));
            guest.wire.to_guest.clear();
        }
    }
}

/// Everything that is given is a frame from the gateway to the guest, within the MTU.
fn wire_is_sound(wire: &guest::Wire) -> bool {
    wire.to_guest.iter().all(|frame| {
        frame[..6] == HARDWARE
            && frame[6..12] == GATEWAY_HARDWARE
            && frame.len() <= usize::from(MTU) + 14
    })
}
