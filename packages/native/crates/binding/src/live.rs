//! Live machines.

use crate::event_batch::seq;
use napi_derive::napi;
use std::time::Duration;
use stillpoint_host::live::{LiveFacts, Living};

/// Options of a live machine.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct LiveOptions {
    /// Host time without anything done, after which it pauses itself.
    pub idle_timeout_nanos: Option<f64>,
    /// Time that the guest's clock may lose before it is set to the host's; `null`: it is never set.
    pub clock_tolerance_nanos: Option<f64>,
}

impl From<LiveOptions> for Living {
    fn from(options: LiveOptions) -> Self {
        let duration = |nanos: f64| Duration::try_from_secs_f64(nanos / 1e9).ok();
        Self {
            idle_timeout: options.idle_timeout_nanos.and_then(duration),
            wall_clock_tolerance: options.clock_tolerance_nanos.and_then(duration),
        }
    }
}

/// The history of a live machine.
#[napi(object, object_from_js = false)]
pub struct LiveState {
    /// `awake`, `asleep` or `dozing`.
    pub status: String,
    /// Host time by which guest time has not followed.
    pub lost_nanos: f64,
    /// The part that the guest's wall clock has not been corrected for.
    pub clock_error_nanos: f64,
    /// Number of times that it woke from sleep.
    pub wakes: f64,
}

impl From<LiveFacts> for LiveState {
    fn from(facts: LiveFacts) -> Self {
        let nanos = |lost: Duration| seq(u64::try_from(lost.as_nanos()).unwrap_or(u64::MAX));
        Self {
            status: facts.status.name().to_owned(),
            lost_nanos: nanos(facts.lost),
            clock_error_nanos: nanos(facts.clock_error),
            wakes: seq(facts.wakes),
        }
    }
}
