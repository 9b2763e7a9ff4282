//! The TCP connections of a guest, as its frames tell of them.
//!
//! A machine that is restored or forked has connections of the one that it comes from, whose peers
//! know nothing of it. So that they can be ended in the guest at once, its network interface keeps
//! what a reset must say to be believed: the four places, and the sequence number that the guest
//! expects next.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::ETHERNET_HEADER_BYTES;
use crate::state::{StateError, StateReader, StateWriter};

/// Most connections that are remembered; further ones are not, and end when the guest next sends.
pub const MAX_CONNECTIONS: usize = 8192;

const IPV4_HEADER_BYTES: usize = 20;
const TCP_HEADER_BYTES: usize = 20;
const TYPE_IPV4: [u8; 2] = [8, 0];
const PROTOCOL_TCP: u8 = 6;
const FLAG_FIN: u8 = 1;
const FLAG_SYN: u8 = 2;
const FLAG_RST: u8 = 4;

/// The two places of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection {
    /// The guest's address.
    pub guest: Ipv4Addr,
    /// The guest's port.
    pub guest_port: u16,
    /// The peer's address.
    pub peer: Ipv4Addr,
    /// The peer's port.
    pub peer_port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Progress {
    /// The sequence number that the guest expects next.
    next: u32,
    guest_has_ended: bool,
    peer_has_ended: bool,
}

/// The connections of one interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connections {
    known: BTreeMap<Connection, Progress>,
}

/// What a TCP segment over IPv4 says.
struct Segment {
    source: Ipv4Addr,
    source_port: u16,
    destination: Ipv4Addr,
    destination_port: u16,
    sequence: u32,
    acknowledgement: u32,
    flags: u8,
    /// Sequence numbers that it takes.
    length: u32,
}

impl Segment {
    /// Reads a frame; `None` for whatever is no whole segment. Checksums are the reader's to check.
    fn read(frame: &[u8]) -> Option<Self> {
        let (ethernet, packet) = frame.split_at_checked(ETHERNET_HEADER_BYTES)?;
        if ethernet[12..] != TYPE_IPV4 || packet.len() < IPV4_HEADER_BYTES {
            return None;
        }
        let u16_at = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |bytes: &[u8], at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let (header, total) = (usize::from(packet[0] & 15) * 4, usize::from(u16_at(packet, 2)));
        // A fragment but the first has no header; a first one says too little.
        let is_fragment = u16_at(packet, 6) & 0x3fff != 0;
        if packet[0] >> 4 != 4
            || header < IPV4_HEADER_BYTES
            || packet[9] != PROTOCOL_TCP
            || is_fragment
        {
            return None;
        }
        let segment = packet.get(header..total)?;
        if segment.len() < TCP_HEADER_BYTES {
            return None;
        }
        let data = segment.len().checked_sub(usize::from(segment[12] >> 4) * 4)?;
        let flags = segment[13];
        let ends = u32::from(flags & FLAG_SYN != 0) + u32::from(flags & FLAG_FIN != 0);
        Some(Self {
            source: Ipv4Addr::from(u32_at(packet, 12)),
            source_port: u16_at(segment, 0),
            destination: Ipv4Addr::from(u32_at(packet, 16)),
            destination_port: u16_at(segment, 2),
            sequence: u32_at(segment, 4),
            acknowledgement: u32_at(segment, 8),
            flags,
            length: data as u32 + ends,
        })
    }
}

impl Connections {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The guest sends a frame.
    pub fn sent(&mut self, frame: &[u8]) {
        let Some(segment) = Segment::read(frame) else { return };
        let connection = Connection {
            guest: segment.source,
            guest_port: segment.source_port,
            peer: segment.destination,
            peer_port: segment.destination_port,
        };
        if segment.flags & FLAG_RST != 0 {
            self.known.remove(&connection);
        } else if let Some(progress) = self.known.get_mut(&connection) {
            progress.guest_has_ended |= segment.flags & FLAG_FIN != 0;
            self.forget_if_ended(connection);
        } else if segment.flags & FLAG_SYN != 0 {
            self.remember(connection, segment.acknowledgement);
        }
    }

