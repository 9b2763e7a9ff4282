//! What a machine says about its making, in snapshots and to whoever asks.

use serde::{Deserialize, Serialize};

/// What a machine was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// Name of the engine.
    pub engine: String,
    /// Whether equal inputs give equal runs of this machine.
    pub deterministic: bool,
    /// Name of the board.
    pub board: String,
    /// First guest-physical address of memory.
    pub memory_base: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// The kernel's command line.
    pub command_line: String,
    /// BLAKE3 of the kernel, in hexadecimal digits.
    pub kernel_digest: String,
    /// BLAKE3 of the initial RAM file system, in hexadecimal digits.
    pub initramfs_digest: Option<String>,
    /// Wall-clock time at guest time zero, in nanoseconds since 1970.
    pub epoch_nanos: u64,
}
