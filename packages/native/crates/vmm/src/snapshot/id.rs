//! The identity of a snapshot.

use std::fmt;
use std::str::FromStr;

/// A snapshot's identity: the BLAKE3 of its `machine.bin`. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId(pub [u8; 32]);

/// A text is no identity of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("snapshot identity: expected 64 hexadecimal digits, found {found:?}")]
pub struct SnapshotIdInvalid {
    /// The text.
    pub found: String,
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotId({self})")
    }
}

impl FromStr for SnapshotId {
    type Err = SnapshotIdInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hash = blake3::Hash::from_hex(text)
            .map_err(|_| SnapshotIdInvalid { found: text.chars().take(80).collect() })?;
        Ok(Self(*hash.as_bytes()))
    }
}
