//! Why a guest cannot be started from the given files.

use crate::memory::MemoryError;

/// A kernel, payload or initial RAM file system cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The kernel cannot be read.
    #[error("kernel {path}: {reason}")]
    KernelUnreadable {
        /// The file.
        path: String,
        /// The operating system's message.
        reason: String,
    },
    /// The kernel is in no form that can be started.
    #[error("kernel: expected {expected}, found {found}")]
    KernelUnknown {
        /// Forms that can be started.
        expected: String,
        /// The form that the file seems to have.
        found: String,
    },
    /// The engine cannot run such a kernel on this host.
    #[error("engine {engine:?}: expected {expected}, found {found}; {remedy}")]
    EngineUnfit {
        /// The engine.
        engine: &'static str,
        /// The kernel's requirement.
        expected: String,
        /// The host's property.
        found: String,
        /// The remedy.
        remedy: String,
    },
    /// The kernel contradicts itself or is cut.
    #[error("kernel: {what}: expected {expected}, found {found}")]
    KernelDamaged {
        /// The part that is wrong.
        what: &'static str,
        /// The correct value.
        expected: String,
        /// The file's value.
        found: String,
    },
    /// The kernel does not fit into memory.
    #[error(
        "kernel of {found} bytes: expected at most {expected} bytes at its place in memory; give \
         the machine more memory"
    )]
    KernelTooLarge {
        /// Maximum bytes that fit.
        expected: u64,
        /// Bytes that it needs.
        found: u64,
    },
    /// The kernel wants to be where no memory is.
    #[error("kernel: {what} at {address:#x}: expected an address in memory [{base:#x}, {end:#x})")]
    KernelOutsideMemory {
        /// The part.
        what: &'static str,
        /// Its address.
        address: u64,
        /// First address of memory.
        base: u64,
        /// One past the last address of memory.
        end: u64,
    },
    /// The initial RAM file system cannot be read.
    #[error("initramfs {path}: {reason}")]
    InitramfsUnreadable {
        /// The file.
        path: String,
        /// The operating system's message.
        reason: String,
    },
    /// The initial RAM file system does not fit into memory.
    #[error(
        "initramfs of {found} bytes: expected at most {expected} bytes, what is left beside the \
         kernel of the memory where it can lie; {}",
        if *is_memory_full { "give the machine more memory" } else {
            "more memory does not help, as the kernel looks for it in the first gibibyte only: make \
             the root smaller"
        }
    )]
    InitramfsTooLarge {
        /// Maximum bytes that fit.
        expected: u64,
        /// Bytes that it has.
        found: u64,
        /// Whether a machine with more memory has more room for it.
        is_memory_full: bool,
    },
    /// The files of the initial RAM file system do not fit into the guest's memory once unpacked.
    #[error(
        "initramfs: its {files} files take {bytes} bytes unpacked, and the kernel gives them half of \
         the memory that it leaves: expected a machine of {expected} MiB, found {found} MiB; \
         give it more memory, or make the root smaller"
    )]
    RootTooLarge {
        /// Mebibytes of memory that are enough.
        expected: u64,
        /// Mebibytes of memory.
        found: u64,
        /// Bytes of the files in whole pages.
        bytes: u64,
        /// Files, directories and links.
        files: u64,
    },
    /// The kernel and the parts that it needs do not fit into memory.
    #[error("memory of {found} bytes: expected at least {expected} bytes for this kernel")]
    MemoryTooSmall {
        /// Bytes needed.
        expected: u64,
        /// Bytes of memory.
        found: u64,
    },
    /// The command line cannot be given to the kernel.
    #[error("command line: expected {expected}, found {found}")]
    CommandLineInvalid {
        /// The accepted values.
        expected: String,
        /// The given value.
        found: String,
    },
    /// The device tree cannot be built.
    #[error("device tree: {reason}")]
    DeviceTree {
        /// The reason.
        reason: String,
    },
    /// Guest memory cannot be written.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl LoadError {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::KernelUnreadable { .. } => "KernelUnreadable",
            Self::KernelUnknown { .. } => "KernelUnknown",
            Self::EngineUnfit { .. } => "EngineUnfit",
            Self::KernelDamaged { .. } => "KernelDamaged",
            Self::KernelTooLarge { .. } => "KernelTooLarge",
            Self::KernelOutsideMemory { .. } => "KernelOutsideMemory",
            Self::InitramfsUnreadable { .. } => "InitramfsUnreadable",
            Self::InitramfsTooLarge { .. } => "InitramfsTooLarge",
            Self::RootTooLarge { .. } => "RootTooLarge",
            Self::MemoryTooSmall { .. } => "MemoryTooSmall",
            Self::CommandLineInvalid { .. } => "CommandLineInvalid",
            Self::DeviceTree { .. } => "DeviceTreeFailed",
            Self::Memory(error) => error.name(),
        }
    }
}
