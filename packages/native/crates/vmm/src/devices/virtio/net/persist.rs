//! The saved state of a network interface: what it holds of the driver's, and its connections. Its
//! address and MTU are the description's.

use super::{Net, QUEUE_SIZE, RECEIVE};
use crate::devices::virtio::Request;
use crate::network::Connections;
use crate::state::{StateError, StateReader, StateWriter};

pub(super) fn save(net: &Net) -> Vec<u8> {
    let mut state = StateWriter::new();
    state.bool(net.is_merging).u32(net.held.len() as u32);
    for request in &net.held {
        request.save(&mut state);
    }
    net.connections.save(&mut state);
    state.finish()
}

/// Makes `net` what was saved, or leaves it as it is.
pub(super) fn load(net: &mut Net, state: &[u8]) -> Result<(), StateError> {
    let mut state = StateReader::new("network interface", state);
    let is_merging = state.bool()?;
    let count = state.u32()?;
    if count > u32::from(QUEUE_SIZE) {
        return Err(state.refuse(format!("at most {QUEUE_SIZE} buffers"), count.to_string()));
    }
    let held = (0..count)
        .map(|_| {
            let request = Request::load(&mut state)?;
            if request.queue() == RECEIVE {
                return Ok(request);
            }
            Err(state.refuse("a buffer of the queue that receives", format!("{request:?}")))
        })
        .collect::<Result<_, _>>()?;
    let connections = Connections::load(&mut state)?;
    state.finish()?;
    net.is_merging = is_merging;
    net.held = held;
    net.connections = connections;
    Ok(())
}
