//! Datagrams: between ports of the host's and the guest, and between the guest and whom it may reach.
//!
//! ```text
//!  host's peer ──▶ published socket ──▶ gateway:local ──▶ guest:port     a flow for each peer
//!  guest:port  ──▶ somebody:port    ──▶ socket of the flow ──▶ somebody  a flow for each pair
//! ```
//! A flow routes answers back. It ends after some guest time without a datagram, and the one that was
//! silent for longest makes room for the next.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use stillpoint_vmm::network::{ETHERNET_HEADER_BYTES, GuestPort};
use stillpoint_vmm::time::Nanos;

use crate::addresses::Version;
use crate::allowances::{Allowances, Way};
use crate::connections::Tokens;
use crate::fragments;
use crate::outside::{Outside, Returned};
use crate::packets::{self, Place};
use crate::watch::{Mailbox, Watch, Watched};
use crate::wire::Datagram;

/// Guest time after which a flow that carries nothing ends.
pub(crate) const SILENCE_NANOS: Nanos = 30_000_000_000;
/// Datagrams that are taken of one socket at once.
const MOST_AT_ONCE: usize = 256;
/// Maximum bytes of a datagram.
const MOST_BYTES: usize = 65_535;
/// Ports of the gateway's that datagrams into the guest come from.
const LOCAL_PORTS: std::ops::RangeInclusive<u16> = 10_000..=65_000;

struct Port {
    guest_port: u16,
    socket: Watched<UdpSocket>,
    token: u64,
    /// The IP version for datagrams to the guest: 4, until it answers that nothing listens there.
    version: Version,
    may_receive: bool,
}

struct Flow {
    last_at: Nanos,
    end: End,
}

/// Whom a flow leads to.
enum End {
    /// The sender of a datagram to a published port.
    Peer { port: u64, peer: SocketAddr, local: u16 },
    /// Whom the guest has sent something.
    Outside(Outside),
}

/// The result of a datagram from the guest.
pub(crate) enum Passing {
    /// There is no flow for it.
    Nowhere,
    /// It went, as far as this side knows.
    Sent,
    /// It is lost: more than its way allows.
    TooMany,
}

/// All datagrams of one guest.
pub(crate) struct Datagrams {
    watch: Arc<Watch>,
    mailbox: Arc<Mailbox>,
    hardware: [u8; 6],
    mtu: usize,
    most_flows: usize,
    ports: BTreeMap<u64, Port>,
    flows: BTreeMap<u64, Flow>,
    /// Flows of peers by their port and who they are, and by their port of the gateway's.
    peers: HashMap<(u64, SocketAddr), u64>,
    locals: HashMap<u16, u64>,
    /// Flows to the outside.
    outward: HashMap<(Place, Place), u64>,
    last_local: u16,
    ends_at: Option<Nanos>,
    returned: Vec<Returned>,
    /// Names the latest packet that was given, whose parts have it in common.
    ident: u32,
    buffer: Vec<u8>,
}

impl Datagrams {
    pub(crate) fn new(
        watch: Arc<Watch>,
        mailbox: Arc<Mailbox>,
        (hardware, mtu): ([u8; 6], u16),
        most_flows: usize,
    ) -> Self {
        Self {
            watch,
            mailbox,
            hardware,
            mtu: mtu.into(),
            most_flows,
            ports: BTreeMap::new(),
            flows: BTreeMap::new(),
            peers: HashMap::new(),
            locals: HashMap::new(),
            outward: HashMap::new(),
            last_local: *LOCAL_PORTS.start(),
            ends_at: None,
            returned: Vec::new(),
            ident: 0,
            buffer: Vec::new(),
        }
    }

    /// Takes over a published socket; whether the host could.
    pub(crate) fn open(&mut self, id: u64, guest_port: u16, socket: UdpSocket, token: u64) -> bool {
        let Ok(socket) = self.watch.watched(socket, &self.mailbox, token) else { return false };
        self.ports.insert(
            id,
            Port { guest_port, socket, token, version: Version::Four, may_receive: true },
        );
        true
    }

    /// Closes a published port, and its flows; whether it was there.
    pub(crate) fn close(&mut self, id: u64) -> bool {
        let is_of = |flow: &Flow| matches!(flow.end, End::Peer { port, .. } if port == id);
        self.end_those(|_, flow| is_of(flow));
        self.ports.remove(&id).is_some()
    }

    /// Ends all flows that the guest has begun, so that the policy is checked again.
    pub(crate) fn end_outward(&mut self) {
        self.end_those(|_, flow| matches!(flow.end, End::Outside(_)));
    }

