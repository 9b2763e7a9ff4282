//! The specification of a disk.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{DiskError, MAX_DISK_BYTES, MAX_NAME_BYTES, SECTOR_BYTES};
use crate::event::DiskAccess;

/// The destination of a guest's writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// The guest cannot write.
    Read,
    /// It stays in the machine, its forks and its snapshots; the file stays as it is.
    CopyOnWrite,
    /// The same over nothing: the disk begins with zeros.
    Scratch,
    /// They go to the file. Forks and restored machines have a copy-on-write view of it.
    Volume,
}

impl Access {
    const ALL: [Self; 4] = [Self::Read, Self::CopyOnWrite, Self::Scratch, Self::Volume];

    /// The name that it has everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::CopyOnWrite => "copy-on-write",
            Self::Scratch => "scratch",
            Self::Volume => "volume",
        }
    }

    /// The same in events.
    pub fn told(self) -> DiskAccess {
        match self {
            Self::Read => DiskAccess::Read,
            Self::CopyOnWrite => DiskAccess::CopyOnWrite,
            Self::Scratch => DiskAccess::Scratch,
            Self::Volume => DiskAccess::Volume,
        }
    }

    /// The access that an event tells.
    pub fn of_told(told: DiskAccess) -> Self {
        match told {
            DiskAccess::Read => Self::Read,
            DiskAccess::CopyOnWrite => Self::CopyOnWrite,
            DiskAccess::Scratch => Self::Scratch,
            DiskAccess::Volume => Self::Volume,
        }
    }

    /// The access of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|access| access.name() == name)
    }
}

/// A disk of a machine that is to be made.
///
/// ```
/// use stillpoint_vmm::disks::{Access, DiskSpec};
/// let spec = DiskSpec {
///     name: "data".to_owned(),
///     source: None,
///     access: Access::Scratch,
///     size_bytes: Some(1 << 30),
/// };
/// assert!(spec.check().is_ok());
/// assert!(DiskSpec { size_bytes: None, ..spec }.check().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSpec {
    /// Its name, which is its serial number in the guest: 1 to 20 of `A-Z a-z 0-9 . _ -`.
    pub name: String,
    /// Its file; none for a scratch disk.
    pub source: Option<PathBuf>,
    /// The destination of the guest's writes.
    pub access: Access,
    /// Its size, whole sectors of 512 bytes; none: its file's.
    pub size_bytes: Option<u64>,
}

/// Whether a disk can have that name.
pub(crate) fn is_name(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_good)
}

impl DiskSpec {
    /// Refuses an impossible specification, without looking at its file.
    ///
    /// # Errors
    /// [`DiskError::DiskInvalid`] with all problems.
    pub fn check(&self) -> Result<(), DiskError> {
        let mut problems = Vec::new();
        if !is_name(&self.name) {
            let found: String = self.name.chars().take(40).collect();
            problems.push(format!(
                "name: expected 1 to {MAX_NAME_BYTES} of A-Z a-z 0-9 . _ -, found {found:?}"
            ));
        }
        let is_scratch = self.access == Access::Scratch;
        match &self.source {
            Some(_) if is_scratch => {
                problems.push("source: expected none of a scratch disk".to_owned())
            }
            None if !is_scratch => {
                problems
                    .push(format!("source: expected the path of a file to {}", self.access.name()));
            }
            _ => {}
        }
        match self.size_bytes {
            None if is_scratch => {
                problems.push("sizeBytes: expected one for a scratch disk".to_owned())
            }
            Some(found)
                if !(SECTOR_BYTES..=MAX_DISK_BYTES).contains(&found)
                    || self.access != Access::Read && !found.is_multiple_of(SECTOR_BYTES) =>
            {
                problems.push(format!(
                    "sizeBytes: expected {SECTOR_BYTES} to {MAX_DISK_BYTES}, a multiple of \
                     {SECTOR_BYTES}, found {found}"
                ));
            }
            _ => {}
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(DiskError::DiskInvalid { name: self.name.chars().take(40).collect(), problems })
    }
}
