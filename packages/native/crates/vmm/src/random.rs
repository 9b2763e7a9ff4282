//! Randomness for guests: reproducible from a seed, or the host's.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::state::{StateError, StateReader, StateWriter};

/// The text for a seed of the host's.
const HOST: &str = "host";

/// The source of a machine's randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seed {
    /// From these bytes: equal seeds give equal runs.
    Fixed([u8; 32]),
    /// From the host, fresh for every machine, fork and restore: runs differ.
    Host,
}

impl Serialize for Seed {
    /// `host`, or the fixed bytes in hexadecimal digits.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(bytes) => {
                blake3::Hash::from_bytes(*bytes).to_hex().as_str().serialize(serializer)
            }
            Self::Host => HOST.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == HOST {
            return Ok(Self::Host);
        }
        let expected = "seed: expected `host` or 64 hexadecimal digits";
        let bytes = blake3::Hash::from_hex(&text).map_err(|_| D::Error::custom(expected))?;
        Ok(Self::Fixed(*bytes.as_bytes()))
    }
}

impl Seed {
    /// A fixed seed from a number.
    pub fn from_number(number: u64) -> Self {
        Self::Fixed(blake3::derive_key("stillpoint seed from a number", &number.to_le_bytes()))
    }
}

/// Random bytes of the host.
pub(crate) fn host_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    for chunk in bytes.chunks_mut(256) {
        // SAFETY: the pointer and length describe `chunk`; getentropy takes at most 256 bytes.
        let failed = unsafe { libc::getentropy(chunk.as_mut_ptr().cast(), chunk.len()) } != 0;
        if failed {
            // Only a kernel older than 3.17 gets here; the clock is then all there is.
            let clock = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| since.as_nanos());
            let seed = blake3::derive_key("stillpoint clock", &clock.to_le_bytes());
            chunk.copy_from_slice(&seed.repeat(8)[..chunk.len()]);
        }
    }
    bytes
}

/// An endless stream of bytes: the extended output of BLAKE3, keyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RandomStream {
    key: [u8; 32],
    position: u64,
    from_host: bool,
}

impl RandomStream {
    /// The stream of `seed` for `purpose`. Streams of different purposes are independent.
    pub fn new(seed: Seed, purpose: &str) -> Self {
        let (material, from_host) = match seed {
            Seed::Fixed(seed) => (seed, false),
            Seed::Host => (host_bytes(), true),
        };
        Self { key: key_of(&material, purpose), position: 0, from_host }
    }

    /// Reseeds from `material`, for `purpose`.
    pub fn renew(&mut self, material: &[u8], purpose: &str) {
        (self.key, self.position) = (key_of(material, purpose), 0);
    }

    /// The next bytes.
    pub fn fill(&mut self, into: &mut [u8]) {
        let mut stream = blake3::Hasher::new_keyed(&self.key).finalize_xof();
        stream.set_position(self.position);
        stream.fill(into);
        self.position = self.position.wrapping_add(into.len() as u64);
    }

    /// The stream of a fork or a restored machine: the same or, if it is the host's, a fresh one.
    #[must_use]
    pub fn continued(&self) -> Self {
        let key = if self.from_host { host_bytes() } else { self.key };
        Self { key, ..*self }
    }

    /// Appends the stream's state.
    pub fn save(&self, state: &mut StateWriter) {
        state.array(&self.key).u64(self.position).bool(self.from_host);
    }

    /// Reads the stream's state.
    ///
    /// # Errors
    /// [`StateError`] if it is not there.
    pub fn load(state: &mut StateReader<'_>) -> Result<Self, StateError> {
        let stream = Self { key: state.array()?, position: state.u64()?, from_host: state.bool()? };
        Ok(stream.continued())
    }
}

fn key_of(material: &[u8], purpose: &str) -> [u8; 32] {
    blake3::derive_key(&format!("stillpoint randomness for {purpose}"), material)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_bytes_however_they_are_asked_for() {
        let mut whole = [0; 100];
        RandomStream::new(Seed::from_number(1), "a").fill(&mut whole);
        let mut stream = RandomStream::new(Seed::from_number(1), "a");
        let mut parts = [0; 100];
        let (head, tail) = parts.split_at_mut(33);
        stream.fill(head);
        let mut saved = StateWriter::new();
        stream.save(&mut saved);
        let saved = saved.finish();
        let mut stream = RandomStream::load(&mut StateReader::new("stream", &saved)).expect("same");
        stream.fill(tail);
        assert_eq!(whole, parts);
        let mut other = [0; 100];
        RandomStream::new(Seed::from_number(1), "b").fill(&mut other);
        assert_ne!(whole, other);
        assert_ne!(RandomStream::new(Seed::Host, "a"), RandomStream::new(Seed::Host, "a"));
    }
}
