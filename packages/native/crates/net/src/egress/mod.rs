//! The outside addresses that a guest may reach: none, unless a rule allows it.
//!
//! Some addresses mean nothing on the Internet but something here: those of the host itself, of its
//! links, and of the services that tell a host in a cloud its identity. A rule allows them only if the
//! whole of its range lies among them: `0.0.0.0/0` and `::/0` do not, and neither does the name of a
//! host, whatever it resolves to.

mod cidr;
mod named_only;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;

pub use cidr::Cidr;

use crate::addresses::{Version, is_gateway, is_name_server};
use crate::allowances::TrafficLimits;
use crate::answered::{Answered, MOST_ADDRESSES};
use crate::error::NetworkError;
use crate::host_name::{HostPattern, plain_name};
use crate::transport::Transport;
use named_only::{held_address, named_only};

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

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destinations {
    /// Addresses in a range.
    Addresses(Cidr),
    /// Addresses that this guest got for such a name.
    Hosts(HostPattern),
}

/// Allows some ports of some addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Whom.
    pub destinations: Destinations,
    /// The ports.
    pub ports: Ports,
    /// Over what.
    pub transport: Transport,
}

impl Rule {
    /// Lets the guest reach some addresses at some ports over TCP.
    pub fn tcp(addresses: Cidr, ports: Ports) -> Self {
        let destinations = Destinations::Addresses(addresses);
        Self { destinations, ports, transport: Transport::Tcp }
    }
}

/// A rule before it is checked: with addresses or a host, not both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WrittenRule {
    /// An address, or a range of them as `address/bits`.
    pub addresses: Option<String>,
    /// A host's name, `*.name` or `*`.
    pub host: Option<String>,
    /// First and last of each range of ports; none: any.
    pub ports: Option<Vec<(u32, u32)>>,
    /// `tcp`, or `udp`; none: `tcp`.
    pub protocol: Option<String>,
}

/// A policy before it is checked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WrittenEgress {
    /// Any of them suffices.
    pub allow: Vec<WrittenRule>,
    /// Names, and the addresses that they are answered with.
    pub table: Vec<(String, Vec<String>)>,
    /// Whether the host's resolver answers names that a rule allows and the table does not have.
    pub asks_host: bool,
    /// Connections at once.
    pub connections: Option<f64>,
    /// Bytes in a second of guest time.
    pub bytes_per_second: Option<f64>,
}

/// The outside addresses that a guest may reach. None by default.
///
/// The host's loopback is not on the guest's network under its own name, which is the guest's. A
/// rule that names `127.0.0.1`, or `::1`, lets the guest reach it as its gateway of that version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Egress {
    /// Any of them suffices.
    pub allow: Vec<Rule>,
    /// Answers for names, whether or not a rule allows their addresses.
    pub table: BTreeMap<String, Vec<IpAddr>>,
    /// Whether the host's resolver answers names that a rule allows and the table does not have.
    pub asks_host: bool,
    /// The limits of the traffic.
    pub limits: TrafficLimits,
}

/// The policy's decision about a name that the guest asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Naming<'a> {
    /// It is answered with these.
    Known(&'a [IpAddr]),
    /// The host's resolver answers it.
    AskHost,
    /// The name does not exist for this guest.
    Nobody,
}

impl Egress {
    /// Parses a policy.
    ///
    /// # Errors
    /// [`NetworkError::Invalid`] with all that is wrong at once.
    pub fn parse(written: &WrittenEgress) -> Result<Self, NetworkError> {
        let mut problems = Vec::new();
        let mut allow = Vec::new();
        for (rule, index) in written.allow.iter().zip(0..) {
            allow.extend(parse_rule(rule, &format!("allow[{index}]"), &mut problems));
        }
        let mut table = BTreeMap::new();
        for (written, addresses) in &written.table {
            let at = format!("names.table[{written:?}]");
            let name = plain_name(written);
            if name.is_none() {
                problems.push(format!("{at}: expected the name of a host, found {written:?}"));
            }
            if addresses.len() > MOST_ADDRESSES {
                let found = addresses.len();
                problems.push(format!(
                    "{at}: expected at most {MOST_ADDRESSES} addresses, found {found}"
                ));
            }
            let mut known = Vec::new();
            for (address, index) in addresses.iter().zip(0..) {
                match address.parse() {
                    Ok(address) => known.push(address),
                    Err(_) => problems
                        .push(format!("{at}[{index}]: expected an address, found {address:?}")),
                }
            }
            if let Some(name) = name
                && table.insert(name, known).is_some()
            {
                problems.push(format!(
                    "{at}: expected each name once, found it in another spelling, too"
                ));
            }
        }
        let limits = (written.connections, written.bytes_per_second);
        let limits = TrafficLimits::parse("limits", limits.0, limits.1, &mut problems);
        if problems.is_empty() {
            Ok(Self { allow, table, asks_host: written.asks_host, limits })
        } else {
            Err(NetworkError::Invalid { problems })
        }
    }

