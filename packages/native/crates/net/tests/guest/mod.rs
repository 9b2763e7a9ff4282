//! A guest without a machine: another TCP/IP stack at the other end of the link.

#![allow(dead_code, reason = "each test has the part of a guest that it needs")]

pub mod bare;
pub mod version_6;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, IpEndpoint};
use stillpoint_net::addresses::{GATEWAY, GATEWAY_6, GUEST, GUEST_6};
use stillpoint_net::{Limits, Network, NetworkLink};
use stillpoint_vmm::event::EventBody;
use stillpoint_vmm::network::{GuestPort, Link};

pub const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const MTU: u16 = 1500;

/// Frames on their way, in both directions.
#[derive(Default)]
pub struct Wire {
    pub to_guest: VecDeque<Vec<u8>>,
    pub to_host: Vec<Vec<u8>>,
    pub told: Vec<EventBody>,
    /// Frames that the guest has room for.
    pub room: usize,
}

impl GuestPort for Wire {
    fn fits(&self, _bytes: usize) -> bool {
        self.to_guest.len() < self.room
    }

    fn give(&mut self, frame: &[u8]) -> bool {
        let fits = self.fits(frame.len());
        if fits {
            self.to_guest.push_back(frame.to_vec());
        }
        fits
    }

    fn tell(&mut self, body: EventBody) {
        self.told.push(body);
    }
}

pub struct Taken(Vec<u8>);
pub struct Given<'a>(&'a mut Vec<Vec<u8>>);

impl RxToken for Taken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Given<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push(frame);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Taken;
    type TxToken<'a> = Given<'a>;

    fn receive(&mut self, _at: Instant) -> Option<(Taken, Given<'_>)> {
        Some((Taken(self.to_guest.pop_front()?), Given(&mut self.to_host)))
    }

    fn transmit(&mut self, _at: Instant) -> Option<Given<'_>> {
        Some(Given(&mut self.to_host))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = usize::from(MTU) + 14;
        capabilities
    }
}

pub struct Guest {
    pub network: Network,
    pub link: Option<NetworkLink>,
    pub wire: Wire,
    pub interface: Interface,
    pub sockets: SocketSet<'static>,
    pub now: u64,
    woken: Arc<AtomicBool>,
    is_quiet: bool,
}

impl Guest {
    pub fn new() -> Self {
        Self::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Self {
        let woken = Arc::new(AtomicBool::new(false));
        let wake = Arc::clone(&woken);
        let (network, link) = Network::with_link((HARDWARE, MTU), Vec::new(), limits, move || {
            wake.store(true, Ordering::Release);
        })
        .expect("a thread");
        let mut wire = Wire { room: 40, ..Wire::default() };
        let hardware = HardwareAddress::Ethernet(EthernetAddress(HARDWARE));
        let mut interface = Interface::new(Config::new(hardware), &mut wire, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(GUEST.into(), 24)).expect("room for two");
            addresses.push(IpCidr::new(GUEST_6.into(), 64)).expect("room for two");
        });
        interface.routes_mut().add_default_ipv4_route(GATEWAY).expect("room for one");
        interface.routes_mut().add_default_ipv6_route(GATEWAY_6).expect("room for another");
        let sockets = SocketSet::new(Vec::new());
        Self { network, link: Some(link), wire, interface, sockets, now: 0, woken, is_quiet: false }
    }

    fn socket() -> tcp::Socket<'static> {
        let buffer = || tcp::SocketBuffer::new(vec![0; 16 * 1024]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_ack_delay(None);
        socket
    }

    pub fn listen(&mut self, port: u16) -> SocketHandle {
        let mut socket = Self::socket();
        socket.listen(port).expect("a port");
        self.sockets.add(socket)
    }

    pub fn listen_at(&mut self, (address, port): (IpAddr, u16)) -> SocketHandle {
        let mut socket = Self::socket();
        socket.listen(IpEndpoint::new(address.into(), port)).expect("a port");
        self.sockets.add(socket)
    }

    pub fn connect(&mut self, address: impl Into<IpAddr>, port: u16, local: u16) -> SocketHandle {
        let mut socket = Self::socket();
        let address = address.into();
        let (there, here) =
            (IpEndpoint::new(address.into(), port), (bare::guest_beside(address), local));
        socket.connect(self.interface.context(), there, here).expect("a connection");
        self.sockets.add(socket)
    }

    pub fn get(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Some guest time, in which everybody does what there is to do: a tenth of a millisecond, or ten
    /// after a turn in which nothing was done.
    pub fn turn(&mut self) {
        self.now += if self.is_quiet { 10_000_000 } else { 100_000 };
        let at = Instant::from_micros((self.now / 1000) as i64);
        self.interface.poll(at, &mut self.wire, &mut self.sockets);
        let sent = std::mem::take(&mut self.wire.to_host);
        self.is_quiet = sent.is_empty();
        if let Some(link) = &mut self.link {
            let is_due = link.deadline().is_some_and(|due| due <= self.now);
            if !sent.is_empty() || link.is_ready() || is_due {
                link.exchange(self.now, sent, &mut self.wire);
            }
        }
        self.is_quiet &= self.wire.to_guest.is_empty();
        if self.is_quiet && !self.woken.swap(false, Ordering::AcqRel) {
            std::thread::yield_now();
        }
    }

    /// Turns until `is_over`.
    pub fn until(&mut self, mut is_over: impl FnMut(&mut Self) -> bool) {
        while !is_over(self) {
            self.turn();
        }
    }
}
