//! The end of a run.

use crate::event_batch::seq;
use napi_derive::napi;
use stillpoint_host::hosted::Ended;
use stillpoint_vmm::machine::Stop;

/// The reason and the time of a run's end.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct MachineStop {
    /// `event`, `time`, `budget`, `idle`, `halted`, `reset`, `fault`, `paused` or `horizon`.
    pub reason: String,
    /// The event that ended the run, when the reason is `event`.
    pub seq: Option<f64>,
    /// Guest time.
    pub at_nanos: f64,
}

impl From<Ended> for MachineStop {
    fn from(ended: Ended) -> Self {
        let reason = match &ended.stop {
            // Only a paused run ends by an interruption; any other continues.
            Stop::Interrupted => "paused",
            stop => stop.name(),
        };
        let caused_by = match ended.stop {
            Stop::Event { seq: number } => Some(seq(number)),
            _ => None,
        };
        Self { reason: reason.to_owned(), seq: caused_by, at_nanos: seq(ended.at_nanos) }
    }
}
