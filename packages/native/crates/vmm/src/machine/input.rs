//! The host's input to the guest, recorded as events.

use super::Machine;
use crate::control::{EncodeError, HostFrame, clock_set_by, is_host_frame};
use crate::devices::{Renewal, RenewalInvalid};
use crate::event::{EventBody, InputKind, limits};
use crate::network::FramesInvalid;
use crate::serial_ports::{CONSOLE, CONTROL};

/// Input cannot be given to the guest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The frame cannot be sent.
    #[error(transparent)]
    Frame(#[from] EncodeError),
    /// The bytes are no frame that a host sends.
    #[error("control port: expected one whole frame of the host's, found {found}")]
    FrameInvalid {
        /// The form of the bytes.
        found: String,
    },
    /// The renewal is invalid.
    #[error(transparent)]
    RenewalInvalid(#[from] RenewalInvalid),
    /// There is no such port for host input.
    #[error("serial port {found}: expected 0, the console")]
    PortUnknown {
        /// The requested port.
        found: u32,
    },
    /// The guest has not yet taken earlier input.
    #[error("{found} bytes of input: the port has room for {expected}; let the guest run first")]
    InputFull {
        /// Bytes that fit.
        expected: u64,
        /// Bytes given.
        found: u64,
    },
    /// The bytes are no frames.
    #[error(transparent)]
    FramesInvalid(#[from] FramesInvalid),
    /// The machine has no network interface.
    #[error("the machine has no network interface: expected one that was booted with `network`")]
    InterfaceMissing,
    /// The guest takes no input any more.
    #[error("the machine has ended ({reason}) and takes no input")]
    MachineEnded {
        /// How it ended.
        reason: String,
    },
}

impl InputError {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Frame(error) => error.name(),
            Self::FrameInvalid { .. } => "FrameInvalid",
            Self::RenewalInvalid(_) => "RenewalInvalid",
            Self::PortUnknown { .. } => "PortUnknown",
            Self::InputFull { .. } => "InputFull",
            Self::FramesInvalid(_) => "FramesInvalid",
            Self::InterfaceMissing => "InterfaceMissing",
            Self::MachineEnded { .. } => "MachineEnded",
        }
    }
}

impl Machine {
    /// Sends the agent a frame at this moment; the `seq` of the `HostInput` that records it.
    ///
    /// # Errors
    /// [`InputError`]; the guest has then been given nothing.
    pub fn send_control(&mut self, frame: &HostFrame) -> Result<u64, InputError> {
        let bytes = frame.encode()?;
        self.send_control_bytes(&bytes)
    }

    /// Sends the agent a frame that holds a secret: the `HostInput` that records it has its place
    /// and none of its bytes.
    ///
    /// # Errors
    /// [`InputError`]; the guest has then been given nothing.
    pub fn send_secret(&mut self, frame: &HostFrame) -> Result<u64, InputError> {
        let bytes = frame.encode()?;
        self.accept(CONTROL, &bytes)?;
        Ok(self.record(InputKind::Withheld, CONTROL, Vec::new()))
    }

    /// Sends the agent the bytes of one whole frame, such as a recorded one. A frame that sets the
    /// guest's wall clock sets its hardware clock as well.
    ///
    /// # Errors
    /// [`InputError`]; the guest has then been given nothing.
    pub fn send_control_bytes(&mut self, frame: &[u8]) -> Result<u64, InputError> {
        let invalid = |found: String| InputError::FrameInvalid { found };
        let Some((length, body)) = frame.split_first_chunk::<4>() else {
            return Err(invalid(format!("{} bytes", frame.len())));
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length == 0 || length > limits::FRAME_BYTES || length != body.len() {
            return Err(invalid(format!("length {length} before {} bytes", body.len())));
        }
        if !is_host_frame(body[0]) {
            return Err(invalid(format!("type {:#04x}", body[0])));
        }
        self.give(InputKind::Control, CONTROL, frame)
    }

    /// Types `bytes` on the console at this moment; the `seq` of the `HostInput` that records it.
    ///
    /// # Errors
    /// [`InputError`]; the guest has then been given nothing.
    pub fn send_serial(&mut self, port: u32, bytes: &[u8]) -> Result<u64, InputError> {
        if port != CONSOLE {
            return Err(InputError::PortUnknown { found: port });
        }
        self.give(InputKind::Serial, port, bytes)
    }

    /// Types a secret on the console: the `HostInput` that records it has its place and none of its
    /// bytes.
    ///
    /// # Errors
    /// [`InputError`]; the guest has then been given nothing.
    pub fn send_serial_secret(&mut self, port: u32, bytes: &[u8]) -> Result<u64, InputError> {
        if port != CONSOLE {
            return Err(InputError::PortUnknown { found: port });
        }
        self.accept(port, bytes)?;
        Ok(self.record(InputKind::Withheld, port, Vec::new()))
    }

    /// Makes the machine, at this moment, distinct from those that it was forked or restored with:
    /// its entropy device and the engine's random numbers are reseeded, the guest's kernel gets a
    /// new generation identifier and reseeds itself, and the hardware clock is set to the given
    /// time. Devices that the machine does not have are not renewed. Returns the `seq` of the
    /// `HostInput` that records it.
    ///
    /// # Errors
    /// [`InputError::MachineEnded`]; nothing has changed then.
    pub fn renew(&mut self, renewal: &Renewal) -> Result<u64, InputError> {
        self.ready_for_input()?;
        self.platform.renew(renewal);
        Ok(self.record(InputKind::Renewal, 0, renewal.encode()))
    }

    fn give(&mut self, kind: InputKind, port: u32, bytes: &[u8]) -> Result<u64, InputError> {
        self.accept(port, bytes)?;
        if let Some(realtime_nanos) = clock_set_by(bytes).filter(|_| kind == InputKind::Control) {
            self.platform.set_clock(realtime_nanos);
        }
        Ok(self.record(kind, port, bytes.to_vec()))
    }

    fn accept(&mut self, port: u32, bytes: &[u8]) -> Result<(), InputError> {
        self.ready_for_input()?;
        self.settle_callers_before_input(port)?;
        match self.platform.accept_input(port, bytes) {
            None => return Err(InputError::PortUnknown { found: port }),
            Some(Err(full)) => {
                return Err(InputError::InputFull {
                    expected: full.room as u64,
                    found: bytes.len() as u64,
                });
            }
            Some(Ok(())) => {}
        }
        Ok(())
    }

    pub(super) fn ready_for_input(&mut self) -> Result<(), InputError> {
        if let Some(reason) = self.ending() {
            return Err(InputError::MachineEnded { reason });
        }
        self.settle_moment();
        Ok(())
    }

    /// Has the guest at the moment at which the host does something to it.
    pub(super) fn settle_moment(&mut self) {
        // Work of devices that is due at this moment comes before input at this moment, whether or
        // not the last run had come to it.
        self.platform.tick();
        // It may end the guest's wait.
        self.wakes_at = None;
    }

    pub(super) fn record(&mut self, kind: InputKind, port: u32, data: Vec<u8>) -> u64 {
        let seq = self.platform.log().next_seq();
        self.platform.emit(EventBody::HostInput { kind, port, data });
        seq
    }
}
