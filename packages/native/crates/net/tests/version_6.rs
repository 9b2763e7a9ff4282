//! Traffic over IPv6, in both directions, and refusals.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod guest;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use guest::Guest;
use guest::bare::{Bare, frame, framed, guest_beside};
use guest::version_6::{LOOPBACK, allow, extended, has_version_6, part, refused};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet};
use stillpoint_net::addresses::{GATEWAY_6, GUEST_6, NAME_PORT, NAME_SERVER_6};
use stillpoint_net::{Destinations, Egress, HostPattern, Ports, Rule, Transport};
use stillpoint_vmm::event::{EventBody, NetworkProtocol, NetworkRefusal};

fn echo(number: u16) -> Vec<u8> {
    let repr = Icmpv6Repr::EchoRequest { ident: 7, seq_no: number, data: b"echo" };
    let mut message = vec![0; repr.buffer_len()];
    repr.emit(
        &GUEST_6,
        &GATEWAY_6,
        &mut Icmpv6Packet::new_unchecked(&mut message[..]),
        &ChecksumCapabilities::default(),
    );
    message
}

#[test]
fn a_guest_reaches_what_is_allowed_over_version_6_and_what_is_not_is_told() {
    if !has_version_6() {
        return;
    }
    let mut guest = Guest::new();
    let server = TcpListener::bind(LOOPBACK).expect("a port");
    let port = server.local_addr().expect("an address").port();
    let there = |guest: &mut Guest, address: Ipv6Addr, local| {
        let handle = guest.connect(address, port, local);
        guest
            .until(|guest| matches!(guest.get(handle).state(), State::Established | State::Closed));
        handle
    };
    let handle = there(&mut guest, GATEWAY_6, 5000);
    assert_eq!(guest.get(handle).state(), State::Closed, "before anything was allowed");
    let told = guest.wire.told.pop();
    assert!(
        matches!(&told, Some(EventBody::NetworkRefused { address, protocol: NetworkProtocol::Tcp, .. })
            if address == "fd53:5449:4c4c::2"),
        "{told:?}"
    );
    guest.network.set_egress(allow("::1"));
    let answering = thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("somebody comes");
        let mut asked = [0; 5];
        stream.read_exact(&mut asked).expect("asked");
        stream.write_all(&vec![7; 300_000]).expect("taken");
        asked
    });
    let handle = there(&mut guest, GATEWAY_6, 5001);
    guest.get(handle).send_slice(b"hello").expect("open");
    let mut found = 0;
    guest.until(|guest| {
        let socket = guest.get(handle);
        while socket.can_recv() {
            found += socket.recv(|bytes| (bytes.len(), bytes.len())).expect("can receive");
        }
        socket.state() == State::CloseWait && socket.recv_queue() == 0
    });
    assert_eq!((answering.join().expect("no panic"), found), (*b"hello", 300_000));
}

#[test]
fn datagrams_go_out_in_parts_too_and_their_answers_come_back() {
    if !has_version_6() {
        return;
    }
    let mut guest = Bare::new();
    let server = UdpSocket::bind(LOOPBACK).expect("a port");
    let port = server.local_addr().expect("an address").port();
    guest.send(7000, (GATEWAY_6, port), b"hello");
    assert_eq!(guest.refused(), [refused(NetworkProtocol::Udp, "fd53:5449:4c4c::2", port)]);
    let news = guest.given().pop().expect("the news");
    assert_eq!((news[6], &news[40..42]), (58, &[1, 1][..]), "it may not go there");
    guest.0.network.set_egress(allow("::1"));
    let sent: Vec<u8> = (0..9_000u32).map(|at| at as u8).collect();
    let whole = frame(7000, (GATEWAY_6, port), &sent);
    let end = whole.len() - 54;
    let parts = (0..end)
        .step_by(1_400)
        .map(|begin| part(&whole, begin, (begin + 1_400).min(end), begin + 1_400 >= end));
    let mut parts: Vec<_> = parts.collect();
    parts.reverse();
    guest.exchange(parts, 1_000);
    let mut buffer = vec![0; 65_535];
    let (bytes, from) = server.recv_from(&mut buffer).expect("something");
    assert!(buffer[..bytes] == sent[..], "{bytes} bytes");
    server.send_to(&buffer[..bytes], from).expect("sent");
    let mut back: Vec<u8> = Vec::new();
    while back.len() < end {
        guest.exchange(Vec::new(), 1_000);
        for packet in guest.given() {
            let packet = Ipv6Packet::new_checked(&packet[..]).expect("a packet");
            assert!(packet.total_len() <= 1_500);
            assert_eq!(packet.next_header(), IpProtocol::Ipv6Frag);
            let place = u16::from_be_bytes([packet.payload()[2], packet.payload()[3]]);
            assert_eq!(usize::from(place & !7), back.len(), "in order");
            back.extend(&packet.payload()[8..]);
            assert_eq!(place & 1 == 1, back.len() < end, "one is the last");
        }
    }
    assert!(back[8..] == sent[..]);
    // From another address of its own, as one that it has chosen, it is answered there.
    let mut other = frame(7001, (GATEWAY_6, port), b"from elsewhere");
    other[22..38]
        .copy_from_slice(&"fd53:5449:4c4c::aaaa".parse::<Ipv6Addr>().expect("one").octets());
    guest.exchange(vec![other.clone()], 1_000);
    guest.exchange(Vec::new(), 1_000);
    assert_eq!(guest.refused(), []);
    assert!(server.set_nonblocking(true).and_then(|()| server.recv_from(&mut buffer)).is_err());
    // Its checksum was for another place; with the right one it goes.
    let mut datagram = smoltcp::wire::UdpPacket::new_unchecked(&mut other[54..]);
    let own: Ipv6Addr = "fd53:5449:4c4c::aaaa".parse().expect("one");
    datagram.fill_checksum(&own.into(), &GATEWAY_6.into());
    guest.exchange(vec![other], 1_000);
    server.set_nonblocking(false).expect("open");
    let (_, from) = server.recv_from(&mut buffer).expect("something");
    server.send_to(b"back", from).expect("sent");
    let packet = loop {
        guest.exchange(Vec::new(), 1_000);
        if let Some(packet) = guest.given().pop() {
            break packet;
        }
    };
    assert_eq!(packet[24..40], own.octets());
}

