//! Why a disk cannot be opened, read or written.

use crate::event::DiskFailure;
use crate::memory::MemoryError;

/// A disk cannot be given to a machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// The description is not a valid disk.
    #[error("disk {name:?}: {}", problems.join("; "))]
    DiskInvalid {
        /// Its name.
        name: String,
        /// The expected and the found values, each with its place.
        problems: Vec<String>,
    },
    /// Another disk has the name.
    #[error("disk {name:?}: expected a name of its own, found another disk that has it")]
    DiskNameTaken {
        /// The name.
        name: String,
    },
    /// Its file cannot be opened.
    #[error("disk {name:?}: {path}: {reason}")]
    DiskUnreadable {
        /// Its name.
        name: String,
        /// The file.
        path: String,
        /// The problem.
        reason: String,
    },
    /// Its file is longer or shorter than described.
    #[error("disk {name:?}: {path}: expected {expected}, found {found} bytes")]
    DiskSizeWrong {
        /// Its name.
        name: String,
        /// The file.
        path: String,
        /// The described length.
        expected: String,
        /// The file's length.
        found: u64,
    },
    /// The file is written by another owner, or is in use as a disk while it is opened for writing.
    #[error("disk {name:?}: {path}: expected {expected}, found it in use by {found}")]
    DiskInUse {
        /// Its name.
        name: String,
        /// The file.
        path: String,
        /// The purpose of the lock.
        expected: &'static str,
        /// The holder of the lock, and the remedy.
        found: String,
    },
    /// More disks and slots than a machine has room for.
    #[error("disks and slots: expected at most {expected} together, found {found}")]
    TooManyDisks {
        /// The most.
        expected: usize,
        /// The requested number.
        found: usize,
    },
}

impl DiskError {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::DiskInvalid { .. } => "DiskInvalid",
            Self::DiskNameTaken { .. } => "DiskNameTaken",
            Self::DiskUnreadable { .. } => "DiskUnreadable",
            Self::DiskSizeWrong { .. } => "DiskSizeWrong",
            Self::DiskInUse { .. } => "DiskInUse",
            Self::TooManyDisks { .. } => "TooManyDisks",
        }
    }
}

/// The content of a disk cannot be read or stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskFault {
    /// Its file cannot be read or written there.
    #[error("{path}, {len} bytes from {offset}: {reason}")]
    DiskUnreadable {
        /// The file.
        path: String,
        /// First byte.
        offset: u64,
        /// Bytes requested.
        len: u64,
        /// The operating system's message.
        reason: String,
        /// The same as a guest's event has it.
        failure: DiskFailure,
        /// The operating system's error number, if it said one.
        errno: Option<u32>,
    },
    /// Its file is another than it was.
    #[error(
        "{path}, {len} bytes from {offset}: expected BLAKE3 {expected}, found {found}: the file was \
         changed while it was in use, or is another one"
    )]
    DiskChanged {
        /// The file.
        path: String,
        /// First byte.
        offset: u64,
        /// Bytes that are verified together.
        len: u64,
        /// Digest that they had.
        expected: String,
        /// Digest that they have.
        found: String,
    },
    /// A page of it cannot be had, or none is left.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// A change of a disk that came to its end before it was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct Unfinished {
    /// Bytes from the first on that are as they were to be; all others are as they were before.
    pub done: u64,
    /// Why it went no further.
    pub fault: DiskFault,
}

impl<F: Into<DiskFault>> From<F> for Unfinished {
    fn from(fault: F) -> Self {
        Self { done: 0, fault: fault.into() }
    }
}

impl Unfinished {
    /// The same of a change that began so many bytes before.
    pub(super) fn after(self, bytes: u64) -> Self {
        Self { done: bytes + self.done, fault: self.fault }
    }
}

impl DiskFault {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::DiskUnreadable { .. } => "DiskUnreadable",
            Self::DiskChanged { .. } => "DiskChanged",
            Self::Memory(error) => error.name(),
        }
    }

    /// The cause in the form of a guest's event, and the operating system's error number, if there
    /// is one.
    pub fn cause(&self) -> (DiskFailure, Option<u32>) {
        match self {
            Self::DiskUnreadable { failure, errno, .. } => (*failure, *errno),
            Self::DiskChanged { .. } => (DiskFailure::Changed, None),
            Self::Memory(MemoryError::Exhausted { .. }) => (DiskFailure::NoMemory, None),
            Self::Memory(MemoryError::CorruptChunk { .. }) => (DiskFailure::Unverified, None),
            Self::Memory(_) => (DiskFailure::Refused, None),
        }
    }
}
