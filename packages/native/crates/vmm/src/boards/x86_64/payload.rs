//! The payloads that a machine of this board can start, and their addresses.

use super::image::Image;
use super::layout::PAYLOAD_BASE;
use crate::board::{Boot, PayloadForm};
use crate::loaders::{Elf, LoadError, put};
use crate::memory::GuestMemory;

/// The format's number for x86-64.
pub(super) const ELF_MACHINE: u16 = 62;
/// The owner of the notes in the files of Linux kernels.
const NOTES_OF_LINUX: &[u8] = b"Linux";

pub(super) enum Payload<'a> {
    /// A kernel that unpacks itself.
    Image(Image<'a>),
    Elf(Elf<'a>),
    Flat {
        bytes: &'a [u8],
        address: u64,
    },
}

impl<'a> Payload<'a> {
    pub(super) fn recognise(boot: &Boot<'a>) -> Result<Self, LoadError> {
        let bytes = boot.kernel;
        match boot.form {
            PayloadForm::Flat { .. } if bytes.is_empty() => Err(unknown(bytes)),
            PayloadForm::Flat { address } => Ok(Self::Flat { bytes, address }),
            PayloadForm::Recognised if Elf::is_elf(bytes) => {
                Ok(Self::Elf(Elf::parse(bytes, ELF_MACHINE)?))
            }
            PayloadForm::Recognised if Image::is_image(bytes) => {
                Ok(Self::Image(Image::parse(bytes)?))
            }
            PayloadForm::Recognised => Err(unknown(bytes)),
        }
    }

    /// Whether it is a Linux kernel.
    pub(super) fn is_linux(&self) -> bool {
        match self {
            Self::Image(_) => true,
            Self::Elf(elf) => elf.has_notes_of(NOTES_OF_LINUX),
            Self::Flat { .. } => false,
        }
    }

    pub(super) fn entry(&self) -> u64 {
        match self {
            Self::Image(image) => image.entry(),
            Self::Elf(elf) => elf.entry,
            Self::Flat { address, .. } => *address,
        }
    }

    pub(super) fn start(&self) -> u64 {
        match self {
            Self::Image(image) => image.address,
            Self::Elf(elf) => elf.start(),
            Self::Flat { address, .. } => *address,
        }
    }

    /// One past the last address that the payload needs.
    pub(super) fn end(&self) -> u64 {
        match self {
            Self::Image(image) => image.end(),
            Self::Elf(elf) => elf.end(),
            Self::Flat { bytes, address } => address.saturating_add(bytes.len() as u64),
        }
    }

    /// Refuses a payload that does not lie between the guest's start-up data and the end of memory.
    pub(super) fn check(&self, memory: &dyn GuestMemory) -> Result<(), LoadError> {
        let (base, end) = (PAYLOAD_BASE, memory.size_bytes());
        let outside = |what, address| LoadError::KernelOutsideMemory { what, address, base, end };
        if let Self::Image(image) = self
            && image.end() > end
        {
            return Err(LoadError::MemoryTooSmall { expected: image.end(), found: end });
        }
        if self.start() < base || self.start() >= end {
            return Err(outside("first byte", self.start()));
        }
        if self.entry() < base || self.entry() >= end {
            return Err(outside("entry", self.entry()));
        }
        if self.end() > end {
            let (expected, found) = (end - base, self.end().saturating_sub(base));
            return Err(LoadError::KernelTooLarge { expected, found });
        }
        Ok(())
    }

    pub(super) fn load(&self, memory: &mut dyn GuestMemory) -> Result<(), LoadError> {
        match self {
            Self::Image(image) => put(memory, image.address, image.content),
            Self::Elf(elf) => elf.load(memory),
            Self::Flat { bytes, address } => put(memory, *address, bytes),
        }
    }
}

fn unknown(bytes: &[u8]) -> LoadError {
    let found = match bytes {
        [] => "an empty file".to_owned(),
        _ if bytes.get(0x38..0x3c) == Some(b"RSC\x05") => {
            "a RISC-V kernel image, which engine \"soft\" starts".to_owned()
        }
        _ => {
            let first: Vec<_> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("{} bytes that begin {}", bytes.len(), first.join(" "))
        }
    };
    let expected = "an x86-64 Linux kernel (bzImage) or an x86-64 ELF file".to_owned();
    LoadError::KernelUnknown { expected, found }
}
