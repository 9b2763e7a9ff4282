//! A guest that writes its frames itself.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr};
use stillpoint_net::Limits;
use stillpoint_net::addresses::{GATEWAY_HARDWARE, GUEST};
use stillpoint_vmm::event::{EventBody, NetworkProtocol, NetworkRefusal};
use stillpoint_vmm::network::{Expecting, Link};

use super::{Guest, HARDWARE};

pub const ANY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);

pub type Place = (Ipv4Addr, u16);

/// A datagram of the guest's, in its frame.
pub fn frame(from: u16, to: Place, bytes: &[u8]) -> Vec<u8> {
    let checks = ChecksumCapabilities::default();
    let mut frame = [&GATEWAY_HARDWARE[..], &HARDWARE, &[8, 0]].concat();
    let mut packet = vec![0; 28 + bytes.len()];
    let repr = Ipv4Repr {
        src_addr: GUEST,
        dst_addr: to.0,
        next_header: IpProtocol::Udp,
        payload_len: 8 + bytes.len(),
        hop_limit: 64,
    };
    repr.emit(&mut Ipv4Packet::new_unchecked(&mut packet), &checks);
    UdpRepr { src_port: from, dst_port: to.1 }.emit(
        &mut UdpPacket::new_unchecked(&mut packet[20..]),
        &GUEST.into(),
        &to.0.into(),
        bytes.len(),
        |place| place.copy_from_slice(bytes),
        &checks,
    );
    frame.extend(packet);
    frame
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

    pub fn send(&mut self, from: u16, to: Place, bytes: &[u8]) {
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
            let packet = Ipv4Packet::new_checked(&frame[14..]).expect("a packet");
            if packet.next_header() != IpProtocol::Udp {
                continue;
            }
            let udp = UdpPacket::new_checked(packet.payload()).expect("a datagram");
            assert!(udp.verify_checksum(&packet.src_addr().into(), &packet.dst_addr().into()));
            assert_eq!(packet.dst_addr(), GUEST);
            return ((packet.src_addr(), udp.src_port()), udp.dst_port(), udp.payload().to_vec());
        }
    }

    /// What was refused since the last call.
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
