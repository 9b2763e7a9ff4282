//! An encryption key as it crosses.

use stillpoint_vmm::snapshot::{EncryptionKey, KEY_BYTES};

/// The encryption key of these bytes.
pub(crate) fn key_of(bytes: &[u8]) -> napi::Result<EncryptionKey> {
    let key = bytes.try_into().map_err(|_| {
        let found = bytes.len();
        napi::Error::from_reason(format!("expected a key of {KEY_BYTES} bytes, found {found}"))
    })?;
    Ok(EncryptionKey::new(key))
}
