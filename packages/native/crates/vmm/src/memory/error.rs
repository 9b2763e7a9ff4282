//! Why guest memory could not be read or written.

/// A guest-physical address is outside memory, or its content cannot be had.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum MemoryError {
    /// No memory there.
    #[error("guest-physical address {gpa:#x} + {len} is outside memory [{base:#x}, {end:#x})")]
    OutOfRange {
        /// First address of the access.
        gpa: u64,
        /// Bytes of the access.
        len: u64,
        /// First address of memory.
        base: u64,
        /// One past the last address of memory.
        end: u64,
    },
    /// A chunk of a snapshot's memory differs from the captured one.
    #[error(
        "snapshot memory {file}, chunk {chunk} (bytes {offset} to {}): expected BLAKE3 {expected}, \
         found {found}; the file was changed after the capture: restore from another copy",
        offset + len
    )]
    CorruptChunk {
        /// The file.
        file: String,
        /// Number of the chunk in the file.
        chunk: u64,
        /// Its first byte in the file.
        offset: u64,
        /// Bytes in the chunk.
        len: u64,
        /// Digest that was recorded at the capture.
        expected: String,
        /// Digest of the file's content.
        found: String,
    },
    /// A chunk of a snapshot's memory cannot be read.
    #[error("snapshot memory {file}, chunk {chunk} (bytes {offset} to {}): {reason}", offset + len)]
    UnreadableChunk {
        /// The file.
        file: String,
        /// Number of the chunk in the file.
        chunk: u64,
        /// Its first byte in the file.
        offset: u64,
        /// Bytes in the chunk.
        len: u64,
        /// The operating system's message.
        reason: String,
    },
    /// No page is left for this guest.
    #[error(
        "no memory left for guests: all machines of this process may hold {limit_bytes} bytes; \
         close machines or raise the limit"
    )]
    Exhausted {
        /// The limit that is in force.
        limit_bytes: u64,
    },
}

impl MemoryError {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::OutOfRange { .. } => "MemoryOutOfRange",
            Self::CorruptChunk { .. } => "SnapshotChunkCorrupt",
            Self::UnreadableChunk { .. } => "SnapshotChunkUnreadable",
            Self::Exhausted { .. } => "MemoryExhausted",
        }
    }
}
