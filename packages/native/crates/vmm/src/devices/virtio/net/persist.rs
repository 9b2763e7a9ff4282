//! The saved state of a network interface: the driver's buffers that it holds, and its connections.
//! Its address and MTU are in the description.

use super::{Net, QUEUE_SIZE, RECEIVE};
use crate::devices::virtio::Request;
use crate::network::Connections;
use crate::state::{StateError, StateReader, StateVersions, StateWriter};

pub(super) fn save(net: &Net) -> Vec<u8> {
    let mut state = save_with(net, Connections::save);
    state.bool(net.has_version_6);
    state.finish()
}

fn save_with(net: &Net, connections: fn(&Connections, &mut StateWriter)) -> StateWriter {
    let mut state = StateWriter::new();
    state.bool(net.is_merging).u32(net.held.len() as u32);
    for request in &net.held {
        request.save(&mut state);
    }
    connections(&net.connections, &mut state);
    state
}

/// The second version says of each connection who began it, whether it is open and what went over it.
/// The third has addresses of both versions, and says whether the guest has sent one of version 6.
pub(super) const VERSIONS: StateVersions = StateVersions::new(&[
    |first| {
        let net = earlier(first, Connections::load_first)?;
        Ok(save_with(&net, Connections::save_second).finish())
    },
    |second| Ok(save(&earlier(second, Connections::load_second)?)),
]);

type LoadConnections = fn(&mut StateReader<'_>) -> Result<Connections, StateError>;

/// An interface with the state of an earlier version.
fn earlier(state: &[u8], connections: LoadConnections) -> Result<Net, StateError> {
    let mut net = Net::new([2, 0, 0, 0, 0, 1], super::MIN_MTU);
    let mut state = StateReader::new("network interface", state);
    load_with(&mut net, &mut state, connections)?;
    state.finish()?;
    Ok(net)
}

/// Restores the saved state of `net`, or leaves it unchanged.
pub(super) fn load(net: &mut Net, state: &[u8]) -> Result<(), StateError> {
    let mut state = StateReader::new("network interface", state);
    let mut loaded = net.clone();
    load_with(&mut loaded, &mut state, Connections::load)?;
    loaded.has_version_6 = state.bool()?;
    state.finish()?;
    *net = loaded;
    Ok(())
}

fn load_with(
    net: &mut Net,
    state: &mut StateReader<'_>,
    connections: LoadConnections,
) -> Result<(), StateError> {
    net.is_merging = state.bool()?;
    let count = state.u32()?;
    if count > u32::from(QUEUE_SIZE) {
        return Err(state.refuse(format!("at most {QUEUE_SIZE} buffers"), count.to_string()));
    }
    net.held = (0..count)
        .map(|_| {
            let request = Request::load(state)?;
            if request.queue() == RECEIVE {
                return Ok(request);
            }
            Err(state.refuse("a buffer of the queue that receives", format!("{request:?}")))
        })
        .collect::<Result<_, _>>()?;
    net.connections = connections(state)?;
    Ok(())
}
