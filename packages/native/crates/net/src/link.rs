//! The host's end of a guest's network: what happens between two of its instructions.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use smoltcp::iface::SocketHandle;
use socket2::{Domain, Socket, Type};
use stillpoint_vmm::event::{NetworkProtocol, NetworkRefusal};
use stillpoint_vmm::network::{Expecting, GuestPort, Link};
use stillpoint_vmm::time::Nanos;

use crate::addresses::{GATEWAY, GUEST, NAME_PORT, NAME_SERVER};
use crate::datagrams::Datagrams;
use crate::egress::Egress;
use crate::flow::{Flow, Standing};
use crate::names::{Asker, NameServer, Reply};
use crate::packets::{self, Unreachable};
use crate::refusals::Refusals;
use crate::shared::{Limits, Listening, Opening, Shared};
use crate::stack::Stack;
use crate::transport::Transport;
use crate::watch::{Watch, Watched};
use crate::wire::{self, Datagram, Segment, Sent};

/// Ports of the gateway's that connections into the guest come from.
const LOCAL_PORTS: std::ops::RangeInclusive<u16> = 10_000..=65_000;

struct Port {
    guest_port: u16,
    listener: Watched<TcpListener>,
    may_accept: bool,
}

/// A connection of the guest's to the outside that the host has not made yet.
struct Pending {
    stream: Watched<TcpStream>,
    destination: SocketAddr,
    segment: Segment,
    /// The packet that asked for it.
    packet: Vec<u8>,
    is_ready: bool,
}

/// The places of a connection of the guest's to the outside.
type Places = (std::net::Ipv4Addr, u16, std::net::Ipv4Addr, u16);

/// A machine's link to the host's sockets. [`Network::attach`](crate::Network::attach) makes it.
pub struct NetworkLink {
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    hardware: [u8; 6],
    limits: Limits,
    stack: Stack,
    ports: BTreeMap<u64, Port>,
    flows: BTreeMap<u64, Flow>,
    pending: BTreeMap<u64, Pending>,
    /// Connections of the guest's to the outside, by their places: pending ones and flows.
    outward: HashMap<Places, u64>,
    /// Sockets of the stack that say their last in the next poll.
    dying: Vec<SocketHandle>,
    /// Frames that come before all others.
    resets: VecDeque<Vec<u8>>,
    datagrams: Datagrams,
    names: NameServer,
    /// Whom the guest may reach, as far as flows of datagrams know.
    egress: Arc<Egress>,
    last_token: u64,
    last_local: u16,
    refusals: Refusals,
}

impl NetworkLink {
    pub(crate) fn new(
        shared: Arc<Shared>,
        watch: Arc<Watch>,
        hardware: [u8; 6],
        mtu: u16,
        limits: Limits,
        resets: Vec<Vec<u8>>,
    ) -> Self {
        // What a peer must not guess: sequence numbers begin with it.
        let seed = RandomState::new().hash_one("stillpoint");
        let (mailbox, egress) = (Arc::clone(&shared.mailbox), Arc::clone(&shared.lock().egress));
        let link = Self {
            stack: Stack::new(hardware, mtu, seed),
            names: NameServer::new(&mailbox),
            datagrams: Datagrams::new(Arc::clone(&watch), mailbox, (hardware, mtu), limits.flows),
            egress,
            shared,
            watch,
            hardware,
            limits,
            ports: BTreeMap::new(),
            flows: BTreeMap::new(),
            pending: BTreeMap::new(),
            outward: HashMap::new(),
            dying: Vec::new(),
            resets: resets.into(),
            last_token: 0,
            // A machine that goes on where another stood begins elsewhere.
            last_local: LOCAL_PORTS.start() + (seed % 50_000) as u16,
            refusals: Refusals::default(),
        };
        if !link.resets.is_empty() {
            link.shared.mailbox.ring();
        }
        link
    }

    fn next_token(&mut self) -> u64 {
        self.last_token += 1;
        self.last_token
    }

    fn open(&self) -> usize {
        self.flows.len() + self.pending.len()
    }

