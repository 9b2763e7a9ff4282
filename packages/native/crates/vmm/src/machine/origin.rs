//! What a machine says about its making, in snapshots and to whoever asks.

use serde::{Deserialize, Serialize};

use super::MachineDescription;

/// What a machine was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The machine.
    pub machine: MachineDescription,
    /// Whether equal inputs give equal runs of this machine.
    pub deterministic: bool,
    /// The kernel's command line.
    pub command_line: String,
    /// BLAKE3 of the kernel, in hexadecimal digits.
    pub kernel_digest: String,
    /// BLAKE3 of the initial RAM file system, in hexadecimal digits.
    pub initramfs_digest: Option<String>,
}
