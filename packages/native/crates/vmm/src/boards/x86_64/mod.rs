//! The x86-64 board: one processor with the interrupt controllers and the timer of a PC, which the
//! engine has, and the devices of the other boards at places where a PC has such.
//!
//! ```text
//! 0x0000_0000 memory, up to 0xd000_0000        ports, on the bus at PORTS_BASE + port:
//! 0xd000_0000 entropy device, line 5             0x2f8 control port, line 3
//! 0xd000_1000 generation, line 6                 0x3f8 console, line 4
//! 0xd000_2000 network interface, line 7          0x064 a write of 0xfe resets
//! 0xd001_0000 disks, from line 16 on             0x604 a write of 0x2000 switches off
//! 0xfec0_0000 interrupt controllers, up to the end of the first 4 GiB
//! ```
//! A guest starts in 64-bit mode, its first 4 GiB mapped to themselves. What it starts from lies in
//! the first 64 KiB, which no payload may use:
//!
//! ```text
//! 0x0500 descriptors   0x8ff0 stack, downwards   0x9000 page tables, six pages
//! ```

mod start;

use crate::board::{Board, Boot, Entry, PayloadForm};
use crate::devices::DeviceDescription;
use crate::devices::virtio::WINDOW_BYTES;
use crate::loaders::{Elf, LoadError, put};
use crate::memory::GuestMemory;

pub use start::{CODE_SELECTOR, DATA_SELECTOR, DESCRIPTORS, PAGE_TABLES, STACK_TOP};

/// Where I/O ports are on the bus: behind every address that a processor of this kind has.
pub const PORTS_BASE: u64 = 1 << 52;

/// First address that a payload may have.
const PAYLOAD_BASE: u64 = 0x1_0000;
/// One past the last address that memory may have.
const MEMORY_TOP: u64 = 0xd000_0000;
const DISKS_BASE: u64 = 0xd001_0000;
/// The lines behind those of a PC's old devices, up to the last that its interrupt controller has.
const DISKS_LINE: u32 = 16;
const LINES: u32 = 24;
/// What no device may have: interrupt controllers, what the engine needs, firmware's place.
const RESERVED: (u64, u64) = (0xfec0_0000, 1 << 32);
/// The format's number for x86-64.
const ELF_MACHINE: u16 = 62;
const MAX_COMMAND_LINE_BYTES: usize = 2047;

/// The board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct X86Board;

/// The board of a machine with one processor.
pub static PC: X86Board = X86Board;

impl Board for X86Board {
    fn name(&self) -> &'static str {
        "x86_64"
    }

    fn memory_base(&self) -> u64 {
        0
    }

    fn usual_devices(&self) -> Vec<DeviceDescription> {
        let device = DeviceDescription::new;
        vec![
            device("serial0", "ns16550a", PORTS_BASE + 0x3f8, 4).with("port", 0),
            device("serial1", "ns16550a", PORTS_BASE + 0x2f8, 3).with("port", 1),
            device("entropy", "virtio-rng", 0xd000_0000, 5),
            device("vmgenid", "vmgenid", 0xd000_1000, 6),
        ]
    }

    fn disk_place(&self, number: u32) -> Option<(u64, u32)> {
        let room = number < LINES - DISKS_LINE;
        room.then(|| (DISKS_BASE + u64::from(number) * WINDOW_BYTES, DISKS_LINE + number))
    }

    fn network_device(&self) -> DeviceDescription {
        DeviceDescription::new("network", "virtio-net", 0xd000_2000, 7)
    }

    fn reserved(&self) -> Vec<(u64, u64)> {
        vec![RESERVED]
    }

    fn default_command_line(&self) -> &'static str {
        "console=ttyS0 panic=-1"
    }

    fn load(
        &self,
        memory: &mut dyn GuestMemory,
        _devices: &[DeviceDescription],
        boot: &Boot<'_>,
    ) -> Result<Entry, LoadError> {
        check_command_line(boot.command_line)?;
        if memory.size_bytes() > MEMORY_TOP {
            // What lies behind the devices is a second range of addresses, which memory is not yet.
            let (expected, found) = (MEMORY_TOP, memory.size_bytes());
            return Err(LoadError::KernelUnknown {
                expected: format!("at most {expected} bytes of memory, up to the devices"),
                found: format!("{found}"),
            });
        }
        if boot.initramfs.is_some() {
            return Err(LoadError::KernelUnknown {
                expected: "a payload without an initramfs: this board starts no Linux yet"
                    .to_owned(),
                found: "an initramfs".to_owned(),
            });
        }
        let payload = Payload::recognise(boot)?;
        payload.check(memory)?;
        payload.load(memory)?;
        start::write(memory)?;
        Ok(Entry { pc: payload.entry(), device_tree: 0 })
    }
}