    /// The guest is given a frame.
    pub fn given(&mut self, frame: &[u8]) {
        let Some(segment) = Segment::read(frame) else { return };
        let connection = Connection {
            guest: segment.destination,
            guest_port: segment.destination_port,
            peer: segment.source,
            peer_port: segment.source_port,
        };
        let next = segment.sequence.wrapping_add(segment.length);
        if segment.flags & FLAG_RST != 0 {
            self.known.remove(&connection);
        } else if let Some(progress) = self.known.get_mut(&connection) {
            // What was given before, again, is behind it.
            if next.wrapping_sub(progress.next) < 1 << 31 || segment.flags & FLAG_SYN != 0 {
                progress.next = next;
            }
            progress.peer_has_ended |= segment.flags & FLAG_FIN != 0;
            self.forget_if_ended(connection);
        } else if segment.flags & FLAG_SYN != 0 {
            self.remember(connection, next);
        }
    }

    fn remember(&mut self, connection: Connection, next: u32) {
        if self.known.len() < MAX_CONNECTIONS {
            self.known.insert(connection, Progress { next, ..Progress::default() });
        }
    }

    /// Of a connection that both have ended, no program of the guest's has anything.
    fn forget_if_ended(&mut self, connection: Connection) {
        let ended = |progress: &Progress| progress.guest_has_ended && progress.peer_has_ended;
        if self.known.get(&connection).is_some_and(ended) {
            self.known.remove(&connection);
        }
    }

    /// For each connection a frame that ends it in the guest, from `peer` to `guest`.
    pub fn resets(&self, peer: [u8; 6], guest: [u8; 6]) -> Vec<Vec<u8>> {
        self.known
            .iter()
            .map(|(connection, progress)| reset(connection, progress.next, peer, guest))
            .collect()
    }

    /// Appends the state.
    pub(crate) fn save(&self, state: &mut StateWriter) {
        state.u32(self.known.len() as u32);
        for (connection, progress) in &self.known {
            state
                .u32(connection.guest.into())
                .u16(connection.guest_port)
                .u32(connection.peer.into())
                .u16(connection.peer_port)
                .u32(progress.next)
                .bool(progress.guest_has_ended)
                .bool(progress.peer_has_ended);
        }
    }

    /// Reads what `save` wrote.
    ///
    /// # Errors
    /// [`StateError`] if it is not there, or not in that form.
    pub(crate) fn load(state: &mut StateReader<'_>) -> Result<Self, StateError> {
        let count = state.u32()?;
        if count as usize > MAX_CONNECTIONS {
            return Err(
                state.refuse(format!("at most {MAX_CONNECTIONS} connections"), count.to_string())
            );
        }
        let mut known = BTreeMap::new();
        for _ in 0..count {
            let connection = Connection {
                guest: state.u32()?.into(),
                guest_port: state.u16()?,
                peer: state.u32()?.into(),
                peer_port: state.u16()?,
            };
            let progress = Progress {
                next: state.u32()?,
                guest_has_ended: state.bool()?,
                peer_has_ended: state.bool()?,
            };
            let is_next = known.last_key_value().is_none_or(|(last, _)| *last < connection);
            if !is_next || progress.guest_has_ended && progress.peer_has_ended {
                return Err(state.refuse("open connections, ascending", format!("{connection:?}")));
            }
            known.insert(connection, progress);
        }
        Ok(Self { known })
    }
}

/// Adds 16-bit words up, as the Internet's checksums do.
fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).fold(0, |sum, word| {
        sum + (u32::from(word[0]) << 8) + word.get(1).map_or(0, |low| u32::from(*low))
    })
}

/// The checksum of what adds up to `sum`.
fn checksum(mut sum: u32) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

fn reset(connection: &Connection, sequence: u32, peer: [u8; 6], guest: [u8; 6]) -> Vec<u8> {
    let mut segment = Vec::with_capacity(TCP_HEADER_BYTES);
    segment.extend(connection.peer_port.to_be_bytes());
    segment.extend(connection.guest_port.to_be_bytes());
    segment.extend(sequence.to_be_bytes());
    segment.extend([0, 0, 0, 0, 0x50, FLAG_RST, 0, 0, 0, 0, 0, 0]);
    let places = [connection.peer.octets(), connection.guest.octets()].concat();
    let pseudo = sum(&places) + u32::from(PROTOCOL_TCP) + TCP_HEADER_BYTES as u32;
    let check = checksum(pseudo + sum(&segment));
    segment[16..18].copy_from_slice(&check);

    let total = (IPV4_HEADER_BYTES + TCP_HEADER_BYTES) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, PROTOCOL_TCP, 0, 0]);
    packet.extend(places);
    let check = checksum(sum(&packet));
    packet[10..12].copy_from_slice(&check);
    [&guest[..], &peer, &TYPE_IPV4, &packet, &segment].concat()
}

#[cfg(test)]
mod tests;
