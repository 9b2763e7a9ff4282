//! Recorded failures of disks, for replays.
//!
//! The host decides when a disk fails, as it decides about input: a replay repeats the same failures at
//! the same moments, whatever its files do now.

use crate::event::{DiskOperation, Event, EventBody};
use crate::time::Nanos;

/// A failure as `DiskFailed` recorded it.
#[derive(Debug, Clone)]
pub(crate) struct RecordedFailure {
    pub(super) at_nanos: Nanos,
    disk: String,
    operation: DiskOperation,
    /// The first byte that was not done.
    pub(crate) offset: u64,
    /// The event.
    pub(crate) body: EventBody,
}

impl RecordedFailure {
    /// Of an event, if it is one.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        let EventBody::DiskFailed { disk, operation, offset, .. } = &event.body else {
            return None;
        };
        let (at_nanos, body) = (event.at_nanos, event.body.clone());
        Some(Self { at_nanos, disk: disk.clone(), operation: *operation, offset: *offset, body })
    }

    pub(super) fn is_of(
        &self,
        disk: &str,
        now: Nanos,
        operation: DiskOperation,
        offset: u64,
        len: u64,
    ) -> bool {
        // A flush is of no bytes.
        let bytes = offset..offset.saturating_add(len.max(1));
        (self.at_nanos, self.disk.as_str(), self.operation) == (now, disk, operation)
            && bytes.contains(&self.offset)
    }
}
