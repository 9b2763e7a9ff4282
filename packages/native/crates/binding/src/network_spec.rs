//! The network interface of a machine.

use napi_derive::napi;
use stillpoint_vmm::machine::NetworkConfig;

/// The network interface of a machine. Absent parts have the core's defaults.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct NetworkSpec {
    /// Maximum bytes of a packet.
    pub mtu: Option<u32>,
}

impl From<NetworkSpec> for NetworkConfig {
    fn from(spec: NetworkSpec) -> Self {
        let usual = Self::default();
        // The core refuses a value that is no valid MTU.
        Self { mtu: spec.mtu.map_or(usual.mtu, |mtu| u16::try_from(mtu).unwrap_or(0)), ..usual }
    }
}
