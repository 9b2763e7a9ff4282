//! Why a machine has its engine.

use napi_derive::napi;

/// Why a machine has its engine.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct EngineChoice {
    /// What was asked for: a name, or `auto`.
    pub requested: String,
    /// Why it is this engine.
    pub reason: String,
}

impl From<stillpoint_vmm::engines::EngineChoice> for EngineChoice {
    fn from(choice: stillpoint_vmm::engines::EngineChoice) -> Self {
        let stillpoint_vmm::engines::EngineChoice { requested, reason } = choice;
        Self { requested, reason }
    }
}
