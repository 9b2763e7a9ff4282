//! What the agent tells the host, as events.

use super::MAX_FRAME_BYTES;
use super::wire::{Malformed, Payload};
use crate::event::{EventBody, ExitStatus, OutputStream, Protocol};
use crate::state::{StateError, StateReader, StateWriter};
use crate::time::Nanos;

/// After bytes that are no frame, this much silence begins a new one.
const SILENCE_NANOS: Nanos = 10_000_000;

/// Turns the guest's bytes into events, each at the byte that completes its frame.
///
/// Holds one frame at most. After an impossible length nothing can be told apart any more: one
/// event says so, and bytes are dropped until the port has been silent for 10 ms of guest time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decoder {
    held: Vec<u8>,
    lost: bool,
    last_byte_at: Nanos,
}

impl Decoder {
    /// Takes one byte written at `now`; the event whose frame it completes.
    pub fn push(&mut self, byte: u8, now: Nanos) -> Option<EventBody> {
        let silence = now.saturating_sub(self.last_byte_at);
        self.last_byte_at = now;
        if self.lost {
            if silence < SILENCE_NANOS {
                return None;
            }
            self.lost = false;
        }
        self.held.push(byte);
        let (length, body) = self.held.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length);
        if length == 0 || length as usize > MAX_FRAME_BYTES {
            self.held = Vec::new();
            self.lost = true;
            return Some(EventBody::AgentRejected {
                frame: 0,
                message: format!(
                    "control port: expected a frame of 1 to {MAX_FRAME_BYTES} bytes, found {length}"
                ),
            });
        }
        if body.len() < length as usize {
            return None;
        }
        let event = frame(body[0], &body[1..]);
        self.held.clear();
        // One large frame does not cost its memory for ever.
        self.held.shrink_to(4096);
        Some(event)
    }

    /// Appends the decoder's state.
    pub fn save(&self, state: &mut StateWriter) {
        state.bytes(&self.held).bool(self.lost).u64(self.last_byte_at);
    }

    /// Reads the decoder's state.
    ///
    /// # Errors
    /// [`StateError`] if it is not there.
    pub fn load(state: &mut StateReader<'_>) -> Result<Self, StateError> {
        let held = state.bytes(MAX_FRAME_BYTES + 4)?.to_vec();
        Ok(Self { held, lost: state.bool()?, last_byte_at: state.u64()? })
    }
}

fn frame(kind: u8, payload: &[u8]) -> EventBody {
    let mut rest = Payload(payload);
    let event = body(kind, &mut rest).and_then(|event| rest.finish().map(|()| event));
    event.unwrap_or_else(|malformed| EventBody::AgentRejected {
        frame: kind,
        message: format!(
            "control port: frame {kind:#04x} of {} bytes: expected {}",
            payload.len() + 1,
            malformed.expected
        ),
    })
}

fn exit_status(payload: &mut Payload<'_>) -> Result<ExitStatus, Malformed> {
    let kind = payload.u8()?;
    let value = payload.i32()?;
    match kind {
        0 => Ok(ExitStatus::Code(value)),
        1 => Ok(ExitStatus::Signal(value)),
        _ => Err(Malformed { expected: "an exit by code (0) or signal (1)" }),
    }
}

fn body(kind: u8, payload: &mut Payload<'_>) -> Result<EventBody, Malformed> {
    Ok(match kind {
        0x01 => EventBody::AgentReady {
            protocol_version: payload.u32()?,
            kernel_release: payload.text()?,
        },
        0x02 => EventBody::HeartbeatTick { count: payload.u64()? },
        0x03 => EventBody::WorkloadPreExec { argv: payload.list()? },
        0x04 => EventBody::ListenerBound {
            protocol: match payload.u8()? {
                6 => Protocol::Tcp,
                17 => Protocol::Udp,
                _ => return Err(Malformed { expected: "protocol 6 (tcp) or 17 (udp)" }),
            },
            address: payload.text()?,
            port: payload.u16()?,
        },
        0x05 => EventBody::WorkloadParked,
        0x06 => EventBody::WorkloadExited { status: exit_status(payload)? },
        0x07 => EventBody::WorkloadFailed {
            stage: payload.text()?,
            errno: payload.i32()?,
            message: payload.text()?,
        },
        0x08 => EventBody::AgentQuiesced { token: payload.u32()? },
        0x09 => EventBody::AgentThawed { token: payload.u32()? },
        0x0a => EventBody::IdentityApplied { token: payload.u32()? },
        0x0b => EventBody::ExecStarted { id: payload.u32()?, pid: payload.u32()? },
        0x0c => EventBody::ExecOutput {
            id: payload.u32()?,
            stream: match payload.u8()? {
                1 => OutputStream::Stdout,
                2 => OutputStream::Stderr,
                _ => return Err(Malformed { expected: "stream 1 or 2" }),
            },
            data: payload.bytes()?.to_vec(),
        },
        0x0d => EventBody::ExecExited { id: payload.u32()?, status: exit_status(payload)? },
        0x0e => EventBody::ExecFailed {
            id: payload.u32()?,
            stage: payload.text()?,
            errno: payload.i32()?,
            message: payload.text()?,
        },
        0x0f => {
            let name = payload.text()?;
            let payload_json = payload.text()?;
            if serde_json::from_str::<serde::de::IgnoredAny>(&payload_json).is_err() {
                return Err(Malformed { expected: "a payload that is JSON" });
            }
            EventBody::Custom { name, payload_json }
        }
        0x10 => EventBody::AgentRejected { frame: payload.u8()?, message: payload.text()? },
        _ => return Err(Malformed { expected: "a known type (0x01 to 0x10)" }),
    })
}

#[cfg(test)]
mod tests;
