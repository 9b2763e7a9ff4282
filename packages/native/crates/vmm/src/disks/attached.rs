//! A disk as a guest knows it.

use serde::Deserialize;

use super::{Access, MAX_DISK_BYTES, MAX_NAME_BYTES, SECTOR_BYTES, is_name};

/// The disk's properties as a guest sees them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attached {
    /// Its serial number.
    pub name: String,
    /// The destination of writes.
    pub access: Access,
    /// Its size.
    pub size_bytes: u64,
}

impl Attached {
    /// The same, if a disk can have these properties; otherwise the problem.
    pub(crate) fn checked(self) -> Result<Self, String> {
        let Self { name, size_bytes, .. } = &self;
        if !is_name(name) {
            return Err(format!(
                "disk.name: expected 1 to {MAX_NAME_BYTES} plain bytes, found {name:?}"
            ));
        }
        if *size_bytes > MAX_DISK_BYTES || !size_bytes.is_multiple_of(SECTOR_BYTES) {
            return Err(format!(
                "disk.sizeBytes: expected whole sectors up to {MAX_DISK_BYTES}, found {size_bytes}"
            ));
        }
        Ok(self)
    }
}