    /// Takes over what was asked for from other threads.
    fn follow_orders(&mut self) {
        let (to_open, to_close, egress) = {
            let mut state = self.shared.lock();
            let orders = (std::mem::take(&mut state.to_open), std::mem::take(&mut state.to_close));
            (orders.0, orders.1, Arc::clone(&state.egress))
        };
        if !Arc::ptr_eq(&egress, &self.egress) {
            self.egress = egress;
            self.datagrams.end_outward();
        }
        let mut closed = 0;
        for Opening { id, guest_port, socket } in to_open {
            let token = self.next_token();
            let is_open = match socket {
                Listening::Udp(socket) => self.datagrams.open(id, guest_port, socket, token),
                Listening::Tcp(listener) => {
                    let watched = self.watch.watched(listener, &self.shared.mailbox, token);
                    let port =
                        watched.map(|listener| Port { guest_port, listener, may_accept: true });
                    port.map(|port| self.ports.insert(id, port)).is_ok()
                }
            };
            closed += usize::from(!is_open);
        }
        for id in to_close {
            closed += usize::from(self.ports.remove(&id).is_some() || self.datagrams.close(id));
        }
        if closed > 0 {
            self.shared.lock().published -= closed;
        }
    }

    /// Learns which of the host's sockets can do something.
    fn learn(&mut self) {
        for readiness in self.shared.mailbox.take() {
            if let Some(flow) = self.flows.get_mut(&readiness.token) {
                flow.found(readiness);
            } else if let Some(pending) = self.pending.get_mut(&readiness.token) {
                pending.is_ready = true;
            } else if !self.datagrams.found(readiness.token) {
                // Listeners have tokens, too; there are few.
                self.ports.values_mut().for_each(|port| port.may_accept = true);
            }
        }
    }

    fn next_local(&mut self) -> u16 {
        self.last_local = match self.last_local {
            port if port < *LOCAL_PORTS.end() => port + 1,
            _ => *LOCAL_PORTS.start(),
        };
        self.last_local
    }

