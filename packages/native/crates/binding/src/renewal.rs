//! Makes a machine distinct from all others with the same past.

use napi::bindgen_prelude::{BigInt, Uint8Array};
use napi_derive::napi;
use stillpoint_vmm::devices::{Renewal as Devices, RenewalInvalid};

/// The renewal of a forked or restored machine.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct Renewal {
    /// The seed of its randomness, at least 32 bytes.
    pub entropy_seed: Uint8Array,
    /// 16 bytes that no other machine has.
    pub generation_id: Uint8Array,
    /// The time of its hardware clock, in nanoseconds since 1970.
    pub realtime_nanos: BigInt,
}

impl TryFrom<Renewal> for Devices {
    type Error = RenewalInvalid;

    fn try_from(renewal: Renewal) -> Result<Self, RenewalInvalid> {
        let Renewal { entropy_seed, generation_id, realtime_nanos } = renewal;
        Self::new(&entropy_seed, &generation_id, realtime_nanos.get_u64().1)
    }
}
