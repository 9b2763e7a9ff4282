//! Common code of the tests of IPv6.

use std::net::{Ipv6Addr, UdpSocket};

use smoltcp::wire::{Icmpv6Packet, IpProtocol, TcpPacket};
use stillpoint_net::addresses::GUEST_6;
use stillpoint_net::{Cidr, Destinations, Egress, Ports, Rule, Transport};
use stillpoint_vmm::event::{NetworkProtocol, NetworkRefusal};

use super::bare::framed;

pub const LOOPBACK: (Ipv6Addr, u16) = (Ipv6Addr::LOCALHOST, 0);

/// Whether this host has the loopback of version 6.
pub fn has_version_6() -> bool {
    let has = UdpSocket::bind(LOOPBACK).is_ok();
    if !has {
        println!("skipped: this host has no address ::1");
    }
    has
}

pub fn allow(addresses: &str) -> Egress {
    let destinations = || Destinations::Addresses(Cidr::parse(addresses).expect("a range"));
    let rule = |transport| Rule { destinations: destinations(), ports: Ports::Any, transport };
    Egress { allow: vec![rule(Transport::Tcp), rule(Transport::Udp)], ..Egress::default() }
}

pub fn refused(
    protocol: NetworkProtocol,
    address: &str,
    port: u16,
) -> (NetworkProtocol, String, u16, NetworkRefusal) {
    (protocol, address.to_owned(), port, NetworkRefusal::NotAllowed)
}

/// A packet of the guest's with an extension header of options before what it carries.
pub fn extended(frame: &[u8], options: [u8; 6]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let protocol = std::mem::replace(&mut frame[20], 60);
    let length = u16::from_be_bytes([frame[18], frame[19]]) + 8;
    frame[18..20].copy_from_slice(&length.to_be_bytes());
    let header = [&[protocol, 0][..], &options].concat();
    frame.splice(54..54, header);
    frame
}

/// A part of what a packet of the guest's carries.
pub fn part(frame: &[u8], begin: usize, end: usize, is_last: bool) -> Vec<u8> {
    let place = (begin as u16 | u16::from(!is_last)).to_be_bytes();
    let header = [&[frame[20], 0][..], &place, &[0, 0, 0, 7]].concat();
    let mut part = [&frame[..54], &header, &frame[54 + begin..54 + end]].concat();
    part[18..20].copy_from_slice(&((8 + end - begin) as u16).to_be_bytes());
    part[20] = 44;
    part
}

/// The guest asks for a connection.
pub fn asking(from: u16, (address, port): (Ipv6Addr, u16)) -> Vec<u8> {
    let [from, to] = [from, port].map(u16::to_be_bytes);
    let mut segment = [&from[..], &to, &[0; 8], &[0x50, 2, 0x20, 0, 0, 0, 0, 0]].concat();
    TcpPacket::new_unchecked(&mut segment[..]).fill_checksum(&GUEST_6.into(), &address.into());
    framed(address.into(), IpProtocol::Tcp, &segment)
}

/// A message of ICMP from one place to another, in its frame, as only a neighbour can have sent it.
pub fn message(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    message[2..4].fill(0);
    Icmpv6Packet::new_unchecked(&mut message[..]).fill_checksum(&source, &destination);
    let mut frame = framed(destination.into(), IpProtocol::Icmpv6, &message);
    frame[21] = 255;
    frame[22..38].copy_from_slice(&source.octets());
    if destination.is_multicast() {
        frame[..2].copy_from_slice(&[0x33, 0x33]);
        frame[2..6].copy_from_slice(&destination.octets()[12..]);
    }
    frame
}

/// A question for a neighbour, to those who may have its address.
pub fn solicitation(source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let octets = target.octets();
    let mut group = [0; 16];
    group[..13].copy_from_slice(&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff]);
    group[13..].copy_from_slice(&octets[13..]);
    message(source, group.into(), &[&[135, 0, 0, 0, 0, 0, 0, 0][..], &octets].concat())
}