    /// Accepts connections to published ports while there may be more.
    fn accept(&mut self) {
        let ids: Vec<u64> = self.ports.keys().copied().collect();
        for id in ids {
            while self.open() < self.limits.connections {
                let Some(port) = self.ports.get_mut(&id).filter(|port| port.may_accept) else {
                    break;
                };
                match port.listener.socket.accept() {
                    Ok((stream, _)) => {
                        let guest_port = port.guest_port;
                        self.accepted(stream, guest_port);
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // Whatever was wrong with one connection, the next may come.
                    Err(_) => {
                        port.may_accept = port.listener.ask(true, false).is_err();
                        break;
                    }
                }
            }
        }
    }

    fn accepted(&mut self, stream: TcpStream, guest_port: u16) {
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let (token, local) = (self.next_token(), self.next_local());
        let Ok(stream) = self.watch.watched(stream, &self.shared.mailbox, token) else { return };
        if let Some(handle) = self.stack.connect(guest_port, local) {
            self.flows.insert(token, Flow::new(handle, stream));
        }
    }

    /// Reads what the guest has sent: the packets that the stack is to see.
    fn receive(
        &mut self,
        now: Nanos,
        sent: &[Vec<u8>],
        packets: &mut VecDeque<Vec<u8>>,
        guest: &mut dyn GuestPort,
    ) {
        for frame in sent {
            match wire::read(frame, self.hardware) {
                Sent::Nothing => {}
                Sent::Question(answer) => {
                    guest.give(&answer);
                }
                Sent::Segment { packet, segment } => {
                    if !segment.is_first || self.begin(now, packet, segment, guest) {
                        packets.push_back(packet.to_vec());
                    }
                }
                Sent::Packet { packet, destination, .. }
                    if destination == GATEWAY && packet[9] == 1 =>
                {
                    packets.push_back(packet.to_vec());
                }
                Sent::Packet { destination, .. }
                | Sent::Datagram(Datagram { to: (destination, _), .. })
                    if destination.is_multicast() || destination.is_broadcast() => {}
                Sent::Datagram(datagram) if datagram.to == (NAME_SERVER, NAME_PORT) => {
                    self.ask(now, &datagram, guest);
                }
                Sent::Datagram(datagram) => self.send(now, &datagram, guest),
                Sent::Packet { protocol, destination, .. } => {
                    let protocol = match protocol {
                        1 => NetworkProtocol::Icmp,
                        _ => NetworkProtocol::Other,
                    };
                    let reason = NetworkRefusal::NotAllowed;
                    self.refusals.tell(now, protocol, (destination, 0), reason, guest);
                }
            }
        }
    }

    /// The guest asks for a connection to the outside; whether the stack is to answer now. It does
    /// with a reset, unless it listens.
    fn begin(
        &mut self,
        now: Nanos,
        packet: &[u8],
        segment: Segment,
        guest: &mut dyn GuestPort,
    ) -> bool {
        let places = places(&segment);
        if let Some(token) = self.outward.get(&places) {
            // Asked again: while the host is at it, there is nothing to say.
            return self.flows.contains_key(token);
        }
        let (address, port) = segment.destination;
        let asked = self.egress.destination(Transport::Tcp, (address, port), &self.names.answered);
        let reason = match asked {
            None => NetworkRefusal::NotAllowed,
            Some(_) if self.open() >= self.limits.connections => NetworkRefusal::TooMany,
            Some(destination) => match self.connect(destination, packet, segment) {
                Ok(()) => return false,
                Err(_) => NetworkRefusal::Unreachable,
            },
        };
        self.refusals.tell(now, NetworkProtocol::Tcp, segment.destination, reason, guest);
        true
    }

    /// The guest asks for a name.
    fn ask(&mut self, now: Nanos, datagram: &Datagram<'_>, guest: &mut dyn GuestPort) {
        let asker = (GUEST, datagram.from);
        let (refused, answer) = match self.names.ask(asker, datagram.bytes, &self.egress) {
            Reply::None => return,
            Reply::Answer(answer) => (None, answer),
            Reply::NotAllowed { name, answer } => {
                (Some((name, NetworkRefusal::NotAllowed)), answer)
            }
            Reply::TooMany { name, answer } => (Some((name, NetworkRefusal::TooMany)), answer),
        };
        if let Some((name, reason)) = refused {
            self.refusals.tell(now, NetworkProtocol::Udp, (name, NAME_PORT), reason, guest);
        }
        self.give_answer(asker, &answer, guest);
    }

    /// Gives the guest what the host's resolver has answered.
    fn answer(&mut self, now: Nanos, guest: &mut dyn GuestPort) {
        for late in self.names.late() {
            if late.is_of_nobody {
                let (asked, reason) = ((late.name, NAME_PORT), NetworkRefusal::Unreachable);
                self.refusals.tell(now, NetworkProtocol::Udp, asked, reason, guest);
            }
            self.give_answer(late.asker, &late.answer, guest);
        }
    }

    fn give_answer(&self, asker: Asker, answer: &[u8], guest: &mut dyn GuestPort) {
        let packet = packets::datagram((NAME_SERVER, NAME_PORT), asker, answer);
        // One that does not fit is lost, as datagrams are: who asks does so again.
        guest.give(&wire::frame(&packet, self.hardware));
    }

    /// The guest sends a datagram.
    fn send(&mut self, now: Nanos, datagram: &Datagram<'_>, guest: &mut dyn GuestPort) {
        let is_answer = datagram.to.0 == GATEWAY && self.datagrams.answer(now, datagram);
        if is_answer || self.datagrams.send(now, datagram) {
            return;
        }
        let answered = &self.names.answered;
        let (reason, why) = match self.egress.destination(Transport::Udp, datagram.to, answered) {
            None => (NetworkRefusal::NotAllowed, Unreachable::Prohibited),
            Some(destination) => {
                let token = self.next_token();
                match self.datagrams.begin(now, token, datagram, destination) {
                    Ok(()) => return,
                    Err(_) => (NetworkRefusal::Unreachable, Unreachable::Port),
                }
            }
        };
        self.send_back(
            now,
            datagram.to,
            packets::headers_of(datagram.packet),
            (reason, why),
            guest,
        );
    }

    /// Tells of a datagram that goes nowhere, and the guest as well.
    fn send_back(
        &mut self,
        now: Nanos,
        to: (std::net::Ipv4Addr, u16),
        headers: &[u8],
        (reason, why): (NetworkRefusal, Unreachable),
        guest: &mut dyn GuestPort,
    ) {
        if self.refusals.tell(now, NetworkProtocol::Udp, to, reason, guest)
            && let Some(packet) = packets::unreachable(headers, why)
        {
            guest.give(&wire::frame(&packet, self.hardware));
        }
    }

    /// Lets the guest have the datagrams that there are for it, and know of its own that went nowhere.
    fn pass_datagrams(&mut self, now: Nanos, guest: &mut dyn GuestPort) {
        let last_token = &mut self.last_token;
        self.datagrams.receive(now, guest, || {
            *last_token += 1;
            *last_token
        });
        for returned in self.datagrams.take_returned() {
            let reason = (NetworkRefusal::Unreachable, Unreachable::Port);
            self.send_back(now, returned.to, &returned.headers, reason, guest);
        }
        self.datagrams.settle(now);
    }

    fn connect(
        &mut self,
        destination: SocketAddr,
        packet: &[u8],
        segment: Segment,
    ) -> std::io::Result<()> {
        let socket = Socket::new(Domain::for_address(destination), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&destination.into()) {
            Err(error) if !is_under_way(&error) => return Err(error),
            _ => {}
        }
        let token = self.next_token();
        let stream = self.watch.watched(socket.into(), &self.shared.mailbox, token)?;
        stream.ask(false, true)?;
        let packet = packet.to_vec();
        let pending = Pending { stream, destination, segment, packet, is_ready: false };
        self.pending.insert(token, pending);
        self.outward.insert(places(&segment), token);
        Ok(())
    }

    /// Lets the guest have the connections that the host has made, and know of those that it cannot.
    fn conclude(&mut self, now: Nanos, packets: &mut VecDeque<Vec<u8>>, guest: &mut dyn GuestPort) {
        let ready: Vec<u64> =
            self.pending.iter().filter(|(_, it)| it.is_ready).map(|(token, _)| *token).collect();
        for token in ready {
            let Some(pending) = self.pending.remove(&token) else { continue };
            let Pending { stream, destination, segment, packet, .. } = pending;
            let connected = match stream.socket.take_error() {
                Ok(None) => stream.socket.peer_addr().is_ok_and(|peer| peer == destination),
                _ => false,
            };
            // A socket that listens takes the packet that follows: one at a time, in this order.
            let handle = if connected { self.stack.listen(segment.destination) } else { None };
            match handle {
                Some(handle) => {
                    self.flows.insert(token, Flow::new(handle, stream));
                }
                None => {
                    self.outward.remove(&places(&segment));
                    let reason = NetworkRefusal::Unreachable;
                    let asked = segment.destination;
                    self.refusals.tell(now, NetworkProtocol::Tcp, asked, reason, guest);
                }
            }
            packets.push_back(packet);
        }
    }

    /// Moves bytes; ends what is over.
    fn pump(&mut self) {
        let stack = &mut self.stack;
        let mut over = Vec::new();
        for (token, flow) in &mut self.flows {
            stack.settle(flow.handle);
            if flow.pump(stack.get(flow.handle)) == Standing::Over {
                over.push(*token);
            }
        }
        if over.is_empty() {
            return;
        }
        for token in &over {
            if let Some(flow) = self.flows.remove(token) {
                self.dying.push(flow.handle);
            }
        }
        self.outward.retain(|_, token| !over.contains(token));
    }

    fn bury(&mut self) {
        for handle in std::mem::take(&mut self.dying) {
            self.stack.remove(handle);
        }
    }
}

fn places(segment: &Segment) -> Places {
    let Segment { source, destination, .. } = segment;
    (source.0, source.1, destination.0, destination.1)
}

fn is_under_way(error: &std::io::Error) -> bool {
    // In progress is what a socket says that does not wait.
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::EINPROGRESS)
}

