//! What a guest is in the middle of.

use crate::event_batch::seq;
use napi_derive::napi;
use stillpoint_vmm::engine::Nanos;
use stillpoint_vmm::machine::Activity;

/// What a guest is in the middle of, before an event of its log.
#[napi(object, object_from_js = false)]
pub struct GuestActivity {
    /// Sequence number of the next event.
    pub seq: f64,
    /// Guest time.
    pub at_nanos: f64,
    /// Whether the hart waits for an interrupt.
    pub is_idle: bool,
    /// Names of the devices that have a request in flight.
    pub devices_in_flight: Vec<String>,
}

pub(crate) fn activity(next_seq: u64, at: Nanos, activity: Activity) -> GuestActivity {
    let Activity { is_idle, working_devices: devices_in_flight } = activity;
    GuestActivity { seq: seq(next_seq), at_nanos: seq(at), is_idle, devices_in_flight }
}
