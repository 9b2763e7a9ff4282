//! Encodes the host's frames to the agent.

use super::contract::HostFrame;
use crate::event::limits;

/// A frame cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Longer than the protocol allows.
    #[error(
        "{frame} frame of {found} bytes: at most {expected} fit; send less at once (standard input \
         can follow in pieces)"
    )]
    FrameTooLarge {
        /// Name of the frame.
        frame: &'static str,
        /// Maximum bytes that fit.
        expected: usize,
        /// Bytes that it would have.
        found: usize,
    },
    /// Fewer bytes of entropy than make a new identity.
    #[error("new identity: expected at least {expected} bytes of entropy, found {found}")]
    TooLittleEntropy {
        /// Fewest bytes.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
}

impl EncodeError {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::FrameTooLarge { .. } => "FrameTooLarge",
            Self::TooLittleEntropy { .. } => "TooLittleEntropy",
        }
    }
}

impl HostFrame {
    /// The frame's bytes.
    ///
    /// ```
    /// use stillpoint_vmm::control::HostFrame;
    /// assert_eq!(HostFrame::Go.encode(), Ok(vec![1, 0, 0, 0, 0x81]));
    /// ```
    ///
    /// # Errors
    /// [`EncodeError`] if the frame cannot be sent.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        if let Self::ApplyIdentity(identity) = self
            && identity.entropy.len() < limits::ENTROPY_LEAST_BYTES
        {
            return Err(EncodeError::TooLittleEntropy {
                expected: limits::ENTROPY_LEAST_BYTES,
                found: identity.entropy.len(),
            });
        }
        self.write().finish().map_err(|found| EncodeError::FrameTooLarge {
            frame: self.name(),
            expected: limits::FRAME_BYTES,
            found,
        })
    }
}
