//! A disk of a snapshot.

use crate::event_batch::seq;
use napi_derive::napi;
use stillpoint_vmm::snapshot::DiskHeader;

/// A disk that a captured machine had.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct SnapshotDisk {
    /// Its name.
    pub name: String,
    /// `read`, `copy-on-write`, `scratch` or `volume`.
    pub access: String,
    /// Its size.
    pub size_bytes: f64,
    /// Path of the file that it needs; null: all of it is in the snapshot.
    pub source: Option<String>,
    /// Length of that file.
    pub source_bytes: Option<f64>,
    /// BLAKE3 of that file, in hexadecimal digits.
    pub digest: Option<String>,
}

impl From<DiskHeader> for SnapshotDisk {
    fn from(disk: DiskHeader) -> Self {
        let source = disk.source.as_ref();
        Self {
            name: disk.name,
            access: disk.access.name().to_owned(),
            size_bytes: seq(disk.size_bytes),
            source: source.map(|file| file.path.display().to_string()),
            source_bytes: source.map(|file| seq(file.size_bytes)),
            digest: source.map(|file| file.digest.clone()),
        }
    }
}
