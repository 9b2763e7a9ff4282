//! Whatever a guest sends over version 6: by name, one after the other.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod guest;

use std::net::UdpSocket;

use guest::HARDWARE;
use guest::bare::{Bare, frame};
use guest::version_6::{LOOPBACK, allow, extended, has_version_6, part, refused};
use stillpoint_net::addresses::GATEWAY_6;
use stillpoint_vmm::event::NetworkProtocol;

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
    let good = frame(7000, (GATEWAY_6, port), b"hello, this is a datagram");
    let end = good.len() - 54;
    let with = |at: usize, bytes: &[u8]| {
        let mut frame = good.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    let gateway = GATEWAY_6.octets();
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
        // Bytes of a datagram that are taken for options may say that they are to be told of.
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
    assert_eq!(&buffer[..bytes], b"hello, this is a datagram");
}
