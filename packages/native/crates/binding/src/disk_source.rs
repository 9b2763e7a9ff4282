//! Where files that disks are read from are now.

use napi_derive::napi;
use stillpoint_vmm::snapshot::DiskSource as Source;

/// Where the file that a restored machine's disk is read from is now.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct DiskSource {
    /// The disk.
    pub name: String,
    /// The file.
    pub source: String,
}

impl From<DiskSource> for Source {
    fn from(disk: DiskSource) -> Self {
        Self { name: disk.name, path: disk.source.into() }
    }
}
