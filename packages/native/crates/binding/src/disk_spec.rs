//! A disk that a machine is to have.

use crate::event_batch::integer;
use napi_derive::napi;
use stillpoint_vmm::disks::{Access, DiskError, DiskSpec as Spec};

/// A disk that a machine is to have.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct DiskSpec {
    /// Its name: its serial number in the guest.
    pub name: String,
    /// Path of its file.
    pub source: Option<String>,
    /// `read`, `copy-on-write`, `scratch` or `volume`.
    pub access: String,
    /// Its size; its file's if null.
    pub size_bytes: Option<f64>,
}

impl TryFrom<DiskSpec> for Spec {
    type Error = DiskError;

    fn try_from(disk: DiskSpec) -> Result<Self, DiskError> {
        let DiskSpec { name, source, access, size_bytes } = disk;
        let Some(access) = Access::of(&access) else {
            let problem = format!(
                "access: expected read, copy-on-write, scratch or volume, found {access:?}"
            );
            return Err(DiskError::DiskInvalid { name, problems: vec![problem] });
        };
        let source = source.map(Into::into);
        Ok(Self { name, source, access, size_bytes: size_bytes.map(integer) })
    }
}
