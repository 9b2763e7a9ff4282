//! Where a published port listens.

use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Socket, Type};

use crate::shared::Listening;
use crate::transport::Transport;

/// The address to listen at that somebody has written.
///
/// # Errors
/// What is expected instead.
pub(crate) fn address_of(host: &str) -> Result<IpAddr, String> {
    const EXPECTED: &str = "expected an address of this host's, such as 127.0.0.1 or ::1, found";
    let Ok(address) = host.parse::<IpAddr>() else {
        return Err(match host.split_once('%') {
            Some((before, _)) if before.parse::<IpAddr>().is_ok() => {
                format!("{EXPECTED} {host:?}: one with a zone cannot be listened at")
            }
            _ => format!("{EXPECTED} {host:?}: names are not looked up"),
        });
    };
    let problem = match address {
        IpAddr::V4(v4) if v4.is_broadcast() => "that is nobody's own",
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "write one of IPv4 without ::ffff:",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            "one of a link says nothing without its interface"
        }
        _ if address.is_multicast() => "that is nobody's own",
        _ => return Ok(address),
    };
    Err(format!("{EXPECTED} {host:?}: {problem}"))
}

/// A listening socket, and its address; one on an IPv6 address accepts no IPv4 clients.
pub(crate) fn listen(
    transport: Transport,
    address: SocketAddr,
) -> std::io::Result<(Listening, SocketAddr)> {
    let kind = match transport {
        Transport::Tcp => Type::STREAM,
        Transport::Udp => Type::DGRAM,
    };
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if transport == Transport::Tcp {
        // A port whose last connections linger is free.
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let local = socket.local_addr()?.as_socket().unwrap_or(address);
    match transport {
        Transport::Tcp => {
            // As many as may be are kept waiting by the kernel.
            socket.listen(libc::SOMAXCONN)?;
            Ok((Listening::Tcp(socket.into()), local))
        }
        Transport::Udp => Ok((Listening::Udp(socket.into()), local)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// Any address, those oftener that mean something of their own.
    fn addresses() -> impl Strategy<Value = IpAddr> {
        let v4 = any::<Ipv4Addr>();
        let first = prop_oneof![Just(127u8), Just(224), Just(255), Just(0), Just(169)];
        let special = (first, any::<[u8; 3]>())
            .prop_map(|(first, [a, b, c])| Ipv4Addr::from([first, a, b, c]));
        let v6 = (prop_oneof![Just(0xfe80u16), Just(0xff02), Just(0xfec0), Just(0)], any::<u64>())
            .prop_map(|(first, last)| {
                Ipv6Addr::from_bits(u128::from(first) << 112 | u128::from(last))
            });
        prop_oneof![
            any::<IpAddr>(),
            special.prop_map(IpAddr::V4),
            v4.prop_map(|address| IpAddr::V6(address.to_ipv6_mapped())),
            v6.prop_map(IpAddr::V6),
            Just(IpAddr::V4(Ipv4Addr::BROADCAST)),
            Just(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Just(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ]
    }

    proptest! {
        /// An address is refused by name, or the host knows what to say of it.
        #[test]
        fn the_host_is_asked_for_nothing_that_makes_no_sense(
            address in addresses(),
            transport in prop_oneof![Just(Transport::Tcp), Just(Transport::Udp)],
        ) {
            match address_of(&address.to_string()) {
                Ok(found) => {
                    prop_assert_eq!(found, address);
                    if let Err(error) = listen(transport, SocketAddr::new(address, 0)) {
                        prop_assert_ne!(error.kind(), ErrorKind::InvalidInput, "{}", error);
                    }
                }
                Err(problem) => prop_assert!(problem.contains(&address.to_string()), "{}", problem),
            }
        }
    }

    #[test]
    fn what_is_no_address_is_told_what_would_be_one() {
        for (host, said) in [
            ("localhost", "names are not looked up"),
            ("", "names are not looked up"),
            ("fe80::1%eth0", "with a zone"),
            ("fe80::1", "without its interface"),
            ("::ffff:127.0.0.1", "write one of IPv4 without ::ffff:"),
            ("224.0.0.1", "nobody's own"),
        ] {
            let problem = address_of(host).expect_err(host);
            assert!(problem.contains(said) && problem.contains("127.0.0.1"), "{problem}");
        }
        assert_eq!(address_of("127.0.0.1"), Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
}
