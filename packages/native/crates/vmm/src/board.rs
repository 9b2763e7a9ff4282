//! What a machine looks like to the guest beside its processor: where things are and how a guest
//! is started. The engine's choice, since both depend on its instruction set.

use crate::devices::DeviceDescription;
use crate::loaders::LoadError;
use crate::memory::GuestMemory;

/// What a guest starts from: where its first instruction is and what its registers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Guest-physical address of the first instruction.
    pub pc: u64,
    /// Guest-physical address of the device tree or of the engine's equivalent.
    pub device_tree: u64,
}

/// What to start, in memory already read.
#[derive(Debug, Clone, Copy)]
pub struct Boot<'a> {
    /// The kernel or payload.
    pub kernel: &'a [u8],
    /// How to take it.
    pub form: PayloadForm,
    /// The initial RAM file system.
    pub initramfs: Option<&'a [u8]>,
    /// The kernel's command line.
    pub command_line: &'a str,
    /// Bytes for the kernel's random source.
    pub random_seed: &'a [u8],
}

/// How the bytes of a payload are to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PayloadForm {
    /// By what they look like: a kernel image of the instruction set, or an ELF file.
    #[default]
    Recognised,
    /// As they are, to this guest-physical address, where execution begins.
    Flat {
        /// Where the first byte goes.
        address: u64,
    },
}

/// A board.
pub trait Board: Send + Sync {
    /// The board's name in snapshots.
    fn name(&self) -> &'static str;

    /// First guest-physical address of memory.
    fn memory_base(&self) -> u64;

    /// The devices of a machine that nothing else was said of.
    fn usual_devices(&self) -> Vec<DeviceDescription>;

    /// Where a machine's disk number `number` is: the base of its window and its interrupt line.
    /// `None`: there is no room for so many.
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

    /// Puts everything a guest starts from into memory, which is all zero; `devices` are those that
    /// the guest is told of.
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
