//! The parameters for a kernel at its start (Linux `Documentation/arch/x86/zero-page.rst`, `boot.rst`).
//!
//! ```text
//! 0x070 u64 ACPI's root   0x1e8 u8 ranges of memory   0x1f1 the image's header   0x2d0 ranges, 20 bytes each
//! 0x210 u8 loader  0x211 u8 flags  0x218 u32 initramfs  0x21c u32 bytes  0x228 u32 command line  0x250 u64 more
//! ```

use super::image::HEADER;
use super::layout::{
    ACPI_END, ACPI_TABLES, BOOT_PARAMETERS, COMMAND_LINE, HIGH_MEMORY, LOW_MEMORY_END, RANDOM_SEED,
};
use crate::loaders::LoadError;
use crate::memory::GuestMemory;

const BYTES: usize = 0x1000;
/// The version that is reported to a file without a header.
const VERSION: u16 = 0x20f;
/// A loader without a number of its own.
const NO_LOADER: u8 = 0xff;
const LOADED_HIGH: u8 = 1;
const USABLE: u32 = 1;
const ACPI: u32 = 3;
/// The kind of a further part of the parameters that is for the random source.
const KIND_RANDOM_SEED: u32 = 9;

/// The boot parameters.
pub(super) struct BootParameters<'a> {
    /// The header of its image, if it has one.
    pub(super) header: Option<&'a [u8]>,
    pub(super) command_line: &'a str,
    /// First address and bytes of the initial RAM file system.
    pub(super) initramfs: Option<(u64, u64)>,
    pub(super) random_seed: &'a [u8],
}

impl BootParameters<'_> {
    /// Writes them, with everything that they point to except ACPI's tables and the initial RAM file system.
    pub(super) fn write(&self, memory: &mut dyn GuestMemory) -> Result<(), LoadError> {
        let mut page = [0; BYTES];
        let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
        match self.header {
            // The header ends at 0x301 at most, before all other parameters.
            Some(header) => put(HEADER, header),
            None => {
                put(0x1fe, &0xaa55_u16.to_le_bytes());
                put(0x202, b"HdrS");
                put(0x206, &VERSION.to_le_bytes());
            }
        }
        put(0x70, &ACPI_TABLES.to_le_bytes());
        put(0x210, &[NO_LOADER]);
        let flags = self.header.map_or(0, |header| header[0x211 - HEADER]);
        put(0x211, &[flags | LOADED_HIGH]);
        let (start, bytes) = self.initramfs.unwrap_or((0, 0));
        put(0x218, &(start as u32).to_le_bytes());
        put(0x21c, &(bytes as u32).to_le_bytes());
        put(0xc0, &((start >> 32) as u32).to_le_bytes());
        put(0xc4, &((bytes >> 32) as u32).to_le_bytes());
        put(0x228, &(COMMAND_LINE as u32).to_le_bytes());
        put(0x250, &RANDOM_SEED.to_le_bytes());
        let ranges = ranges(memory.size_bytes());
        put(0x1e8, &[ranges.len() as u8]);
        for (index, (first, end, kind)) in ranges.into_iter().enumerate() {
            let at = 0x2d0 + 20 * index;
            put(at, &first.to_le_bytes());
            put(at + 8, &(end - first).to_le_bytes());
            put(at + 16, &kind.to_le_bytes());
        }
        memory.write(BOOT_PARAMETERS, &page)?;
        memory.write(COMMAND_LINE, self.command_line.as_bytes())?;
        let mut seed = [0; 16];
        seed[8..12].copy_from_slice(&KIND_RANDOM_SEED.to_le_bytes());
        seed[12..].copy_from_slice(&(self.random_seed.len() as u32).to_le_bytes());
        memory.write(RANDOM_SEED, &seed)?;
        memory.write(RANDOM_SEED + 16, self.random_seed)?;
        Ok(())
    }
}

/// The memory ranges of a machine with `bytes` of memory: first address, one past the last, type.
fn ranges(bytes: u64) -> Vec<(u64, u64, u32)> {
    let all = [
        (0, ACPI_TABLES, USABLE),
        (ACPI_TABLES, ACPI_END, ACPI),
        (ACPI_END, LOW_MEMORY_END, USABLE),
        (HIGH_MEMORY, bytes, USABLE),
    ];
    all.into_iter().filter(|(first, end, _)| first < end).collect()
}
