//! The x86-64 engine: a guest runs on the host's processor, under the kernel's KVM.
//!
//! ```text
//!  engine ── the seam; guest time; when to stop      state ── one form, checked before it is loaded
//!    ├── virtual_machine ── what KVM has made        memory ── one mapping, its forks, its log
//!    ├── accesses ── what it comes out for
//!    ├── kick ── a timer that ends a run             host ── what this host's KVM offers
//!    ├── guest_clock                                 probe ── whether it runs guests, and which
//!    └── probe: what a host cannot run is refused    offer ── what is said of it to others
//! ```
//! Nothing here exists on hosts other than Linux on x86-64.
//!
//! ```
//! # #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
//! match stillpoint_kvm::kind() {
//!     Ok(kind) => println!("this host has KVM: {kind:?}"),
//!     Err(why) => println!("not here: {why}"),
//! }
//! ```
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

pub mod accesses;
mod engine;
mod guest_clock;
mod host;
mod kick;
mod memory;
mod offer;
mod probe;
mod registers;
mod state;
mod virtual_machine;

pub use engine::Kvm;
pub use memory::MappedMemory;
pub use offer::{kind, remark, usable};
pub use probe::Kind;
