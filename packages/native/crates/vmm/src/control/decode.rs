//! Decodes the agent's frames into events.

use super::contract::event;
use super::wire::Payload;
use crate::event::limits::FRAME_BYTES;
use crate::event::{EventBody, FrameName, RejectReason};
use crate::state::{StateError, StateReader, StateWriter};
use crate::time::Nanos;

/// After bytes that are no frame, this much silence begins a new one.
const SILENCE_NANOS: Nanos = 10_000_000;

/// Turns the guest's bytes into events, each at the byte that completes its frame.
///
/// Holds one frame at most. After an impossible length, frames can no longer be told apart: one
/// event reports it, and bytes are dropped until the port has been silent for 10 ms of guest time.
/// After the hello of an agent with another contract, all bytes are dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decoder {
    held: Vec<u8>,
    lost: bool,
    last_byte_at: Nanos,
}

impl Decoder {
    /// Takes one byte written at `now`; the event whose frame it completes.
    pub fn push(&mut self, byte: u8, now: Nanos) -> Option<EventBody> {
        if self.is_deaf() {
            return None;
        }
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
        if length == 0 || length as usize > FRAME_BYTES {
            self.held = Vec::new();
            self.lost = true;
            return Some(refused(
                FrameName::Unknown,
                RejectReason::FrameTooLarge,
                format_args!("expected a frame of 1 to {FRAME_BYTES} bytes, found {length}"),
            ));
        }
        if body.len() < length as usize {
            return None;
        }
        let (event, is_of_another_contract) = frame(body[0], &body[1..]);
        self.held.clear();
        // One large frame does not cost its memory for ever.
        self.held.shrink_to(4096);
        if is_of_another_contract {
            (self.lost, self.last_byte_at) = (true, Nanos::MAX);
        }
        Some(event)
    }

    /// Takes bytes written together at `now`, as if one by one.
    pub fn extend(&mut self, mut bytes: &[u8], now: Nanos, events: &mut Vec<EventBody>) {
        while let Some((first, rest)) = bytes.split_first() {
            events.extend(self.push(*first, now));
            // Of the missing bytes, only the last one completes a frame.
            let waits = self.missing_bytes().saturating_sub(1).min(rest.len());
            self.held.extend_from_slice(&rest[..waits]);
            bytes = &rest[waits..];
        }
    }

    /// Bytes that the frame which is held misses, if its length is known.
    fn missing_bytes(&self) -> usize {
        self.held.first_chunk::<4>().map_or(0, |length| {
            (4 + u32::from_le_bytes(*length) as usize).saturating_sub(self.held.len())
        })
    }

    /// Whether the agent has another contract, so that its frames are ignored.
    fn is_deaf(&self) -> bool {
        self.lost && self.last_byte_at == Nanos::MAX
    }

    /// Whether any bytes have come over the port.
    pub fn has_heard(&self) -> bool {
        self.last_byte_at > 0 || !self.held.is_empty()
    }

    /// Appends the decoder's state.
    pub fn save(&self, state: &mut StateWriter) {
        state.bytes(&self.held).bool(self.lost).u64(self.last_byte_at);
    }

    /// Reads the decoder's state.
    ///
    /// # Errors
    /// [`StateError`] if the state is missing.
    pub fn load(state: &mut StateReader<'_>) -> Result<Self, StateError> {
        let held = state.bytes(FRAME_BYTES + 4)?.to_vec();
        Ok(Self { held, lost: state.bool()?, last_byte_at: state.u64()? })
    }
}

fn refused(
    request: FrameName,
    reason: RejectReason,
    message: std::fmt::Arguments<'_>,
) -> EventBody {
    EventBody::AgentRejected {
        request,
        id: None,
        reason,
        message: format!("control port: {message}"),
    }
}

/// The event of a frame, and whether its sender has turned out to be an agent of another contract.
fn frame(kind: u8, payload: &[u8]) -> (EventBody, bool) {
    let mut rest = Payload(payload);
    let event = event(kind, &mut rest).and_then(|event| rest.finish().map(|()| event));
    let malformed = match event {
        Ok(event) => return (event, false),
        Err(malformed) => malformed,
    };
    let event = refused(
        FrameName::by_number(kind),
        malformed.reason(),
        format_args!(
            "frame {kind:#04x} of {} bytes: expected {}",
            payload.len() + 1,
            malformed.expected()
        ),
    );
    (event, malformed.reason() == RejectReason::ContractMismatch)
}

#[cfg(test)]
mod tests;
