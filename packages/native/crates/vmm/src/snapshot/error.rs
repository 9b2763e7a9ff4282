//! Why a machine cannot be captured or restored.

use super::encryption::KeyRefused;
use crate::disks::{DiskError, DiskFault};
use crate::machine::{DescriptionInvalid, RestoredInvalid};
use crate::memory::MemoryError;
use crate::state::StateError;

/// A capture cannot begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BeginCaptureError {
    /// The engine failed before.
    #[error("the machine has faulted ({message}) and cannot be captured")]
    MachineFaulted {
        /// The reason.
        message: String,
    },
    /// The engine fails to give its state.
    #[error("the engine panicked while it was saved; the machine is good for nothing any more")]
    EngineFailed,
    /// The machine does not know what changed since that snapshot.
    #[error(
        "delta since snapshot {expected}: neither this machine nor a fork of it was captured to \
         it, and it was not restored from it (it knows {found}); capture it in full"
    )]
    ParentUnknown {
        /// The requested snapshot.
        expected: String,
        /// Those that the machine knows.
        found: String,
    },
}

impl BeginCaptureError {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MachineFaulted { .. } => "MachineFaulted",
            Self::EngineFailed => "EngineFailed",
            Self::ParentUnknown { .. } => "ParentUnknown",
        }
    }
}

/// A capture cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The directory cannot be used.
    #[error("snapshot directory {path}: {reason}")]
    DirectoryUnusable {
        /// The directory.
        path: String,
        /// The operating system's message.
        reason: String,
    },
    /// A file is already there.
    #[error("{file} exists already: a snapshot is written to an empty directory")]
    FileExists {
        /// The file.
        file: String,
    },
    /// The disk is full, or a quota or file size limit is reached.
    #[error("{file}: no space left ({reason}); {expected} bytes were to be written")]
    DiskFull {
        /// The file.
        file: String,
        /// Bytes that were to be written.
        expected: u64,
        /// The operating system's message.
        reason: String,
    },
    /// A file cannot be written or flushed.
    #[error("{file}: {reason}")]
    WriteFailed {
        /// The file.
        file: String,
        /// The operating system's message.
        reason: String,
    },
    /// The snapshot that the machine was restored from can no longer be read.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The file that a disk is read from can no longer be read, or is another.
    #[error(transparent)]
    Disk(#[from] DiskFault),
    /// A delta is encrypted with its parent's key, or with none, as its parent.
    #[error("a delta is encrypted as its parent is: {0}")]
    Key(#[from] KeyRefused),
}

impl WriteError {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::DirectoryUnusable { .. } => "DirectoryUnusable",
            Self::FileExists { .. } => "FileExists",
            Self::DiskFull { .. } => "DiskFull",
            Self::WriteFailed { .. } => "WriteFailed",
            Self::Memory(error) => error.name(),
            Self::Disk(fault) => fault.name(),
            Self::Key(refused) => refused.name(),
        }
    }
}

