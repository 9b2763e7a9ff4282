//! A machine as the guest sees it, apart from its processor: addresses, and how a guest starts. The
//! engine chooses the board, since both depend on its instruction set.

use crate::devices::DeviceDescription;
use crate::loaders::LoadError;
use crate::memory::GuestMemory;

/// The start of a guest: the address of its first instruction, and its registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Guest-physical address of the first instruction.
    pub pc: u64,
    /// Guest-physical address of the device tree or of the engine's equivalent.
    pub device_tree: u64,
}

/// The payload to start, already in memory of the host.
#[derive(Debug, Clone, Copy)]
pub struct Boot<'a> {
    /// The kernel or payload.
    pub kernel: &'a [u8],
    /// Its form.
    pub form: PayloadForm,
    /// The initial RAM file system.
    pub initramfs: Option<&'a [u8]>,
    /// The kernel's command line.
    pub command_line: &'a str,
    /// Bytes for the kernel's random source.
    pub random_seed: &'a [u8],
}

/// The form of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PayloadForm {
    /// Recognised by its content: a kernel image of the instruction set, or an ELF file.
    #[default]
    Recognised,
    /// As they are, to this guest-physical address, where execution begins.
    Flat {
        /// The address of its first byte.
        address: u64,
    },
}

/// A board.
pub trait Board: Send + Sync {
    /// The board's name in snapshots.
    fn name(&self) -> &'static str;

    /// The kernel in a file that begins so, in a word or two, if its headers say that it is for this board.
    fn kernel_here(&self, head: &[u8]) -> Option<&'static str> {
        let _ = head;
        None
    }

    /// First guest-physical address of memory.
    fn memory_base(&self) -> u64;

    /// The default devices of a machine.
    fn usual_devices(&self) -> Vec<DeviceDescription>;

    /// The place of a machine's disk number `number`: the base of its window and its interrupt line.
    /// `None` if there is no room for so many.
    fn disk_place(&self, number: u32) -> Option<(u64, u32)> {
        let _ = number;
        None
    }

    /// The network interface of a machine that is to have one, without its options.
    fn network_device(&self) -> DeviceDescription;

    /// Guest-physical addresses that are neither memory's nor a device's to have: first and one past
    /// the last of each range.
    fn reserved(&self) -> Vec<(u64, u64)> {
        Vec::new()
    }

    /// The command line of a kernel that was given none.
    fn default_command_line(&self) -> &'static str;

    /// Writes everything that a guest starts from into memory, which is all zero; `devices` are
    /// those that the guest is told of.
    ///
    /// # Errors
    /// [`LoadError`] if the guest cannot be started so.
    fn load(
        &self,
        memory: &mut dyn GuestMemory,
        devices: &[DeviceDescription],
        boot: &Boot<'_>,
    ) -> Result<Entry, LoadError>;
}