    /// Whether this port is published.
    pub(crate) fn has_port(&self, id: u64) -> bool {
        self.ports.contains_key(&id)
    }

    /// Whether a port is published.
    pub(crate) fn has_ports(&self) -> bool {
        !self.ports.is_empty()
    }

    /// Flows that are open.
    pub(crate) fn flows(&self) -> usize {
        self.flows.len()
    }

    /// Guest time at which the next flow ends, if nothing goes over it.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        self.ends_at
    }

    /// A socket can do something; whether it is one of these.
    pub(crate) fn found(&mut self, token: u64) -> bool {
        if let Some(Flow { end: End::Outside(outside), .. }) = self.flows.get_mut(&token) {
            outside.may_receive = true;
            return true;
        }
        let port = self.ports.values_mut().find(|port| port.token == token);
        port.map(|port| port.may_receive = true).is_some()
    }

    /// The guest answers a peer of one of its published ports, if it is one.
    pub(crate) fn answer(
        &mut self,
        now: Nanos,
        datagram: &Datagram<'_>,
        allowances: &mut Allowances,
    ) -> Passing {
        let Some(flow) = self.locals.get(&datagram.to.1).and_then(|flow| self.flows.get_mut(flow))
        else {
            return Passing::Nowhere;
        };
        let End::Peer { port: id, peer, .. } = &flow.end else { return Passing::Nowhere };
        let Some(port) = self.ports.get(id).filter(|port| port.guest_port == datagram.from.1)
        else {
            return Passing::Nowhere;
        };
        flow.last_at = now;
        if !allowances.pass(Way::Port(*id), now, datagram.bytes.len()) {
            return Passing::TooMany;
        }
        // If the host does not accept it, it is lost, as datagrams are.
        let _ = port.socket.socket.send_to(datagram.bytes, peer);
        Passing::Sent
    }

    /// Sends by the flow that the guest has begun to there, if it has begun one.
    pub(crate) fn send(
        &mut self,
        now: Nanos,
        datagram: &Datagram<'_>,
        allowances: &mut Allowances,
    ) -> Passing {
        let places = (datagram.from, datagram.to);
        let Some(flow) = self.outward.get(&places).and_then(|flow| self.flows.get_mut(flow)) else {
            return Passing::Nowhere;
        };
        flow.last_at = now;
        if !allowances.pass(Way::Outside, now, datagram.bytes.len()) {
            return Passing::TooMany;
        }
        if let End::Outside(outside) = &mut flow.end {
            outside.send(datagram, &mut self.returned);
        }
        Passing::Sent
    }

    /// Begins a flow of the guest's to `destination`, and sends.
    ///
    /// # Errors
    /// If the host cannot.
    pub(crate) fn begin(
        &mut self,
        now: Nanos,
        token: u64,
        datagram: &Datagram<'_>,
        destination: SocketAddr,
    ) -> std::io::Result<()> {
        let socket = UdpSocket::bind((Version::of(destination.ip()).unspecified(), 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(destination)?;
        let socket = self.watch.watched(socket, &self.mailbox, token)?;
        let (from, to) = (datagram.from, datagram.to);
        let mut outside = Outside { socket, from, to, may_receive: true, headers: Vec::new() };
        outside.send(datagram, &mut self.returned);
        self.make_room();
        self.outward.insert((from, to), token);
        self.flows.insert(token, Flow { last_at: now, end: End::Outside(outside) });
        Ok(())
    }

    /// Delivers datagrams to the guest, while there is room and the limits allow it.
    pub(crate) fn receive(
        &mut self,
        now: Nanos,
        guest: &mut dyn GuestPort,
        allowances: &mut Allowances,
        tokens: &mut Tokens,
    ) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(MOST_BYTES, 0);
        let ids: Vec<u64> = self.ports.keys().copied().collect();
        for id in ids {
            self.receive_of_port(now, id, &mut buffer, guest, (allowances, tokens));
        }
        let (largest, frames) = (self.largest(), (self.hardware, self.mtu));
        for flow in self.flows.values_mut() {
            let End::Outside(outside) = &mut flow.end else { continue };
            let mut count = 0;
            while outside.may_receive && guest.fits(largest) {
                if allowances.bytes(Way::Outside, now) == 0 {
                    allowances.wait(Way::Outside, now);
                    break;
                }
                if count == MOST_AT_ONCE {
                    self.mailbox.ring();
                    break;
                }
                count += 1;
                if let Some(bytes) = outside.receive(&mut buffer, &mut self.returned) {
                    flow.last_at = now;
                    allowances.take(Way::Outside, now, bytes.len());
                    let packet = packets::datagram(outside.to, outside.from, bytes);
                    fragments::give(guest, &packet, frames, &mut self.ident);
                }
            }
        }
        self.buffer = buffer;
    }

    fn largest(&self) -> usize {
        ETHERNET_HEADER_BYTES + self.mtu
    }

    fn receive_of_port(
        &mut self,
        now: Nanos,
        id: u64,
        buffer: &mut [u8],
        guest: &mut dyn GuestPort,
        (allowances, tokens): (&mut Allowances, &mut Tokens),
    ) {
        let way = Way::Port(id);
        for count in 0.. {
            let largest = self.largest();
            let Some(port) = self.ports.get_mut(&id).filter(|port| port.may_receive) else {
                return;
            };
            if !guest.fits(largest) {
                return;
            }
            if allowances.bytes(way, now) == 0 {
                allowances.wait(way, now);
                return;
            }
            if count == MOST_AT_ONCE {
                self.mailbox.ring();
                return;
            }
            let (guest_port, version) = (port.guest_port, port.version);
            match port.socket.socket.recv_from(buffer) {
                Ok((bytes, peer)) => {
                    allowances.take(way, now, bytes);
                    let local = self.local_of(now, id, peer, tokens);
                    let (from, to) = ((version.gateway(), local), (version.guest(), guest_port));
                    let packet = packets::datagram(from, to, &buffer[..bytes]);
                    fragments::give(guest, &packet, (self.hardware, self.mtu), &mut self.ident);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    port.may_receive = port.socket.ask(true, false).is_err();
                    return;
                }
                // That an answer of the guest's went nowhere is nothing to it.
                Err(_) => {}
            }
        }
    }

    /// The gateway's port that a peer is known to the guest by.
    fn local_of(&mut self, now: Nanos, port: u64, peer: SocketAddr, tokens: &mut Tokens) -> u16 {
        if let Some(flow) = self.peers.get(&(port, peer)).and_then(|flow| self.flows.get_mut(flow))
            && let End::Peer { local, .. } = flow.end
        {
            flow.last_at = now;
            return local;
        }
        self.make_room();
        // There are more of them than flows.
        let local = loop {
            self.last_local = match self.last_local {
                port if port < *LOCAL_PORTS.end() => port + 1,
                _ => *LOCAL_PORTS.start(),
            };
            if !self.locals.contains_key(&self.last_local) {
                break self.last_local;
            }
        };
        let token = tokens.next();
        self.peers.insert((port, peer), token);
        self.locals.insert(local, token);
        self.flows.insert(token, Flow { last_at: now, end: End::Peer { port, peer, local } });
        local
    }

    /// The guest reports that nothing receives datagrams at one of its places: the next ones go to
    /// the other IP version, if it has both.
    pub(crate) fn nobody_at(&mut self, (address, guest_port): Place, has_version_6: bool) {
        let version = Version::of(address);
        let is_there = |port: &&mut Port| port.guest_port == guest_port && port.version == version;
        for port in self.ports.values_mut().filter(is_there).filter(|_| has_version_6) {
            port.version = version.other();
        }
    }

    /// The datagrams that could not be delivered, since the last call.
    pub(crate) fn take_returned(&mut self) -> Vec<Returned> {
        std::mem::take(&mut self.returned)
    }

    /// Ends the flows that have been silent for long.
    pub(crate) fn settle(&mut self, now: Nanos) {
        if self.ends_at.is_some_and(|at| at <= now) {
            self.end_those(|_, flow| flow.last_at + SILENCE_NANOS <= now);
        }
        self.ends_at = self.flows.values().map(|flow| flow.last_at + SILENCE_NANOS).min();
    }

    fn make_room(&mut self) {
        while self.flows.len() >= self.most_flows.max(1) {
            let silent = self.flows.iter().min_by_key(|(_, flow)| flow.last_at);
            let Some(silent) = silent.map(|(token, _)| *token) else { return };
            self.end_those(|token, _| token == silent);
        }
    }

    fn end_those(&mut self, is_over: impl Fn(u64, &Flow) -> bool) {
        let Self { flows, peers, locals, outward, .. } = self;
        flows.retain(|token, flow| {
            let is_over = is_over(*token, flow);
            if is_over {
                match &flow.end {
                    End::Peer { port, peer, local } => {
                        peers.remove(&(*port, *peer));
                        locals.remove(local);
                    }
                    End::Outside(outside) => {
                        outward.remove(&(outside.from, outside.to));
                    }
                }
            }
            !is_over
        });
    }
}