impl Link for NetworkLink {
    fn exchange(&mut self, now: Nanos, sent: Vec<Vec<u8>>, guest: &mut dyn GuestPort) {
        self.follow_orders();
        self.learn();
        while let Some(reset) = self.resets.front() {
            if !guest.give(reset) {
                break;
            }
            self.resets.pop_front();
        }
        let mut packets = VecDeque::new();
        self.receive(now, &sent, &mut packets, guest);
        self.conclude(now, &mut packets, guest);
        self.answer(now, guest);
        self.accept();
        // What the guest has acknowledged makes room, what it has sent goes out, and then there may
        // be more for it.
        self.stack.poll(now, packets, guest);
        self.pump();
        self.stack.poll(now, VecDeque::new(), guest);
        self.bury();
        self.pass_datagrams(now, guest);
        self.shared.connections.store(self.open() as u64, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        self.shared.mailbox.is_full()
    }

    fn deadline(&self) -> Option<Nanos> {
        [self.stack.next_at(), self.datagrams.next_at()].into_iter().flatten().min()
    }

    fn expecting(&self) -> Expecting {
        if self.open() + self.datagrams.flows() + self.names.waiting() > 0 {
            Expecting::Bytes
        } else if self.ports.is_empty() && !self.datagrams.has_ports() {
            Expecting::Nothing
        } else {
            Expecting::Connections
        }
    }
}

impl Drop for NetworkLink {
    fn drop(&mut self) {
        // Whoever is connected sees a reset: the guest has not ended what it was saying.
        self.flows.values().filter(|flow| !flow.has_ended()).for_each(Flow::reset_host);
        let mut state = self.shared.lock();
        state.is_over = true;
        state.to_open.clear();
        self.shared.connections.store(0, Ordering::Relaxed);
    }
}
