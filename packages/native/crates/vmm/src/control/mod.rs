//! The control port: how the guest's agent and the host talk.
//!
//! ```text
//! u32 length │ u8 type │ payload         length = 1 + bytes of payload, at most 65536
//! ```
//! Integers are little-endian; a string or byte array is a u32 count and its bytes; a list is a
//! u32 count and its items. What the guest sends is hostile: [`Decoder`] holds at most one frame,
//! and whatever is malformed becomes an [`EventBody::AgentRejected`](crate::event::EventBody) whose
//! message begins with `control port:`.

mod decode;
mod encode;
mod wire;

pub use decode::Decoder;
pub use encode::{EncodeError, Exec, HostFrame, Identity};

/// Largest value of a frame's length.
pub const MAX_FRAME_BYTES: usize = 65536;

/// The version of this protocol.
pub const PROTOCOL_VERSION: u32 = 1;
