//! Whom a guest may reach: nobody, unless a rule allows it.
//!
//! Some addresses are nobody's on the Internet and somebody's here: the host itself, its links, the
//! services that tell a host in a cloud who it is. A rule allows them only if it names them, that
//! is, if the whole of its range lies among them: `0.0.0.0/0` does not.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;

use crate::addresses::GATEWAY;
use crate::error::NetworkError;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    first: Ipv4Addr,
    bits: u8,
}

impl Cidr {
    /// The addresses that share the first `bits` bits, 0 to 32, with `address`.
    pub const fn new(address: Ipv4Addr, bits: u8) -> Self {
        let bits = if bits > 32 { 32 } else { bits };
        let first = Ipv4Addr::from_bits(address.to_bits() & mask(bits));
        Self { first, bits }
    }

    /// Reads `address/bits`, or an address alone.
    ///
    /// # Errors
    /// What was expected and found.
    ///
    /// ```
    /// use stillpoint_net::Cidr;
    /// let range: Cidr = Cidr::parse("10.1.0.0/16")?;
    /// assert!(range.contains("10.1.255.1".parse().expect("an address")));
    /// assert!(Cidr::parse("10.1.0.0/33").is_err());
    /// # Ok::<(), String>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, String> {
        let problem = || format!("expected an IPv4 address, or address/0 to /32, found {text:?}");
        let (address, bits) = text.split_once('/').unwrap_or((text, "32"));
        let bits = match bits.parse() {
            Ok(bits @ 0..=32u8) => bits,
            _ => return Err(problem()),
        };
        address.parse().map(|address| Self::new(address, bits)).map_err(|_| problem())
    }

    /// Whether an address is one of them.
    pub const fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.bits) == self.first.to_bits()
    }

    fn lies_in(&self, other: &Self) -> bool {
        self.bits >= other.bits && other.contains(self.first)
    }
}

const fn mask(bits: u8) -> u32 {
    // A shift by all bits is none.
    (u32::MAX as u64).wrapping_shl(32 - bits as u32) as u32
}

/// Ports that a rule allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ports {
    /// Every port.
    Any,
    /// Those in any of these ranges.
    These(Vec<RangeInclusive<u16>>),
}

impl Ports {
    fn contain(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::These(ranges) => ranges.iter().any(|range| range.contains(&port)),
        }
    }
}

/// Lets the guest reach some addresses at some ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The addresses.
    pub addresses: Cidr,
    /// The ports.
    pub ports: Ports,
}

/// A rule as somebody has written it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenRule {
    /// An IPv4 address, or a range of them as `address/bits`.
    pub addresses: String,
    /// First and last of each range of ports; none: any.
    pub ports: Option<Vec<(u32, u32)>>,
}

/// What a guest may reach over TCP. Nothing, by default.
///
/// The host's loopback is not on the guest's network under its own name, which is the guest's. A
/// rule that names `127.0.0.1` lets the guest reach it as [`GATEWAY`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Egress {
    /// Any of them suffices.
    pub allow: Vec<Rule>,
}

