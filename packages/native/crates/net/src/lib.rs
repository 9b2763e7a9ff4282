//! A guest's network, on the host's side: in the process, without privileges.
//!
//! ```text
//!   guest's interface ◀── frames ──▶ wire ◀── packets ──▶ stack (TCP/IP)
//!                                                            │ bytes
//!   host's sockets ◀────────────── flow, one per connection ─┘
//!        │                            ▲
//!        └── watch (one thread) ── wakes the machine ── NetworkLink: all of it, between two instructions
//! ```
//! Connections end here: a guest's TCP talks to this crate's stack, and bytes continue through a socket
//! of the host's. So a packet that a guest forged reaches no other host, and [`Egress`] decides once for
//! each connection whether the guest may make it.
//!
//! All of it happens on the thread that runs the machine, in [`NetworkLink`], whose calls do not
//! block; a single thread of the process waits for sockets and wakes machines.

pub mod addresses;
mod allowances;
mod answered;
mod connections;
mod datagrams;
mod egress;
mod error;
mod flow;
mod fragments;
mod host_name;
mod link;
mod listening;
mod name_streams;
mod names;
mod neighbours;
mod network;
mod outside;
mod outward;
mod packets;
mod refusals;
mod shared;
mod stack;
mod transport;
mod watch;
mod wire;

pub use allowances::{LEAST_BYTES_PER_SECOND, MOST_BYTES_PER_SECOND, TrafficLimits};
pub use answered::MOST_ADDRESSES;
pub use egress::{Cidr, Destinations, Egress, Ports, Rule, WrittenEgress, WrittenRule};
pub use error::NetworkError;
pub use host_name::{HostPattern, plain_name};
pub use link::NetworkLink;
pub use network::{Network, Published};
pub use shared::Limits;
pub use transport::Transport;
