//! The saved state of a block device: its disk, and the requests in flight.

use std::collections::VecDeque;

use super::{Block, QUEUE_SIZE, Request};
use crate::disks::{Access, Attached, MAX_NAME_BYTES};
use crate::state::{StateError, StateReader, StateWriter};

pub(super) fn save(block: &Block) -> Vec<u8> {
    let mut state = StateWriter::new();
    state.bool(block.attached.is_some());
    if let Some(Attached { name, access, size_bytes }) = &block.attached {
        state.bytes(name.as_bytes()).bytes(access.name().as_bytes()).u64(*size_bytes);
    }
    state.u32(block.in_work.len() as u32);
    for (at, request) in &block.in_work {
        state.u64(*at);
        request.save(&mut state);
    }
    state.finish()
}

/// The state of `block` when it was saved.
pub(super) fn load(block: &Block, state: &[u8]) -> Result<Block, StateError> {
    let mut state = StateReader::new("block device", state);
    let attached = if state.bool()? {
        let name = String::from_utf8_lossy(state.bytes(MAX_NAME_BYTES)?).into_owned();
        let access = String::from_utf8_lossy(state.bytes(MAX_NAME_BYTES)?).into_owned();
        let size_bytes = state.u64()?;
        let Some(access) = Access::of(&access) else {
            return Err(state.refuse("a kind of access", access));
        };
        let disk = Attached { name, access, size_bytes }.checked();
        Some(disk.map_err(|problem| state.refuse("a disk", problem))?)
    } else {
        None
    };
    if !block.is_slot && attached != block.attached {
        return Err(state.refuse(format!("{:?}", block.attached), format!("{attached:?}")));
    }
    let count = state.u32()?;
    if count > u32::from(QUEUE_SIZE) {
        return Err(state.refuse(format!("at most {QUEUE_SIZE} requests"), count.to_string()));
    }
    let mut in_work = VecDeque::new();
    for _ in 0..count {
        let (at, request) = (state.u64()?, Request::load(&mut state)?);
        if in_work.back().is_some_and(|(before, _)| *before > at) {
            return Err(state.refuse("requests in the order of their times", at.to_string()));
        }
        in_work.push_back((at, request));
    }
    state.finish()?;
    Ok(Block { number: block.number, is_slot: block.is_slot, attached, in_work })
}
