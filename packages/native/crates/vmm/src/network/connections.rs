//! The TCP connections of a guest, derived from its frames.
//!
//! A restored or forked machine has the connections of its origin, whose peers do not know it. So
//! that they can be ended in the guest at once, its network interface keeps the values that a valid
//! reset needs: addresses and ports, and the sequence number that the guest expects next.

mod persist;

use std::collections::BTreeMap;

use super::segment::{Connection, FLAG_ACK, FLAG_FIN, FLAG_RST, FLAG_SYN, Segment, reset};
use crate::event::{ConnectionDirection, ConnectionEnd, EventBody};

/// Maximum number of connections that are remembered; others end when the guest next sends.
pub const MAX_CONNECTIONS: usize = 8192;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Progress {
    /// The sequence number that the guest expects next.
    next: u32,
    /// The sequence number that the guest says next.
    guest_next: u32,
    guest_has_ended: bool,
    peer_has_ended: bool,
    is_outward: bool,
    /// Both sides have agreed to it.
    is_open: bool,
    bytes_in: u64,
    bytes_out: u64,
    /// Bytes of the request in progress; an answer begins after it.
    request_bytes: u64,
    answer_bytes: u64,
}

/// The sender of a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Guest,
    Peer,
}

impl Side {
    /// The connection of a segment that this side says.
    fn connection(self, segment: &Segment) -> Connection {
        let (from, to) = (
            (segment.source, segment.source_port),
            (segment.destination, segment.destination_port),
        );
        let ((guest, guest_port), (peer, peer_port)) = match self {
            Self::Guest => (from, to),
            Self::Peer => (to, from),
        };
        Connection { guest, guest_port, peer, peer_port }
    }
}

/// Bytes over all connections, since the last call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes that the guest received.
    pub bytes_in: u64,
    /// Bytes that the guest has said.
    pub bytes_out: u64,
}

/// The connections of one interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connections {
    known: BTreeMap<Connection, Progress>,
    /// Those that are open.
    open: u64,
    traffic: Traffic,
}

impl Connections {
    /// Number of connections.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Number of open connections: both sides have agreed.
    pub fn open(&self) -> u64 {
        self.open
    }

    /// Bytes since the last call.
    pub fn take_traffic(&mut self) -> Traffic {
        std::mem::take(&mut self.traffic)
    }

    /// The guest sends a frame; returns the resulting events.
    pub fn sent(&mut self, frame: &[u8]) -> Vec<EventBody> {
        self.heard(Side::Guest, frame)
    }

    /// The guest receives a frame; returns the resulting events.
    pub fn given(&mut self, frame: &[u8]) -> Vec<EventBody> {
        self.heard(Side::Peer, frame)
    }

    fn heard(&mut self, side: Side, frame: &[u8]) -> Vec<EventBody> {
        let mut told = Vec::new();
        let Some(segment) = Segment::read(frame) else { return told };
        let connection = side.connection(&segment);
        let next = segment.sequence.wrapping_add(segment.length);
        let agrees = segment.flags & FLAG_ACK != 0;
        if segment.flags & FLAG_RST != 0 {
            self.close(connection, ConnectionEnd::Reset, &mut told);
        } else if let Some(progress) = self.known.get_mut(&connection) {
            if segment.flags & FLAG_SYN != 0 {
                *progress.next_of(side) = next;
                // The called side agrees.
                if agrees && progress.is_outward == (side == Side::Peer) {
                    self.agree(connection, &mut told);
                }
                return told;
            }
            let said = advanced(progress.next_of(side), next, segment.data);
            let is_last = segment.flags & FLAG_FIN != 0;
            match side {
                Side::Guest => {
                    progress.bytes_out = progress.bytes_out.saturating_add(said);
                    if progress.request_bytes > 0 {
                        progress.answer_bytes = progress.answer_bytes.saturating_add(said);
                    }
                    self.traffic.bytes_out = self.traffic.bytes_out.saturating_add(said);
                    if is_last {
                        progress.guest_has_ended = true;
                        served(connection, progress, &mut told);
                    }
                }
                Side::Peer => {
                    if said > 0 {
                        // Data after an answer is another request.
                        served(connection, progress, &mut told);
                        progress.bytes_in = progress.bytes_in.saturating_add(said);
                        progress.request_bytes = progress.request_bytes.saturating_add(said);
                        self.traffic.bytes_in = self.traffic.bytes_in.saturating_add(said);
                    }
                    if is_last {
                        progress.peer_has_ended = true;
                    }
                }
            }
            self.close_if_ended(connection, &mut told);
        } else if segment.flags & FLAG_SYN != 0 {
            let mut progress = Progress::default();
            *progress.next_of(side) = next;
            if side == Side::Guest {
                progress.next = segment.acknowledgement;
                progress.is_outward = !agrees;
            }
            self.remember(connection, progress);
        }
        told
    }