/// A machine cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// There is no such directory.
    #[error("snapshot {path}: expected a directory, found {found}")]
    SnapshotMissing {
        /// The directory.
        path: String,
        /// The found content.
        found: String,
    },
    /// A file of the snapshot is missing.
    #[error("{file}: expected a file of the snapshot, found none")]
    FileMissing {
        /// The file.
        file: String,
    },
    /// A file of the snapshot cannot be read.
    #[error("{file}: {reason}")]
    FileUnreadable {
        /// The file.
        file: String,
        /// The operating system's message.
        reason: String,
    },
    /// A file is shorter or longer than it was.
    #[error("{file}: expected {expected} bytes, found {found}")]
    FileSizeWrong {
        /// The file.
        file: String,
        /// Bytes that it had.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// A file does not begin as such a file does.
    #[error("{file}: expected a snapshot's file, found something else")]
    NotASnapshot {
        /// The file.
        file: String,
    },
    /// Another version of the format.
    #[error(
        "{file}: expected format version 1 to {expected}, found {found}; use a build that reads it, \
         or capture anew"
    )]
    VersionUnsupported {
        /// The file.
        file: String,
        /// The last version that this build reads.
        expected: u32,
        /// The file's version.
        found: u32,
    },
    /// A file was changed, or is of another snapshot.
    #[error("{file}: expected BLAKE3 {expected}, found {found}: the file was changed or swapped")]
    FileCorrupt {
        /// The file.
        file: String,
        /// Digest recorded.
        expected: String,
        /// Digest found.
        found: String,
    },
    /// A file contradicts itself.
    #[error("{file}: expected {expected}, found {found}")]
    FileInvalid {
        /// The file.
        file: String,
        /// The correct value.
        expected: String,
        /// The found value.
        found: String,
    },
    /// A different snapshot from the requested one.
    #[error("snapshot {path}: expected identity {expected}, found {found}")]
    IdMismatch {
        /// The directory.
        path: String,
        /// The requested identity.
        expected: String,
        /// The identity found.
        found: String,
    },
    /// The snapshot was taken on another engine or board.
    #[error("snapshot {path}: expected one of engine {expected}, found one of {found}")]
    EngineMismatch {
        /// The directory.
        path: String,
        /// The engine to restore into.
        expected: String,
        /// The engine that it was taken on.
        found: String,
    },
    /// A delta without its parent.
    #[error(
        "snapshot {path} holds changes since {expected}: that snapshot's directory is needed too"
    )]
    ParentMissing {
        /// The delta's directory.
        path: String,
        /// The parent's identity.
        expected: String,
    },
    /// A delta with the wrong parent, or a full snapshot with one.
    #[error("snapshot {path}: expected {expected}, found {found}")]
    ParentMismatch {
        /// The parent's directory.
        path: String,
        /// The parent's identity.
        expected: String,
        /// The identity found.
        found: String,
    },
    /// The machine that the snapshot describes is none of this build.
    #[error(transparent)]
    MachineInvalid(#[from] DescriptionInvalid),
    /// The saved state is not one of this engine or these devices.
    #[error(transparent)]
    StateInvalid(#[from] StateError),
    /// The engine fails on the saved state.
    #[error("the engine panicked on the saved state")]
    EngineFailed,
    /// A source was given for a disk that the machine does not have.
    #[error("disk {found:?}: expected one of {expected}")]
    DiskUnknown {
        /// The disks that are read from a file.
        expected: String,
        /// The name given.
        found: String,
    },
    /// The original file of a copy was requested.
    #[error(
        "disk {name:?}: expected no source: what it held at the capture is in the snapshot, and a \
         restored machine has a copy-on-write view of that, which never reaches the {access} that it \
         was: found {found}; to write to that file, boot a machine with it"
    )]
    DiskIsCopy {
        /// The disk.
        name: String,
        /// Its earlier access.
        access: &'static str,
        /// The requested file.
        found: String,
    },
    /// The file that a disk is read from cannot be had.
    #[error("{problem}; expected the file with BLAKE3 {expected}: say where it is now")]
    DiskSource {
        /// The problem with the file.
        problem: DiskError,
        /// Digest of the file.
        expected: String,
    },
    /// The key is not the one that the snapshot needs.
    #[error(transparent)]
    Key(#[from] KeyRefused),
    /// An encrypted snapshot was changed by someone without the key, who has also adapted the digests.
    #[error(
        "{file}: expected a file that was written with the key {expected}, found one that was changed \
         or swapped by someone without it: the snapshot was not used"
    )]
    FileForged {
        /// The file.
        file: String,
        /// Id of the key.
        expected: String,
    },
    /// Memory cannot be had.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl From<RestoredInvalid> for RestoreError {
    fn from(invalid: RestoredInvalid) -> Self {
        match invalid {
            RestoredInvalid::EngineFailed => Self::EngineFailed,
            RestoredInvalid::State(error) => error.into(),
            RestoredInvalid::Description(error) => error.into(),
        }
    }
}

impl RestoreError {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SnapshotMissing { .. } => "SnapshotMissing",
            Self::FileMissing { .. } => "FileMissing",
            Self::FileUnreadable { .. } => "FileUnreadable",
            Self::FileSizeWrong { .. } => "FileSizeWrong",
            Self::NotASnapshot { .. } => "NotASnapshot",
            Self::VersionUnsupported { .. } => "VersionUnsupported",
            Self::FileCorrupt { .. } => "FileCorrupt",
            Self::FileInvalid { .. } => "FileInvalid",
            Self::IdMismatch { .. } => "IdMismatch",
            Self::EngineMismatch { .. } => "EngineMismatch",
            Self::ParentMissing { .. } => "ParentMissing",
            Self::ParentMismatch { .. } => "ParentMismatch",
            Self::MachineInvalid(_) => "MachineInvalid",
            Self::StateInvalid(_) => "StateInvalid",
            Self::EngineFailed => "EngineFailed",
            Self::DiskUnknown { .. } => "DiskUnknown",
            Self::DiskIsCopy { .. } => "DiskIsCopy",
            Self::DiskSource { problem, .. } => problem.name(),
            Self::Key(refused) => refused.name(),
            Self::FileForged { .. } => "FileForged",
            Self::Memory(error) => error.name(),
        }
    }
}
