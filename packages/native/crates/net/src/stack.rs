//! The host's end of the guest's network, as packets: TCP and answers to echo requests.

use std::collections::VecDeque;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{self, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr, IpEndpoint};
use stillpoint_vmm::network::{ETHERNET_HEADER_BYTES, GuestPort};
use stillpoint_vmm::time::Nanos;

use crate::addresses::{GATEWAY, GATEWAY_6, PREFIX_6_BITS, PREFIX_BITS, Version};
use crate::packets::Place;
use crate::wire;

/// Bytes that are on their way in each direction of a connection.
const BUFFER_BYTES: usize = 128 * 1024;
/// Guest time within which a guest answers to a connection.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(30);
/// Minimum guest time between calls of the stack, so that it cannot be called endlessly.
const LEAST_PAUSE_NANOS: Nanos = 10_000;

pub(crate) struct Stack {
    interface: Interface,
    pub(crate) sockets: SocketSet<'static>,
    hardware: [u8; 6],
    mtu: u16,
    /// A packet could not be given: nothing is to be expected of time.
    is_blocked: bool,
    next_at: Option<Nanos>,
}

impl Stack {
    pub(crate) fn new(hardware: [u8; 6], mtu: u16, seed: u64) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut nowhere =
            Packets { arrived: VecDeque::new(), guest: None, hardware, mtu, is_blocked: false };
        let mut interface = Interface::new(config, &mut nowhere, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // There is room for two.
            let _ = addresses.push(IpCidr::new(GATEWAY.into(), PREFIX_BITS));
            let _ = addresses.push(IpCidr::new(GATEWAY_6.into(), PREFIX_6_BITS));
        });
        // The gateway answers for everybody outside.
        interface.set_any_ip(true);
        let _ = interface.routes_mut().add_default_ipv4_route(GATEWAY);
        let _ = interface.routes_mut().add_default_ipv6_route(GATEWAY_6);
        let sockets = SocketSet::new(Vec::new());
        Self { interface, sockets, hardware, mtu, is_blocked: false, next_at: None }
    }

    fn socket() -> tcp::Socket<'static> {
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER_BYTES]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        // The other end is a copy away: what waits for more only waits.
        socket.set_ack_delay(None);
        socket.set_nagle_enabled(false);
        socket
    }

    /// Begins a connection to the guest's `port` from the gateway's `local`.
    pub(crate) fn connect(
        &mut self,
        version: Version,
        port: u16,
        local: u16,
    ) -> Option<SocketHandle> {
        let mut socket = Self::socket();
        socket.set_timeout(Some(CONNECT_TIME));
        let guest = IpEndpoint::new(version.guest().into(), port);
        let local = IpEndpoint::new(version.gateway().into(), local);
        socket.connect(self.interface.context(), guest, local).ok()?;
        Some(self.sockets.add(socket))
    }

    /// Takes the guest's next connection to a place outside.
    pub(crate) fn listen(&mut self, (address, port): Place) -> Option<SocketHandle> {
        let mut socket = Self::socket();
        socket.listen(IpEndpoint::new(address.into(), port)).ok()?;
        Some(self.sockets.add(socket))
    }

    pub(crate) fn get(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub(crate) fn remove(&mut self, handle: SocketHandle) {
        self.sockets.remove(handle);
    }

    /// Takes packets of the guest's, and delivers packets to it.
    pub(crate) fn poll(
        &mut self,
        now: Nanos,
        packets: VecDeque<Vec<u8>>,
        guest: &mut dyn GuestPort,
    ) {
        let at = Instant::from_micros((now / 1000) as i64);
        let mut device = Packets {
            arrived: packets,
            guest: Some(guest),
            hardware: self.hardware,
            mtu: self.mtu,
            is_blocked: false,
        };
        self.interface.poll(at, &mut device, &mut self.sockets);
        self.is_blocked = device.is_blocked;
        self.next_at = match self.interface.poll_at(at, &self.sockets) {
            Some(next) if !self.is_blocked => {
                let next = next.total_micros().max(0) as u64;
                Some(next.saturating_mul(1000).max(now + LEAST_PAUSE_NANOS))
            }
            _ => None,
        };
    }

    /// The time of the next poll, if nothing happens before.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        self.next_at
    }

    /// Ends the handshake's own time, once it is over.
    pub(crate) fn settle(&mut self, handle: SocketHandle) {
        let socket = self.get(handle);
        if socket.timeout().is_some() && !matches!(socket.state(), State::SynSent) {
            socket.set_timeout(None);
        }
    }
}

/// Packets between the stack and the guest, for the length of a poll.
struct Packets<'a> {
    arrived: VecDeque<Vec<u8>>,
    guest: Option<&'a mut dyn GuestPort>,
    hardware: [u8; 6],
    mtu: u16,
    is_blocked: bool,
}

pub(crate) struct Arrived(Vec<u8>);

pub(crate) struct Room<'a, 'b> {
    guest: Option<&'a mut &'b mut dyn GuestPort>,
    hardware: [u8; 6],
}

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Room<'_, '_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        if let Some(guest) = self.guest {
            // There was room for the largest.
            guest.give(&wire::frame(&packet, self.hardware));
        }
        result
    }
}

impl<'b> Packets<'b> {
    fn room(&mut self) -> Option<Room<'_, 'b>> {
        let largest = ETHERNET_HEADER_BYTES + usize::from(self.mtu);
        let fits = self.guest.as_ref().is_some_and(|guest| guest.fits(largest));
        self.is_blocked |= !fits;
        fits.then_some(Room { guest: self.guest.as_mut(), hardware: self.hardware })
    }
}

impl<'b> Device for Packets<'b> {
    type RxToken<'a>
        = Arrived
    where
        Self: 'a;
    type TxToken<'a>
        = Room<'a, 'b>
    where
        Self: 'a;

    fn receive(&mut self, _at: Instant) -> Option<(Arrived, Room<'_, 'b>)> {
        // An answer that does not fit is lost, as on any network; the guest asks again.
        let packet = self.arrived.pop_front()?;
        let largest = ETHERNET_HEADER_BYTES + usize::from(self.mtu);
        let fits = self.guest.as_ref().is_some_and(|guest| guest.fits(largest));
        let guest = if fits { self.guest.as_mut() } else { None };
        Some((Arrived(packet), Room { guest, hardware: self.hardware }))
    }

    fn transmit(&mut self, _at: Instant) -> Option<Room<'_, 'b>> {
        self.room()
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = usize::from(self.mtu);
        capabilities
    }
}
