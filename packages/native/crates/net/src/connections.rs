//! All TCP connections of one guest: by published ports, and to the outside.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use smoltcp::iface::SocketHandle;
use stillpoint_vmm::network::GuestPort;
use stillpoint_vmm::time::Nanos;

use crate::addresses::Version;
use crate::allowances::{Allowances, Way};
use crate::flow::{Flow, Standing};
use crate::name_streams::NameStreams;
use crate::outward::Outward;
use crate::packets::Place;
use crate::stack::Stack;
use crate::watch::{Mailbox, Readiness, Watch, Watched};
use crate::wire::Segment;

/// Ports of the gateway's that connections into the guest come from.
const LOCAL_PORTS: std::ops::RangeInclusive<u16> = 10_000..=65_000;

/// The tokens of the host's sockets.
#[derive(Debug, Default)]
pub(crate) struct Tokens(u64);

impl Tokens {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

struct Port {
    guest_port: u16,
    listener: Watched<TcpListener>,
    may_accept: bool,
}

/// The result of the guest's request for a connection.
pub(crate) enum Begun {
    /// The stack answers: it knows of the connection, or resets it.
    Known,
    /// The host is at it; there is nothing to say yet.
    UnderWay,
    /// The host could not even begin.
    Impossible,
}

pub(crate) struct Connections {
    watch: Arc<Watch>,
    mailbox: Arc<Mailbox>,
    /// Maximum number of connections at once, by all ways together.
    most: usize,
    stack: Stack,
    ports: BTreeMap<u64, Port>,
    flows: BTreeMap<u64, Flow>,
    outward: Outward,
    pub(crate) names: NameStreams,
    /// Sockets of the stack that say their last in the next poll.
    dying: Vec<SocketHandle>,
    last_local: u16,
    /// The guest has an address of version 6.
    pub(crate) has_version_6: bool,
    /// The flow that was the first to get what others had left of an allowance.
    last_first: u64,
}

impl Connections {
    pub(crate) fn new(
        watch: Arc<Watch>,
        mailbox: Arc<Mailbox>,
        most: usize,
        (stack, seed): (Stack, u64),
    ) -> Self {
        Self {
            watch,
            mailbox,
            most,
            stack,
            ports: BTreeMap::new(),
            flows: BTreeMap::new(),
            outward: Outward::default(),
            names: NameStreams::default(),
            dying: Vec::new(),
            // A machine that continues from a copy begins with a different port.
            last_local: LOCAL_PORTS.start() + (seed % 50_000) as u16,
            has_version_6: false,
            last_first: 0,
        }
    }

    /// Takes over a listener that leads to the guest's port; whether the host could.
    pub(crate) fn open(
        &mut self,
        id: u64,
        guest_port: u16,
        listener: TcpListener,
        token: u64,
    ) -> bool {
        let Ok(listener) = self.watch.watched(listener, &self.mailbox, token) else {
            return false;
        };
        self.ports.insert(id, Port { guest_port, listener, may_accept: true });
        true
    }

    /// Closes a published port; whether it was there.
    pub(crate) fn close(&mut self, id: u64) -> bool {
        self.ports.remove(&id).is_some()
    }

    /// Whether a port is published.
    pub(crate) fn has_ports(&self) -> bool {
        !self.ports.is_empty()
    }

    /// Whether a published port, or a connection through it, exists.
    pub(crate) fn has_port(&self, id: u64) -> bool {
        self.ports.contains_key(&id) || self.flows.values().any(|flow| flow.way == Way::Port(id))
    }

    /// Connections that are open, or about to be.
    pub(crate) fn count(&self) -> usize {
        self.flows.len() + self.outward.pending()
    }

    fn count_by(&self, way: Way) -> usize {
        let flows = self.flows.values().filter(|flow| flow.way == way).count();
        if way == Way::Outside { flows + self.outward.pending() } else { flows }
    }

    /// Whether one more connection may be open, also within this way's limits.
    pub(crate) fn has_place(&self, way: Way, allowances: &Allowances) -> bool {
        let most = allowances.connections(way);
        self.count() < self.most && (most == usize::MAX || self.count_by(way) < most)
    }

