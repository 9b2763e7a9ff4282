//! The entry of a disk in a snapshot's header.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::disks::{Access, MAX_DISK_BYTES, MAX_DISKS, is_name};
use crate::memory::PAGE_BYTES;
use crate::snapshot::SnapshotId;

/// A disk of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiskHeader {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// The destination of the guest's writes.
    pub access: Access,
    /// Its size.
    pub size_bytes: u64,
    /// The file that it is read from.
    pub source: Option<SourceHeader>,
    /// Whether the parent of a delta has nothing of it.
    pub complete: bool,
    /// Pages that its file here holds.
    pub pages: u64,
    /// BLAKE3 of their digests, in hexadecimal digits; none if there are no pages of its own here.
    pub digests_digest: Option<String>,
}

/// A file that a disk is read from and never written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceHeader {
    /// Its path at the capture.
    pub path: PathBuf,
    /// Its length.
    pub size_bytes: u64,
    /// Its BLAKE3, in hexadecimal digits.
    pub digest: String,
}

impl DiskHeader {
    /// Bytes of its pages.
    pub(in crate::snapshot) fn page_bytes(&self) -> u64 {
        self.size_bytes.next_multiple_of(PAGE_BYTES as u64)
    }

    /// The requirement and the found value, if the entry is invalid or its number is taken.
    pub(super) fn check(&self, numbers: &mut BTreeSet<u32>) -> Result<(), (String, String)> {
        let is_sized = (1..=MAX_DISK_BYTES).contains(&self.size_bytes);
        let is_source_sized = self.source.as_ref().is_none_or(|source| {
            source.size_bytes <= self.size_bytes && source.digest.parse::<SnapshotId>().is_ok()
        });
        let is_numbered = (self.number as usize) < MAX_DISKS && numbers.insert(self.number);
        if is_sized && is_source_sized && is_numbered && is_name(&self.name) {
            return Ok(());
        }
        Err((
            format!("disks with names, numbers and sizes up to {MAX_DISK_BYTES}"),
            format!("{self:?}"),
        ))
    }
}
