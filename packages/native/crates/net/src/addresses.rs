//! Who is who on a guest's network. There is nobody else on it.

use std::net::Ipv4Addr;

use stillpoint_vmm::event::limits;

/// The guest: what its agent gives its interface.
pub const GUEST: Ipv4Addr = Ipv4Addr::from_bits(limits::GUEST_ADDRESS as u32);

/// The host's end: the guest's way out, and from whom published ports are reached.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::from_bits(limits::GATEWAY_ADDRESS as u32);

/// Who answers for names, at [`NAME_PORT`], and does nothing else.
pub const NAME_SERVER: Ipv4Addr = Ipv4Addr::from_bits(limits::GATEWAY_ADDRESS as u32 + 1);

/// Port of the domain name system.
pub const NAME_PORT: u16 = 53;

/// Bits of the network's prefix.
pub const PREFIX_BITS: u8 = limits::NETWORK_BITS as u8;

/// The hardware address of the host's end.
pub const GATEWAY_HARDWARE: [u8; 6] = [0x02, 0x53, 0x54, 0x49, 0x4c, 0x01];
