//! Whatever a guest sends over version 6: by name, one after the other.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod guest;

use std::cell::Cell;
use std::net::{Ipv6Addr, UdpSocket};

use guest::bare::{Bare, frame, framed};
use guest::version_6::{
    LOOPBACK, allow, asking, extended, has_version_6, message, part, refused, solicitation,
};
use guest::{HARDWARE, MTU};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use smoltcp::wire::IpProtocol;
use stillpoint_net::addresses::{
    GATEWAY_6, GATEWAY_HARDWARE, GATEWAY_LINK, GUEST_6, NAME_SERVER_6,
};
use stillpoint_vmm::event::NetworkProtocol;

/// The content of every datagram of these tests.
const SAID: &[u8] = b"hello, this is a datagram";

#[test]
fn frames_of_version_6_that_are_malformed_reach_nobody_and_are_answered_by_nobody() {
    if !has_version_6() {
        return;
    }
    let mut guest = Bare::new();
    let server = UdpSocket::bind(LOOPBACK).expect("a port");
    server.set_nonblocking(true).expect("open");
    let port = server.local_addr().expect("an address").port();
    guest.0.network.set_egress(allow("::1"));
    let good = frame(7000, (GATEWAY_6, port), SAID);
    let end = good.len() - 54;
    let with = |at: usize, bytes: &[u8]| {
        let mut frame = good.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    let gateway = GATEWAY_6.octets();
    let far = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let echo_of = |source| message(source, GATEWAY_6, &[128, 0, 0, 0, 0, 7, 0, 1]);
    let mut behind = part(&good, 8, end, true);
    behind[56..58].copy_from_slice(&65_528u16.to_be_bytes());
    let chain = (0..12).fold(good.clone(), |frame, _| extended(&frame, [0; 6]));
    let mut cases: Vec<(String, Vec<Vec<u8>>)> = [
        ("the datagram's checksum", vec![with(60, &[!good[60]])]),
        ("without a checksum", vec![with(60, &[0, 0])]),
        ("another version", vec![with(14, &[0x50])]),
        ("version 4 in the wrong frame", vec![with(14, &[0x45])]),
        ("longer than it is", vec![with(18, &[0xff, 0xff])]),
        ("of no length", vec![with(18, &[0, 0])]),
        ("in the gateway's name", vec![with(22, &gateway)]),
        ("in nobody's name", vec![with(22, &[0; 16])]),
        ("in the name of another network", vec![with(22, &[0x20, 1])]),
        (
            "an echo in others' names",
            vec![echo_of(far), echo_of(GATEWAY_6), echo_of(NAME_SERVER_6)],
        ),
        ("from another interface", vec![with(6, &[2, 9, 9, 9, 9, 9])]),
        ("to another interface", vec![with(0, &[2, 9, 9, 9, 9, 9])]),
        ("to a group's interface", vec![with(0, &[0x33, 0x33, 0, 0, 0, 1])]),
        ("from no port", vec![with(54, &[0, 0])]),
        ("nothing follows", vec![with(20, &[59])]),
        ("options that are not there", vec![with(20, &[60]), with(20, &[0])]),
        ("parts that overlap", vec![part(&good, 0, 24, false), part(&good, 16, end, true)]),
        ("a part is missing", vec![part(&good, 0, 8, false), part(&good, 16, end, true)]),
        ("a part behind all", vec![part(&good, 0, 8, false), behind]),
        ("an option that is to be dropped", vec![extended(&good, [0x40, 4, 0, 0, 0, 0])]),
    ]
    .map(|(name, frames)| (name.to_owned(), frames))
    .into();
    cases.extend((0..good.len()).map(|cut| (format!("cut at {cut}"), vec![good[..cut].to_vec()])));
    let is_told = |name: &str| name == "options that are not there";
    for (name, frames) in cases {
        guest.exchange(frames, 1_000);
        guest.exchange(Vec::new(), 1_000);
        // Bytes of a datagram that are taken for options may require a report.
        if !is_told(&name) {
            assert!(guest.given().is_empty(), "{name} is answered");
            assert_eq!(guest.refused(), [], "{name}");
        }
        assert!(server.recv_from(&mut [0; 99]).is_err(), "{name} was heard");
    }
    guest.given();
    guest.refused();
    guest.exchange(vec![chain], 1_000);
    assert_eq!(guest.refused(), [refused(NetworkProtocol::Other, "fd53:5449:4c4c::2", 0)]);
    guest.exchange(vec![good, HARDWARE.to_vec()], 1_000);
    server.set_nonblocking(false).expect("open");
    let mut buffer = [0; 99];
    let (bytes, _) = server.recv_from(&mut buffer).expect("something");
    assert_eq!(&buffer[..bytes], SAID);
}

#[test]
fn neighbours_are_answered_and_none_is_believed() {
    let mut guest = Bare::new();
    let mut answers = |frame: Vec<u8>| {
        guest.exchange(vec![frame], 1_000);
        assert_eq!(guest.refused(), []);
        let kinds = |packet: &Vec<u8>| (packet[40], packet[8..24].to_vec());
        guest.given().iter().map(kinds).collect::<Vec<_>>()
    };
    for target in [GATEWAY_6, NAME_SERVER_6, GATEWAY_LINK] {
        let asked = solicitation(GUEST_6, target);
        assert_eq!(answers(asked.clone()), [(136, target.octets().to_vec())]);
        assert_eq!(answers(extended(&asked, [1, 4, 0, 0, 0, 0])), [], "with headers between");
        let mut far = asked;
        far[21] = 64;
        assert_eq!(answers(far), [], "from afar");
    }
    // The guest says that it is the gateway, and a router, and that there is another way.
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let gateway = GATEWAY_6.octets();
    let claim = [&[136, 0, 0, 0, 0xe0, 0, 0, 0][..], &gateway, &[2, 1], &HARDWARE].concat();
    let way = [&[137, 0, 0, 0, 0, 0, 0, 0][..], &gateway, &GUEST_6.octets()].concat();
    for (source, said) in [(GUEST_6, &claim), (GATEWAY_6, &claim), (GATEWAY_LINK, &way)] {
        assert_eq!(answers(message(source, all, said)), []);
    }
    // The gateway is still who it was.
    let asked = framed(GATEWAY_6.into(), IpProtocol::Icmpv6, &[128, 0, 0, 0, 0, 7, 0, 1]);
    let mut echo = message(GUEST_6, GATEWAY_6, &asked[54..]);
    echo[21] = 64;
    assert_eq!(answers(echo), [(129, gateway.to_vec())]);
}

/// Which of the good frames is the first part of a datagram.
const FIRST_PART: usize = 1;

#[derive(Debug, Clone)]
struct Act {
    frame: usize,
    headers: Vec<[u8; 6]>,
    flip: Option<(prop::sample::Index, u8)>,
    cut: Option<prop::sample::Index>,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let option = prop_oneof![
        4 => Just([1, 4, 0, 0, 0, 0]),
        2 => Just([0; 6]),
        1 => any::<[u8; 6]>(),
    ];
    let headers = proptest::collection::vec(option, 0..10);
    let headers = prop_oneof![2 => Just(Vec::new()), 1 => headers];
    let flip = (any::<prop::sample::Index>(), 1..=255u8);
    let flip = proptest::option::weighted(0.3, flip);
    let cut = proptest::option::weighted(0.2, any::<prop::sample::Index>());
    let act = (0..9usize, headers, flip, cut).prop_map(|(frame, headers, flip, cut)| Act {
        frame,
        headers,
        flip,
        cut,
    });
    proptest::collection::vec(act, 1..30)
}

/// Good frames with added headers, a wrong byte or a cut: only the original content is delivered,
/// only the host's end answers, and each frame causes at most one answer.
#[test]
fn any_frames_of_version_6_are_answered_by_the_hosts_end_alone_and_heard_whole_or_not_at_all() {
    if !has_version_6() {
        return;
    }
    let server = UdpSocket::bind(LOOPBACK).expect("a port");
    server.set_nonblocking(true).expect("open");
    let port = server.local_addr().expect("an address").port();
    let nobody: Ipv6Addr = "2001:db8::1".parse().expect("an address");
    let datagram = frame(7000, (GATEWAY_6, port), SAID);
    let echo = message(GUEST_6, GATEWAY_6, &[128, 0, 0, 0, 0, 7, 0, 1]);
    let routers = "ff02::2".parse().expect("an address");
    let frames = [
        datagram.clone(),
        part(&datagram, 0, 16, false),
        part(&datagram, 16, datagram.len() - 54, true),
        asking(5000, (nobody, 80)),
        echo,
        solicitation(GUEST_6, GATEWAY_6),
        solicitation(Ipv6Addr::UNSPECIFIED, GATEWAY_LINK),
        message(GUEST_6, routers, &[133, 0, 0, 0, 0, 0, 0, 0]),
        frame(7001, (nobody, 9), SAID),
    ];
    let (sent, heard, answered, told) = (Cell::new(0), Cell::new(0), Cell::new(0), Cell::new(0));
    let add = |to: &Cell<usize>, count: usize| to.set(to.get() + count);
    let outcome =
        TestRunner::new(Config { cases: 200, ..Config::default() }).run(&acts(), |acts| {
            let mut guest = Bare::new();
            guest.0.network.set_egress(allow("::1"));
            add(&sent, acts.len());
            for Act { frame: kind, headers, flip, cut } in acts {
                let mut frame = frames[kind].clone();
                for header in headers {
                    frame = extended(&frame, header);
                }
                // Two wrong bytes may make a sum right again: of what goes in parts, one has none.
                if let Some((at, with)) = flip.filter(|_| kind != FIRST_PART) {
                    let at = at.index(frame.len());
                    frame[at] ^= with;
                }
                if let Some(cut) = cut {
                    frame.truncate(cut.index(frame.len()));
                }
                guest.exchange(vec![frame], 1_000_000_000);
                let given: Vec<_> = guest.0.wire.to_guest.drain(..).collect();
                prop_assert!(given.len() <= 1, "{given:?}");
                for frame in &given {
                    prop_assert_eq!(&frame[6..12], &GATEWAY_HARDWARE);
                    prop_assert!(frame.len() <= usize::from(MTU) + 14);
                }
                add(&answered, given.len());
                add(&told, guest.refused().len());
                let mut buffer = [0; 99];
                while let Ok((bytes, _)) = server.recv_from(&mut buffer) {
                    prop_assert_eq!(&buffer[..bytes], SAID);
                    add(&heard, 1);
                }
            }
            Ok(())
        });
    assert_eq!(outcome.map_err(|error| error.to_string()), Ok(()));
    let counts = [&sent, &heard, &answered, &told].map(Cell::get);
    println!("frames sent, heard, answered, told: {counts:?}");
    assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
}
