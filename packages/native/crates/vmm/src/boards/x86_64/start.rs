//! The start of a guest in 64-bit mode: descriptors, and page tables that map its first 4 GiB to
//! themselves (Intel SDM volume 3, 3.4.5 and 5.5).

use super::layout::{DESCRIPTORS, PAGE_TABLES, RESET, RESET_PORT, RESET_VECTOR};
use crate::loaders::LoadError;
use crate::memory::GuestMemory;

/// The code segment.
pub const CODE_SELECTOR: u16 = 0x10;
/// The data segment.
pub const DATA_SELECTOR: u16 = 0x18;

const PAGE: u64 = 0x1000;
const GIBIBYTES: u64 = 4;
const PRESENT_AND_WRITABLE: u64 = 0b11;
/// An entry that maps 2 MiB instead of naming a table.
const LARGE: u64 = 1 << 7;
/// Base 0, limit 4 GiB, present; executable and readable, 64 bits.
const CODE: u64 = 0x00af_9b00_0000_ffff;
/// The same, writable.
const DATA: u64 = 0x00cf_9300_0000_ffff;

/// Writes it into memory.
pub(super) fn write(memory: &mut dyn GuestMemory) -> Result<(), LoadError> {
    let mut words = |at: u64, values: &mut dyn Iterator<Item = u64>| {
        let bytes: Vec<u8> = values.flat_map(u64::to_le_bytes).collect();
        memory.write(at, &bytes)
    };
    words(DESCRIPTORS, &mut [0, 0, CODE, DATA].into_iter())?;
    let (pointers, directories) = (PAGE_TABLES + PAGE, PAGE_TABLES + 2 * PAGE);
    words(PAGE_TABLES, &mut std::iter::once(pointers | PRESENT_AND_WRITABLE))?;
    let tables = (0..GIBIBYTES).map(|number| directories + number * PAGE);
    words(pointers, &mut tables.map(|table| table | PRESENT_AND_WRITABLE))?;
    let pages = (0..GIBIBYTES * 512).map(|number| number << 21);
    words(directories, &mut pages.map(|page| page | LARGE | PRESENT_AND_WRITABLE))?;
    Ok(())
}

/// Writes what firmware has where a processor begins: an instruction that resets the machine. Linux goes
/// there, in 16 bits, where hardware is reduced and there are no services of EFI.
pub(super) fn write_reset_vector(memory: &mut dyn GuestMemory) -> Result<(), LoadError> {
    // mov al, RESET; out RESET_PORT, al; hlt; jmp to the halt
    memory.write(RESET_VECTOR, &[0xb0, RESET, 0xe6, RESET_PORT as u8, 0xf4, 0xeb, 0xfd])?;
    Ok(())
}
