//! Whatever a guest sends, and a guest that says nothing: by name, one after the other.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod guest;

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};

use guest::HARDWARE;
use guest::bare::{ANY, Bare, frame, received, socket};
use smoltcp::wire::Ipv4Packet;
use stillpoint_net::addresses::{GATEWAY, GATEWAY_HARDWARE, GUEST};
use stillpoint_net::{Cidr, Destinations, Egress, Limits, NetworkError, Ports, Rule, Transport};

fn everything() -> Egress {
    let addresses = Cidr::parse("127.0.0.1").expect("an address");
    let rule = |transport| Rule {
        destinations: Destinations::Addresses(addresses),
        ports: Ports::Any,
        transport,
    };
    Egress { allow: vec![rule(Transport::Udp), rule(Transport::Tcp)], ..Egress::default() }
}

/// A frame whose packet's header was changed, with a checksum that holds.
fn changed(frame: &[u8], change: impl FnOnce(&mut Ipv4Packet<&mut [u8]>)) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
    change(&mut packet);
    packet.fill_checksum();
    frame
}

fn with(frame: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

/// A part of a datagram, from one byte behind its header to another.
fn part(frame: &[u8], begin: usize, end: usize, is_last: bool) -> Vec<u8> {
    let cut = [&frame[..34], &frame[34 + begin..34 + end]].concat();
    changed(&cut, |packet| {
        packet.set_total_len((20 + end - begin) as u16);
        packet.set_ident(7);
        packet.set_more_frags(!is_last);
        packet.set_frag_offset(begin as u16);
    })
}

/// The guest asks for a connection, with options of its own behind the header.
fn asking(port: u16, options: &[u8]) -> Vec<u8> {
    let bytes = [&[0; 12][..], options].concat();
    let frame = frame(5000, (GATEWAY, port), &bytes);
    let mut frame = changed(&frame, |packet| packet.set_next_header(6.into()));
    frame[38..46].copy_from_slice(&[0; 8]);
    frame[46] = (((20 + options.len()) / 4) << 4) as u8;
    frame[47] = 2;
    frame[48..54].copy_from_slice(&[0x20, 0, 0, 0, 0, 0]);
    let (source, destination) = (GUEST.into(), GATEWAY.into());
    smoltcp::wire::TcpPacket::new_unchecked(&mut frame[34..]).fill_checksum(&source, &destination);
    frame
}

/// An ARP message that claims another address for the gateway, or the guest.
fn claim(operation: u8, who: Ipv4Addr, hardware: [u8; 6]) -> Vec<u8> {
    let mut frame = [&[0xff; 6][..], &HARDWARE, &[8, 6, 0, 1, 8, 0, 6, 4, 0, operation]].concat();
    frame.extend(hardware);
    frame.extend(who.octets());
    frame.extend([0; 6]);
    frame.extend(who.octets());
    frame
}

/// A neighbour advertisement (RFC 4861, 4.4) in which the guest takes an address over.
fn advertisement() -> Vec<u8> {
    let mut frame =
        [&GATEWAY_HARDWARE[..], &HARDWARE, &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255]].concat();
    frame.extend([0xfe; 32]);
    frame.extend([136, 0, 0, 0, 0xe0, 0, 0, 0]);
    frame.extend([0xfe; 16]);
    frame.extend([2, 1]);
    frame.extend([2, 9, 9, 9, 9, 9]);
    frame
}

#[test]
fn frames_that_are_malformed_reach_nobody_are_answered_by_nobody_and_cost_the_next_one_nothing() {
    let mut guest = Bare::new();
    let (server, port) = socket();
    server.set_nonblocking(true).expect("open");
    let listener = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).expect("a port");
    listener.set_nonblocking(true).expect("open");
    guest.0.network.set_egress(everything());
    let good = frame(7000, (GATEWAY, port), b"hello, this is a datagram");
    let end = good.len() - 34;
    let flipped = |at: usize| with(&good, at, &[!good[at]]);
    let mut largest = frame(7000, (GATEWAY, port), &[0; 1400]);
    largest.resize(65_535 + 14, 1);
    let mut cases: Vec<(String, Vec<Vec<u8>>)> = [
        ("the packet's checksum", vec![flipped(24)]),
        ("the datagram's checksum", vec![flipped(40)]),
        ("another version", vec![changed(&good, |packet| packet.set_version(5))]),
        ("a header that is too short", vec![changed(&good, |packet| packet.set_header_len(16))]),
        ("a header longer than the packet", vec![with(&good, 14, &[0x4f])]),
        ("longer than it is", vec![changed(&good, |packet| packet.set_total_len(65_535))]),
        ("a datagram longer than its packet", vec![with(&good, 38, &[0xff, 0xff])]),
        ("a datagram shorter than its header", vec![with(&good, 38, &[0, 7])]),
        ("in another's name", vec![changed(&good, |packet| packet.set_src_addr(GATEWAY))]),
        ("from another interface", vec![with(&good, 6, &[2, 9, 9, 9, 9, 9])]),
        ("to another interface", vec![with(&good, 0, &[2, 9, 9, 9, 9, 9])]),
        ("from no port", vec![with(&good, 34, &[0, 0])]),
        ("much behind a packet that claims it", vec![with(&largest, 16, &[0xff, 0xff])]),
        ("parts that overlap", vec![part(&good, 0, 24, false), part(&good, 16, end, true)]),
        (
            "parts of which one is missing",
            vec![part(&good, 0, 8, false), part(&good, 16, end, true)],
        ),
        (
            "a part behind all that a packet can be",
            vec![part(&good, 0, 8, false), {
                changed(&part(&good, 8, end, true), |packet| packet.set_frag_offset(65_528))
            }],
        ),
        ("a question by who claims to be the gateway", vec![claim(2, GATEWAY, HARDWARE)]),
        ("an answer that the guest is elsewhere", vec![claim(2, GUEST, [2, 9, 9, 9, 9, 9])]),
        ("a neighbour that is somebody else", vec![advertisement()]),
    ]
    .map(|(name, frames)| (name.to_owned(), frames))
    .into();
    cases.extend((0..good.len()).map(|cut| (format!("cut at {cut}"), vec![good[..cut].to_vec()])));
    for (name, frames) in cases {
        guest.exchange(frames, 1_000);
        guest.exchange(Vec::new(), 1_000);
        assert!(guest.given().is_empty(), "{name} is answered");
        let heard = server.recv_from(&mut [0; 99]).map_err(|error| error.kind());
        assert_eq!(heard.map(|(bytes, _)| bytes), Err(ErrorKind::WouldBlock), "{name} was heard");
        assert_eq!(guest.refused(), [], "{name}");
    }
    // As many options as there can be, none of which says how long it is, are no reason not to connect.
    guest.exchange(vec![asking(port, &[8; 40]), asking(port, &[[5, 0]; 20].concat())], 1_000);
    // Valid traffic passes as usual, and the answer goes to the guest, whatever it claimed to be.
    guest.exchange(vec![good], 1_000);
    server.set_nonblocking(false).expect("open");
    let (bytes, from) = received(&server);
    assert_eq!(bytes, b"hello, this is a datagram");
    server.send_to(b"and back", from).expect("sent");
    assert_eq!(guest.next(), ((GATEWAY.into(), port), 7000, b"and back".to_vec()));
}

