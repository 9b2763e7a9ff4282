//! A guest's network, on the host's side: in the process, without privileges.
//!
//! ```text
//!   guest's interface ◀── frames ──▶ wire ◀── packets ──▶ stack (TCP/IP)
//!                                                            │ bytes
//!   host's sockets ◀────────────── flow, one per connection ─┘
//!        │                            ▲
//!        └── watch (one thread) ── wakes the machine ── NetworkLink: all of it, between two instructions
//! ```
//! Connections end here: a guest's TCP speaks with the stack of this crate, and bytes go on through a
//! socket of the host's. So a packet that a guest forged reaches nobody, and what the guest may
//! reach is decided once for each connection, by [`Egress`].
//!
//! All of it happens on the thread that runs the machine, in [`NetworkLink`], whose calls do not
//! block; a single thread of the process waits for sockets and wakes machines.

pub mod addresses;
mod egress;
mod error;
mod flow;
mod link;
mod network;
mod shared;
mod stack;
mod watch;
mod wire;

pub use egress::{Cidr, Egress, Ports, Rule, WrittenRule};
pub use error::NetworkError;
pub use link::NetworkLink;
pub use network::{Network, Published};
pub use shared::Limits;
