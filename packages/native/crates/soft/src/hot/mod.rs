//! Entering blocks that are not translated, and translating them once they are hot.
//!
//! ```text
//! shared block ── entered often ──▶ unit of [`jit`] that all machines share
//!       │                                        ▲
//!       │ pages that are written to              │ block of the machine's own ── entered often
//!       ▼                                        │
//! block of the machine's own ── entered often ──▶ unit of the machine's own
//! ```
//!
//! [`jit`]: crate::jit

use crate::block::{Block, Entries, Head, Slot};
use crate::core::Core;
use crate::exec::{execute, operation_of};
use crate::hart::Hart;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod enter;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod find;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod units;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use enter::{enter_known, hold_translations};
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub use without::{enter_known, hold_translations};

/// For hosts without a translator.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod without {
    use crate::core::{Core, Trouble};
    use crate::hart::Hart;

    /// There is nothing to hold.
    pub fn hold_translations(_: &mut Core) {}

    /// Nothing is known.
    ///
    /// # Safety
    /// None is needed.
    ///
    /// # Errors
    /// None.
    pub unsafe fn enter_known(_: &mut Hart, _: &mut Core, _: u64) -> Result<bool, Trouble> {
        Ok(false)
    }
}

/// The entries of all blocks of this engine.
pub const ENTRIES: Entries = Entries { counting: COUNTING, shared: &raw const SHARED.0 };

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
const COUNTING: *const Slot = units::COUNTING;
/// Nothing is translated on this host, so nothing is counted.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
const COUNTING: *const Slot = std::ptr::null();

/// A slot that never changes, entered from any thread.
struct Fixed(Slot);

// SAFETY: it is only in statics, which are read through constant pointers, and it points to code.
unsafe impl Sync for Fixed {}

impl Fixed {
    const fn new(handler: crate::exec::Handler) -> Self {
        Self(Slot { head: Head { run: operation_of(handler) }, reg: [0; 4], imm: 0 })
    }
}

static SHARED: Fixed = Fixed::new(enter_shared);

/// Enters a shared block, or its translation once it is hot.
///
/// # Safety
/// As every handler, on the entry of `hart.block`.
unsafe fn enter_shared(hart: &mut Hart, _: *const Slot, core: &mut Core) -> *const Slot {
    let shared = hart.block;
    // SAFETY: by the caller's contract, this is the entry of shared blocks only, so `shared` is one that the
    // cache holds. `own` gives a copy of it in the cache, of the same length, so that it fits the budget
    // too.
    unsafe {
        if core.cache().is_hot(shared) {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            if let Some(next) = units::run_block(hart, core) {
                return next;
            }
            if let Some(own) = core.cache().own(shared) {
                hart.block = own;
                return execute(hart, (*own).entry, core);
            }
        }
        execute(hart, Block::first(shared), core)
    }
}
