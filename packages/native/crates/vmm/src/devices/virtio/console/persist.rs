//! The saved state of the agent's channel: what waits for the driver.

use super::{Console, INPUT_BYTES, MAX_MESSAGES, MESSAGE_BYTES, PORT};
use crate::state::{StateError, StateReader, StateWriter};

pub(super) fn save(console: &Console) -> Vec<u8> {
    let waiting: Vec<u8> = console.waiting.iter().copied().collect();
    let mut state = StateWriter::new();
    state.bytes(&waiting).u32(console.messages.len() as u32);
    for message in &console.messages {
        state.bytes(message);
    }
    state.finish()
}

pub(super) fn load(state: &[u8]) -> Result<Console, StateError> {
    let mut state = StateReader::new("agent's channel", state);
    let waiting = state.bytes(INPUT_BYTES)?.iter().copied().collect();
    let count = state.u32()?;
    // The last answer that was given room may be two messages.
    if count as usize > MAX_MESSAGES + 1 {
        return Err(
            state.refuse(format!("at most {} messages", MAX_MESSAGES + 1), count.to_string())
        );
    }
    let messages = (0..count)
        .map(|_| Ok(state.bytes(MESSAGE_BYTES + PORT.len())?.to_vec()))
        .collect::<Result<_, StateError>>()?;
    state.finish()?;
    Ok(Console { messages, waiting })
}
