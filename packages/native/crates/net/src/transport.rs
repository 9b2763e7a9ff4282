//! The transport protocols between a guest and its host.

/// A protocol that has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Transport {
    /// Parses `tcp` (the default) or `udp`.
    ///
    /// # Errors
    /// The expected and the found value.
    pub fn parse(text: Option<&str>) -> Result<Self, String> {
        match text {
            None | Some("tcp") => Ok(Self::Tcp),
            Some("udp") => Ok(Self::Udp),
            Some(other) => Err(format!("expected tcp or udp, found {other:?}")),
        }
    }
}
