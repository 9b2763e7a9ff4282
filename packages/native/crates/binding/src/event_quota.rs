//! The quota of a kind of event.

use crate::event_batch::integer;
use napi_derive::napi;
use stillpoint_vmm::event::{EventKind, Overflow, Quota};

/// The quota of a kind of event, in guest time.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct EventQuota {
    /// The kind's name.
    pub kind: String,
    /// Bytes at once: 64 for each event, and the text and bytes that it holds.
    pub burst_bytes: f64,
    /// Bytes in a second of guest time, in the long run.
    pub bytes_per_second: f64,
    /// `drop`, `pause` or `end`.
    pub overflow: String,
}

impl EventQuota {
    /// The quota; nothing for a kind that there is not.
    pub(crate) fn into_quota(self) -> Option<(EventKind, Quota)> {
        let overflow = match self.overflow.as_str() {
            "pause" => Overflow::Pause,
            "end" => Overflow::End,
            _ => Overflow::Drop,
        };
        let quota = Quota {
            burst_bytes: integer(self.burst_bytes),
            bytes_per_second: integer(self.bytes_per_second),
            overflow,
        };
        EventKind::by_name(&self.kind).map(|kind| (kind, quota))
    }
}
