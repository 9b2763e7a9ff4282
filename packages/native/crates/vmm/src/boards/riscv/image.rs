//! The Linux kernel image for RISC-V (Linux `Documentation/arch/riscv/boot-image-header.rst`).
//!
//! ```text
//! 0x00 u32 code  0x04 u32 code  0x08 u64 text offset  0x10 u64 image size  0x18 u64 flags
//! 0x20 u32 version  0x24 u32 –  0x28 u64 –  0x30 u64 "RISCV\0\0\0"  0x38 u32 "RSC\x05"  0x3c u32 –
//! ```

use crate::loaders::LoadError;

const HEADER_BYTES: usize = 0x40;
const MAGIC: u32 = u32::from_le_bytes(*b"RSC\x05");
const FLAG_BIG_ENDIAN: u64 = 1;

/// A kernel image whose header has been checked.
pub(super) struct Image<'a> {
    pub(super) bytes: &'a [u8],
    /// Its offset from the start of memory.
    pub(super) text_offset: u64,
    /// Bytes that it occupies, its uninitialised data included.
    pub(super) memory_bytes: u64,
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

impl<'a> Image<'a> {
    pub(super) fn is_image(bytes: &[u8]) -> bool {
        bytes.len() >= HEADER_BYTES && u64_at(bytes, 0x38) as u32 == MAGIC
    }

    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, LoadError> {
        let text_offset = match u64_at(bytes, 0x08) {
            0 => super::KERNEL_OFFSET,
            offset => offset,
        };
        let (image_bytes, flags) = (u64_at(bytes, 0x10), u64_at(bytes, 0x18));
        if flags & FLAG_BIG_ENDIAN != 0 {
            return Err(LoadError::KernelUnknown {
                expected: "a little-endian kernel image".to_owned(),
                found: "a big-endian one".to_owned(),
            });
        }
        if text_offset % 4096 != 0 {
            return Err(LoadError::KernelDamaged {
                what: "text offset of the kernel image",
                expected: "a multiple of 4096".to_owned(),
                found: format!("{text_offset:#x}"),
            });
        }
        let len = bytes.len() as u64;
        // The header's size covers the file and the memory that the kernel clears behind it.
        if image_bytes < len {
            return Err(LoadError::KernelDamaged {
                what: "size of the kernel image",
                expected: format!("at least the {len} bytes of its file"),
                found: format!("{image_bytes}"),
            });
        }
        // Uninitialised data of a kernel is never most of it: such a file was cut.
        if len.saturating_mul(4) < image_bytes {
            return Err(LoadError::KernelDamaged {
                what: "file of the kernel image",
                expected: format!("about the {image_bytes} bytes that its header says"),
                found: format!("{len}: the file is cut"),
            });
        }
        Ok(Self { bytes, text_offset, memory_bytes: image_bytes })
    }
}
