//! The engine-neutral VMM core: what a machine is, whatever executes its instructions.
//!
//! * [`memory`] guest-physical memory, paged and copy-on-write, with dirty tracking
//! * [`engine`] the seam below which an instruction set lives
//! * [`platform`] what an engine sees of the machine while it runs: memory, devices, interrupt lines, events
//! * [`event`] what a guest does, in order

pub mod engine;
pub mod event;
pub mod memory;
pub mod platform;
