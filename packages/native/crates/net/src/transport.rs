//! What carries bytes between a guest and its host.

/// A protocol that has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Transport {
    /// Reads `tcp`, which is meant if nothing is said, or `udp`.
    ///
    /// # Errors
    /// What was expected and found.
    pub fn parse(text: Option<&str>) -> Result<Self, String> {
        match text {
            None | Some("tcp") => Ok(Self::Tcp),
            Some("udp") => Ok(Self::Udp),
            Some(other) => Err(format!("expected tcp or udp, found {other:?}")),
        }
    }
}
