//! A report about an engine on this host.

use napi_derive::napi;

/// An engine that machines can name.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct EngineReport {
    /// Its name.
    pub name: String,
    /// Name of its board: what kernels and images are for.
    pub board: String,
    /// Whether this host can use it.
    pub is_usable: bool,
    /// Why it cannot, or a remark if it can.
    pub detail: Option<String>,
}

impl From<stillpoint_vmm::engines::EngineReport> for EngineReport {
    fn from(report: stillpoint_vmm::engines::EngineReport) -> Self {
        let stillpoint_vmm::engines::EngineReport { name, board, is_usable, detail } = report;
        Self { name, board, is_usable, detail }
    }
}