#[test]
fn a_datagram_above_the_mtu_goes_in_parts_in_both_directions() {
    let mut guest = Bare::new();
    let (server, port) = socket();
    guest.0.network.set_egress(everything());
    let sent: Vec<u8> = (0..9_000u32).map(|at| at as u8).collect();
    let whole = frame(7000, (GATEWAY, port), &sent);
    let end = whole.len() - 34;
    let mut parts: Vec<_> = (0..end)
        .step_by(1_480)
        .map(|begin| part(&whole, begin, (begin + 1_480).min(end), begin + 1_480 >= end))
        .collect();
    parts.reverse();
    guest.exchange(parts, 1_000);
    let (bytes, from) = received(&server);
    assert!(bytes == sent, "{} bytes", bytes.len());
    server.send_to(&bytes, from).expect("sent");
    let mut back: Vec<u8> = Vec::new();
    while back.len() < end {
        guest.exchange(Vec::new(), 1_000);
        for packet in guest.given() {
            let packet = Ipv4Packet::new_checked(&packet[..]).expect("a packet");
            assert!(packet.verify_checksum() && packet.total_len() <= 1_500);
            assert_eq!(usize::from(packet.frag_offset()), back.len(), "in order");
            back.extend(packet.payload());
            assert_eq!(packet.more_frags(), back.len() < end);
        }
    }
    assert!(back[8..] == sent[..]);
}

#[test]
fn a_guest_that_never_accepts_costs_its_clients_their_connections_and_keeps_none() {
    let mut guest = Bare::with(Limits { connections: 4, ..Limits::default() });
    let published = guest.0.network.publish(Transport::Tcp, 80, ANY).expect("a port");
    let clients: Vec<_> =
        (0..9).map(|_| TcpStream::connect(published.address).expect("listens")).collect();
    guest.exchange(Vec::new(), 1_000);
    while guest.0.network.connections() < 4 {
        guest.exchange(Vec::new(), 1_000);
    }
    // It gets what asks it, and says nothing: some seconds pass, a little at a time.
    let mut most = 0;
    for _ in 0..2_000 {
        guest.exchange(Vec::new(), 50_000_000);
        most = most.max(guest.0.network.connections());
        guest.given();
    }
    assert_eq!((most, guest.0.network.connections()), (4, 0));
    for mut client in clients {
        let heard = client.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(heard, Err(ErrorKind::ConnectionReset));
    }
}

/// Drops, for this thread only, the right to use ports below 1024.
#[cfg(target_os = "linux")]
fn without_privilege() -> bool {
    const VERSION_3: u32 = 0x2008_0522;
    const NET_BIND_SERVICE: u32 = 1 << 10;
    let header = [VERSION_3, 0];
    let mut sets = [0u32; 6];
    // SAFETY: both are what the calls of this version read and write: two words, and two of three.
    unsafe {
        libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) == 0 && {
            sets[0] &= !NET_BIND_SERVICE;
            libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) == 0
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_privileged_port_is_refused_by_name_and_the_port_is_not_taken() {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first: u16 = first.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024);
    if first < 2 {
        println!("skipped: every port is anybody's here");
        return;
    }
    let refused = std::thread::spawn(move || {
        assert!(without_privilege(), "a thread may give up what it may do");
        let guest = Bare::with(Limits { ports: 1, ..Limits::default() });
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, first - 1);
        let refused = [Transport::Tcp, Transport::Udp].map(|transport| {
            guest.0.network.publish(transport, 80, address).expect_err("it may not")
        });
        guest.0.network.publish(Transport::Tcp, 80, ANY).expect("there is room for one");
        refused
    });
    for error in refused.join().expect("no panic") {
        assert!(matches!(error, NetworkError::PortPrivileged { .. }), "{error:?}");
        assert!(error.to_string().contains(&(first - 1).to_string()), "{error}");
    }
}
