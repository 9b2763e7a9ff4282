//! Why a port cannot be published, or a policy not be had.

/// What was asked of a machine's network cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The machine was made without a network.
    #[error("the machine has no network interface: expected one that was booted with `network`")]
    InterfaceMissing,
    /// Not a port, an address or a rule, all problems at once.
    #[error("network: {}", problems.join("; "))]
    Invalid {
        /// What was expected and what was found, each with its place.
        problems: Vec<String>,
    },
    /// Somebody listens there already.
    #[error("{address}: the port is in use; choose another, or 0 for any that is free")]
    PortInUse {
        /// Where.
        address: String,
    },
    /// The host lets only privileged programs listen there.
    #[error("{address}: this program may not listen there; choose a port from 1024 on, or 0")]
    PortPrivileged {
        /// Where.
        address: String,
    },
    /// The host has no such address.
    #[error("{address}: the host has no interface with this address; 127.0.0.1 is always there")]
    AddressUnknown {
        /// Where.
        address: String,
    },
    /// As many ports are published as may be.
    #[error("{most} ports are published, as many as may be; close one first")]
    TooManyPorts {
        /// How many.
        most: usize,
    },
    /// The host refused otherwise.
    #[error("{address}: the host refused: {reason}")]
    HostRefused {
        /// Where.
        address: String,
        /// What it said.
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
