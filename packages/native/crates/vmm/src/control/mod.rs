//! The control port: how the guest's agent and the host talk.
//!
//! ```text
//! u32 length │ u8 type │ payload         length = 1 + bytes of payload, at most 65536
//! ```
//! Integers are little-endian; a string or byte array is a u32 count and its bytes; a list is a u32
//! count and its items. Bytes from the guest are hostile: [`Decoder`] holds at most one frame, and
//! a frame that is malformed or over a limit becomes an
//! [`EventBody::AgentRejected`](crate::event::EventBody) with its reason.

mod contract;
mod decode;
mod encode;
mod json;
mod wire;

pub use contract::{Exec, HostFrame, Identity};
pub use decode::Decoder;
pub use encode::EncodeError;

/// The wall clock that a frame of the host sets in the guest, nanoseconds since 1970, if it sets
/// nothing else of its identity; `None` for every other frame.
pub(crate) fn clock_set_by(frame: &[u8]) -> Option<u64> {
    let realtime_nanos = u64::from_le_bytes(*frame.last_chunk()?);
    let setting = HostFrame::SetClock { realtime_nanos }.encode().ok()?;
    (frame == setting).then_some(realtime_nanos)
}

/// Whether a frame of the host has this number.
pub(crate) fn is_host_frame(number: u8) -> bool {
    contract::HOST_FRAMES.contains(&number)
}