    /// The host's address for traffic to `address`, if the guest may send it there. `answered` has the
    /// addresses that it got for names.
    pub(crate) fn destination(
        &self,
        transport: Transport,
        (address, port): (IpAddr, u16),
        answered: &Answered,
    ) -> Option<SocketAddr> {
        if is_name_server(address) {
            return None;
        }
        let address = match is_gateway(address) {
            true => Version::of(address).loopback(),
            false => address,
        };
        let allows = |rule: &&Rule| {
            rule.transport == transport
                && rule.ports.contain(port)
                && match &rule.destinations {
                    Destinations::Addresses(range) => range.contains(address),
                    Destinations::Hosts(hosts) => {
                        answered.names_of(address).any(|name| hosts.holds(name))
                    }
                }
        };
        let mut allowing = self.allow.iter().filter(allows);
        let is_allowed = match named_only(address) {
            Some(range) => allowing.any(|rule| rule.names_among(&range)),
            None => match allowing.next() {
                // An address of this host's leads to the host, under any name.
                Some(first) => {
                    first.is_of_one()
                        || allowing.any(|rule| rule.is_of_one())
                        || !leads_to_this_host(address)
                }
                None => false,
            },
        };
        is_allowed.then_some(SocketAddr::new(address, port))
    }

    /// The answer for a plain name.
    pub(crate) fn naming(&self, name: &str) -> Naming<'_> {
        let is_allowed = |rule: &Rule| match &rule.destinations {
            Destinations::Hosts(hosts) => hosts.holds(name),
            Destinations::Addresses(_) => false,
        };
        match self.table.get(name) {
            Some(addresses) => Naming::Known(addresses),
            None if self.asks_host && self.allow.iter().any(is_allowed) => Naming::AskHost,
            None => Naming::Nobody,
        }
    }
}

impl Rule {
    /// Whether its whole range lies in another range.
    fn names_among(&self, range: &Cidr) -> bool {
        matches!(&self.destinations, Destinations::Addresses(own) if own.lies_in(range))
    }

    /// Whether it is a rule for a single address.
    fn is_of_one(&self) -> bool {
        matches!(&self.destinations, Destinations::Addresses(range) if range.is_of_one())
    }
}

fn parse_rule(rule: &WrittenRule, at: &str, problems: &mut Vec<String>) -> Option<Rule> {
    let before = problems.len();
    let destinations = match (&rule.addresses, &rule.host) {
        (Some(addresses), None) => match Cidr::parse(addresses) {
            Ok(range) => Some(Destinations::Addresses(range)),
            Err(problem) => {
                problems.push(format!("{at}.addresses: {problem}"));
                None
            }
        },
        (None, Some(host)) => match HostPattern::parse(host) {
            Ok(hosts) => Some(Destinations::Hosts(hosts)),
            Err(problem) => {
                problems.push(format!("{at}.host: {problem}"));
                None
            }
        },
        (addresses, _) => {
            let found = if addresses.is_some() { "both" } else { "none" };
            problems.push(format!("{at}: expected addresses or a host, found {found}"));
            None
        }
    };
    let mut ranges = Vec::new();
    for (first, last) in rule.ports.iter().flatten() {
        match (u16::try_from(*first), u16::try_from(*last)) {
            (Ok(first @ 1..), Ok(last)) if first <= last => ranges.push(first..=last),
            _ => problems.push(format!(
                "{at}.ports: expected ports 1 to 65535, ascending, found {first} to {last}"
            )),
        }
    }
    let ports = if rule.ports.is_some() { Ports::These(ranges) } else { Ports::Any };
    let transport = match Transport::parse(rule.protocol.as_deref()) {
        Ok(transport) => transport,
        Err(problem) => {
            problems.push(format!("{at}.protocol: {problem}"));
            Transport::Tcp
        }
    };
    let destinations = destinations.filter(|_| problems.len() == before)?;
    Some(Rule { destinations, ports, transport })
}

/// Whether an address is this host's, or contains one that is.
fn leads_to_this_host(address: IpAddr) -> bool {
    is_this_host(address) || held_address(address).is_some_and(|held| is_this_host(held.into()))
}

/// Whether packets to an address would stay on this host: then it is also their source address. No
/// packet is sent to find out. An address without a route is not this host's.
fn is_this_host(address: IpAddr) -> bool {
    let source = || {
        let socket = UdpSocket::bind((Version::of(address).unspecified(), 0))?;
        socket.connect((address, 9))?;
        socket.local_addr()
    };
    source().is_ok_and(|source| source.ip() == address)
}

#[cfg(test)]
mod tests;
