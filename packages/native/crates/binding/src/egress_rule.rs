//! Whom a guest may reach.

use napi_derive::napi;
use stillpoint_net::WrittenRule;

/// Ports, from the first to the last.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct PortRange {
    /// The first.
    pub first: u32,
    /// The last.
    pub last: u32,
}

/// Lets a guest reach some addresses at some ports.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct EgressRule {
    /// An IPv4 address, or a range of them as `address/bits`.
    pub addresses: String,
    /// The ports; any if null.
    pub ports: Option<Vec<PortRange>>,
}

impl From<EgressRule> for WrittenRule {
    fn from(rule: EgressRule) -> Self {
        let ranges = |ports: Vec<PortRange>| {
            ports.into_iter().map(|PortRange { first, last }| (first, last)).collect()
        };
        Self { addresses: rule.addresses, ports: rule.ports.map(ranges) }
    }
}
