//! The disks of a machine: how they are described, and how one is put into a slot.

use super::{CreateError, DescriptionInvalid, Machine};
use crate::board::Board;
use crate::devices::DeviceDescription;
use crate::disks::{Attached, Disk, DiskError, DiskSpec, Disks};
use crate::event::EventBody;
use serde_json::json;

/// The kind of their devices.
const KIND: &str = "virtio-blk";

/// A disk cannot be attached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The disk cannot be had.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The machine has no such slot.
    #[error("slot {found}: expected one of the {expected} slots that the machine was booted with")]
    SlotUnknown {
        /// Slots that there are.
        expected: usize,
        /// The requested slot.
        found: String,
    },
    /// A disk is in the slot.
    #[error("slot {found}: expected an empty one, found disk {holder:?} in it; a disk stays")]
    SlotTaken {
        /// The requested slot.
        found: usize,
        /// The disk in it.
        holder: String,
    },
    /// The guest executes no further.
    #[error("the machine has ended ({reason}) and takes no disk")]
    MachineEnded {
        /// How it ended.
        reason: String,
    },
}

impl AttachError {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Disk(error) => error.name(),
            Self::SlotUnknown { .. } => "SlotUnknown",
            Self::SlotTaken { .. } => "SlotTaken",
            Self::MachineEnded { .. } => "MachineEnded",
        }
    }
}

fn facts(disk: &Disk) -> Attached {
    Attached { name: disk.name().to_owned(), access: disk.access(), size_bytes: disk.size_bytes() }
}

/// The devices of so many disks and slots, on a board.
pub(super) fn described(
    board: &dyn Board,
    disks: &Disks,
    count: usize,
) -> Result<Vec<DeviceDescription>, CreateError> {
    let first_slot = disks.iter().count();
    let mut devices = Vec::new();
    for number in 0..count {
        let Some((base, line)) = board.disk_place(number as u32) else {
            let found = format!("disks: expected at most {number} on this board, found {count}");
            return Err(DescriptionInvalid { problems: vec![found] }.into());
        };
        let disk = disks.get(number).map(facts);
        let name = match &disk {
            Some(disk) => format!("disk:{}", disk.name),
            None => format!("slot:{}", number - first_slot),
        };
        let device = DeviceDescription::new(&name, KIND, base, line).with("number", number);
        devices.push(match disk {
            None => device,
            Some(Attached { name, access, size_bytes }) => device
                .with("disk", json!({ "name": name, "access": access, "sizeBytes": size_bytes })),
        });
    }
    Ok(devices)
}

impl Machine {
    /// The disks that the machine has, with their numbers.
    pub fn disks(&self) -> &Disks {
        &self.platform.disks
    }

    /// Numbers of the disks of the machine's slots.
    fn slots(&self) -> Vec<usize> {
        let is_slot = |device: &&DeviceDescription| {
            device.kind == KIND && !device.options.contains_key("disk")
        };
        let number = |device: &DeviceDescription| {
            usize::try_from(device.options.get("number")?.as_u64()?).ok()
        };
        self.origin.machine.devices.iter().filter(is_slot).filter_map(number).collect()
    }

    /// Puts a disk into slot number `slot`, or into the first that is empty; the guest's kernel is
    /// told by an interrupt. `DiskAttached` records it. Does not run the guest.
    ///
    /// # Errors
    /// [`AttachError`]; nothing has changed then.
    pub fn attach_disk(&mut self, slot: Option<usize>, spec: &DiskSpec) -> Result<(), AttachError> {
        if let Some(reason) = self.ending() {
            return Err(AttachError::MachineEnded { reason });
        }
        let slots = self.slots();
        let is_empty = |number: &&usize| self.platform.disks.get(**number).is_none();
        let chosen = match slot {
            Some(slot) => slots.get(slot),
            None => slots.iter().find(is_empty).or(slots.last()),
        };
        let Some(&number) = chosen else {
            let found = slot.map_or_else(|| "any".to_owned(), |slot| slot.to_string());
            return Err(AttachError::SlotUnknown { expected: slots.len(), found });
        };
        if let Some(holder) = self.platform.disks.get(number) {
            let found = slots.iter().position(|slot| *slot == number).unwrap_or_default();
            return Err(AttachError::SlotTaken { found, holder: holder.name().to_owned() });
        }
        let mut disk = self.platform.disks.open_beside(spec)?;
        self.settle_moment();
        disk.attach(self.platform.memory.mark());
        let told = facts(&disk);
        let recorded = EventBody::DiskAttached {
            disk: told.name.clone(),
            slot: slots.iter().position(|slot| *slot == number).unwrap_or_default() as u32,
            access: told.access.told(),
            size_bytes: told.size_bytes,
            source: disk.path().map_or_else(String::new, |path| path.display().to_string()),
        };
        self.platform.disks.put(number, disk);
        self.platform.attach_disk(number, &told);
        self.platform.emit(recorded);
        Ok(())
    }
}
