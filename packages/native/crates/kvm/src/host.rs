//! The capabilities of this host's KVM.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::LazyLock;

use kvm_bindings::{CpuId, KVM_API_VERSION, kvm_cpuid_entry2};
use kvm_ioctls::{Cap, Kvm};

const DEVICE: &str = "/dev/kvm";

/// The capabilities that the engine requires.
const NEEDED: [Cap; 13] = [
    Cap::Irqchip,
    Cap::Pit2,
    Cap::PitState2,
    Cap::UserMemory,
    Cap::SyncMmu,
    Cap::ImmediateExit,
    Cap::AdjustClock,
    Cap::GetTscKhz,
    Cap::Xsave,
    Cap::Xcrs,
    Cap::VcpuEvents,
    Cap::Debugregs,
    Cap::MpState,
];

/// The leaf of features, and of what paravirtualization there is.
const FEATURES: u32 = 1;
const PARAVIRTUAL: u32 = 0x4000_0001;
/// Bits of ecx that KVM leaves to the maker of the machine.
const HYPERVISOR: u32 = 1 << 31;
const TSC_DEADLINE: u32 = 1 << 24;
/// Of KVM's own features a guest gets the clock and no I/O delays, but none that writes to memory
/// when the guest does not.
const CLOCK_ONLY: u32 = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 24;
/// Registers that write to memory when they are set, and are not read afterwards.
const WALL_CLOCKS: [u32; 2] = [0x11, 0x4b56_4d00];
/// The clocks, which are saved by themselves.
pub(crate) const TSC: u32 = 0x10;
pub(crate) const TSC_DEADLINE_MSR: u32 = 0x6e0;
const MOST_CPUID_ENTRIES: usize = 256;

/// An opened KVM and what its processors can.
pub(crate) struct Host {
    pub(crate) kvm: Kvm,
    /// The default processor of machines.
    pub(crate) processor: Vec<kvm_cpuid_entry2>,
    /// Model-specific registers that are saved, the clocks left out.
    pub(crate) registers: Vec<u32>,
    /// Cycles of the time stamp counter in a millisecond.
    pub(crate) tsc_khz: u32,
    /// Whether a machine can have another frequency than the host.
    pub(crate) scales_tsc: bool,
}

/// This host's KVM.
///
/// # Errors
/// Why it cannot be used, with the remedy.
pub(crate) fn host() -> Result<&'static Host, String> {
    static HOST: LazyLock<Result<Host, String>> = LazyLock::new(open);
    HOST.as_ref().map_err(Clone::clone)
}

fn open() -> Result<Host, String> {
    let kvm = Kvm::new().map_err(|error| match error.errno() {
        libc::ENOENT => format!(
            "{DEVICE}: expected it, found none; the host's processor or kernel has no \
             virtualization, or the module kvm is not loaded"
        ),
        libc::EACCES | libc::EPERM => {
            let group = fs::metadata(DEVICE).map_or(0, |device| device.gid());
            format!("{DEVICE}: no permission; add this user to group {group}, which it belongs to")
        }
        _ => format!("{DEVICE}: {error}"),
    })?;
    let (expected, found) = (KVM_API_VERSION as i32, kvm.get_api_version());
    if found != expected {
        return Err(format!("{DEVICE}: expected API version {expected}, found {found}"));
    }
    let missing: Vec<_> = NEEDED.iter().filter(|cap| !kvm.check_extension(**cap)).collect();
    if !missing.is_empty() {
        return Err(format!("{DEVICE}: this kernel's KVM lacks {missing:?}; use a later kernel"));
    }
    let failed = |what: &str, error: kvm_ioctls::Error| format!("{DEVICE}: {what}: {error}");
    let offered = kvm
        .get_supported_cpuid(MOST_CPUID_ENTRIES)
        .map_err(|error| failed("the processor's features", error))?;
    let has_deadline = kvm.check_extension(Cap::TscDeadlineTimer);
    let registers = kvm.get_msr_index_list().map_err(|error| failed("its registers", error))?;
    let left_out =
        |index: &u32| WALL_CLOCKS.contains(index) || [TSC, TSC_DEADLINE_MSR].contains(index);
    let mut registers: Vec<u32> =
        registers.as_slice().iter().copied().filter(|index| !left_out(index)).collect();
    registers.sort_unstable();
    registers.dedup();
    let machine = kvm.create_vm().map_err(|error| failed("a machine", error))?;
    let processor = machine.create_vcpu(0).map_err(|error| failed("a processor", error))?;
    let tsc_khz = processor.get_tsc_khz().map_err(|error| failed("its clock", error))?;
    let scales_tsc = kvm.check_extension(Cap::TscControl);
    let processor = canonical(&offered, has_deadline);
    Ok(Host { kvm, processor, registers, tsc_khz, scales_tsc })
}

/// The processor without what depends on which of the host's processors was asked.
fn canonical(offered: &CpuId, has_deadline: bool) -> Vec<kvm_cpuid_entry2> {
    let mut entries = offered.as_slice().to_vec();
    for entry in &mut entries {
        match entry.function {
            FEATURES => {
                // One logical processor, whose number is 0.
                entry.ebx = entry.ebx & 0xffff | 1 << 16;
                entry.ecx |= HYPERVISOR | if has_deadline { TSC_DEADLINE } else { 0 };
            }
            0xb | 0x1f => (entry.eax, entry.ebx, entry.edx) = (0, 1, 0),
            0x8000_001e => (entry.eax, entry.ebx, entry.ecx) = (0, 0, 0),
            PARAVIRTUAL => (entry.eax, entry.edx) = (entry.eax & CLOCK_ONLY, 0),
            _ => {}
        }
    }
    entries.sort_by_key(|entry| (entry.function, entry.index));
    entries
}
