//! Whom a guest may reach.

use napi_derive::napi;
use stillpoint_net::{WrittenEgress, WrittenRule};

/// Limits of traffic; unlimited if null.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct TrafficLimits {
    /// Connections at once.
    pub connections: Option<f64>,
    /// Bytes in a second of guest time, in both directions together.
    pub bytes_per_second: Option<f64>,
}

/// Ports, from the first to the last.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct PortRange {
    /// The first.
    pub first: u32,
    /// The last.
    pub last: u32,
}

/// Lets a guest reach some addresses, or a host, at some ports.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct EgressRule {
    /// An address, or a range of them as `address/bits`.
    pub addresses: Option<String>,
    /// A host's name, `*.name` or `*`.
    pub host: Option<String>,
    /// The ports; any if null.
    pub ports: Option<Vec<PortRange>>,
    /// `tcp`, or `udp`.
    pub protocol: String,
}

/// A name, and its answer.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct KnownName {
    /// The name.
    pub name: String,
    /// Addresses.
    pub addresses: Vec<String>,
}

/// The outside addresses that a guest may reach.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct EgressPolicy {
    /// Any of them suffices.
    pub allow: Vec<EgressRule>,
    /// Names that are known without asking.
    pub table: Vec<KnownName>,
    /// Whether the host's resolver answers other names that a rule allows.
    pub asks_host: bool,
    /// Connections at once, and bytes in a second of guest time.
    pub limits: TrafficLimits,
}

impl From<EgressRule> for WrittenRule {
    fn from(rule: EgressRule) -> Self {
        let ranges = |ports: Vec<PortRange>| {
            ports.into_iter().map(|PortRange { first, last }| (first, last)).collect()
        };
        let EgressRule { addresses, host, ports, protocol } = rule;
        Self { addresses, host, ports: ports.map(ranges), protocol: Some(protocol) }
    }
}

impl From<EgressPolicy> for WrittenEgress {
    fn from(policy: EgressPolicy) -> Self {
        let known = |KnownName { name, addresses }: KnownName| (name, addresses);
        Self {
            allow: policy.allow.into_iter().map(Into::into).collect(),
            table: policy.table.into_iter().map(known).collect(),
            asks_host: policy.asks_host,
            connections: policy.limits.connections,
            bytes_per_second: policy.limits.bytes_per_second,
        }
    }
}
