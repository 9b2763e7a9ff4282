//! IPv6 neighbours and routers (RFC 4861): answers to the guest's solicitations.
//!
//! The host learns nothing from the guest's messages, so the guest can claim nothing. A solicitation
//! for an address of the host's end is answered; a router solicitation is answered with the prefix and
//! the name server; everything else is ignored. Each question gets one answer, so their number needs
//! no bound.

use std::net::{IpAddr, Ipv6Addr};

use smoltcp::wire::Icmpv6Packet;

use crate::addresses::{
    GATEWAY_6, GATEWAY_HARDWARE, GATEWAY_LINK, NAME_SERVER_6, PREFIX_6_BITS, is_guests,
};
use crate::packets;

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;
/// Messages of multicast listeners (RFC 3810, and its first version).
const GROUPS: [u8; 4] = [130, 131, 132, 143];

/// A packet that has passed a router cannot have this hop limit.
const HOP_LIMIT: u8 = 255;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const OPTION_SOURCE: u8 = 1;
const OPTION_TARGET: u8 = 2;
const OPTION_PREFIX: u8 = 3;
/// RFC 8106.
const OPTION_NAME_SERVER: u8 = 25;
const HEADER_BYTES: usize = 8;
/// Flags of an advertisement: a router, solicited, overriding earlier ones.
const IS_ROUTER: u8 = 0x80;
const WAS_ASKED: u8 = 0x40;
const OVERRIDES: u8 = 0x20;
/// A prefix is of this link, and addresses of it may be chosen.
const ON_LINK_AND_FREE: u8 = 0xc0;
const HOPS: u8 = 64;
/// Router lifetime in seconds: the maximum.
const ROUTER_SECONDS: u16 = u16::MAX;

/// The meaning of an ICMPv6 message for neighbour discovery.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A question: the packet that answers it.
    Question(Vec<u8>),
    /// A message among neighbours that is ignored here.
    Talk,
    /// Something else.
    Other,
}

/// Hears a message.
pub(crate) fn hear(
    message: &[u8],
    (source, destination): (Ipv6Addr, Ipv6Addr),
    hop_limit: u8,
) -> Heard {
    let Some(kind) = message.first().copied() else { return Heard::Talk };
    let is_talk = GROUPS.contains(&kind) || (ROUTER_SOLICITATION..=REDIRECT).contains(&kind);
    if !is_talk {
        return Heard::Other;
    }
    let is_sound = message.len() >= HEADER_BYTES
        && hop_limit == HOP_LIMIT
        && message[1] == 0
        && Icmpv6Packet::new_unchecked(message).verify_checksum(&source, &destination)
        && (source.is_unspecified() || is_guests(IpAddr::V6(source)));
    let answer = match kind {
        NEIGHBOUR_SOLICITATION if is_sound => answer_neighbour(message, source, destination),
        ROUTER_SOLICITATION if is_sound => answer_router(message, source),
        _ => None,
    };
    answer.map_or(Heard::Talk, Heard::Question)
}

/// Whether options are well formed, and whether one of them is a hardware address.
fn options_of(mut options: &[u8]) -> Option<bool> {
    let mut says_source = false;
    while let Some(kind) = options.first() {
        let length = usize::from(*options.get(1)?) * 8;
        if length == 0 || length > options.len() {
            return None;
        }
        says_source |= *kind == OPTION_SOURCE;
        options = &options[length..];
    }
    Some(says_source)
}

fn answer_neighbour(message: &[u8], source: Ipv6Addr, destination: Ipv6Addr) -> Option<Vec<u8>> {
    let target = message.get(HEADER_BYTES..)?.first_chunk::<16>()?;
    let target = Ipv6Addr::from(*target);
    if ![GATEWAY_6, NAME_SERVER_6, GATEWAY_LINK].contains(&target) {
        return None;
    }
    let says_source = options_of(&message[HEADER_BYTES + 16..])?;
    // A host without an address asks the solicited-node group, and gives no address of its own.
    if source.is_unspecified() && (destination != solicited(target) || says_source) {
        return None;
    }
    let (to, flags) = match source.is_unspecified() {
        true => (ALL_NODES, IS_ROUTER | OVERRIDES),
        false => (source, IS_ROUTER | WAS_ASKED | OVERRIDES),
    };
    let mut answer = vec![NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
    answer.extend(target.octets());
    answer.extend([OPTION_TARGET, 1]);
    answer.extend(GATEWAY_HARDWARE);
    Some(packets::message((target.into(), to.into()), HOP_LIMIT, answer))
}

/// The group of those who may have an address.
fn solicited(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

fn answer_router(message: &[u8], source: Ipv6Addr) -> Option<Vec<u8>> {
    let says_source = options_of(&message[HEADER_BYTES..])?;
    if source.is_unspecified() && says_source {
        return None;
    }
    let to = if source.is_unspecified() { ALL_NODES } else { source };
    let for_ever = u32::MAX.to_be_bytes();
    let mut answer = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, HOPS, 0];
    answer.extend(ROUTER_SECONDS.to_be_bytes());
    // Reachable time and retransmission timer: unspecified.
    answer.extend([0; 8]);
    answer.extend([OPTION_SOURCE, 1]);
    answer.extend(GATEWAY_HARDWARE);
    answer.extend([OPTION_PREFIX, 4, PREFIX_6_BITS, ON_LINK_AND_FREE]);
    answer.extend([for_ever, for_ever, [0; 4]].concat());
    answer.extend(&GATEWAY_6.octets()[..8]);
    answer.extend([0; 8]);
    answer.extend([OPTION_NAME_SERVER, 3, 0, 0]);
    answer.extend(for_ever);
    answer.extend(NAME_SERVER_6.octets());
    Some(packets::message((GATEWAY_LINK.into(), to.into()), HOP_LIMIT, answer))
}

#[cfg(test)]
mod tests;
