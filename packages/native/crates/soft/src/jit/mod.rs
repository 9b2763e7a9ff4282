//! The second tier: guest code that runs often, as code of the host.
//!
//! The interpreter is the reference. Translated code holds fast paths only and calls the
//! interpreter's handlers, one instruction at a time, for everything else, so that both tiers are
//! the same machine to the guest, and to saves, forks and stops at any instruction. Nothing here is
//! state: translated code may be dropped between any two instructions.
//!
//! * [`assembler`] the host instructions that are used
//! * [`memory`] where code is kept, never writable and executable at one address
//! * [`layout`] what units refer to; `thunks` the code that they share
//! * [`unit`] one run of guest instructions to host code, its loads and stores; `registers` where
//!   guest registers are, `ways` its jumps and ways out; `integer`, `float` and `atomic` the fast
//!   paths of those instructions
//! * [`arena`] units that all machines of the process execute in place, and the pages they were made
//!   from; [`store`] the arena that is filled now; `own` units of one machine alone
//! * [`translator`] the translations that one machine has, how units are found, entry and exit
//!
//! [`hot`](crate::hot) says when a block becomes a unit, and enters it.
//!
//! x86-64 Linux. On other hosts everything is interpreted.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod arena;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod assembler;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod atomic;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod code_page;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod float;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod integer;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod layout;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod memory;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod own;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod registers;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod store;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod thunks;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod translator;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod unit;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod ways;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod absent;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub use absent::{DEFAULT_HEAT, Store, Translator};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use store::Store;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use translator::{DEFAULT_HEAT, Translator};

/// Counts of a machine's translations.
#[derive(Debug, Clone, Copy, Default)]
pub struct Made {
    /// Guest instructions that it had translated.
    pub instructions: u64,
    /// Bytes of code that was made for them.
    pub code_bytes: usize,
    /// Pages of which another machine had translated code when this one came to execute there.
    pub adopted_pages: u64,
}

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod tests;
