//! A guest that writes its frames itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet, UdpPacket, UdpRepr};
use stillpoint_net::Limits;
use stillpoint_net::addresses::{GATEWAY_HARDWARE, GUEST, GUEST_6};
use stillpoint_vmm::event::{EventBody, NetworkProtocol, NetworkRefusal};
use stillpoint_vmm::network::{Expecting, Link};

use super::{Guest, HARDWARE};

pub const ANY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);

pub type Place = (IpAddr, u16);

/// The guest's address of the version of another.
pub fn guest_beside(address: IpAddr) -> IpAddr {
    if address.is_ipv4() { GUEST.into() } else { GUEST_6.into() }
}

/// A packet of the guest's in its frame, of the version of whom it is for.
pub fn framed(to: IpAddr, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let from = guest_beside(to);
    let repr = IpRepr::new(from.into(), to.into(), protocol, payload.len(), 64);
    let kind: [u8; 2] = if to.is_ipv4() { [8, 0] } else { [0x86, 0xdd] };
    let mut packet = vec![0; repr.buffer_len()];
    repr.emit(&mut packet[..], &ChecksumCapabilities::default());
    packet[repr.header_len()..].copy_from_slice(payload);
    [&GATEWAY_HARDWARE[..], &HARDWARE, &kind, &packet].concat()
}

/// A datagram of the guest's, in its frame.
pub fn frame(from: u16, to: (impl Into<IpAddr>, u16), bytes: &[u8]) -> Vec<u8> {
    let to = (to.0.into(), to.1);
    let mut datagram = vec![0; 8 + bytes.len()];
    UdpRepr { src_port: from, dst_port: to.1 }.emit(
        &mut UdpPacket::new_unchecked(&mut datagram),
        &guest_beside(to.0).into(),
        &to.0.into(),
        bytes.len(),
        |place| place.copy_from_slice(bytes),
        &ChecksumCapabilities::default(),
    );
    framed(to.0, IpProtocol::Udp, &datagram)
}

/// A guest that has only what its link gives it.
pub struct Bare(pub Guest);

impl Bare {
    pub fn with(limits: Limits) -> Self {
        Self(Guest::with(limits))
    }

    pub fn new() -> Self {
        Self::with(Limits::default())
    }

    /// Sends, and lets some guest time pass.
    pub fn exchange(&mut self, sent: Vec<Vec<u8>>, nanos: u64) {
        let Guest { link, wire, now, .. } = &mut self.0;
        *now += nanos;
        link.as_mut().expect("there").exchange(*now, sent, wire);
    }

    pub fn send(&mut self, from: u16, to: (impl Into<IpAddr>, u16), bytes: &[u8]) {
        self.exchange(vec![frame(from, to, bytes)], 1000);
    }

    /// The packets that were given since the last call.
    pub fn given(&mut self) -> Vec<Vec<u8>> {
        self.0.wire.to_guest.drain(..).map(|frame| frame[14..].to_vec()).collect()
    }

    /// The next datagram for the guest: who sent it, to which port, and what it says.
    pub fn next(&mut self) -> (Place, u16, Vec<u8>) {
        loop {
            self.exchange(Vec::new(), 1000);
            let Some(frame) = self.0.wire.to_guest.pop_front() else {
                std::thread::yield_now();
                continue;
            };
            if let Some(datagram) = datagram_of(&frame[14..]) {
                return datagram;
            }
        }
    }

    /// The refusals since the last call.
    pub fn refused(&mut self) -> Vec<(NetworkProtocol, String, u16, NetworkRefusal)> {
        let told = std::mem::take(&mut self.0.wire.told);
        told.into_iter()
            .map(|event| match event {
                EventBody::NetworkRefused { protocol, address, port, reason, count: 1 } => {
                    (protocol, address, port, reason)
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }

    pub fn expecting(&self) -> Option<Expecting> {
        self.0.link.as_ref().map(Link::expecting)
    }
}

/// A socket of the host's loopback, as a server or a client.
pub fn socket() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind(ANY).expect("a port");
    let port = socket.local_addr().expect("an address").port();
    (socket, port)
}

pub fn received(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_535];
    let (bytes, from) = socket.recv_from(&mut buffer).expect("something");
    buffer.truncate(bytes);
    (buffer, from)
}

/// The datagram that a packet for the guest carries, if it does: from whom, to which port, and what.
fn datagram_of(packet: &[u8]) -> Option<(Place, u16, Vec<u8>)> {
    let (from, to, protocol, payload): (IpAddr, IpAddr, _, _) = match packet[0] >> 4 {
        4 => {
            let packet = Ipv4Packet::new_checked(packet).expect("a packet");
            let places = (packet.src_addr().into(), packet.dst_addr().into());
            (places.0, places.1, packet.next_header(), packet.payload())
        }
        _ => {
            let packet = Ipv6Packet::new_checked(packet).expect("a packet");
            let places = (packet.src_addr().into(), packet.dst_addr().into());
            (places.0, places.1, packet.next_header(), packet.payload())
        }
    };
    if protocol != IpProtocol::Udp {
        return None;
    }
    let udp = UdpPacket::new_checked(payload).expect("a datagram");
    assert!(udp.verify_checksum(&from.into(), &to.into()));
    assert_eq!(to, guest_beside(from));
    Some(((from, udp.src_port()), udp.dst_port(), udp.payload().to_vec()))
}
