//! The addresses on a guest's network. There are no others.
//!
//! The IPv6 prefix is a unique local one (RFC 4193), the same for every machine, like the IPv4 one:
//! its forty bits are the bytes of `STILL`, and no packet with it leaves the process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use stillpoint_vmm::event::limits;

/// The guest: what its agent gives its interface.
pub const GUEST: Ipv4Addr = Ipv4Addr::from_bits(limits::GUEST_ADDRESS as u32);

/// The host's end: the guest's way out, and from whom published ports are reached.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::from_bits(limits::GATEWAY_ADDRESS as u32);

/// The name server, at [`NAME_PORT`] only.
pub const NAME_SERVER: Ipv4Addr = Ipv4Addr::from_bits(limits::GATEWAY_ADDRESS as u32 + 1);

/// Port of the domain name system.
pub const NAME_PORT: u16 = 53;

/// Bits of the network's prefix.
pub const PREFIX_BITS: u8 = limits::NETWORK_BITS as u8;

/// The hardware address of the host's end.
pub const GATEWAY_HARDWARE: [u8; 6] = [0x02, 0x53, 0x54, 0x49, 0x4c, 0x01];

/// The guest, in version 6.
pub const GUEST_6: Ipv6Addr = of_prefix(limits::GUEST_HOST as u16);

/// The host's end, in version 6.
pub const GATEWAY_6: Ipv6Addr = of_prefix(limits::GATEWAY_HOST as u16);

/// The name server in IPv6.
pub const NAME_SERVER_6: Ipv6Addr = of_prefix(limits::GATEWAY_HOST as u16 + 1);

/// The host's end on the link itself: from whom a guest that asks for a router hears of one.
pub const GATEWAY_LINK: Ipv6Addr =
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, limits::GATEWAY_HOST as u16);

/// Bits of the network's prefix, in version 6.
pub const PREFIX_6_BITS: u8 = limits::NETWORK_PREFIX_BITS as u8;

const fn of_prefix(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(
        limits::NETWORK_PREFIX_FIRST as u16,
        limits::NETWORK_PREFIX_SECOND as u16,
        limits::NETWORK_PREFIX_THIRD as u16,
        0,
        0,
        0,
        0,
        host,
    )
}

/// A version of the Internet protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Four,
    Six,
}

impl Version {
    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Four } else { Self::Six }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Four => Self::Six,
            Self::Six => Self::Four,
        }
    }

    pub(crate) fn guest(self) -> IpAddr {
        match self {
            Self::Four => GUEST.into(),
            Self::Six => GUEST_6.into(),
        }
    }

    pub(crate) fn gateway(self) -> IpAddr {
        match self {
            Self::Four => GATEWAY.into(),
            Self::Six => GATEWAY_6.into(),
        }
    }

    pub(crate) fn unspecified(self) -> IpAddr {
        match self {
            Self::Four => Ipv4Addr::UNSPECIFIED.into(),
            Self::Six => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    pub(crate) fn loopback(self) -> IpAddr {
        match self {
            Self::Four => Ipv4Addr::LOCALHOST.into(),
            Self::Six => Ipv6Addr::LOCALHOST.into(),
        }
    }
}

/// Whether an address is the gateway's, one of the host's end.
pub(crate) fn is_gateway(address: IpAddr) -> bool {
    address == GATEWAY || address == GATEWAY_6
}

/// Whether an address is the name server's.
pub(crate) fn is_name_server(address: IpAddr) -> bool {
    address == NAME_SERVER || address == NAME_SERVER_6
}

/// Whether a guest may send from an address: in IPv4 it has one; in IPv6 it may choose any of its
/// network and of its link except those of the host's end.
pub(crate) fn is_guests(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address == GUEST,
        IpAddr::V6(address) => {
            let is_near =
                address.octets()[..8] == GUEST_6.octets()[..8] || address.is_unicast_link_local();
            is_near && ![GATEWAY_6, NAME_SERVER_6, GATEWAY_LINK].contains(&address)
        }
    }
}
