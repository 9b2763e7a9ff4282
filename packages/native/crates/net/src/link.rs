//! The host's end of a guest's network: what happens between two of its instructions.

mod asking;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use stillpoint_vmm::event::{NetworkProtocol, NetworkRefusal};
use stillpoint_vmm::network::{Expecting, GuestPort, Link, is_of_version_6};
use stillpoint_vmm::time::Nanos;

use crate::addresses::{NAME_PORT, is_gateway, is_name_server};
use crate::allowances::{Allowances, Way};
use crate::connections::{Begun, Connections, Tokens};
use crate::datagrams::{Datagrams, Passing};
use crate::egress::Egress;
use crate::fragments::Fragments;
use crate::names::{Asker, NameServer};
use crate::packets::{self, Place, Unreachable};
use crate::refusals::Refusals;
use crate::shared::{Limits, Listening, Opening, Shared};
use crate::stack::Stack;
use crate::transport::Transport;
use crate::watch::Watch;
use crate::wire::{self, Datagram, Segment, Sent};

/// A machine's link to the host's sockets. [`Network::attach`](crate::Network::attach) makes it.
pub struct NetworkLink {
    shared: Arc<Shared>,
    hardware: [u8; 6],
    connections: Connections,
    /// Frames that come before all others.
    resets: VecDeque<Vec<u8>>,
    datagrams: Datagrams,
    fragments: Fragments,
    names: NameServer,
    /// Whom the guest may reach, as far as flows of datagrams know.
    egress: Arc<Egress>,
    allowances: Allowances,
    tokens: Tokens,
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
        // A peer must not be able to guess the initial sequence numbers, which depend on this.
        let seed = RandomState::new().hash_one("stillpoint");
        let (mailbox, egress) = (Arc::clone(&shared.mailbox), Arc::clone(&shared.lock().egress));
        let link = Self {
            connections: Connections::new(
                Arc::clone(&watch),
                Arc::clone(&mailbox),
                limits.connections,
                (Stack::new(hardware, mtu, seed), seed),
            ),
            names: NameServer::new(&mailbox),
            datagrams: Datagrams::new(watch, mailbox, (hardware, mtu), limits.flows),
            fragments: Fragments::default(),
            egress,
            shared,
            hardware,
            resets: resets.into(),
            allowances: Allowances::default(),
            tokens: Tokens::default(),
            refusals: Refusals::default(),
        };
        if !link.resets.is_empty() {
            link.shared.mailbox.ring();
        }
        link
    }

    /// Says that the guest has an address of version 6, before it has sent anything.
    pub(crate) fn knows_version_6(&mut self) {
        self.connections.has_version_6 = true;
    }

    /// Takes over the orders from other threads.
    fn follow_orders(&mut self) {
        let (to_open, to_close, egress) = {
            let mut state = self.shared.lock();
            let orders = (std::mem::take(&mut state.to_open), std::mem::take(&mut state.to_close));
            (orders.0, orders.1, Arc::clone(&state.egress))
        };
        if !Arc::ptr_eq(&egress, &self.egress) {
            self.allowances.set(Way::Outside, egress.limits);
            self.egress = egress;
            self.datagrams.end_outward();
        }
        let mut closed = 0;
        for Opening { id, guest_port, socket, limits } in to_open {
            let token = self.tokens.next();
            self.allowances.set(Way::Port(id), limits);
            let is_open = match socket {
                Listening::Udp(socket) => self.datagrams.open(id, guest_port, socket, token),
                Listening::Tcp(listener) => self.connections.open(id, guest_port, listener, token),
            };
            closed += usize::from(!is_open);
        }
        for id in to_close {
            closed += usize::from(self.connections.close(id) || self.datagrams.close(id));
        }
        if closed > 0 {
            self.shared.lock().published -= closed;
        }
    }

    /// Forgets the limits of ports that are closed and have no connection any more.
    fn forget_ways(&mut self) {
        let Self { allowances, connections, datagrams, .. } = self;
        allowances.keep(|way| match way {
            Way::Outside => true,
            Way::Port(id) => connections.has_port(id) || datagrams.has_port(id),
        });
    }

    /// Learns which of the host's sockets can do something.
    fn learn(&mut self) {
        for readiness in self.shared.mailbox.take() {
            let token = readiness.token;
            if !self.connections.found(readiness) && !self.datagrams.found(token) {
                self.connections.found_listener();
            }
        }
    }

    /// Processes the guest's frames; collects the packets for the stack.
    fn receive(
        &mut self,
        now: Nanos,
        sent: &[Vec<u8>],
        packets: &mut VecDeque<Vec<u8>>,
        guest: &mut dyn GuestPort,
    ) {
        for frame in sent {
            self.connections.has_version_6 |= is_of_version_6(frame);
            let read = wire::read(frame, self.hardware);
            let whole = match &read {
                Sent::Part(part) => self.fragments.take(now, part),
                Sent::Bare(packet) => Some(packet.clone()),
                _ => None,
            };
            match whole.as_deref().map_or(read, wire::read_packet) {
                Sent::Nothing | Sent::Part(_) | Sent::Bare(_) => {}
                Sent::Question(answer) => {
                    guest.give(&answer);
                }
                Sent::Segment { packet, segment } => {
                    if !segment.is_first || self.begin(now, packet, segment, guest) {
                        packets.push_back(packet.to_vec());
                    }
                }
                Sent::Echo(packet) => packets.push_back(packet.to_vec()),
                Sent::Returned(place) => {
                    self.datagrams.nobody_at(place, self.connections.has_version_6);
                }
                Sent::Packet { destination, .. }
                | Sent::Problem { destination, .. }
                | Sent::Datagram(Datagram { to: (destination, _), .. })
                    if is_for_many(destination) => {}
                Sent::Datagram(datagram) if is_for_names(datagram.to) => {
                    self.ask(now, &datagram, guest);
                }
                Sent::Datagram(datagram) => self.send(now, &datagram, guest),
                Sent::Problem { packet, destination, code, at } => {
                    if self.refuse(now, NetworkProtocol::Other, destination, guest)
                        && let Some(news) = packets::problem(packet, code, at)
                    {
                        guest.give(&wire::frame(&news, self.hardware));
                    }
                }
                Sent::Packet { is_icmp, destination } => {
                    let protocol =
                        if is_icmp { NetworkProtocol::Icmp } else { NetworkProtocol::Other };
                    self.refuse(now, protocol, destination, guest);
                }
            }
        }
    }

    /// Reports a packet that cannot be processed; returns whether it did.
    fn refuse(
        &mut self,
        now: Nanos,
        protocol: NetworkProtocol,
        destination: IpAddr,
        guest: &mut dyn GuestPort,
    ) -> bool {
        let reason = NetworkRefusal::NotAllowed;
        self.refusals.tell(now, protocol, (destination, 0), reason, guest)
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
        if let Some(begun) = self.connections.asked(&segment) {
            return matches!(begun, Begun::Known);
        }
        if is_for_names(segment.destination) {
            if !self.connections.begin_names(now, &segment) {
                let (asked, reason) = (segment.destination, NetworkRefusal::TooMany);
                self.refusals.tell(now, NetworkProtocol::Tcp, asked, reason, guest);
            }
            return true;
        }
        let (asked, answered) = (segment.destination, &self.names.answered);
        let asked = self.egress.destination(Transport::Tcp, asked, answered);
        let reason = match asked {
            None => NetworkRefusal::NotAllowed,
            Some(_) if !self.connections.has_place(Way::Outside, &self.allowances) => {
                NetworkRefusal::TooMany
            }
            Some(destination) => {
                let token = self.tokens.next();
                match self.connections.begin(token, destination, (packet, segment)) {
                    Begun::Impossible => NetworkRefusal::Unreachable,
                    Begun::Known | Begun::UnderWay => return false,
                }
            }
        };
        self.refusals.tell(now, NetworkProtocol::Tcp, segment.destination, reason, guest);
        true
    }

    /// The guest sends a datagram.
    fn send(&mut self, now: Nanos, datagram: &Datagram<'_>, guest: &mut dyn GuestPort) {
        let Self { datagrams, allowances, .. } = self;
        let mut passing = Passing::Nowhere;
        if is_gateway(datagram.to.0) {
            passing = datagrams.answer(now, datagram, allowances);
        }
        if matches!(passing, Passing::Nowhere) {
            passing = datagrams.send(now, datagram, allowances);
        }
        match passing {
            Passing::Nowhere => {}
            Passing::Sent => return,
            Passing::TooMany => return self.tell_of_too_many(now, datagram, guest),
        }
        let answered = &self.names.answered;
        let (reason, why) = match self.egress.destination(Transport::Udp, datagram.to, answered) {
            None => (NetworkRefusal::NotAllowed, Unreachable::Prohibited),
            Some(_) if !self.allowances.pass(Way::Outside, now, datagram.bytes.len()) => {
                return self.tell_of_too_many(now, datagram, guest);
            }
            Some(destination) => {
                let token = self.tokens.next();
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

    /// Reports a datagram that is lost because it is over the limit. The guest gets no ICMP, since it
    /// would take the address for an unreachable one.
    fn tell_of_too_many(&mut self, now: Nanos, datagram: &Datagram<'_>, guest: &mut dyn GuestPort) {
        let (to, reason) = (datagram.to, NetworkRefusal::TooMany);
        self.refusals.tell(now, NetworkProtocol::Udp, to, reason, guest);
    }

    /// Reports a datagram that cannot be delivered, to the guest as well.
    fn send_back(
        &mut self,
        now: Nanos,
        to: Place,
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
        self.datagrams.receive(now, guest, &mut self.allowances, &mut self.tokens);
        for returned in self.datagrams.take_returned() {
            let reason = (NetworkRefusal::Unreachable, Unreachable::Port);
            self.send_back(now, returned.to, &returned.headers, reason, guest);
        }
        self.datagrams.settle(now);
    }
}

fn is_for_names((address, port): Place) -> bool {
    is_name_server(address) && port == NAME_PORT
}

/// Packets to groups are for no host here.
fn is_for_many(address: IpAddr) -> bool {
    address.is_multicast() || address == Ipv4Addr::BROADCAST
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
        for asked in self.connections.conclude(&mut packets) {
            let reason = NetworkRefusal::Unreachable;
            self.refusals.tell(now, NetworkProtocol::Tcp, asked, reason, guest);
        }
        self.answer(now, guest);
        self.connections.accept(&self.allowances, &mut self.tokens);
        self.allowances.begin();
        self.connections.exchange(now, packets, &mut self.allowances, guest);
        let mut questions = self.connections.questions(now);
        while !questions.is_empty() {
            for (stream, question) in questions {
                self.ask_as(now, Asker::Stream(stream), &question, guest);
            }
            // Immediate answers are sent at once, and make room for the next.
            questions = self.connections.questions(now);
        }
        self.connections.flush(now, guest);
        self.pass_datagrams(now, guest);
        self.forget_ways();
        self.shared.connections.store(self.connections.count() as u64, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        self.shared.mailbox.is_full()
    }

    fn deadline(&self) -> Option<Nanos> {
        [self.connections.next_at(), self.datagrams.next_at(), self.allowances.due()]
            .into_iter()
            .flatten()
            .min()
    }

    fn expecting(&self) -> Expecting {
        if self.connections.count() + self.datagrams.flows() + self.names.waiting() > 0 {
            Expecting::Bytes
        } else if !self.connections.has_ports() && !self.datagrams.has_ports() {
            Expecting::Nothing
        } else {
            Expecting::Connections
        }
    }
}

impl Drop for NetworkLink {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_over = true;
        state.to_open.clear();
        self.shared.connections.store(0, Ordering::Relaxed);
    }
}
