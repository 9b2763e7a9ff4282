//! Events on their way to JavaScript.

use crate::failure::Failure;
use napi::bindgen_prelude::{Buffer, Either};
use napi_derive::napi;
use stillpoint_host::event_log::Batch;
use stillpoint_vmm::event::EventsLost;

/// Consecutive events, encoded one after the other (see the host crate's `event_codec`).
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct EventBatch {
    /// Sequence number of the first event.
    pub first_seq: f64,
    /// Number of events.
    pub count: u32,
    /// The events.
    pub bytes: Buffer,
    /// Whether no event can follow.
    pub ended: bool,
}

pub(crate) fn batch(read: Result<Batch, EventsLost>) -> Either<Failure, EventBatch> {
    match read {
        Ok(batch) => Either::B(EventBatch {
            first_seq: seq(batch.first_seq),
            count: batch.count,
            bytes: batch.bytes.into(),
            ended: batch.ended,
        }),
        Err(lost) => Either::A(Failure::new("MachineError", lost.name(), lost)),
    }
}

/// A sequence number or guest time as a JavaScript number: both stay below 2^53.
pub(crate) fn seq(value: u64) -> f64 {
    value as f64
}

/// A JavaScript number as a sequence number or guest time: negative and fractional parts are cut.
pub(crate) fn integer(value: f64) -> u64 {
    value as u64
}
