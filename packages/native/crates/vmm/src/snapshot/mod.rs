//! A machine in files.
//!
//! ```text
//! directory
//! ├── machine.bin      what the machine is and was doing; names the digest of memory.digests
//! ├── memory.digests   which pages are stored; digest and place of each chunk that has any
//! ├── <object>         up to 1024 chunks, of memory and of disks (see `objects`)
//! │
//! ├── disk-N.digests   what disk number N has of its own, if it has anything, as memory.digests
//! └── disk-N.blocks    digests of the blocks of the file that it is read from, if there is one
//!
//! machine.bin
//! ┌──────────┬─────────────┬──────────────┬───────────┬────────────────────────────────┬────────┐
//! │"STILLPT\0│ u32 version │ u32 length H │ H × JSON  │ u32 n, n × (name, u32 version, │ BLAKE3 │
//! │          │             │              │ header    │ state): engine, devices, …     │ of all │
//! └──────────┴─────────────┴──────────────┴───────────┴────────────────────────────────┴────────┘
//!
//! memory.digests
//! ┌───────────┬─────────────┬─────────────────┬───────────┬──────────────────────────────────────┐
//! │"STILLDIG" │ u32 version │ u32 chunk bytes │ u64 pages │ u32 o, o × (object's name: 32 bytes, │
//! │           │             │                 │           │ u32 slots)                           │
//! ├───────────┴─────────────┴─────────────────┴───┬───────┴──────┬───────────────────────────────┤
//! │ u32 r, r × (u32 object, u32 slot, u32 chunks) │ one bit per  │ n × 32 bytes: BLAKE3 of each  │
//! │ places of the n chunks with stored pages      │ stored page  │ of the n chunks               │
//! ├───────────────────────────────────────────────┴──────────────┴───────────────────────────────┤
//! │ u32 m, m × (u32 first page, u32 pages, u8 byte): pages that are all that byte                │
//! └──────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//! An encrypted snapshot has version 4 in `machine.bin`; its states and the slots of its objects are
//! encrypted (see `encryption`), and nothing else differs.
//!
//! Versions 1 and 2 can be read too. They have `memory.bin` and `disk-N.bin`, sparse files with each
//! page at its offset, instead of objects and places; version 1 also has no versions of states.
//!
//! The header holds the description that a restore builds the machine from. Names and states are
//! bytes behind their u64 count. Each state has its own version, and its reader converts earlier
//! ones.
//!
//! Pages of one repeated byte are not stored: a kernel fills the freed parts of its initial RAM file
//! system and of itself with `0xcc`.
//!
//! A snapshot's identity is the BLAKE3 of its `machine.bin`, which covers the others. A delta names
//! its parent's identity; its pages go over the parent's. A disk that is complete in a delta is not
//! the parent's. The file that a disk is read from is no part of the snapshot, which says where it
//! was, how long it is and what its digest is: it is found again by those, and its blocks are
//! verified when they are read.
//!
//! Memory is read and verified in chunks, when a page is first touched, into memory that all
//! machines restored from the snapshot in this process share. It is read, not mapped: truncating or
//! editing a file after it was verified neither kills the process nor reaches a guest. The data that
//! the latest restore read stays in memory for the next restore of the same files, so that machines
//! restored one after the other read and verify once; the file stays open too.

mod capture;
mod digests;
mod disks;
mod encryption;
mod error;
mod header;
mod id;
mod image;
mod layer;
mod objects;
mod output;
mod restore;
mod write;

pub use capture::{Capture, CaptureKind};
pub use disks::DiskSource;
pub use encryption::{EncryptionHeader, EncryptionKey, KEY_BYTES, KeyRefused};
pub use error::{BeginCaptureError, RestoreError, WriteError};
pub use header::{DiskHeader, SnapshotHeader, SnapshotKind, SourceHeader, read_header};
pub use id::SnapshotId;
pub use output::CapturedFile;
pub use restore::{RestoreOptions, verify};
pub use write::{CapturedFiles, WriteOptions};

pub use crate::machine::Origin;

/// The machine's description and state.
pub const MACHINE_FILE: &str = "machine.bin";
/// Memory, in versions 1 and 2.
pub(crate) const MEMORY_FILE: &str = "memory.bin";
/// Memory's table: the digests and the places of its chunks.
pub const DIGESTS_FILE: &str = "memory.digests";

/// Version of the format that this build writes; it reads this and earlier ones.
pub const FORMAT_VERSION: u32 = 3;

/// Version of `machine.bin` in a snapshot that is encrypted.
pub const ENCRYPTED_VERSION: u32 = 4;

/// Bytes of memory that are verified together.
pub const CHUNK_BYTES: usize = 16 * 1024;

const CHUNK_PAGES: usize = CHUNK_BYTES / crate::memory::PAGE_BYTES;

#[cfg(test)]
mod tests;