    /// A socket can do something; whether it is a connection's.
    pub(crate) fn found(&mut self, readiness: Readiness) -> bool {
        match self.flows.get_mut(&readiness.token) {
            Some(flow) => {
                flow.found(readiness);
                true
            }
            None => self.outward.found(readiness.token),
        }
    }

    /// Some listener can do something: they have tokens, too, but there are few.
    pub(crate) fn found_listener(&mut self) {
        self.ports.values_mut().for_each(|port| port.may_accept = true);
    }

    fn next_local(&mut self) -> u16 {
        self.last_local = match self.last_local {
            port if port < *LOCAL_PORTS.end() => port + 1,
            _ => *LOCAL_PORTS.start(),
        };
        self.last_local
    }

    /// Accepts connections to published ports while there may be more.
    pub(crate) fn accept(&mut self, allowances: &Allowances, tokens: &mut Tokens) {
        let ids: Vec<u64> = self.ports.keys().copied().collect();
        for id in ids {
            while self.has_place(Way::Port(id), allowances) {
                let Some(port) = self.ports.get_mut(&id).filter(|port| port.may_accept) else {
                    break;
                };
                match port.listener.socket.accept() {
                    Ok((stream, _)) => {
                        let guest_port = port.guest_port;
                        self.accepted(stream, guest_port, Way::Port(id), tokens.next());
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // An error concerns one connection only; the next may succeed.
                    Err(_) => {
                        port.may_accept = port.listener.ask(true, false).is_err();
                        break;
                    }
                }
            }
        }
    }

    fn accepted(&mut self, stream: TcpStream, guest_port: u16, way: Way, token: u64) {
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let local = self.next_local();
        let Ok(stream) = self.watch.watched(stream, &self.mailbox, token) else { return };
        if let Some(handle) = self.stack.connect(Version::Four, guest_port, local) {
            let mut flow = Flow::new(handle, stream, way);
            flow.second_port = Some(guest_port);
            self.flows.insert(token, flow);
        }
    }

    /// Tries the guest over IPv6 after it refused over IPv4, which reaches listeners for IPv6 alone.
    /// Returns whether that is possible.
    fn ask_again(&mut self, token: u64) -> bool {
        let (local, has_version_6) = (self.next_local(), self.has_version_6);
        let Some(flow) = self.flows.get_mut(&token) else { return false };
        let port = flow.second_port.take().filter(|_| has_version_6);
        let connect = |port| self.stack.connect(Version::Six, port, local);
        let Some(handle) = port.and_then(connect) else { return false };
        self.dying.push(std::mem::replace(&mut flow.handle, handle));
        true
    }

    /// The result of an earlier request of the guest for this connection, if there was one.
    pub(crate) fn asked(&self, segment: &Segment) -> Option<Begun> {
        let token = self.outward.token_of(segment)?;
        // Asked again: while the host is at it, there is nothing to say.
        Some(if self.flows.contains_key(&token) { Begun::Known } else { Begun::UnderWay })
    }

    /// The guest asks for a connection to who answers for names; whether there is room for it.
    pub(crate) fn begin_names(&mut self, now: Nanos, segment: &Segment) -> bool {
        self.names.begin(now, segment, &mut self.stack)
    }

    /// The questions for names that have come by connections since.
    pub(crate) fn questions(&mut self, now: Nanos) -> Vec<(u64, Vec<u8>)> {
        self.names.pump(now, &mut self.stack, &mut self.dying)
    }

    /// Delivers new data to the guest, and removes connections that have ended.
    pub(crate) fn flush(&mut self, now: Nanos, guest: &mut dyn GuestPort) {
        self.stack.poll(now, VecDeque::new(), guest);
        for handle in std::mem::take(&mut self.dying) {
            self.stack.remove(handle);
        }
    }

    /// Has the host connect to `destination` for the guest.
    pub(crate) fn begin(
        &mut self,
        token: u64,
        destination: SocketAddr,
        asked: (&[u8], Segment),
    ) -> Begun {
        match self.outward.connect((&self.watch, &self.mailbox), token, destination, asked) {
            Ok(()) => Begun::UnderWay,
            Err(_) => Begun::Impossible,
        }
    }

    /// Completes the connections that the host has made: the stack gets the packets that requested
    /// them. Returns the places that the host cannot connect to.
    pub(crate) fn conclude(&mut self, packets: &mut VecDeque<Vec<u8>>) -> Vec<Place> {
        let mut unreachable = Vec::new();
        for concluded in self.outward.conclude(&mut self.stack) {
            match concluded.flow {
                Some(flow) => {
                    self.flows.insert(concluded.token, flow);
                }
                None => unreachable.push(concluded.asked),
            }
            packets.push_back(concluded.packet);
        }
        unreachable
    }

    /// Moves packets and bytes: acknowledged data makes room, the guest's data goes out, and then
    /// there may be more for the guest, which [`Self::flush`] delivers.
    pub(crate) fn exchange(
        &mut self,
        now: Nanos,
        packets: VecDeque<Vec<u8>>,
        allowances: &mut Allowances,
        guest: &mut dyn GuestPort,
    ) {
        self.stack.poll(now, packets, guest);
        self.pump(now, allowances);
    }

    /// Moves bytes; ends connections that are over.
    fn pump(&mut self, now: Nanos, allowances: &mut Allowances) {
        // The first share of each connection under a limit: all have the same.
        let share = |way| (way, allowances.bytes(way, now) / self.count_by(way).max(1));
        let shares: BTreeMap<Way, usize> = allowances.ways().map(share).collect();
        let (mut hungry, mut refused, mut over) = (Vec::new(), Vec::new(), Vec::new());
        for (token, flow) in &mut self.flows {
            self.stack.settle(flow.handle);
            let share = shares.get(&flow.way).copied().unwrap_or(usize::MAX);
            let pumped = flow.pump(self.stack.get(flow.handle), share);
            allowances.take(flow.way, now, pumped.bytes);
            match pumped.standing {
                Standing::Over => over.push(*token),
                Standing::Hungry => hungry.push(*token),
                Standing::Refused => refused.push(*token),
                Standing::Open => {}
            }
        }
        for token in refused {
            if !self.ask_again(token) {
                self.flows.get(&token).into_iter().for_each(Flow::reset_host);
                over.push(token);
            }
        }
        self.feed(now, hungry, &mut over, allowances);
        if over.is_empty() {
            return;
        }
        for token in &over {
            if let Some(flow) = self.flows.remove(token) {
                self.dying.push(flow.handle);
            }
        }
        self.outward.forget(&over);
        if self.ports.values().any(|port| port.may_accept) {
            // A waiting connection may take the place now.
            self.mailbox.ring();
        }
    }

    /// Distributes unused allowances to the connections that could pass more, beginning with the one
    /// after the one that was first before.
    fn feed(
        &mut self,
        now: Nanos,
        mut hungry: Vec<u64>,
        over: &mut Vec<u64>,
        allowances: &mut Allowances,
    ) {
        let after = hungry.partition_point(|token| *token <= self.last_first);
        hungry.rotate_left(after);
        self.last_first = hungry.first().copied().unwrap_or(self.last_first);
        for token in hungry {
            let Some(flow) = self.flows.get_mut(&token) else { continue };
            let rest = allowances.bytes(flow.way, now);
            let pumped = flow.pump(self.stack.get(flow.handle), rest);
            allowances.take(flow.way, now, pumped.bytes);
            match pumped.standing {
                Standing::Over => over.push(token),
                Standing::Hungry => allowances.wait(flow.way, now),
                Standing::Open | Standing::Refused => {}
            }
        }
    }

    /// Guest time at which the stack must be asked again, if nothing happens before.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        [self.stack.next_at(), self.names.next_at()].into_iter().flatten().min()
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        // Connected clients see a reset, because the guest has not finished its data.
        self.flows.values().filter(|flow| !flow.has_ended()).for_each(Flow::reset_host);
    }
}
