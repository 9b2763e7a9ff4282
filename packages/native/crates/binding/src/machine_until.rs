//! Until when a machine runs.

use crate::event_batch::integer;
use napi_derive::napi;
use stillpoint_vmm::event::EventKind;
use stillpoint_vmm::machine::{Pace, RunUntil as Until};

/// Until when a machine runs; the first that comes true ends the run.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct MachineUntil {
    /// Kinds of events, bit `n` for the kind numbered `n`; 0 for none.
    pub kinds: u32,
    /// Guest time.
    pub at_nanos: Option<f64>,
    /// Guest nanoseconds from now.
    pub budget_nanos: Option<f64>,
    /// Keeps guest time from running ahead of the host's clock.
    pub real_time: bool,
}

impl From<MachineUntil> for Until {
    fn from(until: MachineUntil) -> Self {
        let kinds = EventKind::ALL.into_iter().filter(|kind| until.kinds >> (*kind as u8) & 1 == 1);
        Self {
            kinds: kinds.collect(),
            at_nanos: until.at_nanos.map(integer),
            budget_nanos: until.budget_nanos.map(integer),
            pace: if until.real_time { Pace::HostTime } else { Pace::Unpaced },
        }
    }
}