#[test]
fn a_gateway_echoes_and_headers_are_followed_or_refused() {
    let mut guest = Bare::new();
    let asked = framed(GATEWAY_6.into(), IpProtocol::Icmpv6, &echo(1));
    let echoed = |guest: &mut Bare, frame: Vec<u8>| {
        guest.exchange(vec![frame], 1_000);
        let given = guest.given();
        given.iter().map(|packet| (packet[6], packet[40], packet[41])).collect::<Vec<_>>()
    };
    assert_eq!(echoed(&mut guest, asked.clone()), [(58, 129, 0)]);
    // With options that may be skipped it is the same, and other options are reported.
    assert_eq!(echoed(&mut guest, extended(&asked, [1, 4, 0, 0, 0, 0])), [(58, 129, 0)]);
    assert_eq!(guest.refused(), []);
    assert_eq!(echoed(&mut guest, extended(&asked, [0x80, 4, 0, 0, 0, 0])), [(58, 4, 2)]);
    assert_eq!(guest.refused(), [refused(NetworkProtocol::Other, "fd53:5449:4c4c::2", 0)]);
    // Others are neither asked nor reached.
    let there: IpAddr = "2001:db8::1".parse().expect("an address");
    assert_eq!(echoed(&mut guest, framed(there, IpProtocol::Icmpv6, &echo(2))), []);
    assert_eq!(guest.refused(), [refused(NetworkProtocol::Icmp, "2001:db8::1", 0)]);
    assert_eq!(echoed(&mut guest, framed(there, IpProtocol::Unknown(132), &[0; 20])), []);
    assert_eq!(guest.refused(), [refused(NetworkProtocol::Other, "2001:db8::1", 0)]);
    // Groups are no destination here.
    let group: IpAddr = "ff02::16".parse().expect("an address");
    assert_eq!(echoed(&mut guest, framed(group, IpProtocol::Icmpv6, &[143, 0, 0, 0])), []);
    assert_eq!(guest.refused(), []);
}

/// A question for the addresses of version 6 of a name of one label and `test`.
fn question(name: &str, kind: u8) -> Vec<u8> {
    let mut message = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() as u8];
    message.extend(name.bytes());
    message.extend(*b"\x04test\x00");
    message.extend([0, kind, 0, 1]);
    message
}

#[test]
fn a_name_leads_to_the_addresses_that_it_was_answered_with_and_never_to_the_host() {
    let mut guest = Bare::new();
    let destinations = Destinations::Hosts(HostPattern::parse("*").expect("a pattern"));
    let rule = Rule { destinations, ports: Ports::Any, transport: Transport::Udp };
    let known = |name: &str, addresses: &[&str]| {
        let known = addresses.iter().map(|it| it.parse().expect("an address")).collect();
        (name.to_owned(), known)
    };
    let forbidden = ["::1", "fe80::1", "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe", "fd00:ec2::254"];
    let table = [
        known("both.test", &["192.0.2.7", "2001:db8::7"]),
        known("host.test", &forbidden),
        known("old.test", &["192.0.2.8"]),
    ];
    let egress = Egress { allow: vec![rule], table: table.into(), ..Egress::default() };
    guest.0.network.set_egress(egress);
    let asks = |guest: &mut Bare, name: &str, kind: u8| {
        guest.send(6000, (NAME_SERVER_6, NAME_PORT), &question(name, kind));
        let (from, port, answer) = guest.next();
        assert_eq!((from, port), ((NAME_SERVER_6.into(), NAME_PORT), 6000));
        (answer[3] & 0xf, answer[7])
    };
    assert_eq!(asks(&mut guest, "old", 28), (0, 0), "there is such a name, of version 4");
    assert_eq!(asks(&mut guest, "both", 28), (0, 1));
    assert_eq!(asks(&mut guest, "host", 28), (0, 5));
    assert_eq!(guest.refused(), []);
    let reason = |guest: &mut Bare, address: &str| {
        guest.send(7000, (address.parse::<IpAddr>().expect("one"), 9), b"hello");
        guest.given();
        let mut told = guest.refused();
        told.retain(|it| it.3 == NetworkRefusal::NotAllowed);
        told.into_iter().map(|it| it.1).collect::<Vec<_>>()
    };
    // Allowed, whether or not this host has a route; an address that was not queried is not.
    assert_eq!(reason(&mut guest, "2001:db8::7"), Vec::<String>::new());
    assert_eq!(reason(&mut guest, "192.0.2.7"), ["192.0.2.7"]);
    assert_eq!(asks(&mut guest, "both", 1), (0, 1));
    assert_eq!(reason(&mut guest, "192.0.2.7"), Vec::<String>::new());
    for (address, text) in forbidden.iter().zip([
        "::1",
        "fe80::1",
        "::ffff:127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "fd00:ec2::254",
    ]) {
        assert_eq!(reason(&mut guest, address), [text]);
    }
}

