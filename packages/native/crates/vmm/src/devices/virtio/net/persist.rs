//! The saved state of a network interface: what it holds of the driver's, and its connections. Its
//! address and MTU are the description's.

use super::{Net, QUEUE_SIZE, RECEIVE};
use crate::devices::virtio::Request;
use crate::network::Connections;
use crate::state::{StateError, StateReader, StateVersions, StateWriter};

pub(super) fn save(net: &Net) -> Vec<u8> {
    let mut state = StateWriter::new();
    state.bool(net.is_merging).u32(net.held.len() as u32);
    for request in &net.held {
        request.save(&mut state);
    }
    net.connections.save(&mut state);
    state.finish()
}

/// The second version says of each connection who began it, whether it is open and what went over it.
pub(super) const VERSIONS: StateVersions = StateVersions::new(&[|first| {
    let mut net = Net::new([2, 0, 0, 0, 0, 1], super::MIN_MTU);
    load_with(&mut net, first, Connections::load_first)?;
    Ok(save(&net))
}]);

/// Makes `net` what was saved, or leaves it as it is.
pub(super) fn load(net: &mut Net, state: &[u8]) -> Result<(), StateError> {
    load_with(net, state, Connections::load)
}

fn load_with(
    net: &mut Net,
    state: &[u8],
    connections: fn(&mut StateReader<'_>) -> Result<Connections, StateError>,
) -> Result<(), StateError> {
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
    let connections = connections(&mut state)?;
    state.finish()?;
    net.is_merging = is_merging;
    net.held = held;
    net.connections = connections;
    Ok(())
}