fn check_command_line(command_line: &str) -> Result<(), LoadError> {
    if command_line.len() > MAX_COMMAND_LINE_BYTES || command_line.contains('\0') {
        return Err(LoadError::CommandLineInvalid {
            expected: format!("at most {MAX_COMMAND_LINE_BYTES} bytes, none of them zero"),
            found: format!("{} bytes", command_line.len()),
        });
    }
    Ok(())
}

enum Payload<'a> {
    Elf(Elf<'a>),
    Flat { bytes: &'a [u8], address: u64 },
}

impl<'a> Payload<'a> {
    fn recognise(boot: &Boot<'a>) -> Result<Self, LoadError> {
        let bytes = boot.kernel;
        match boot.form {
            PayloadForm::Flat { .. } if bytes.is_empty() => Err(unknown(bytes)),
            PayloadForm::Flat { address } => Ok(Self::Flat { bytes, address }),
            PayloadForm::Recognised if Elf::is_elf(bytes) => {
                Ok(Self::Elf(Elf::parse(bytes, ELF_MACHINE)?))
            }
            PayloadForm::Recognised => Err(unknown(bytes)),
        }
    }

    fn entry(&self) -> u64 {
        match self {
            Self::Elf(elf) => elf.entry,
            Self::Flat { address, .. } => *address,
        }
    }

    fn start(&self) -> u64 {
        match self {
            Self::Elf(elf) => elf.start(),
            Self::Flat { address, .. } => *address,
        }
    }

    /// One past the last address that the payload needs.
    fn end(&self) -> u64 {
        match self {
            Self::Elf(elf) => elf.end(),
            Self::Flat { bytes, address } => address.saturating_add(bytes.len() as u64),
        }
    }

    /// Refuses what does not lie between what the guest starts from and the end of memory.
    fn check(&self, memory: &dyn GuestMemory) -> Result<(), LoadError> {
        let (base, end) = (PAYLOAD_BASE, memory.size_bytes());
        let outside = |what, address| LoadError::KernelOutsideMemory { what, address, base, end };
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

    fn load(&self, memory: &mut dyn GuestMemory) -> Result<(), LoadError> {
        match self {
            Self::Elf(elf) => elf.load(memory),
            Self::Flat { bytes, address } => put(memory, *address, bytes),
        }
    }
}

fn unknown(bytes: &[u8]) -> LoadError {
    let found = match bytes {
        [] => "an empty file".to_owned(),
        _ if bytes.get(0x38..0x3c) == Some(b"RSC\x05") => "a RISC-V kernel image".to_owned(),
        _ if bytes.get(0x202..0x206) == Some(b"HdrS") => {
            "an x86 Linux kernel (bzImage), which this board does not start yet".to_owned()
        }
        _ => {
            let first: Vec<_> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("{} bytes that begin {}", bytes.len(), first.join(" "))
        }
    };
    LoadError::KernelUnknown { expected: "an x86-64 ELF file".to_owned(), found }
}

#[cfg(test)]
mod tests;
