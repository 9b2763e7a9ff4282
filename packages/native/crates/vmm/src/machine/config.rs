//! The configuration of a machine.

use super::DescriptionInvalid;
use super::memory_limits::{MAX_MEMORY_BYTES, MIN_MEMORY_BYTES};
use crate::board::{Board, PayloadForm};
use crate::devices::DeviceDescription;
use crate::disks::{DiskError, DiskSpec};
use crate::engines::{AUTO, EngineRefused};
use crate::event::{EventKind, Quota};
use crate::loaders::{LoadError, Source};
use crate::memory::PAGE_BYTES;
use crate::platform::DEFAULT_LOG_BYTES;
use crate::random::Seed;
use crate::time::Nanos;

/// A machine's network interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Its hardware address.
    pub address: [u8; 6],
    /// Maximum bytes of a packet, 576 to 65535.
    pub mtu: u16,
}

impl Default for NetworkConfig {
    /// A locally administered address; packets as large as they may be, since none of them leaves the
    /// host's process as it is.
    fn default() -> Self {
        Self { address: [0x02, 0x53, 0x54, 0x49, 0x4c, 0x4c], mtu: 65_520 }
    }
}

/// A machine to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineConfig {
    /// The kernel or payload.
    pub kernel: Source,
    /// Its form.
    pub form: PayloadForm,
    /// The initial RAM file system.
    pub initramfs: Option<Source>,
    /// The kernel's command line; none: the board's.
    pub command_line: Option<String>,
    /// Name of the engine, or [`AUTO`](crate::engines::AUTO): the best that this host can use.
    pub engine: String,
    /// Guest memory in bytes, a multiple of the page size.
    pub memory_bytes: u64,
    /// The source of randomness.
    pub seed: Seed,
    /// Wall-clock time at guest time zero, in nanoseconds since 1970.
    pub epoch_nanos: u64,
    /// Guest time between two samples of dirtied pages; 0: none are taken.
    pub sample_step_nanos: Nanos,
    /// Bytes of events that the machine keeps for late readers.
    pub log_bytes: usize,
    /// The network interface; none: the machine has none.
    pub network: Option<NetworkConfig>,
    /// Quotas of some kinds of events; the other kinds have their defaults.
    pub quotas: Vec<(EventKind, Quota)>,
    /// Disks, in the order in which the guest sees them.
    pub disks: Vec<DiskSpec>,
    /// Empty slots behind them, for disks that are attached later.
    pub disk_slots: usize,
}

impl MachineConfig {
    /// A machine of 128 MiB for `kernel`, everything else as is usual: recognised by its looks,
    /// no initramfs, the board's command line, seed 0, clock at 2025-01-01, pages sampled every
    /// 10 ms.
    ///
    /// ```
    /// use stillpoint_vmm::{loaders::Source, machine::MachineConfig};
    /// let config = MachineConfig {
    ///     memory_bytes: 64 << 20,
    ///     ..MachineConfig::new(Source::Path("vmlinux".into()))
    /// };
    /// assert_eq!(config.sample_step_nanos, 10_000_000);
    /// ```
    pub fn new(kernel: Source) -> Self {
        Self {
            kernel,
            form: PayloadForm::Recognised,
            initramfs: None,
            command_line: None,
            engine: AUTO.to_owned(),
            memory_bytes: 128 << 20,
            seed: Seed::from_number(0),
            epoch_nanos: 1_735_689_600_000_000_000,
            sample_step_nanos: 10_000_000,
            log_bytes: DEFAULT_LOG_BYTES,
            network: None,
            quotas: Vec::new(),
            disks: Vec::new(),
            disk_slots: 0,
        }
    }

    /// The devices of the machine on a board.
    pub(super) fn devices(&self, board: &dyn Board) -> Vec<DeviceDescription> {
        let mut devices = board.usual_devices();
        if let Some(NetworkConfig { address, mtu }) = self.network {
            let network = board.network_device();
            devices.push(network.with("address", address.to_vec()).with("mtu", mtu));
        }
        devices
    }

    pub(super) fn check(&self) -> Result<(), CreateError> {
        let memory = self.memory_bytes;
        if !(MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES).contains(&memory)
            || !memory.is_multiple_of(PAGE_BYTES as u64)
        {
            return Err(CreateError::MemorySizeInvalid {
                least: MIN_MEMORY_BYTES,
                most: MAX_MEMORY_BYTES,
                found: memory,
            });
        }
        if self.sample_step_nanos != 0 && self.sample_step_nanos < MIN_SAMPLE_STEP_NANOS {
            return Err(CreateError::SampleStepInvalid {
                least: MIN_SAMPLE_STEP_NANOS,
                found: self.sample_step_nanos,
            });
        }
        Ok(())
    }
}

/// Shortest time between two samples of dirtied pages.
pub const MIN_SAMPLE_STEP_NANOS: Nanos = 10_000;

/// A machine cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// Not a size that a machine's memory can have.
    #[error(
        "memory of {found} bytes: expected {least} to {most} bytes, a multiple of the 4096 of a page"
    )]
    MemorySizeInvalid {
        /// Least memory.
        least: u64,
        /// Most memory.
        most: u64,
        /// The requested value.
        found: u64,
    },
    /// Samples too close to each other.
    #[error("dirty pages sampled every {found} ns: expected 0 (never) or at least {least} ns")]
    SampleStepInvalid {
        /// Shortest step.
        least: Nanos,
        /// The requested value.
        found: Nanos,
    },
    /// No engine of that name, or one that this host cannot use.
    #[error(transparent)]
    Engine(#[from] EngineRefused),
    /// The machine that was described is none of this build.
    #[error(transparent)]
    MachineInvalid(#[from] DescriptionInvalid),
    /// A disk cannot be had.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The guest cannot be started from the given files.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl CreateError {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MemorySizeInvalid { .. } => "MemorySizeInvalid",
            Self::SampleStepInvalid { .. } => "SampleStepInvalid",
            Self::Engine(error) => error.name(),
            Self::MachineInvalid(_) => "MachineInvalid",
            Self::Disk(error) => error.name(),
            Self::Load(error) => error.name(),
        }
    }
}
