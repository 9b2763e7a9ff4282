//! A new identity for a clone.

use crate::event_batch::integer;
use napi::bindgen_prelude::{BigInt, Uint8Array};
use napi_derive::napi;
use stillpoint_vmm::control::{HostFrame, Identity as Frame};

/// A new identity for a clone. Null parts stay unchanged.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct Identity {
    /// Answered by `IdentityApplied` with the same token.
    pub token: u32,
    /// For the kernel's random source.
    pub entropy: Uint8Array,
    /// Wall clock in nanoseconds since 1970.
    #[napi(ts_type = "bigint | null")]
    pub realtime_nanos: Option<BigInt>,
    /// Host name.
    pub hostname: Option<String>,
    /// 32 hexadecimal digits.
    pub machine_id: Option<String>,
    /// `KEY=VALUE` for programs that start afterwards.
    pub env: Vec<String>,
    /// Whether the frozen workload continues afterwards.
    pub thaw: bool,
    /// Guest time that the configured hook may take.
    pub hook_timeout_nanos: Option<f64>,
    /// Number of the signal for the workload when it continues.
    pub signal: Option<i32>,
    /// Whether it holds a secret, and is recorded without its content.
    pub is_secret: bool,
}

impl From<Identity> for HostFrame {
    fn from(identity: Identity) -> Self {
        Self::ApplyIdentity(Frame {
            token: identity.token,
            entropy: identity.entropy.to_vec(),
            realtime_nanos: identity.realtime_nanos.map_or(0, |nanos| nanos.get_u64().1),
            hostname: identity.hostname.unwrap_or_default(),
            machine_id: identity.machine_id.unwrap_or_default(),
            env: identity.env,
            thaw: identity.thaw,
            hook_timeout_nanos: identity.hook_timeout_nanos.map_or(0, integer),
            signal: identity.signal.unwrap_or(0),
        })
    }
}
