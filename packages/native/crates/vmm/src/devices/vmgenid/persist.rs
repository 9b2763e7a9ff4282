//! The saved state of a generation identifier.

use super::VmGenId;
use crate::state::{StateError, StateReader, StateWriter};

pub(super) fn save(device: &VmGenId) -> Vec<u8> {
    StateWriter::new().array(&device.identifier).bool(device.has_changed).finish()
}

pub(super) fn load(state: &[u8]) -> Result<VmGenId, StateError> {
    let mut state = StateReader::new("generation identifier", state);
    let device = VmGenId { identifier: state.array()?, has_changed: state.bool()? };
    state.finish()?;
    Ok(device)
}
