//! Panics that go no further.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `body`; a panic becomes its message.
///
/// # Errors
/// What the panic said. Whatever `body` could have left half done must not be looked at again.
pub fn guarded<R>(body: impl FnOnce() -> R) -> Result<R, String> {
    // What the body may have left half done belongs to a machine that is dropped and never
    // looked at again.
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
