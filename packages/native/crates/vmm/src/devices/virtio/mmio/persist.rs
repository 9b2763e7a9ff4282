//! The saved state of a transport, with that of the device behind it.

use super::{Queue, VirtioMmio};
use crate::state::{StateError, StateReader, StateVersions, StateWriter};

/// Bytes of a saved queue in version 1: size, whether it is on, three addresses.
const VERSION_1_PLACES_BYTES: usize = 2 + 1 + 3 * 8;

pub(super) const VERSIONS: StateVersions = StateVersions::new(&[from_version_1]);

pub(super) fn save(transport: &VirtioMmio) -> Vec<u8> {
    let mut state = StateWriter::new();
    state
        .u32(transport.queue_select)
        .u32(transport.device_features_select)
        .u32(transport.driver_features_select)
        .u64(transport.driver_features)
        .u32(transport.status)
        .u32(transport.interrupt)
        .u32(transport.generation)
        .u32(transport.queues.len() as u32);
    for queue in &transport.queues {
        queue.save(&mut state);
    }
    let device = &transport.device;
    state.u32(device.state_versions().current()).bytes(&device.save());
    state.finish()
}

/// Restores the saved state of `transport`; after an error, drop it.
pub(super) fn load(transport: &mut VirtioMmio, state: &[u8]) -> Result<(), StateError> {
    let mut state = StateReader::new("virtio transport", state);
    transport.queue_select = state.u32()?;
    transport.device_features_select = state.u32()?;
    transport.driver_features_select = state.u32()?;
    transport.driver_features = state.u64()?;
    transport.status = state.u32()?;
    transport.interrupt = state.u32()?;
    transport.generation = state.u32()?;
    let count = state.u32()?;
    let sizes = transport.device.queue_sizes();
    if count as usize != sizes.len() {
        return Err(state.refuse(format!("{} queues", sizes.len()), count.to_string()));
    }
    transport.queues =
        sizes.iter().map(|most| Queue::load(&mut state, *most)).collect::<Result<_, _>>()?;
    let version = state.u32()?;
    let device = state.bytes(usize::MAX)?;
    state.finish()?;
    let versions = transport.device.state_versions();
    transport.device.load(&versions.brought_up("virtio device", version, device)?)
}

/// Version 1 had neither a generation nor requests in work, and its devices no versions.
fn from_version_1(old: &[u8]) -> Result<Vec<u8>, StateError> {
    let mut old = StateReader::new("virtio transport, version 1", old);
    let mut state = StateWriter::new();
    // Three selections, the features, status and interrupt.
    state.array(old.take(3 * 4 + 8 + 2 * 4)?).u32(0);
    let count = old.u32()?;
    state.u32(count);
    for _ in 0..count {
        state.array(old.take(VERSION_1_PLACES_BYTES)?);
        let (next_available, next_used) = (old.u16()?, old.u16()?);
        state.u16(next_available).u16(next_used).u16(next_used).u16(0).u32(0);
    }
    state.u32(1).bytes(old.bytes(usize::MAX)?);
    old.finish()?;
    Ok(state.finish())
}
