//! The present paths of files that disks are read from.

use napi_derive::napi;
use stillpoint_vmm::snapshot::DiskSource as Source;

/// The present path of the file of a restored machine's disk.
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
