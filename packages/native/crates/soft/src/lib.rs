//! The deterministic RV64GC engine.

pub mod float;
