//! The boot specification of a machine.

use crate::disk_spec::DiskSpec;
use crate::event_batch::integer;
use crate::event_quota::EventQuota;
use crate::network_spec::NetworkSpec;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use stillpoint_vmm::board::PayloadForm;
use stillpoint_vmm::disks::DiskError;
use stillpoint_vmm::loaders::Source;
use stillpoint_vmm::machine::{MachineConfig, NetworkConfig};
use stillpoint_vmm::random::Seed;

/// The boot specification of a machine. Absent parts have the core's defaults.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct BootSpec {
    /// Path of a Linux `Image`, an ELF file or a flat payload.
    pub kernel_path: String,
    /// Path of the initial RAM file system.
    pub initramfs_path: Option<String>,
    /// Bytes of the initial RAM file system, instead of a path.
    #[napi(ts_type = "Uint8Array | null")]
    pub initramfs: Option<Uint8Array>,
    /// Guest-physical load address of a flat payload.
    pub load_address: Option<f64>,
    /// Kernel command line.
    pub command_line: Option<String>,
    /// Name of the engine; the best that this host can use if null.
    pub engine: Option<String>,
    /// Guest memory in MiB.
    pub memory_mib: Option<u32>,
    /// Seed of every random byte that the guest is given; host randomness if null.
    pub seed: Option<f64>,
    /// Wall-clock time of the first instruction, milliseconds since 1970.
    pub epoch_millis: Option<f64>,
    /// Guest nanoseconds between two samples of dirtied pages; 0 for none.
    pub dirty_sample_nanos: Option<f64>,
    /// The network interface; none if null.
    pub network: Option<NetworkSpec>,
    /// Quotas of some kinds of events.
    pub event_quotas: Vec<EventQuota>,
    /// Disks, in the order in which the guest sees them.
    pub disks: Vec<DiskSpec>,
    /// Empty slots behind them.
    pub disk_slots: u32,
}

impl TryFrom<BootSpec> for MachineConfig {
    type Error = DiskError;

    fn try_from(spec: BootSpec) -> Result<Self, DiskError> {
        let usual = Self::new(Source::Path(spec.kernel_path.into()));
        Ok(Self {
            form: spec.load_address.map_or(PayloadForm::Recognised, |address| PayloadForm::Flat {
                address: integer(address),
            }),
            initramfs: spec
                .initramfs
                .map(|bytes| Source::Bytes(bytes.to_vec().into()))
                .or_else(|| spec.initramfs_path.map(|path| Source::Path(path.into()))),
            command_line: spec.command_line,
            engine: spec.engine.unwrap_or(usual.engine),
            memory_bytes: spec.memory_mib.map_or(usual.memory_bytes, |mib| u64::from(mib) << 20),
            seed: spec.seed.map_or(Seed::Host, |seed| Seed::from_number(integer(seed))),
            epoch_nanos: spec
                .epoch_millis
                .map_or(usual.epoch_nanos, |millis| integer(millis).saturating_mul(1_000_000)),
            sample_step_nanos: spec.dirty_sample_nanos.map_or(usual.sample_step_nanos, integer),
            // The host's own log keeps the events; the machine's only until they are taken over.
            log_bytes: 0,
            network: spec.network.map(NetworkConfig::from),
            quotas: spec.event_quotas.into_iter().filter_map(EventQuota::into_quota).collect(),
            disks: spec.disks.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            disk_slots: spec.disk_slots as usize,
            ..usual
        })
    }
}
