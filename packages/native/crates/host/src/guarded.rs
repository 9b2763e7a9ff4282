//! Panics that go no further.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `body`; a panic becomes its message.
///
/// # Errors
/// The panic's message. State that `body` may have left half done must not be used again.
pub fn guarded<R>(body: impl FnOnce() -> R) -> Result<R, String> {
    // State that the body may have left half done belongs to a machine that is dropped and never
    // used again.
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        if let Some(text) = payload.downcast_ref::<String>() {
            text.clone()
        } else if let Some(text) = payload.downcast_ref::<&str>() {
            (*text).to_owned()
        } else {
            "a panic without a message".to_owned()
        }
    })
}
