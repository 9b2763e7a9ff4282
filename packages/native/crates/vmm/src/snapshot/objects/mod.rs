//! Chunks of snapshots, in files that snapshots share.
//!
//! ```text
//! object, a file whose name is the BLAKE3 of its index in hexadecimal digits
//! ┌───────────────────────────────────┬───────────────────────────┐
//! │ n × 16 KiB: slots, a chunk each   │ n × 32 bytes: index, the  │  1 ≤ n ≤ 1024
//! │                                   │ BLAKE3 of each slot       │
//! └───────────────────────────────────┴───────────────────────────┘
//! ```
//! All slots have the same length, so an index has no offsets to check. A restore does not read it:
//! the snapshot's tables say in which slot of which object each chunk is, and what its digest is.

mod places;
mod shelf;
mod writer;

use std::fmt;

use super::CHUNK_BYTES;

pub(super) use places::{Place, Places};
pub(super) use writer::Objects;

/// Maximum number of chunks in an object.
pub(super) const MOST_SLOTS: usize = 1024;

pub(super) const DIGEST_BYTES: usize = 32;

/// The name of an object: the digest of its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ObjectId(pub(super) [u8; DIGEST_BYTES]);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

/// An object that a table refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) id: ObjectId,
    pub(super) slots: u32,
}

impl Object {
    /// Length of its file.
    pub(super) fn bytes(self) -> u64 {
        u64::from(self.slots) * (CHUNK_BYTES + DIGEST_BYTES) as u64
    }

    /// Where in its file its index begins.
    pub(super) fn index_offset(self) -> u64 {
        u64::from(self.slots) * CHUNK_BYTES as u64
    }

    /// The object whose file has this name and length; `None` if there is no such object.
    pub(super) fn of_file(name: &str, bytes: u64) -> Option<Self> {
        let id = blake3::Hash::from_hex(name).ok()?;
        let slot_bytes = (CHUNK_BYTES + DIGEST_BYTES) as u64;
        let slots = u32::try_from(bytes / slot_bytes).ok()?;
        let is_whole = bytes.is_multiple_of(slot_bytes) && (1..=MOST_SLOTS as u32).contains(&slots);
        let object = Self { id: ObjectId(*id.as_bytes()), slots };
        (is_whole && object.id.to_string() == name).then_some(object)
    }
}
