//! What the handlers share besides the hart: caches, interrupt controller, the platform.

/// The engine without its registers.
pub struct Core {}
