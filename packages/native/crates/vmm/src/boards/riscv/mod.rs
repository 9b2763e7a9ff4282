//! The RISC-V board: one hart, a platform-level interrupt controller, firmware by the engine.
//!
//! ```text
//! 0x0010_1000  real-time clock, line 13     0x1000_0000  console, line 10
//! 0x0010_2000  generation, line 14          0x1000_0100  control port, line 11
//! 0x0c00_0000  interrupt controller         0x1000_1000  entropy device, line 1
//! 0x1001_0000  disks, from line 16 on       0x1000_2000  the agent's channel, line 2
//! 0x8000_0000  memory                       0x1000_8000  network interface, line 8
//! ```
//! A kernel goes to the offset that its header names (2 MiB), an initramfs and the device tree
//! to the top of the first gibibyte.

mod device_tree;
mod image;
mod kernel_takes;

use crate::board::{Board, Boot, Entry, PayloadForm};
use crate::devices::DeviceDescription;
use crate::devices::virtio::WINDOW_BYTES;
use crate::disks::MAX_DISKS;
use crate::loaders::{
    Elf, INITRAMFS_REACH_BYTES, LoadError, align_down, check_unpacks, machine_of, put,
};
use crate::memory::{GuestMemory, PAGE_BYTES};
use image::Image;
use kernel_takes::kernel_takes;

/// First guest-physical address of memory.
pub const MEMORY_BASE: u64 = 0x8000_0000;

/// The first window of the disks, and their interrupt lines.
const DISKS_BASE: u64 = 0x1001_0000;
const DISKS_LINE: u32 = 16;

const PAGE: u64 = PAGE_BYTES as u64;
const MEBIBYTE: u64 = 1 << 20;
/// The default offset of a kernel from the start of memory.
const KERNEL_OFFSET: u64 = 2 * MEBIBYTE;
/// Instructions lie at multiples of this many bytes.
const INSTRUCTION_ALIGNMENT: u64 = 2;
/// The format's number for RISC-V.
const ELF_MACHINE: u16 = 243;
/// Room for a device tree, the largest command line included.
const DEVICE_TREE_BYTES: u64 = 64 * 1024;
const MAX_COMMAND_LINE_BYTES: usize = 2047;

/// The board, as the engine's hart is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RiscvBoard {
    /// The hart's extensions beside the base `i`, as the device tree names them.
    pub isa_extensions: &'static [&'static str],
    /// The hart's widest paging, as the device tree names it.
    pub mmu_type: &'static str,
    /// Ticks of the `time` register a second.
    pub timebase_hz: u32,
    /// First guest-physical address of the interrupt controller.
    pub interrupt_controller_base: u64,
    /// Bytes of its window.
    pub interrupt_controller_bytes: u64,
    /// Interrupt sources that it has.
    pub interrupt_sources: u32,
}

/// The board of a hart with RV64GC, supervisor timer and hardware page-table updates.
pub static VIRT: RiscvBoard = RiscvBoard {
    isa_extensions: &["m", "a", "f", "d", "c", "zicntr", "zicsr", "zifencei", "sstc", "svadu"],
    mmu_type: "riscv,sv39",
    timebase_hz: 10_000_000,
    interrupt_controller_base: 0x0c00_0000,
    interrupt_controller_bytes: 0x60_0000,
    interrupt_sources: 63,
};

