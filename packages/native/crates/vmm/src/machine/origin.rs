//! The origin of a machine, for snapshots and other readers.

use serde::{Deserialize, Serialize};

use super::MachineDescription;
use crate::engines::EngineChoice;

/// The origin of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The machine.
    pub machine: MachineDescription,
    /// Why it has its engine; `None` if that was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_choice: Option<EngineChoice>,
    /// Whether equal inputs give equal runs of this machine.
    pub deterministic: bool,
    /// The kernel's command line.
    pub command_line: String,
    /// BLAKE3 of the kernel, in hexadecimal digits.
    pub kernel_digest: String,
    /// BLAKE3 of the initial RAM file system, in hexadecimal digits.
    pub initramfs_digest: Option<String>,
}
