//! Guest time.

/// Guest time: nanoseconds since the guest's first instruction.
pub type Nanos = u64;

/// The last moment of guest time: 2^53 - 1 ns, 104 days.
pub const HORIZON_NANOS: Nanos = (1 << 53) - 1;
