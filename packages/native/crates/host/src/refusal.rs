//! The refusal of any operation.

mod examples;

pub use examples::examples;

use crate::session::SessionError;
use stillpoint_net::NetworkError;
use stillpoint_vmm::control::EncodeError;
use stillpoint_vmm::event::EventsLost;
use stillpoint_vmm::machine::{AttachError, CreateError, ForkError, InputError, InspectError};
use stillpoint_vmm::snapshot::{BeginCaptureError, RestoreError, WriteError};

/// An error of any operation, flattened: its fixed name and its message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The variant's fixed name, the same on every side.
    pub name: &'static str,
    /// What was expected, what was found, what to do.
    pub message: String,
}

/// Flattens errors that have a `name`.
macro_rules! flattened {
    ($($error:ty),*) => {$(
        impl From<$error> for Refusal {
            fn from(error: $error) -> Self {
                Self { name: error.name(), message: error.to_string() }
            }
        }
    )*};
}

flattened!(
    SessionError,
    EventsLost,
    AttachError,
    CreateError,
    ForkError,
    InputError,
    InspectError,
    EncodeError,
    BeginCaptureError,
    WriteError,
    RestoreError,
    NetworkError
);
