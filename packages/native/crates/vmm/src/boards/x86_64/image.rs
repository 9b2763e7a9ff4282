//! The Linux kernel image for x86, "bzImage" (Linux `Documentation/arch/x86/boot.rst`).
//!
//! ```text
//! 0x1f1 u8 setup sectors   0x1f4 u32 size, in 16 bytes   0x1fe u16 0xaa55   0x201 u8 end of the header
//! 0x202 "HdrS"  0x206 u16 version  0x234 u8 relocatable  0x236 u16 flags    0x258 u64 address  0x260 u32 room
//! (setup sectors + 1) × 512: what is loaded; its 64-bit entry is 0x200 behind its beginning
//! ```

use crate::loaders::LoadError;

/// The start of the header, in the image and in the boot parameters.
pub(super) const HEADER: usize = 0x1f1;
const MAGIC: &[u8] = b"HdrS";
const LEAST_BYTES: usize = 0x268;
const BOOT_FLAG: u16 = 0xaa55;
/// The first version of the protocol that has a 64-bit entry.
const LEAST_VERSION: u16 = 0x20c;
const HAS_64_BIT_ENTRY: u16 = 1;
const SECTOR: usize = 512;
const ENTRY: u64 = 0x200;

/// A kernel image whose header has been checked.
pub(super) struct Image<'a> {
    /// The content of the boot parameters from [`HEADER`] on.
    pub(super) header: &'a [u8],
    /// The bytes to load.
    pub(super) content: &'a [u8],
    /// Their address.
    pub(super) address: u64,
    /// Bytes that it occupies, unpacked and its uninitialised data included.
    pub(super) memory_bytes: u64,
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut word = [0; N];
    if let Some(found) = bytes.get(at..at + N) {
        word.copy_from_slice(found);
    }
    word
}

fn damaged(what: &'static str, expected: impl ToString, found: impl ToString) -> LoadError {
    LoadError::KernelDamaged { what, expected: expected.to_string(), found: found.to_string() }
}

impl<'a> Image<'a> {
    pub(super) fn is_image(bytes: &[u8]) -> bool {
        bytes.get(0x202..0x206) == Some(MAGIC)
    }

    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, LoadError> {
        let u16_at = |at| u16::from_le_bytes(word(bytes, at));
        let u32_at = |at| u32::from_le_bytes(word(bytes, at));
        if bytes.len() < LEAST_BYTES {
            let expected = format!("at least {LEAST_BYTES} bytes");
            return Err(damaged("header of the kernel image", expected, bytes.len()));
        }
        let (flag, version) = (u16_at(0x1fe), u16_at(0x206));
        if flag != BOOT_FLAG {
            let expected = format!("{BOOT_FLAG:#x}");
            return Err(damaged("flag of the kernel image", expected, format!("{flag:#x}")));
        }
        if version < LEAST_VERSION || u16_at(0x236) & HAS_64_BIT_ENTRY == 0 {
            return Err(LoadError::KernelUnknown {
                expected: "an x86-64 Linux kernel with a 64-bit entry (boot protocol 2.12)"
                    .to_owned(),
                found: format!("one of protocol {}.{} without it", version >> 8, version & 0xff),
            });
        }
        let sectors = match bytes[0x1f1] {
            0 => 4,
            sectors => usize::from(sectors),
        };
        let header_end = 0x202 + usize::from(bytes[0x201]);
        let header = bytes.get(HEADER..header_end).filter(|_| header_end >= LEAST_BYTES);
        let header = header.ok_or_else(|| {
            let expected = format!("an end between {LEAST_BYTES:#x} and that of the file");
            damaged("header of the kernel image", expected, format!("{header_end:#x}"))
        })?;
        let content = bytes.get((sectors + 1) * SECTOR..).unwrap_or(&[]);
        let stated = u64::from(u32_at(0x1f4)) * 16;
        // A signature may lie behind.
        if stated <= ENTRY || (content.len() as u64) < stated {
            let expected = format!("the {stated} bytes that its header says");
            let found = format!("{}: the file is cut", content.len());
            return Err(damaged("file of the kernel image", expected, found));
        }
        let address = u64::from_le_bytes(word(bytes, 0x258));
        let memory_bytes = u64::from(u32_at(0x260)).max(content.len() as u64);
        Ok(Self { header, content, address, memory_bytes })
    }

    pub(super) fn entry(&self) -> u64 {
        self.address.saturating_add(ENTRY)
    }

    pub(super) fn end(&self) -> u64 {
        self.address.saturating_add(self.memory_bytes)
    }
}
