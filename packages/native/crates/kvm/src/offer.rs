//! This host's offer to the selection of an engine.

use crate::engine::Kvm;
use crate::probe::{self, Kind};

/// Whether a machine can be run here.
///
/// # Errors
/// The reason, if it cannot.
pub fn usable() -> Result<(), String> {
    kind().map(|_| ())
}

/// A remark about this host's KVM, if it cannot run every guest.
pub fn remark() -> Option<String> {
    match kind() {
        Ok(Kind::Emulating { because }) => Some(format!(
            "only for payloads and not for Linux, because this host's /dev/kvm emulates \
             instructions and lacks some ({because})"
        )),
        Ok(Kind::Complete) | Err(_) => None,
    }
}

/// The kind of this host's KVM: it was opened, its capabilities were checked, and small guests were
/// run.
///
/// # Errors
/// Why it cannot be used.
pub fn kind() -> Result<Kind, String> {
    probe::kind(Kvm::boxed)
}
