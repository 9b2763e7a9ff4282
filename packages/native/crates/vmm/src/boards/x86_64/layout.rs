//! All addresses in one list, so that nothing overlaps.

/// The base of I/O ports on the bus: above every address of such a processor.
pub const PORTS_BASE: u64 = 1 << 52;

/// The descriptor table: null, null, code, data.
pub const DESCRIPTORS: u64 = 0x500;
/// The kernel's boot parameters, one page ("zero page").
pub const BOOT_PARAMETERS: u64 = 0x1000;
/// The command line, terminated by a zero.
pub(super) const COMMAND_LINE: u64 = 0x2000;
/// Bytes for the kernel's random source, behind their header.
pub(super) const RANDOM_SEED: u64 = 0x2800;
/// ACPI tables, up to [`ACPI_END`].
pub(super) const ACPI_TABLES: u64 = 0x3000;
/// One past the last byte of theirs.
pub(super) const ACPI_END: u64 = 0x8000;
/// The top of the stack, which grows downwards.
pub const STACK_TOP: u64 = 0x8ff0;
/// The root of the page tables.
pub const PAGE_TABLES: u64 = 0x9000;
/// First address that a payload may have.
pub(super) const PAYLOAD_BASE: u64 = 0x1_0000;
/// Between these a PC has its display and its firmware: no memory for a kernel.
pub(super) const LOW_MEMORY_END: u64 = 0x9_fc00;
pub(super) const HIGH_MEMORY: u64 = 0x10_0000;
/// The reset vector: a kernel jumps there when nothing else has reset the machine.
pub(super) const RESET_VECTOR: u64 = 0xf_fff0;
/// One past the last address that memory may have.
pub(super) const MEMORY_TOP: u64 = 0xd000_0000;

/// The keyboard controller's command port, and the command that resets the machine.
pub const RESET_PORT: u16 = 0x64;
/// The command.
pub const RESET: u8 = 0xfe;
/// The port of ACPI's power management; its second byte is the register of hardware that is reduced to it.
pub const POWER_PORT: u16 = 0x604;
/// That byte alone.
pub const SLEEP_PORT: u16 = POWER_PORT + 1;
/// The bit that makes the machine enter the chosen sleep state.
pub const SLEEP: u8 = 1 << 5;

/// The interrupt controllers of a PC.
pub(super) const IO_APIC: u32 = 0xfec0_0000;
pub(super) const LOCAL_APIC: u32 = 0xfee0_0000;
