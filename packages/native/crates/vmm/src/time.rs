//! Guest time.

/// Guest time: nanoseconds since the guest's first instruction.
pub type Nanos = u64;
