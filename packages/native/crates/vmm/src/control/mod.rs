//! The control port: how the guest's agent and the host talk.
//!
//! ```text
//! u32 length │ u8 type │ payload         length = 1 + bytes of payload, at most 65536
//! ```
//! Integers are little-endian; a string or byte array is a u32 count and its bytes; a list is a
//! u32 count and its items. What the guest sends is hostile: [`Decoder`] holds at most one frame,
//! and whatever is malformed or over a limit becomes an
//! [`EventBody::AgentRejected`](crate::event::EventBody) with its reason.

mod contract;
mod decode;
mod encode;
mod json;
mod wire;

pub use contract::{Exec, HostFrame, Identity};
pub use decode::Decoder;
pub use encode::EncodeError;

/// Whether a frame of the host's has this number.
pub(crate) fn is_host_frame(number: u8) -> bool {
    contract::HOST_FRAMES.contains(&number)
}
