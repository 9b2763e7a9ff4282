//! Makes a machine distinct from all others with the same past.

use crate::state::{StateError, StateReader, StateWriter};

/// Bytes of a generation identifier.
pub const GENERATION_BYTES: usize = 16;
/// Fewest bytes of entropy.
pub const MIN_ENTROPY_BYTES: usize = 32;

/// The input is not a valid renewal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("renewal: expected {expected}, found {found}")]
pub struct RenewalInvalid {
    /// The requirement.
    pub expected: String,
    /// The found value.
    pub found: String,
}

/// The renewal of a forked or restored machine, which makes it distinct from its siblings:
/// randomness, a generation identifier, and the time.
///
/// ```
/// use stillpoint_vmm::devices::Renewal;
/// let renewal = Renewal::new(&[7; 32], &[1; 16], 1_800_000_000_000_000_000)?;
/// assert_eq!(Renewal::decode(&renewal.encode())?, renewal);
/// assert!(Renewal::new(&[7; 31], &[1; 16], 0).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    entropy: Vec<u8>,
    generation: [u8; GENERATION_BYTES],
    realtime_nanos: u64,
}

impl Renewal {
    /// A renewal. Every stream of randomness is reseeded from `entropy`, at least 32 bytes; the
    /// guest's kernel gets `generation`, 16 bytes that no other machine has; the hardware clock is
    /// set to `realtime_nanos` (since 1970).
    ///
    /// # Errors
    /// [`RenewalInvalid`] for other lengths.
    pub fn new(
        entropy: &[u8],
        generation: &[u8],
        realtime_nanos: u64,
    ) -> Result<Self, RenewalInvalid> {
        let generation_id = <[u8; GENERATION_BYTES]>::try_from(generation);
        match generation_id {
            Ok(generation) if entropy.len() >= MIN_ENTROPY_BYTES => {
                Ok(Self { entropy: entropy.to_vec(), generation, realtime_nanos })
            }
            _ => Err(RenewalInvalid {
                expected: format!(
                    "at least {MIN_ENTROPY_BYTES} bytes of entropy and a generation of \
                     {GENERATION_BYTES}"
                ),
                found: format!("{} and {}", entropy.len(), generation.len()),
            }),
        }
    }

    /// The seed of all randomness.
    pub fn entropy(&self) -> &[u8] {
        &self.entropy
    }

    /// The generation identifier.
    pub fn generation(&self) -> [u8; GENERATION_BYTES] {
        self.generation
    }

    /// The time, in nanoseconds since 1970.
    pub fn realtime_nanos(&self) -> u64 {
        self.realtime_nanos
    }

    /// The bytes that an event records: generation, time, entropy with its length before it.
    pub fn encode(&self) -> Vec<u8> {
        StateWriter::new()
            .array(&self.generation)
            .u64(self.realtime_nanos)
            .bytes(&self.entropy)
            .finish()
    }

    /// The renewal that was recorded.
    ///
    /// # Errors
    /// [`StateError`] if the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let mut state = StateReader::new("renewal", bytes);
        let generation = state.take(GENERATION_BYTES)?;
        let realtime_nanos = state.u64()?;
        let entropy = state.bytes(bytes.len())?;
        let renewal = Self::new(entropy, generation, realtime_nanos)
            .map_err(|invalid| state.refuse(invalid.expected, invalid.found))?;
        state.finish()?;
        Ok(renewal)
    }
}
