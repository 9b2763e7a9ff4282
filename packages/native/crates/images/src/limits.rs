//! Limits on the host's resources for an image.

use crate::error::ImageError;

/// Limits beyond which an image is refused. The defaults are far above the needs of real images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries of all layers together; each takes some hundred bytes of memory.
    pub entries: u64,
    /// Bytes of all files together, holes included.
    pub unpacked_bytes: u64,
    /// Bytes that a layer may unpack to for each of its compressed ones, once it has unpacked to
    /// more than [`Self::ratio_free_bytes`].
    pub ratio: u64,
    /// So much may come out of any layer: a file of zeros is no bomb.
    pub ratio_free_bytes: u64,
    /// Bytes of names, links, attributes and maps of holes, which are held in memory.
    pub metadata_bytes: u64,
    /// Directories inside one another.
    pub depth: u64,
    /// Layers.
    pub layers: u64,
}

impl Limits {
    /// Maximum depth of directories, whatever the request: a path in the guest has at most 4096
    /// bytes.
    pub const MOST_DEPTH: u64 = 2048;

    /// Compares a found value with a limit.
    ///
    /// # Errors
    /// [`ImageError::LimitExceeded`].
    pub(crate) fn keep(
        limit: &'static str,
        most: u64,
        found: u64,
        what: impl FnOnce() -> String,
    ) -> Result<(), ImageError> {
        if found <= most {
            return Ok(());
        }
        Err(ImageError::LimitExceeded { what: what(), limit, most, found })
    }

    /// The limits themselves.
    ///
    /// # Errors
    /// [`ImageError::OptionInvalid`] for a depth that no guest could reach.
    pub(crate) fn check(&self) -> Result<(), ImageError> {
        if self.depth > Self::MOST_DEPTH {
            return Err(ImageError::OptionInvalid {
                option: "limits.depth".to_owned(),
                expected: "at most 2048",
                found: self.depth.to_string(),
            });
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            unpacked_bytes: 32 << 30,
            ratio: 200,
            ratio_free_bytes: 256 << 20,
            metadata_bytes: 512 << 20,
            depth: 512,
            layers: 500,
        }
    }
}
