//! A machine as data: a new machine is built from it, snapshots contain it, and a restore builds
//! from it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::memory_limits::{MAX_MEMORY_BYTES, MIN_MEMORY_BYTES};
use crate::board::Board;
use crate::devices::{DeviceDescription, Making};
use crate::memory::{GuestMemory, PAGE_BYTES};
use crate::platform::Platform;
use crate::random::Seed;

/// Maximum number of devices of a machine.
const MAX_DEVICES: usize = 62;
/// Longest name of a device.
const MAX_NAME_BYTES: usize = 64;

/// The memory of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemoryDescription {
    /// First guest-physical address.
    pub base: u64,
    /// Bytes, a multiple of a page's.
    pub size_bytes: u64,
}

/// A machine without its payload and its state.
///
/// ```
/// use stillpoint_vmm::machine::MachineDescription;
/// let text = r#"{
///   "engine": "soft", "board": "riscv", "processors": 1,
///   "memory": { "base": 2147483648, "sizeBytes": 1048576 },
///   "devices": [{ "name": "serial0", "kind": "ns16550a", "base": 268435456, "line": 10,
///                 "options": { "port": 0 } }],
///   "seed": "host", "epochNanos": 0
/// }"#;
/// let machine: MachineDescription = serde_json::from_str(text)?;
/// assert_eq!(machine.devices[0].name, "serial0");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineDescription {
    /// Name of the engine.
    pub engine: String,
    /// Name of the board.
    pub board: String,
    /// Processors; an engine of this build has one.
    pub processors: u32,
    /// Memory.
    pub memory: MemoryDescription,
    /// Devices, in the order in which the guest sees them.
    pub devices: Vec<DeviceDescription>,
    /// The seed of its randomness; `None` if it was not recorded. A renewal reseeds it.
    pub seed: Option<Seed>,
    /// Wall-clock time at guest time zero, in nanoseconds since 1970.
    pub epoch_nanos: u64,
}

/// A description that describes no machine of this build, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("machine: {}", problems.join("; "))]
pub struct DescriptionInvalid {
    /// The expected and the found values, each with its place.
    pub problems: Vec<String>,
}

