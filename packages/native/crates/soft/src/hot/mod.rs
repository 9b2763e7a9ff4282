//! How blocks are entered that nobody has translated, and what happens once they are hot.
//!
//! ```text
//! shared block ── entered often ──▶ block of the machine's own ── entered often ──▶ unit of [`jit`]
//! ```
//!
//! [`jit`]: crate::jit

use crate::block::{Block, Entries, Head, Slot};
use crate::core::Core;
use crate::exec::{execute, operation_of};
use crate::hart::Hart;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod units;

/// The entries of all blocks of this engine.
pub const ENTRIES: Entries = Entries { counting: COUNTING, shared: &raw const SHARED.0 };

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
const COUNTING: *const Slot = units::COUNTING;
/// Nothing is translated on this host, so nothing is counted.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
const COUNTING: *const Slot = std::ptr::null();

/// A slot that never changes, entered from any thread.
struct Fixed(Slot);

// SAFETY: nobody writes to it.
unsafe impl Sync for Fixed {}

impl Fixed {
    const fn new(handler: crate::exec::Handler) -> Self {
        Self(Slot { head: Head { run: operation_of(handler) }, reg: [0; 4], imm: 0 })
    }
}

static SHARED: Fixed = Fixed::new(enter_shared);

/// Enters a shared block, or the machine's own copy of it once it is hot.
///
/// # Safety
/// As every handler, on the entry of `hart.block`.
unsafe fn enter_shared(hart: &mut Hart, _: *const Slot, core: &mut Core) -> *const Slot {
    let shared = hart.block;
    // SAFETY: both are live and of the same length; their slots are entered as `drive` would.
    unsafe {
        let at = match core.cache().own_if_hot(shared) {
            None => Block::first(shared),
            Some(own) => {
                hart.block = own;
                (*own).entry
            }
        };
        execute(hart, at, core)
    }
}
