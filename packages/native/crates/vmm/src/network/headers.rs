//! The headers of an IPv6 packet (RFC 8200), up to its payload.
//!
//! ```text
//!  0  version, class, label │ u16 payload │ u8 next │ u8 hop limit
//!  8  source (16)                24  destination (16)
//! 40  extension headers, each u8 next │ u8 length │ …, then what is carried
//! ```

use std::net::Ipv6Addr;

/// Bytes of the header that every packet has.
pub const IPV6_HEADER_BYTES: usize = 40;
/// Extension headers of a packet: an honest one has each at most once, and options for the last
/// destination twice.
const MOST_HEADERS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const NOTHING: u8 = 59;
const DESTINATION: u8 = 60;
const OPTION_PAD_1: u8 = 0;
const OPTION_PAD: u8 = 1;
const OPTION_ROUTER_ALERT: u8 = 5;

/// Codes of a parameter problem (RFC 4443, 3.4).
const ERRONEOUS: u8 = 0;
const UNKNOWN_HEADER: u8 = 1;
const UNKNOWN_OPTION: u8 = 2;

/// The result of parsing a packet's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headers<'a> {
    /// The payload is complete.
    Whole {
        /// The sender.
        source: Ipv6Addr,
        /// Whom it is for.
        destination: Ipv6Addr,
        /// Routers that it may still pass; 255: it has passed none.
        hop_limit: u8,
        /// The protocol number of the payload.
        protocol: u8,
        /// Whether there are extension headers before it.
        is_extended: bool,
        /// The payload.
        payload: &'a [u8],
    },
    /// It carries a part.
    Part {
        /// The sender.
        source: Ipv6Addr,
        /// Whom it is for.
        destination: Ipv6Addr,
        /// The protocol of the payload, once it is reassembled.
        protocol: u8,
        /// The identification that all fragments share.
        identity: u32,
        /// The offset of the fragment.
        begin: usize,
        /// No part follows it.
        is_last: bool,
        /// The part.
        payload: &'a [u8],
    },
    /// A header cannot be processed: code and offset of the parameter problem for its sender.
    Problem {
        /// Whom it is for.
        destination: Ipv6Addr,
        /// The code.
        code: u8,
        /// The byte that is wrong.
        at: u32,
    },
}

/// The problem with a header.
enum Wrong {
    /// It is not told.
    Silent,
    Told {
        code: u8,
        at: usize,
    },
}

impl<'a> Headers<'a> {
    /// Reads the headers of a packet, of which more may follow than it says. `None`: it is none, or one
    /// that is to be dropped.
    pub fn read(packet: &'a [u8]) -> Option<Self> {
        let (header, rest) = packet.split_at_checked(IPV6_HEADER_BYTES)?;
        let payload_bytes = usize::from(u16::from_be_bytes([header[4], header[5]]));
        if header[0] >> 4 != 6 || payload_bytes > rest.len() {
            return None;
        }
        let address = |at: usize| header[at..].first_chunk::<16>().map(|it| Ipv6Addr::from(*it));
        let (source, destination) = (address(8)?, address(24)?);
        let packet = &packet[..IPV6_HEADER_BYTES + payload_bytes];
        match Self::follow(packet, source, destination) {
            Ok(headers) => Some(headers),
            Err(Wrong::Silent) => None,
            Err(Wrong::Told { code, at }) => {
                Some(Self::Problem { destination, code, at: at as u32 })
            }
        }
    }

    fn follow(packet: &'a [u8], source: Ipv6Addr, destination: Ipv6Addr) -> Result<Self, Wrong> {
        // The offsets of the next header's number and of the header itself.
        let (mut named_at, mut at) = (6, IPV6_HEADER_BYTES);
        for _ in 0..MOST_HEADERS {
            let (next, rest) = (packet[named_at], &packet[at..]);
            let length = match next {
                HOP_BY_HOP if named_at != 6 => {
                    return Err(Wrong::Told { code: UNKNOWN_HEADER, at: named_at });
                }
                HOP_BY_HOP | DESTINATION => {
                    let length = length_of(rest)?;
                    follow_options(&rest[..length], at, destination)?;
                    length
                }
                ROUTING => {
                    let length = length_of(rest)?;
                    // There is no further place that it could be sent to.
                    if rest[3] != 0 {
                        return Err(Wrong::Told { code: ERRONEOUS, at: at + 2 });
                    }
                    length
                }
                FRAGMENT => {
                    let Some((fragment, payload)) = rest.split_first_chunk::<8>() else {
                        return Err(Wrong::Silent);
                    };
                    let [protocol, _, high, low, identity @ ..] = *fragment;
                    let word = u16::from_be_bytes([high, low]);
                    let (begin, is_last) = (usize::from(word & !7), word & 1 == 0);
                    // An atomic fragment is handled alone (RFC 6946).
                    if begin != 0 || !is_last {
                        let identity = u32::from_be_bytes(identity);
                        return Ok(Self::Part {
                            source,
                            destination,
                            protocol,
                            identity,
                            begin,
                            is_last,
                            payload,
                        });
                    }
                    8
                }
                NOTHING => return Err(Wrong::Silent),
                protocol => {
                    return Ok(Self::Whole {
                        source,
                        destination,
                        hop_limit: packet[7],
                        protocol,
                        is_extended: at != IPV6_HEADER_BYTES,
                        payload: rest,
                    });
                }
            };
            (named_at, at) = (at, at + length);
        }
        Err(Wrong::Told { code: ERRONEOUS, at: named_at })
    }
}

/// The length of an extension header, if it is complete.
fn length_of(rest: &[u8]) -> Result<usize, Wrong> {
    let length = rest.get(1).map(|count| (usize::from(*count) + 1) * 8);
    length.filter(|length| *length <= rest.len()).ok_or(Wrong::Silent)
}

/// Processes the options of a header that begins at `start`: the type of an unknown option determines
/// the treatment of the packet (RFC 8200, 4.2).
fn follow_options(header: &[u8], start: usize, destination: Ipv6Addr) -> Result<(), Wrong> {
    let mut at = 2;
    while let Some(kind) = header.get(at) {
        if *kind == OPTION_PAD_1 {
            at += 1;
            continue;
        }
        let told = |code| Err(Wrong::Told { code, at: start + at });
        let Some(length) = header.get(at + 1).map(|length| usize::from(*length) + 2) else {
            return told(ERRONEOUS);
        };
        if at + length > header.len() {
            return told(ERRONEOUS);
        }
        if !matches!(*kind, OPTION_PAD | OPTION_ROUTER_ALERT) {
            match kind >> 6 {
                0 => {}
                2 => return told(UNKNOWN_OPTION),
                3 if !destination.is_multicast() => return told(UNKNOWN_OPTION),
                _ => return Err(Wrong::Silent),
            }
        }
        at += length;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
