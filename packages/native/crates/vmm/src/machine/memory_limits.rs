//! Limits of a machine's memory.

/// Least memory of a machine.
pub const MIN_MEMORY_BYTES: u64 = 1 << 20;
/// Maximum memory of a machine.
pub const MAX_MEMORY_BYTES: u64 = 64 << 30;
