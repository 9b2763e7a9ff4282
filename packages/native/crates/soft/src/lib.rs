//! The deterministic RV64GC engine.
