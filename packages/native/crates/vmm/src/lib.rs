//! The engine-neutral VMM core: machines, independent of what executes their instructions.
//!
//! ```text
//!  machine ── run loop, capture, restore, fork
//!    │
//!    ├── engine (trait) ── executes instructions; sees ──▶ platform
//!    │                                                       ├── memory    pages, copy-on-write
//!    ├── board  (trait) ── where things are, how to boot     ├── devices   serial, clock, virtio
//!    │                                                       ├── disks     what block devices hold
//!    │                                                       └── event     what happened, in order
//!    └── snapshot ── a machine in files
//! ```

pub mod arriving;
pub mod board;
pub mod boards;
pub mod conformance;
pub mod control;
pub mod devices;
pub mod disks;
pub mod engine;
pub mod engines;
pub mod event;
mod file_key;
#[cfg(test)]
mod generated;
pub mod loaders;
pub mod machine;
pub mod memory;
pub mod network;
pub mod platform;
pub mod random;
pub mod serial_ports;
pub mod snapshot;
pub mod state;
pub mod time;