const fn range(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Cidr {
    Cidr::new(Ipv4Addr::new(a, b, c, d), bits)
}

/// Ranges that only a rule inside of them allows.
const NAMED_ONLY: &[Cidr] = &[
    // This host, and its loopback.
    range(0, 0, 0, 0, 8),
    range(127, 0, 0, 0, 8),
    // Links, with the metadata services of most clouds.
    range(169, 254, 0, 0, 16),
    // Metadata services elsewhere.
    range(100, 100, 100, 200, 32),
    range(168, 63, 129, 16, 32),
    range(192, 0, 0, 192, 32),
    // Many at once, and what is not yet anybody's.
    range(224, 0, 0, 0, 4),
    range(240, 0, 0, 0, 4),
];

impl Egress {
    /// The rules that somebody has written: a range of addresses, and ranges of ports or any.
    ///
    /// # Errors
    /// [`NetworkError::Invalid`] with all that is wrong at once.
    pub fn parse(rules: &[WrittenRule]) -> Result<Self, NetworkError> {
        let mut problems = Vec::new();
        let mut allow = Vec::new();
        for (rule, index) in rules.iter().zip(0..) {
            let at = |field: &str| format!("allow[{index}].{field}");
            let addresses = Cidr::parse(&rule.addresses)
                .map_err(|problem| problems.push(format!("{}: {problem}", at("addresses"))));
            let mut ranges = Vec::new();
            for (first, last) in rule.ports.iter().flatten() {
                match (u16::try_from(*first), u16::try_from(*last)) {
                    (Ok(first @ 1..), Ok(last)) if first <= last => ranges.push(first..=last),
                    _ => problems.push(format!(
                        "{}: expected ports 1 to 65535, ascending, found {first} to {last}",
                        at("ports")
                    )),
                }
            }
            let ports = if rule.ports.is_some() { Ports::These(ranges) } else { Ports::Any };
            allow.extend(addresses.map(|addresses| Rule { addresses, ports }));
        }
        if problems.is_empty() {
            Ok(Self { allow })
        } else {
            Err(NetworkError::Invalid { problems })
        }
    }

    /// Where on the host a connection of the guest's to `address` leads, if it may be made.
    pub fn destination(&self, address: Ipv4Addr, port: u16) -> Option<SocketAddr> {
        let address = if address == GATEWAY { Ipv4Addr::LOCALHOST } else { address };
        let named_only = NAMED_ONLY.iter().find(|range| range.contains(address));
        let allows = |rule: &&Rule| rule.addresses.contains(address) && rule.ports.contain(port);
        let mut allowing = self.allow.iter().filter(allows);
        let is_allowed = match named_only {
            Some(range) => allowing.any(|rule| rule.addresses.lies_in(range)),
            // An address of this host's leads to it, whatever it is called.
            None => match allowing.next() {
                Some(rule) => rule.addresses.bits == 32 || !is_this_host(address),
                None => false,
            },
        };
        is_allowed.then_some(SocketAddr::new(IpAddr::V4(address), port))
    }
}

/// Whether packets to an address would not leave this host: its own address is where they would
/// come from. Nothing is sent to find out. An address without a way to it is not this host.
fn is_this_host(address: Ipv4Addr) -> bool {
    let source = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((address, 9))?;
        socket.local_addr()
    };
    source().is_ok_and(|source| source.ip() == IpAddr::V4(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn egress(rules: &[(&str, Ports)]) -> Egress {
        let rule = |(addresses, ports): &(&str, Ports)| Rule {
            addresses: Cidr::parse(addresses).expect("a range"),
            ports: ports.clone(),
        };
        Egress { allow: rules.iter().map(rule).collect() }
    }

    fn reaches(egress: &Egress, address: &str, port: u16) -> bool {
        egress.destination(address.parse().expect("an address"), port).is_some()
    }

    #[test]
    fn nothing_is_reached_unless_allowed() {
        let nobody = Egress::default();
        for address in ["1.1.1.1", "10.0.2.2", "127.0.0.1", "169.254.169.254"] {
            assert!(!reaches(&nobody, address, 80));
        }
    }

    #[test]
    fn a_rule_allows_its_addresses_at_its_ports() {
        let egress = egress(&[("192.0.2.0/24", Ports::These(vec![80..=80, 8000..=8010]))]);
        assert!(reaches(&egress, "192.0.2.0", 80));
        assert!(reaches(&egress, "192.0.2.255", 8010));
        assert!(!reaches(&egress, "192.0.2.255", 8011));
        assert!(!reaches(&egress, "192.0.3.0", 80));
    }

    #[test]
    fn everything_is_not_the_host_its_links_or_its_metadata() {
        let everything = egress(&[("0.0.0.0/0", Ports::Any)]);
        assert!(reaches(&everything, "192.0.2.1", 443));
        for address in [
            "10.0.2.2",
            "127.0.0.1",
            "127.3.2.1",
            "0.0.0.0",
            "169.254.169.254",
            "169.254.1.1",
            "100.100.100.200",
            "168.63.129.16",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!reaches(&everything, address, 80), "{address}");
        }
        let half = egress(&[("126.0.0.0/7", Ports::Any)]);
        assert!(!reaches(&half, "127.0.0.1", 80), "a range that reaches beyond names nothing");
    }

    #[test]
    fn what_is_named_is_reached_the_loopback_as_the_gateway() {
        let named = egress(&[
            ("127.0.0.1/32", Ports::These(vec![8080..=8080])),
            ("169.254.169.254", Ports::Any),
        ]);
        assert_eq!(
            named.destination(GATEWAY, 8080),
            Some(SocketAddr::from(([127, 0, 0, 1], 8080)))
        );
        assert!(!reaches(&named, "10.0.2.2", 8081));
        assert!(!reaches(&named, "127.0.0.2", 8080));
        assert!(reaches(&named, "169.254.169.254", 80));
        assert!(!reaches(&named, "169.254.169.253", 80));
    }

    #[test]
    fn another_name_of_this_host_is_this_host() {
        // Whatever address this host has beside its loopback, if it has one.
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
        let own = socket.connect(("192.0.2.1", 9)).and_then(|()| socket.local_addr());
        let Ok(SocketAddr::V4(own)) = own else {
            println!("skipped: this host has no way to anybody, and no address of its own");
            return;
        };
        let everything = egress(&[("0.0.0.0/0", Ports::Any)]);
        assert_eq!(everything.destination(*own.ip(), 80), None);
    }

    #[test]
    fn everything_that_is_wrong_with_rules_is_said_at_once() {
        let rule = |addresses: &str, ports| WrittenRule { addresses: addresses.to_owned(), ports };
        let problems = |rules: &[WrittenRule]| match Egress::parse(rules) {
            Err(NetworkError::Invalid { problems }) => problems.len(),
            _ => 0,
        };
        assert_eq!(problems(&[rule("1.2.3.0/24", None), rule("1.2.3.4", Some(vec![(1, 9)]))]), 0);
        assert_eq!(
            problems(&[
                rule("example.com", Some(vec![(0, 9), (9, 8)])),
                rule("1.2.3.4/40", Some(vec![(1, 70_000)])),
            ]),
            5
        );
    }

    proptest! {
        #[test]
        fn a_range_holds_what_shares_its_bits(address in any::<u32>(), bits in 0..=32u8, flip in 0..32u32) {
            let range = Cidr::new(Ipv4Addr::from_bits(address), bits);
            let other = Ipv4Addr::from_bits(address ^ 1 << flip);
            prop_assert!(range.contains(Ipv4Addr::from_bits(address)));
            prop_assert_eq!(range.contains(other), flip < 32 - u32::from(bits));
            let text = format!("{}/{bits}", Ipv4Addr::from_bits(address));
            prop_assert_eq!(Cidr::parse(&text), Ok(range));
        }

        #[test]
        fn any_text_is_a_range_or_refused(text in "[0-9./]{0,20}") {
            if let Ok(range) = Cidr::parse(&text) {
                prop_assert!(range.contains(range.first));
            }
        }
    }
}