impl Board for RiscvBoard {
    fn name(&self) -> &'static str {
        "riscv"
    }

    fn kernel_here(&self, head: &[u8]) -> Option<&'static str> {
        let is_here = Image::is_image(head) || machine_of(head) == Some(ELF_MACHINE);
        is_here.then_some("a RISC-V kernel")
    }

    fn memory_base(&self) -> u64 {
        MEMORY_BASE
    }

    fn usual_devices(&self) -> Vec<DeviceDescription> {
        let device = DeviceDescription::new;
        vec![
            device("serial0", "ns16550a", 0x1000_0000, 10).with("port", 0),
            device("serial1", "ns16550a", 0x1000_0100, 11).with("port", 1),
            device("rtc", "goldfish-rtc", 0x0010_1000, 13),
            device("entropy", "virtio-rng", 0x1000_1000, 1),
            device("vmgenid", "vmgenid", 0x0010_2000, 14),
            device("channel", "virtio-console", 0x1000_2000, 2),
        ]
    }

    fn disk_place(&self, number: u32) -> Option<(u64, u32)> {
        let room = number < MAX_DISKS as u32;
        room.then(|| (DISKS_BASE + u64::from(number) * WINDOW_BYTES, DISKS_LINE + number))
    }

    fn network_device(&self) -> DeviceDescription {
        DeviceDescription::new("network", "virtio-net", 0x1000_8000, 8)
    }

    fn reserved(&self) -> Vec<(u64, u64)> {
        let base = self.interrupt_controller_base;
        vec![(base, base + self.interrupt_controller_bytes)]
    }

    fn default_command_line(&self) -> &'static str {
        // Without `cryptomgr.notests` a distribution's kernel tests its ciphers in a thread that keeps
        // the hart busy for a second of guest time: no guest would be calm soon after its boot. `jent_mod_init` tries for a
        // third of a boot whether the time of memory accesses is random. It is not on a deterministic engine, and the kernel's
        // generators take their seed from the device tree and `vmgenid` instead.
        "console=ttyS0 earlycon=sbi panic=-1 no4lvl cryptomgr.notests initcall_blacklist=jent_mod_init"
    }

    fn load(
        &self,
        memory: &mut dyn GuestMemory,
        devices: &[DeviceDescription],
        boot: &Boot<'_>,
    ) -> Result<Entry, LoadError> {
        if boot.command_line.len() > MAX_COMMAND_LINE_BYTES || boot.command_line.contains('\0') {
            return Err(LoadError::CommandLineInvalid {
                expected: format!("at most {MAX_COMMAND_LINE_BYTES} bytes, none of them zero"),
                found: format!("{} bytes", boot.command_line.len()),
            });
        }
        let payload = Payload::recognise(boot, memory.base())?;
        let places = Places::find(memory, &payload, boot.initramfs)?;
        if let (Payload::Image { .. } | Payload::Elf(_), Some(root)) = (&payload, boot.initramfs) {
            let kernel_bytes = payload.end().saturating_sub(payload.start());
            let more_bytes = || kernel_takes(boot.kernel, payload.end());
            check_unpacks(root, kernel_bytes, more_bytes, memory.size_bytes(), boot.command_line)?;
        }
        payload.load(memory)?;
        if let (Some(content), Some((start, _))) = (boot.initramfs, places.initramfs) {
            put(memory, start, content)?;
        }
        let tree = device_tree::build(self, devices, memory, places.initramfs, boot)?;
        if tree.len() as u64 > DEVICE_TREE_BYTES {
            let reason =
                format!("expected at most {DEVICE_TREE_BYTES} bytes, found {}", tree.len());
            return Err(LoadError::DeviceTree { reason });
        }
        put(memory, places.device_tree, &tree)?;
        Ok(Entry { pc: payload.entry(), device_tree: places.device_tree })
    }
}