    fn remember(&mut self, connection: Connection, progress: Progress) {
        if self.known.len() < MAX_CONNECTIONS {
            self.known.insert(connection, progress);
        }
    }

    /// Both sides have agreed to a connection.
    fn agree(&mut self, connection: Connection, told: &mut Vec<EventBody>) {
        let Some(progress) = self.known.get_mut(&connection) else { return };
        if progress.is_open {
            return;
        }
        progress.is_open = true;
        self.open += 1;
        told.push(EventBody::ConnectionOpened {
            direction: progress.direction(),
            guest_port: connection.guest_port,
            peer_address: connection.peer.to_string(),
            peer_port: connection.peer_port,
            open: self.open,
        });
    }

    /// Of a connection that both have ended, no program of the guest's has anything.
    fn close_if_ended(&mut self, connection: Connection, told: &mut Vec<EventBody>) {
        let ended = |progress: &Progress| progress.guest_has_ended && progress.peer_has_ended;
        if self.known.get(&connection).is_some_and(ended) {
            self.close(connection, ConnectionEnd::Closed, told);
        }
    }

    fn close(&mut self, connection: Connection, end: ConnectionEnd, told: &mut Vec<EventBody>) {
        let Some(progress) = self.known.remove(&connection) else { return };
        if !progress.is_open {
            return;
        }
        self.open -= 1;
        told.push(EventBody::ConnectionClosed {
            direction: progress.direction(),
            guest_port: connection.guest_port,
            peer_address: connection.peer.to_string(),
            peer_port: connection.peer_port,
            bytes_in: progress.bytes_in,
            bytes_out: progress.bytes_out,
            end,
            open: self.open,
        });
    }

    /// For each connection a frame that ends it in the guest, from `peer` to `guest`.
    pub fn resets(&self, peer: [u8; 6], guest: [u8; 6]) -> Vec<Vec<u8>> {
        self.known
            .iter()
            .map(|(connection, progress)| reset(connection, progress.next, peer, guest))
            .collect()
    }
}

impl Progress {
    /// The sequence number that a side says next.
    fn next_of(&mut self, side: Side) -> &mut u32 {
        match side {
            Side::Guest => &mut self.guest_next,
            Side::Peer => &mut self.next,
        }
    }

    fn direction(&self) -> ConnectionDirection {
        if self.is_outward { ConnectionDirection::Outward } else { ConnectionDirection::Inward }
    }
}

/// Advances to sequence number `to`, if that is ahead; returns how many of the `data` bytes before it
/// are new.
fn advanced(next: &mut u32, to: u32, data: u32) -> u64 {
    let ahead = to.wrapping_sub(*next);
    // A retransmission lies behind it.
    if ahead >= 1 << 31 {
        return 0;
    }
    *next = to;
    u64::from(ahead.min(data))
}

/// An answer that has begun is over.
fn served(connection: Connection, progress: &mut Progress, told: &mut Vec<EventBody>) {
    if progress.answer_bytes == 0 {
        return;
    }
    if progress.is_open && !progress.is_outward {
        told.push(EventBody::RequestServed {
            guest_port: connection.guest_port,
            peer_address: connection.peer.to_string(),
            peer_port: connection.peer_port,
            request_bytes: progress.request_bytes,
            answer_bytes: progress.answer_bytes,
        });
    }
    (progress.request_bytes, progress.answer_bytes) = (0, 0);
}

#[cfg(test)]
mod tests;
