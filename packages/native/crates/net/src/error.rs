//! Why a port cannot be published, or a policy is invalid.

/// A request about a machine's network failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The machine was made without a network.
    #[error("the machine has no network interface: expected one that was booted with `network`")]
    InterfaceMissing,
    /// Not a port, an address or a rule, all problems at once.
    #[error("network: {}", problems.join("; "))]
    Invalid {
        /// The expected and the found values, each with its place.
        problems: Vec<String>,
    },
    /// The address is in use already.
    #[error("{address}: the port is in use; choose another, or 0 for any that is free")]
    PortInUse {
        /// The address.
        address: String,
    },
    /// The host lets only privileged programs listen there.
    #[error("{address}: this program may not listen there; choose a port from 1024 on, or 0")]
    PortPrivileged {
        /// The address.
        address: String,
    },
    /// The host has no such address.
    #[error("{address}: the host has no interface with this address; 127.0.0.1 is always there")]
    AddressUnknown {
        /// The address.
        address: String,
    },
    /// As many ports are published as may be.
    #[error("{most} ports are published, as many as may be; close one first")]
    TooManyPorts {
        /// The maximum.
        most: usize,
    },
    /// The host refused otherwise.
    #[error("{address}: the host refused: {reason}")]
    HostRefused {
        /// The address.
        address: String,
        /// The operating system's message.
        reason: String,
    },
    /// The machine was closed.
    #[error("expected an open machine, found it closed")]
    Closed,
}

impl NetworkError {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InterfaceMissing => "InterfaceMissing",
            Self::Invalid { .. } => "NetworkInvalid",
            Self::PortInUse { .. } => "PortInUse",
            Self::PortPrivileged { .. } => "PortPrivileged",
            Self::AddressUnknown { .. } => "AddressUnknown",
            Self::TooManyPorts { .. } => "TooManyPorts",
            Self::HostRefused { .. } => "HostRefused",
            Self::Closed => "Closed",
        }
    }
}
