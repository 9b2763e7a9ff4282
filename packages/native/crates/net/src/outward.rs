//! Connections of the guest's to the outside: those that the host is still making, and whose they are.

use std::collections::{BTreeMap, HashMap};
use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use socket2::{Domain, Socket, Type};

use crate::allowances::Way;
use crate::flow::Flow;
use crate::packets::Place;
use crate::stack::Stack;
use crate::watch::{Mailbox, Watch, Watched};
use crate::wire::Segment;

/// A connection that the host has not made yet.
struct Pending {
    stream: Watched<TcpStream>,
    destination: SocketAddr,
    segment: Segment,
    /// The packet that requested it.
    packet: Vec<u8>,
    is_ready: bool,
}

/// The places of a connection: the guest's, and the other.
type Places = (Place, Place);

/// A connection that the host has made, or could not make.
pub(crate) struct Concluded {
    pub(crate) token: u64,
    /// The address that the guest requested.
    pub(crate) asked: Place,
    /// The packet that requested it, for the stack.
    pub(crate) packet: Vec<u8>,
    pub(crate) flow: Option<Flow>,
}

#[derive(Default)]
pub(crate) struct Outward {
    pending: BTreeMap<u64, Pending>,
    /// Pending ones, and flows, by their places.
    tokens: HashMap<Places, u64>,
}

impl Outward {
    /// Connections that the host is still making.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The connection of a segment, if the guest has requested it.
    pub(crate) fn token_of(&self, segment: &Segment) -> Option<u64> {
        self.tokens.get(&places(segment)).copied()
    }

    /// A socket can do something; whether it is one of these.
    pub(crate) fn found(&mut self, token: u64) -> bool {
        self.pending.get_mut(&token).map(|pending| pending.is_ready = true).is_some()
    }

    /// Has the host connect to `destination`.
    ///
    /// # Errors
    /// If the host cannot even begin.
    pub(crate) fn connect(
        &mut self,
        (watch, mailbox): (&Arc<Watch>, &Arc<Mailbox>),
        token: u64,
        destination: SocketAddr,
        (packet, segment): (&[u8], Segment),
    ) -> std::io::Result<()> {
        let socket = Socket::new(Domain::for_address(destination), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&destination.into()) {
            Err(error) if !is_under_way(&error) => return Err(error),
            _ => {}
        }
        let stream = watch.watched(socket.into(), mailbox, token)?;
        stream.ask(false, true)?;
        let packet = packet.to_vec();
        let pending = Pending { stream, destination, segment, packet, is_ready: false };
        self.pending.insert(token, pending);
        self.tokens.insert(places(&segment), token);
        Ok(())
    }

    /// The connections that the host has made since, with the stack ready for them, and those that it
    /// cannot make.
    pub(crate) fn conclude(&mut self, stack: &mut Stack) -> Vec<Concluded> {
        let ready = self.pending.iter().filter(|(_, it)| it.is_ready).map(|(token, _)| *token);
        let ready: Vec<u64> = ready.collect();
        let mut concluded = Vec::new();
        for token in ready {
            let Some(pending) = self.pending.remove(&token) else { continue };
            let Pending { stream, destination, segment, packet, .. } = pending;
            let connected = match stream.socket.take_error() {
                Ok(None) => stream.socket.peer_addr().is_ok_and(|peer| peer == destination),
                _ => false,
            };
            let asked = segment.destination;
            // A socket that listens takes the packet that follows: one at a time, in this order.
            let handle = if connected { stack.listen(asked) } else { None };
            let flow = handle.map(|handle| Flow::new(handle, stream, Way::Outside));
            if flow.is_none() {
                self.tokens.remove(&places(&segment));
            }
            concluded.push(Concluded { token, asked, packet, flow });
        }
        concluded
    }

    /// Flows that are over.
    pub(crate) fn forget(&mut self, over: &[u64]) {
        self.tokens.retain(|_, token| !over.contains(token));
    }
}

fn places(segment: &Segment) -> Places {
    (segment.source, segment.destination)
}

fn is_under_way(error: &Error) -> bool {
    // The errors of a non-blocking socket for an operation in progress.
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::EINPROGRESS)
}