#[test]
fn a_published_port_leads_to_who_listens_for_version_4_and_else_to_version_6() {
    let host =
        if has_version_6() { SocketAddr::from(LOOPBACK) } else { (Ipv4Addr::LOCALHOST, 0).into() };
    let mut guest = Guest::new();
    let published = guest.network.publish(Transport::Tcp, 80, host).expect("a port");
    assert_eq!(published.address.ip(), host.ip());
    let connect = |guest: &mut Guest, here: Option<IpAddr>| {
        let handle = here.map(|address| {
            let handle = guest.listen_at((address, 80));
            (handle, address)
        });
        let mut client = TcpStream::connect(published.address).expect("listens");
        let Some((handle, address)) = handle else {
            let refused = thread::spawn(move || client.read(&mut [0]).is_err());
            guest.until(|_| refused.is_finished());
            return assert!(refused.join().expect("no panic"), "nobody listens");
        };
        client.write_all(b"hello").expect("open");
        guest.until(|guest| guest.get(handle).recv_queue() == 5);
        let local = guest.get(handle).local_endpoint().expect("connected");
        assert_eq!(IpAddr::from(local.addr), address);
        drop(client);
        guest.get(handle).close();
        guest.until(|guest| guest.network.connections() == 0);
    };
    // Nothing of the guest's says yet that it has version 6.
    connect(&mut guest, None);
    let version_4 = guest_beside(Ipv4Addr::UNSPECIFIED.into());
    let version_6 = guest_beside(Ipv6Addr::UNSPECIFIED.into());
    connect(&mut guest, Some(version_4));
    let asking = guest.connect(GATEWAY_6, 9, 5000);
    guest.until(|guest| guest.get(asking).state() == State::Closed);
    connect(&mut guest, Some(version_6));
    connect(&mut guest, Some(version_4));
    connect(&mut guest, None);
}

#[test]
fn datagrams_to_a_published_port_go_on_over_version_6_once_nobody_is_there_over_version_4() {
    let mut guest = Bare::new();
    let published = guest.0.network.publish(Transport::Udp, 53, guest::bare::ANY).expect("a port");
    let client = UdpSocket::bind(guest::bare::ANY).expect("a port");
    let says = |guest: &mut Bare| {
        client.send_to(b"hello", published.address).expect("sent");
        guest.next()
    };
    let ((from, local), port, _) = says(&mut guest);
    assert!(from.is_ipv4() && port == 53);
    // The guest has to have version 6 for that.
    let mut datagram = framed(from, IpProtocol::Udp, &[0; 8]);
    let unreachable = |datagram: &[u8]| {
        let mut message = vec![3, 3, 0, 0, 0, 0, 0, 0];
        message.extend(&datagram[14..]);
        // It is about a packet of the gateway's.
        let (source, destination) = (message[20..24].to_vec(), message[24..28].to_vec());
        message[20..24].copy_from_slice(&destination);
        message[24..28].copy_from_slice(&source);
        message
    };
    datagram[34..38].copy_from_slice(&[(local >> 8) as u8, local as u8, 0, 53]);
    let news = framed(from, IpProtocol::Icmp, &unreachable(&datagram));
    guest.exchange(vec![news.clone()], 1_000);
    assert!(says(&mut guest).0.0.is_ipv4(), "it has no other address");
    let echo = framed(GATEWAY_6.into(), IpProtocol::Icmpv6, &echo(1));
    guest.exchange(vec![echo, news], 1_000);
    guest.given();
    let ((from, local), port, bytes) = says(&mut guest);
    assert_eq!((from, port, bytes), (GATEWAY_6.into(), 53, b"hello".to_vec()));
    guest.exchange(vec![frame(53, (GATEWAY_6, local), b"and back")], 1_000);
    let mut buffer = [0; 99];
    let (bytes, _) = client.recv_from(&mut buffer).expect("something");
    assert_eq!(&buffer[..bytes], b"and back");
    assert_eq!(guest.refused(), []);
}
