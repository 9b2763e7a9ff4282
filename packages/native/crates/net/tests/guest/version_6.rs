//! What tests of version 6 have in common.

use std::net::{Ipv6Addr, UdpSocket};

use stillpoint_net::{Cidr, Destinations, Egress, Ports, Rule, Transport};
use stillpoint_vmm::event::{NetworkProtocol, NetworkRefusal};

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
