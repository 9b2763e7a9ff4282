//! A failure as it crosses.

use napi_derive::napi;

/// Why an operation failed: the operation's error type, the variant's fixed name, and a message
/// for people. Promises are *resolved* with it: nothing is thrown across the bridge.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct Failure {
    /// `BootError`, `MachineError`, `CaptureError`, `RestoreError`, `ForkError`, `AttachError` or `ImageError`.
    pub failed: String,
    /// The variant's fixed name.
    pub name: String,
    /// What was expected, what was found, what to do.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(failed: &str, name: &str, message: impl ToString) -> Self {
        Self { failed: failed.to_owned(), name: name.to_owned(), message: message.to_string() }
    }
}
