//! The x86-64 board: one processor with the interrupt controllers and the timer of a PC, which the
//! engine has, and the devices of the other boards at places where a PC has such.
//!
//! ```text
//! 0x0000_0000 memory, up to 0xd000_0000        ports, on the bus at PORTS_BASE + port:
//! 0xd000_0000 entropy device, line 5             0x2f8 control port, line 3
//! 0xd000_1000 generation, line 6                 0x3f8 console, line 4
//! 0xd000_2000 network interface, line 7          0x064 a write of 0xfe resets
//! 0xd000_3000 the agent's channel, line 8        0x604 a write of 0x2000 switches off, of 0x20 to 0x605 too
//! 0xd001_0000 disks, from line 16 on
//! 0xfec0_0000 interrupt controllers, up to the end of the first 4 GiB
//! ```
//! A guest starts in 64-bit mode, with its first 4 GiB mapped to themselves. Its start-up data is in the
//! first 64 KiB, which no payload may use:
//!
//! ```text
//! 0x0500 descriptors        0x1000 what a kernel is told       0x2000 its command line, 0x2800 its seed
//! 0x3000 ACPI tables        0x8ff0 stack, downwards            0x9000 page tables, six pages
//! ```
//! A Linux kernel (compressed, or unpacked as an ELF file) is entered by its 64-bit boot protocol; ACPI alone
//! announces devices to it. An initial RAM file system goes to the top of memory. Any other ELF file gets the
//! same parameters in the same register, and may ignore them.

mod acpi;
mod boot_parameters;
mod image;
mod layout;
mod payload;
mod start;

use crate::board::{Board, Boot, Entry};
use crate::devices::DeviceDescription;
use crate::devices::virtio::WINDOW_BYTES;
use crate::loaders::{LoadError, align_down, check_unpacks, machine_of, put};
use crate::memory::{GuestMemory, PAGE_BYTES};
use boot_parameters::BootParameters;
use image::Image;
use layout::{BOOT_PARAMETERS, HIGH_MEMORY, MEMORY_TOP};
use payload::Payload;

pub use layout::{
    DESCRIPTORS, PAGE_TABLES, PORTS_BASE, POWER_PORT, RESET, RESET_PORT, SLEEP, SLEEP_PORT,
    STACK_TOP,
};
pub use start::{CODE_SELECTOR, DATA_SELECTOR};

const DISKS_BASE: u64 = 0xd001_0000;
/// The lines behind those of a PC's old devices, up to the last that its interrupt controller has.
const DISKS_LINE: u32 = 16;
const LINES: u32 = 24;
/// The range that no device may use: interrupt controllers, the engine's own needs, the place of firmware.
const RESERVED: (u64, u64) = (0xfec0_0000, 1 << 32);
const MAX_COMMAND_LINE_BYTES: usize = 2047;
/// One past the last address that a kernel finds its initial RAM file system at.
const INITRAMFS_END: u64 = 0x8000_0000;

/// The board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct X86Board;

/// The board of a machine with one processor.
pub static PC: X86Board = X86Board;

impl Board for X86Board {
    fn name(&self) -> &'static str {
        "x86_64"
    }

    fn kernel_here(&self, head: &[u8]) -> Option<&'static str> {
        let is_here = Image::is_image(head) || machine_of(head) == Some(payload::ELF_MACHINE);
        is_here.then_some("an x86-64 kernel")
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
            device("channel", "virtio-console", 0xd000_3000, 8),
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
        devices: &[DeviceDescription],
        boot: &Boot<'_>,
    ) -> Result<Entry, LoadError> {
        check_command_line(boot.command_line)?;
        if memory.size_bytes() > MEMORY_TOP {
            // Memory behind the devices would be a second range of addresses, which is not implemented.
            let (expected, found) = (MEMORY_TOP, memory.size_bytes());
            return Err(LoadError::KernelUnknown {
                expected: format!("at most {expected} bytes of memory, up to the devices"),
                found: format!("{found}"),
            });
        }
        let payload = Payload::recognise(boot)?;
        payload.check(memory)?;
        let initramfs = place_of_initramfs(memory, &payload, boot)?;
        payload.load(memory)?;
        start::write(memory)?;
        let header = match &payload {
            Payload::Flat { .. } => return Ok(Entry { pc: payload.entry(), device_tree: 0 }),
            Payload::Elf(_) => None,
            Payload::Image(image) => Some(image.header),
        };
        if payload.start() >= HIGH_MEMORY {
            start::write_reset_vector(memory)?;
        }
        if let (Some(content), Some(start)) = (boot.initramfs, initramfs) {
            put(memory, start, content)?;
        }
        let (command_line, random_seed) = (boot.command_line, boot.random_seed);
        let initramfs = boot.initramfs.and_then(|content| Some((initramfs?, content.len() as u64)));
        BootParameters { header, command_line, initramfs, random_seed }.write(memory)?;
        acpi::write(memory, devices)?;
        Ok(Entry { pc: payload.entry(), device_tree: BOOT_PARAMETERS })
    }
}

/// Whether the payload is a Linux kernel for this board.
pub fn is_linux(boot: &Boot<'_>) -> bool {
    Payload::recognise(boot).is_ok_and(|payload| payload.is_linux())
}

/// The place of the initial RAM file system: the top of the memory that kernels look at.
fn place_of_initramfs(
    memory: &dyn GuestMemory,
    payload: &Payload<'_>,
    boot: &Boot<'_>,
) -> Result<Option<u64>, LoadError> {
    let Some(content) = boot.initramfs else { return Ok(None) };
    if let Payload::Flat { .. } = payload {
        return Err(LoadError::KernelUnknown {
            expected: "a payload without an initramfs, or a Linux kernel or an ELF file with one"
                .to_owned(),
            found: "an initramfs for a flat payload".to_owned(),
        });
    }
    let (size, len) = (memory.size_bytes(), content.len() as u64);
    let top = size.min(INITRAMFS_END);
    let room = align_down(top, PAGE_BYTES as u64).saturating_sub(payload.end());
    let start = align_down(top.saturating_sub(len), PAGE_BYTES as u64);
    if len > room || start < payload.end() {
        let is_memory_full = size < INITRAMFS_END;
        return Err(LoadError::InitramfsTooLarge { expected: room, found: len, is_memory_full });
    }
    check_unpacks(content, payload.end(), || 0, memory.size_bytes(), boot.command_line)?;
    Ok(Some(start))
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

#[cfg(test)]
mod tests;