enum Payload<'a> {
    Image { image: Image<'a>, address: u64 },
    Elf(Elf<'a>),
    Flat { bytes: &'a [u8], address: u64 },
}

impl<'a> Payload<'a> {
    fn recognise(boot: &Boot<'a>, base: u64) -> Result<Self, LoadError> {
        let bytes = boot.kernel;
        if let PayloadForm::Flat { address } = boot.form {
            if bytes.is_empty() {
                return Err(unknown("a payload", bytes));
            }
            return Ok(Self::Flat { bytes, address });
        }
        if Elf::is_elf(bytes) {
            let elf = Elf::parse(bytes, ELF_MACHINE)?;
            // A position-independent file goes where a kernel goes, unless it names an address.
            if elf.is_position_independent && elf.start() < base {
                let distance = (base + KERNEL_OFFSET) - align_down(elf.start(), PAGE);
                return Ok(Self::Elf(elf.moved_by(distance)));
            }
            return Ok(Self::Elf(elf));
        }
        if Image::is_image(bytes) {
            let image = Image::parse(bytes)?;
            let address = base
                .checked_add(image.text_offset)
                .ok_or_else(|| unknown("a text offset within memory", bytes))?;
            return Ok(Self::Image { image, address });
        }
        Err(unknown("a RISC-V Linux kernel image or a RISC-V ELF file", bytes))
    }

    fn entry(&self) -> u64 {
        match self {
            Self::Image { address, .. } | Self::Flat { address, .. } => *address,
            Self::Elf(elf) => elf.entry,
        }
    }

    fn start(&self) -> u64 {
        match self {
            Self::Image { address, .. } | Self::Flat { address, .. } => *address,
            Self::Elf(elf) => elf.start(),
        }
    }

    /// One past the last address that the payload needs, including memory that it clears itself.
    fn end(&self) -> u64 {
        match self {
            Self::Image { image, address } => address.saturating_add(image.memory_bytes),
            Self::Elf(elf) => elf.end(),
            Self::Flat { bytes, address } => address.saturating_add(bytes.len() as u64),
        }
    }

    fn load(&self, memory: &mut dyn GuestMemory) -> Result<(), LoadError> {
        match self {
            Self::Image { image, address } => put(memory, *address, image.bytes),
            Self::Elf(elf) => elf.load(memory),
            Self::Flat { bytes, address } => put(memory, *address, bytes),
        }
    }
}

fn unknown(expected: &str, bytes: &[u8]) -> LoadError {
    let looks = match bytes {
        [] => "an empty file".to_owned(),
        [0x1f, 0x8b, ..] => "gzip data that holds no kernel".to_owned(),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => {
            "an xz-compressed file: decompress it first".to_owned()
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "a zstd-compressed file: decompress it first".to_owned(),
        _ if bytes.get(0x202..0x206) == Some(b"HdrS") => {
            "an x86 Linux kernel (bzImage), which engine \"kvm\" starts".to_owned()
        }
        [b'M', b'Z', ..] => "an EFI executable that is not a RISC-V kernel image".to_owned(),
        _ => {
            let first: Vec<String> =
                bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("{} bytes that begin {}", bytes.len(), first.join(" "))
        }
    };
    LoadError::KernelUnknown { expected: expected.to_owned(), found: looks }
}

struct Places {
    /// First and one past the last address.
    initramfs: Option<(u64, u64)>,
    device_tree: u64,
}

impl Places {
    /// Finds room for everything, or reports the first part that does not fit.
    fn find(
        memory: &dyn GuestMemory,
        payload: &Payload<'_>,
        initramfs: Option<&[u8]>,
    ) -> Result<Self, LoadError> {
        let (base, size) = (memory.base(), memory.size_bytes());
        let end = base + size;
        let payload_end = payload.end();
        // The minimum for the kernel, the device tree and everything else.
        let needed = (payload_end.saturating_sub(base)).saturating_add(DEVICE_TREE_BYTES);
        if payload_end > end || needed > size {
            return Err(match payload {
                Payload::Image { .. } => LoadError::MemoryTooSmall {
                    expected: needed.saturating_add(16 * MEBIBYTE),
                    found: size,
                },
                _ => LoadError::KernelTooLarge {
                    expected: size.saturating_sub(DEVICE_TREE_BYTES),
                    found: payload_end.saturating_sub(base),
                },
            });
        }
        if payload.entry() < base || payload.entry() >= end {
            let what = "entry";
            return Err(LoadError::KernelOutsideMemory {
                what,
                address: payload.entry(),
                base,
                end,
            });
        }
        if !payload.entry().is_multiple_of(INSTRUCTION_ALIGNMENT) {
            return Err(LoadError::KernelDamaged {
                what: "entry",
                expected: format!("a multiple of {INSTRUCTION_ALIGNMENT}"),
                found: format!("{:#x}", payload.entry()),
            });
        }
        // Early page tables reach what lies in the first gibibyte; a payload beyond it leaves
        // the top of memory.
        let top = end.min(base + INITRAMFS_REACH_BYTES);
        let top = if payload_end > top - DEVICE_TREE_BYTES { end } else { top };
        let device_tree = align_down(top - DEVICE_TREE_BYTES, PAGE);
        let Some(content) = initramfs else { return Ok(Self { initramfs: None, device_tree }) };
        let len = content.len() as u64;
        let room = device_tree.saturating_sub(payload_end);
        let start = align_down(device_tree.saturating_sub(len), PAGE);
        if len > room || start < payload_end {
            return Err(LoadError::InitramfsTooLarge {
                expected: align_down(room, PAGE),
                found: len,
                is_memory_full: size < INITRAMFS_REACH_BYTES,
            });
        }
        Ok(Self { initramfs: Some((start, start + len)), device_tree })
    }
}

#[cfg(test)]
mod tests;
