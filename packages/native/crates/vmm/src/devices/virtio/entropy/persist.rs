//! The saved state of an entropy device.

use super::Entropy;
use crate::random::RandomStream;
use crate::state::{StateError, StateReader, StateWriter};

pub(super) fn save(entropy: &Entropy) -> Vec<u8> {
    let mut state = StateWriter::new();
    entropy.stream.save(&mut state);
    state.finish()
}

pub(super) fn load(state: &[u8]) -> Result<Entropy, StateError> {
    let mut state = StateReader::new("entropy device", state);
    let stream = RandomStream::load(&mut state)?;
    state.finish()?;
    Ok(Entropy { stream })
}