impl MachineDescription {
    /// Refuses a machine that this build cannot make on `board`.
    ///
    /// # Errors
    /// [`DescriptionInvalid`] with all problems.
    pub fn check(&self, board: &dyn Board) -> Result<(), DescriptionInvalid> {
        let mut problems = Vec::new();
        let mut expect = |holds: bool, problem: String| {
            if !holds {
                problems.push(problem);
            }
        };
        expect(self.processors == 1, format!("processors: expected 1, found {}", self.processors));
        let MemoryDescription { base, size_bytes } = self.memory;
        let sizes = MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES;
        let is_whole = |bytes: u64| bytes.is_multiple_of(PAGE_BYTES as u64);
        expect(
            sizes.contains(&size_bytes) && is_whole(size_bytes),
            format!("memory.sizeBytes: expected whole pages in {sizes:?}, found {size_bytes}"),
        );
        let end = base.saturating_add(size_bytes);
        expect(
            is_whole(base) && end < u64::MAX,
            format!("memory.base: expected a page with room behind it, found {base:#x}"),
        );
        let count = self.devices.len();
        expect(
            count <= MAX_DEVICES,
            format!("devices: expected at most {MAX_DEVICES}, found {count}"),
        );
        let mut taken = board.reserved();
        taken.push((base, end));
        let (mut names, mut lines) = (BTreeSet::new(), BTreeSet::new());
        for (device, index) in self.devices.iter().take(MAX_DEVICES).zip(0..) {
            let at = |field: &str| format!("devices[{index}].{field}");
            let DeviceDescription { name, kind, base, line, .. } = device;
            expect(
                !name.is_empty() && name.len() <= MAX_NAME_BYTES && names.insert(name),
                format!("{}: expected a name of its own, found {name:?}", at("name")),
            );
            expect(
                (1..64).contains(line) && lines.insert(line),
                format!("{}: expected a line of its own, 1 to 63, found {line}", at("line")),
            );
            let Some(kind) = device.kind_of() else {
                let known: Vec<_> = crate::devices::KINDS.iter().map(|kind| kind.name).collect();
                let known = known.join(", ");
                expect(false, format!("{}: expected one of {known}, found {kind:?}", at("kind")));
                continue;
            };
            let window = (*base, base.saturating_add(kind.window_bytes));
            let is_free = taken.iter().all(|other| window.1 <= other.0 || other.1 <= window.0);
            expect(
                is_free && window.1 < u64::MAX,
                format!("{}: expected {} free bytes at {base:#x}", at("base"), kind.window_bytes),
            );
            taken.push(window);
            if let Err(problem) = (kind.make)(device, &self.making()) {
                expect(false, format!("{}: {problem}", at("options")));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(DescriptionInvalid { problems }) }
    }

    fn making(&self) -> Making {
        // The saved state of a restored machine continues its randomness.
        let seed = self.seed.unwrap_or(Seed::Fixed([0; 32]));
        Making { seed, epoch_nanos: self.epoch_nanos }
    }

    /// The platform of this machine, its devices at their reset states.
    ///
    /// # Errors
    /// [`DescriptionInvalid`] if a device cannot be made.
    pub(super) fn platform(
        &self,
        memory: Box<dyn GuestMemory>,
        log_bytes: usize,
    ) -> Result<Platform, DescriptionInvalid> {
        let making = self.making();
        let mut platform = Platform::with_seed(memory, making.seed, log_bytes);
        for device in &self.devices {
            let invalid = |problem| DescriptionInvalid { problems: vec![problem] };
            let kind = device.kind_of().ok_or_else(|| invalid(format!("{:?}", device.kind)))?;
            let made = (kind.make)(device, &making).map_err(invalid)?;
            platform.attach(&device.name, device.base, kind.window_bytes, device.line, made);
        }
        Ok(platform)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boards::riscv::VIRT;
    use crate::memory::PagedMemory;
    use proptest::prelude::*;

    fn machine() -> MachineDescription {
        MachineDescription {
            engine: "soft".to_owned(),
            board: VIRT.name().to_owned(),
            processors: 1,
            memory: MemoryDescription { base: VIRT.memory_base(), size_bytes: 1 << 20 },
            devices: VIRT.usual_devices(),
            seed: Some(Seed::from_number(3)),
            epoch_nanos: 7,
        }
    }

    #[test]
    fn a_description_is_its_json() {
        let machine = machine();
        assert_eq!(machine.check(&VIRT), Ok(()));
        let text = serde_json::to_string(&machine).expect("written");
        assert_eq!(serde_json::from_str::<MachineDescription>(&text).expect("read"), machine);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let mut machine = machine();
        machine.processors = 2;
        machine.memory.size_bytes += 1;
        machine.devices[0].kind = "virtio-blk-9".to_owned();
        machine.devices[1].name = machine.devices[2].name.clone();
        machine.devices[2].line = 64;
        machine.devices[3].base = machine.memory.base;
        machine.devices[4] = machine.devices[4].clone().with("colour", "red");
        let DescriptionInvalid { problems } = machine.check(&VIRT).expect_err("seven problems");
        assert_eq!(problems.len(), 7, "{problems:#?}");
        assert!(problems.iter().any(|problem| problem.contains("virtio-rng")), "{problems:#?}");
    }

    proptest! {
        /// Any description in a snapshot is refused, or can be built.
        #[test]
        fn any_description_is_refused_or_made(
            base in any::<u64>(),
            places in proptest::collection::vec((any::<u64>(), any::<u32>(), 0..6usize, any::<bool>()), 0..70),
        ) {
            let mut machine = machine();
            machine.memory.base = base & !0xfff;
            machine.devices = places
                .into_iter()
                .enumerate()
                .map(|(number, (place, line, kind, near))| {
                    let kind = crate::devices::KINDS.get(kind).map_or("none", |kind| kind.name);
                    let place = if near { place % 0x4000 } else { place };
                    let device = DeviceDescription::new(&number.to_string(), kind, place, line % 70);
                    if kind == "ns16550a" { device.with("port", line) } else { device }
                })
                .collect();
            if machine.check(&VIRT).is_ok() {
                let memory = PagedMemory::new(machine.memory.base, machine.memory.size_bytes);
                prop_assert!(machine.platform(Box::new(memory), 0).is_ok());
            }
        }
    }
}
