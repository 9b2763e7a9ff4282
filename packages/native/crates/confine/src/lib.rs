//! Confined threads: threads that run guests and may use only the system calls that guests need.
//!
//! ```text
//!  confine_guests ─▶ the spawner, a thread without a filter
//!                       │ spawn            │ spawn_confined
//!                       ▼                  ▼
//!                 any other thread     a guest's thread: installs the filter, then works
//! ```
//! A thread inherits the filter of the thread that starts it. So once guests are confined, all
//! threads are started by one that was there before: a lookup of a name or the writing of a capture
//! that a guest's thread asks for is not confined with it.
//!
//! A refused system call returns `EPERM`: the operation fails with an error of its own, and other
//! machines of the process go on.

#[cfg(target_os = "linux")]
mod filter;
mod spawner;

pub use spawner::{spawn, spawn_confined};

/// Why guests cannot be confined here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a host that filters the system calls of threads (seccomp, Linux on x86-64, arm64 or riscv64), found: {found}; run guests unconfined, or in a sandbox of the operating system's"
)]
pub struct ConfineError {
    /// What the host answered.
    pub found: String,
}

/// From now on runs guests on confined threads, in the whole process and until it ends. Repeating it
/// changes nothing.
///
/// # Errors
/// If this host has no such filters; guests then run as before.
pub fn confine_guests() -> Result<(), ConfineError> {
    spawner::start()
}

/// Whether guests are confined.
///
/// ```
/// use stillpoint_confine::{confine_guests, is_confined};
/// match confine_guests() {
///     Ok(()) => assert!(is_confined()),
///     Err(why) => println!("{why}"),
/// }
/// ```
pub fn is_confined() -> bool {
    spawner::is_started()
}
