//! The addresses of devices, and the interrupt lines that they assert.

use crate::devices::Device;
use crate::time::Nanos;

/// No device answers at a guest-physical address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDevice;

struct Slot {
    name: String,
    base: u64,
    len: u64,
    line: u32,
    device: Box<dyn Device>,
}

/// The devices of a machine.
#[derive(Default)]
pub(super) struct Bus {
    slots: Vec<Slot>,
    lines: u64,
}

impl Bus {
    pub(super) fn attach(
        &mut self,
        name: String,
        base: u64,
        len: u64,
        line: u32,
        device: Box<dyn Device>,
    ) {
        self.slots.push(Slot { name, base, len, line: line & 63, device });
        self.refresh();
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// The slot whose window holds all `len` bytes at `gpa`.
    #[inline]
    pub(super) fn find(&self, gpa: u64, len: usize) -> Result<usize, NoDevice> {
        let holds = |slot: &Slot| {
            gpa >= slot.base
                && gpa - slot.base < slot.len
                && slot.len - (gpa - slot.base) >= len as u64
        };
        self.slots.iter().position(holds).ok_or(NoDevice)
    }

    /// Lets `act` work on the device in `slot`, given its name and base, and takes over its line.
    pub(super) fn with<R>(
        &mut self,
        slot: usize,
        act: impl FnOnce(&mut dyn Device, &str, u64) -> R,
    ) -> R {
        let slot = &mut self.slots[slot];
        let result = act(slot.device.as_mut(), &slot.name, slot.base);
        let bit = 1u64 << slot.line;
        self.lines =
            if slot.device.interrupt_asserted() { self.lines | bit } else { self.lines & !bit };
        result
    }

    pub(super) fn deadline_of(&self, slot: usize) -> Option<Nanos> {
        self.slots[slot].device.deadline()
    }

    pub(super) fn devices(&self) -> impl Iterator<Item = (&str, &dyn Device)> {
        self.slots.iter().map(|slot| (slot.name.as_str(), slot.device.as_ref()))
    }

    pub(super) fn devices_mut(&mut self) -> impl Iterator<Item = (&str, &mut Box<dyn Device>)> {
        self.slots.iter_mut().map(|slot| (slot.name.as_str(), &mut slot.device))
    }

    /// Recomputes the lines from the devices.
    pub(super) fn refresh(&mut self) {
        self.lines = self
            .slots
            .iter()
            .filter(|slot| slot.device.interrupt_asserted())
            .fold(0, |lines, slot| lines | 1 << slot.line);
    }

    pub(super) fn fork(&self) -> Self {
        let fork = |slot: &Slot| {
            let Slot { ref name, base, len, line, ref device } = *slot;
            Slot { name: name.clone(), base, len, line, device: device.fork() }
        };
        Self { slots: self.slots.iter().map(fork).collect(), lines: self.lines }
    }
}
