//! The deterministic RV64GC engine.
//!
//! * [`decode`] machine code to [`decode::Inst`]
//! * [`block`] decoded blocks and their slots
//! * [`hart`] registers and fast translations, laid out for the hot loop
//! * [`core`] what handlers share besides the hart
//! * [`float`] IEEE 754 arithmetic on bits

pub mod block;
pub mod core;
pub mod decode;
pub mod float;
pub mod hart;
