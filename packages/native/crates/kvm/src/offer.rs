//! What this host offers to whoever looks for an engine.

use crate::engine::Kvm;
use crate::probe::{self, Kind};

/// Whether a machine can be run here.
///
/// # Errors
/// Why not.
pub fn usable() -> Result<(), String> {
    kind().map(|_| ())
}

/// What whoever uses it is to know of this host's KVM, if it is one that does not run every guest.
pub fn remark() -> Option<String> {
    match kind() {
        Ok(Kind::Emulating { because }) => Some(format!(
            "/dev/kvm emulates instructions, and not all of them: payloads run, Linux is refused \
             ({because})"
        )),
        Ok(Kind::Complete) | Err(_) => None,
    }
}

/// What kind of KVM this host has: it was opened, its capabilities were checked, and small guests
/// were run.
///
/// # Errors
/// Why it cannot be used.
pub fn kind() -> Result<Kind, String> {
    probe::kind(Kvm::boxed)
}
