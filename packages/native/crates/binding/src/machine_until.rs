//! Until when a machine runs.

use crate::event_batch::integer;
use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use stillpoint_vmm::event::KindSet;
use stillpoint_vmm::machine::{Pace, RunUntil as Until};

/// Until when a machine runs; the first that comes true ends the run.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct MachineUntil {
    /// Kinds of events, bit `n` for the kind numbered `n`; 0 for none.
    pub kinds: BigInt,
    /// Guest time.
    pub at_nanos: Option<f64>,
    /// Guest nanoseconds from now.
    pub budget_nanos: Option<f64>,
    /// Keeps guest time from running ahead of the host's clock.
    pub real_time: bool,
}

impl From<MachineUntil> for Until {
    fn from(until: MachineUntil) -> Self {
        Self {
            kinds: KindSet::from_bits(until.kinds.get_u128().1),
            at_nanos: until.at_nanos.map(integer),
            budget_nanos: until.budget_nanos.map(integer),
            pace: if until.real_time { Pace::HostTime } else { Pace::Unpaced },
        }
    }
}
