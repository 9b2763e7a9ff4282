//! Executables in the Executable and Linkable Format, 64 bits, little-endian.

use super::{LoadError, put};
use crate::memory::GuestMemory;

const MAGIC: [u8; 4] = *b"\x7fELF";
const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
/// Maximum number of a file's notes that are read.
const MOST_NOTES: usize = 64;
const TYPE_DYNAMIC: u16 = 3;
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;

/// A part of an executable that lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElfSegment {
    /// Guest-physical address of its first byte.
    pub physical: u64,
    /// Virtual address that the file gives for it.
    pub virtual_address: u64,
    /// The offset of its bytes in the file.
    pub offset: usize,
    /// Bytes in the file.
    pub file_bytes: usize,
    /// Bytes in memory; those that the file lacks are zero.
    pub memory_bytes: u64,
}

/// An executable whose headers have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf<'a> {
    bytes: &'a [u8],
    /// The segments to load.
    pub segments: Vec<ElfSegment>,
    /// The offsets and lengths of its notes in the file.
    notes: Vec<(usize, usize)>,
    /// Guest-physical address of the first instruction.
    pub entry: u64,
    /// Whether it can be loaded anywhere, because it relocates itself.
    pub is_position_independent: bool,
}

fn damaged(what: &'static str, expected: impl ToString, found: impl ToString) -> LoadError {
    LoadError::KernelDamaged { what, expected: expected.to_string(), found: found.to_string() }
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut word = [0; N];
    if let Some(found) = bytes.get(at..at + N) {
        word.copy_from_slice(found);
    }
    word
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(word(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(word(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(word(bytes, at))
}

impl<'a> Elf<'a> {
    /// Whether `bytes` claim to be an executable of this format.
    pub fn is_elf(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// Checks the headers of `bytes` for an executable of processor `machine` (the format's
    /// number). Load addresses are the physical ones; an entry given as a virtual address of a
    /// segment is translated.
    ///
    /// # Errors
    /// [`LoadError`] if it is of another kind, cut, or contradicts itself.
    pub fn parse(bytes: &'a [u8], machine: u16) -> Result<Self, LoadError> {
        if bytes.len() < HEADER_BYTES {
            return Err(damaged("ELF header", format!("{HEADER_BYTES} bytes"), bytes.len()));
        }
        if bytes[4] != CLASS_64 || bytes[5] != LITTLE_ENDIAN || u16_at(bytes, 18) != machine {
            let width = if bytes[4] == CLASS_64 { 64 } else { 32 };
            let order = if bytes[5] == LITTLE_ENDIAN { "little" } else { "big" };
            return Err(LoadError::KernelUnknown {
                expected: format!("a 64-bit little-endian ELF file for {}", named(machine)),
                found: format!(
                    "a {width}-bit {order}-endian ELF file for {}{}",
                    named(u16_at(bytes, 18)),
                    match machine_of(bytes) {
                        Some(62) => ", which engine \"kvm\" starts",
                        Some(243) => ", which engine \"soft\" starts",
                        _ => "",
                    }
                ),
            });
        }
        let entry = u64_at(bytes, 24);
        let table = u64_at(bytes, 32);
        let stride = usize::from(u16_at(bytes, 54));
        let count = usize::from(u16_at(bytes, 56));
        if stride < PROGRAM_HEADER_BYTES {
            let expected = format!("at least {PROGRAM_HEADER_BYTES} bytes");
            return Err(damaged("ELF program header", expected, stride));
        }
        let headers = usize::try_from(table)
            .ok()
            .and_then(|table| bytes.get(table..)?.get(..stride * count))
            .ok_or_else(|| {
                let expected = format!("within the file's {} bytes", bytes.len());
                damaged("ELF program headers", expected, format!("{count} at {table}"))
            })?;
        let (mut segments, mut notes) = (Vec::new(), Vec::new());
        for header in headers.chunks_exact(stride) {
            if u32_at(header, 0) == PT_NOTE && notes.len() < MOST_NOTES {
                let [offset, len] = [8, 32].map(|at| u64_at(header, at) as usize);
                notes.push((offset, len));
            }
            if u32_at(header, 0) != PT_LOAD {
                continue;
            }
            segments.extend(segment(bytes, header)?);
        }
        if segments.is_empty() {
            return Err(damaged("ELF file", "a segment to load", "none"));
        }
        let holds = |start: u64, segment: &&ElfSegment| {
            entry >= start && entry - start < segment.memory_bytes
        };
        let physical = segments.iter().any(|segment| holds(segment.physical, &segment));
        let entry = match segments.iter().find(|segment| holds(segment.virtual_address, segment)) {
            Some(segment) if !physical => {
                segment.physical.wrapping_add(entry - segment.virtual_address)
            }
            _ => entry,
        };
        let is_position_independent = u16_at(bytes, 16) == TYPE_DYNAMIC;
        Ok(Self { bytes, segments, notes, entry, is_position_independent })
    }

    /// Whether it has a note whose owner has this name.
    pub fn has_notes_of(&self, owner: &[u8]) -> bool {
        let aligned = |len: u32| (len as usize).next_multiple_of(4);
        self.notes.iter().any(|(offset, len)| {
            let end = offset.saturating_add(*len).min(self.bytes.len());
            let mut rest = self.bytes.get(*offset..end).unwrap_or(&[]);
            for _ in 0..MOST_NOTES {
                let (name, content) = (u32_at(rest, 0), u32_at(rest, 4));
                let found = rest.get(12..).and_then(|rest| rest.get(..name as usize));
                if found.is_some_and(|found| found.strip_suffix(b"\0") == Some(owner)) {
                    return true;
                }
                let note = aligned(name).saturating_add(aligned(content)).saturating_add(12);
                match rest.get(note..) {
                    Some(next) => rest = next,
                    None => break,
                }
            }
            false
        })
    }

    /// First guest-physical address that the executable occupies.
    pub fn start(&self) -> u64 {
        self.segments.iter().map(|segment| segment.physical).min().unwrap_or(0)
    }

    /// The same executable, loaded at its addresses plus `distance`.
    pub fn moved_by(mut self, distance: u64) -> Self {
        for segment in &mut self.segments {
            segment.physical = segment.physical.wrapping_add(distance);
            segment.virtual_address = segment.virtual_address.wrapping_add(distance);
        }
        self.entry = self.entry.wrapping_add(distance);
        self
    }

    /// One past the last guest-physical address that the executable occupies.
    pub fn end(&self) -> u64 {
        self.segments.iter().map(|s| s.physical.saturating_add(s.memory_bytes)).max().unwrap_or(0)
    }

    /// Copies the segments into fresh memory.
    ///
    /// # Errors
    /// [`LoadError::KernelOutsideMemory`] if one lies outside, [`LoadError::KernelTooLarge`] if
    /// they hold more than memory; nothing is written then.
    pub fn load(&self, memory: &mut dyn GuestMemory) -> Result<(), LoadError> {
        let (base, end) = (memory.base(), memory.base() + memory.size_bytes());
        let outside = |what, address| LoadError::KernelOutsideMemory { what, address, base, end };
        // Overlapping segments could make a small file write without end.
        let total: u64 = self.segments.iter().map(|segment| segment.file_bytes as u64).sum();
        if total > memory.size_bytes() {
            return Err(LoadError::KernelTooLarge { expected: memory.size_bytes(), found: total });
        }
        for segment in &self.segments {
            let last = segment.physical.checked_add(segment.memory_bytes);
            if segment.physical < base || last.is_none_or(|last| last > end) {
                return Err(outside("ELF segment", segment.physical));
            }
        }
        if self.entry < base || self.entry >= end {
            return Err(outside("ELF entry", self.entry));
        }
        for segment in &self.segments {
            let content = &self.bytes[segment.offset..segment.offset + segment.file_bytes];
            put(memory, segment.physical, content)?;
        }
        Ok(())
    }
}

/// A processor by the format's number, and by the name of those that there are boards for.
/// Number of the processor that a 64-bit little-endian ELF file is for; `None` for anything else.
pub fn machine_of(bytes: &[u8]) -> Option<u16> {
    let is_elf = bytes.starts_with(&MAGIC) && bytes.len() >= HEADER_BYTES;
    (is_elf && bytes[4] == CLASS_64 && bytes[5] == LITTLE_ENDIAN).then(|| u16_at(bytes, 18))
}

fn named(machine: u16) -> String {
    match machine {
        62 => "machine 62 (x86-64)".to_owned(),
        243 => "machine 243 (RISC-V)".to_owned(),
        other => format!("machine {other}"),
    }
}

fn segment(bytes: &[u8], header: &[u8]) -> Result<Option<ElfSegment>, LoadError> {
    let offset = u64_at(header, 8);
    let file_bytes = u64_at(header, 32);
    let memory_bytes = u64_at(header, 40);
    if memory_bytes == 0 {
        return Ok(None);
    }
    if file_bytes > memory_bytes {
        return Err(damaged("ELF segment", format!("at most {memory_bytes} bytes"), file_bytes));
    }
    let inside = offset.checked_add(file_bytes).is_some_and(|end| end <= bytes.len() as u64);
    if !inside {
        let expected = format!("within the file's {} bytes", bytes.len());
        return Err(damaged("ELF segment", expected, format!("{file_bytes} bytes at {offset}")));
    }
    Ok(Some(ElfSegment {
        physical: u64_at(header, 24),
        virtual_address: u64_at(header, 16),
        offset: offset as usize,
        file_bytes: file_bytes as usize,
        memory_bytes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::PagedMemory;
    use proptest::prelude::*;

    const BASE: u64 = 0x8000_0000;

    fn executable(physical: u64, memory_bytes: u64, entry: u64) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        (bytes[4], bytes[5], bytes[18]) = (CLASS_64, LITTLE_ENDIAN, 243);
        bytes[24..32].copy_from_slice(&entry.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = PROGRAM_HEADER_BYTES as u8;
        bytes[56] = 1;
        for word in [1 | 5 << 32, 120, 0xffff_ffff_8000_0000, physical, 4, memory_bytes, 4096] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend([1, 2, 3, 4]);
        bytes
    }

    #[test]
    fn segments_go_to_physical_addresses_and_virtual_entries_follow() {
        let bytes = executable(BASE + 0x1000, 0x2000, 0xffff_ffff_8000_0010);
        let elf = Elf::parse(&bytes, 243).expect("good");
        assert_eq!(elf.entry, BASE + 0x1010);
        assert_eq!(elf.end(), BASE + 0x3000);
        let mut memory = PagedMemory::new(BASE, 1 << 20);
        elf.load(&mut memory).expect("fits");
        let mut found = [0; 5];
        memory.read(BASE + 0x1000, &mut found).expect("in range");
        assert_eq!(found, [1, 2, 3, 4, 0]);
    }

    #[test]
    fn a_file_that_contradicts_itself_about_its_entry_is_refused() {
        // The segment ends beyond the address space, and the entry lies in that part of it.
        let bytes = executable(u64::MAX - 8, 1 << 20, 0xffff_ffff_8000_1000);
        let elf = Elf::parse(&bytes, 243).expect("headers are good");
        assert!(elf.load(&mut PagedMemory::new(BASE, 1 << 20)).is_err());
    }

    #[test]
    fn other_machines_and_places_outside_memory_are_refused() {
        let bytes = executable(BASE, 16, BASE);
        assert!(matches!(Elf::parse(&bytes, 62), Err(LoadError::KernelUnknown { .. })));
        let far = executable(BASE + (1 << 20) - 8, 16, BASE);
        let mut memory = PagedMemory::new(BASE, 1 << 20);
        let refused = Elf::parse(&far, 243).expect("good").load(&mut memory);
        assert!(matches!(refused, Err(LoadError::KernelOutsideMemory { .. })));
        let refused = Elf::parse(&bytes, 62).expect_err("of another").to_string();
        assert!(refused.contains("x86-64") && refused.contains("RISC-V"), "{refused}");
        let around = executable(u64::MAX - 8, 16, BASE);
        assert!(Elf::parse(&around, 243).expect("good").load(&mut memory).is_err());
    }

    #[test]
    fn a_note_is_found_by_its_owner() {
        let mut bytes = executable(BASE, 0x2000, BASE);
        bytes[56] = 2;
        // The second header lies where the content was.
        bytes.truncate(120);
        let note =
            b"\x04\0\0\0\x01\0\0\0\x12\0\0\0Xen\0.\0\0\0\x06\0\0\0\0\0\0\0\0\x01\0\0Linux\0\0\0";
        for word in [4 | 4 << 32, 176, 0, 0, note.len() as u64, 0, 4] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(note);
        let elf = Elf::parse(&bytes, 243).expect("good");
        assert!(elf.has_notes_of(b"Linux") && elf.has_notes_of(b"Xen"));
        assert!(!elf.has_notes_of(b"Lin") && !elf.has_notes_of(b""));
    }

    proptest! {
        #![proptest_config(crate::generated::cases(300))]

        /// Any file, and any good file with bytes changed or cut off, is loaded within memory or
        /// refused.
        #[test]
        fn damaged_files_are_survived(
            changes in proptest::collection::vec((0..125usize, any::<u8>()), 0..6),
            len in 0..126usize,
        ) {
            let mut bytes = executable(BASE, 0x2000, BASE);
            for (at, byte) in changes {
                if at < bytes.len() { bytes[at] = byte; }
            }
            bytes.truncate(len.max(4));
            let mut memory = PagedMemory::new(BASE, 1 << 20);
            if let Ok(elf) = Elf::parse(&bytes, 243) {
                let _ = (elf.load(&mut memory), elf.has_notes_of(b"Linux"));
            }
        }
    }
}
