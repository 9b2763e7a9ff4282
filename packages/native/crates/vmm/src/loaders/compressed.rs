//! Kernels that come compressed: gzip, alone or inside an EFI image that unpacks itself.
//!
//! ```text
//! EFI image that unpacks itself (Linux, drivers/firmware/efi/libstub/zboot-header.S)
//! 0x00 "MZ" │ 0x04 "zimg" │ 0x08 u32 offset │ 0x0c u32 length │ 0x18 name of the compression
//! ```

use std::borrow::Cow;
use std::io::Read;

use super::LoadError;

const GZIP: [u8; 3] = [0x1f, 0x8b, 8];

/// The kernel inside `bytes`, or `bytes` if they are not compressed; at most `most` bytes.
///
/// # Errors
/// [`LoadError`] if the data is cut or damaged, unpacks to more, or is compressed otherwise.
pub fn unpack(bytes: &[u8], most: u64) -> Result<Cow<'_, [u8]>, LoadError> {
    if let Some(packed) = self_unpacking(bytes)? {
        return gunzip(packed, most).map(Cow::Owned);
    }
    if bytes.starts_with(&GZIP) {
        return gunzip(bytes, most).map(Cow::Owned);
    }
    Ok(Cow::Borrowed(bytes))
}

/// The compressed part of an EFI image that unpacks itself.
fn self_unpacking(bytes: &[u8]) -> Result<Option<&[u8]>, LoadError> {
    let (Some(header), true) = (bytes.get(..0x20), bytes.starts_with(b"MZ")) else {
        return Ok(None);
    };
    if &header[4..8] != b"zimg" {
        return Ok(None);
    }
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize
    };
    let compression: String = header[0x18..]
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .map(|byte| char::from(*byte))
        .collect();
    if compression != "gzip" {
        return Err(LoadError::KernelUnknown {
            expected: "a kernel that is not compressed, or with gzip".to_owned(),
            found: format!("an EFI image compressed with {compression}"),
        });
    }
    let (offset, len) = (word(8), word(0xc));
    let packed = offset.checked_add(len).and_then(|end| bytes.get(offset..end));
    packed.map(Some).ok_or_else(|| LoadError::KernelDamaged {
        what: "compressed part of the EFI image",
        expected: format!("within the file's {} bytes", bytes.len()),
        found: format!("{len} bytes at {offset}"),
    })
}

fn gunzip(packed: &[u8], most: u64) -> Result<Vec<u8>, LoadError> {
    let mut unpacked = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(packed).take(most.saturating_add(1));
    reader.read_to_end(&mut unpacked).map_err(|error| LoadError::KernelDamaged {
        what: "compressed kernel",
        expected: "gzip data".to_owned(),
        found: error.to_string(),
    })?;
    if unpacked.len() as u64 > most {
        return Err(LoadError::KernelTooLarge { expected: most, found: unpacked.len() as u64 });
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(content).expect("in memory");
        writer.finish().expect("in memory")
    }

    #[test]
    fn kernels_are_unpacked_within_bounds() {
        let content = vec![7; 100_000];
        let gzip = packed(&content);
        assert_eq!(&*unpack(&gzip, 1 << 20).expect("good"), &content[..]);
        assert_eq!(unpack(&gzip, 99_999).expect_err("large").name(), "KernelTooLarge");
        assert_eq!(unpack(&gzip[..50], 1 << 20).expect_err("cut").name(), "KernelDamaged");
        assert_eq!(&*unpack(b"plain", 10).expect("as it is"), b"plain");

        let mut efi = b"MZ\0\0zimg".to_vec();
        efi.extend(0x40u32.to_le_bytes());
        efi.extend((gzip.len() as u32).to_le_bytes());
        efi.extend([0; 8]);
        efi.extend(b"gzip\0\0\0\0");
        efi.resize(0x40, 0);
        efi.extend(&gzip);
        assert_eq!(&*unpack(&efi, 1 << 20).expect("good"), &content[..]);
        assert_eq!(unpack(&efi[..0x50], 1 << 20).expect_err("cut").name(), "KernelDamaged");
        efi[0x18] = b'l';
        assert_eq!(unpack(&efi, 1 << 20).expect_err("other").name(), "KernelUnknown");
    }
}
