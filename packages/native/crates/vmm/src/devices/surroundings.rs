//! The surroundings of a device in tests, in place of a platform.

use super::DeviceContext;
use crate::disks::Disks;
use crate::event::EventBody;
use crate::memory::PagedMemory;
use crate::network::Outbox;
use crate::serial_ports::SerialPorts;
use crate::time::Nanos;

/// All that a device may touch, as it was left by the device's last access.
pub(crate) struct Surroundings {
    pub(crate) now: Nanos,
    pub(crate) memory: PagedMemory,
    pub(crate) disks: Disks,
    pub(crate) events: Vec<EventBody>,
    pub(crate) serial: SerialPorts,
    pub(crate) network: Outbox,
}

impl Surroundings {
    /// With memory of `bytes` bytes from `base` on, at guest time 0.
    pub(crate) fn new(base: u64, bytes: u64) -> Self {
        Self {
            now: 0,
            memory: PagedMemory::new(base, bytes),
            disks: Disks::default(),
            events: Vec::new(),
            serial: SerialPorts::default(),
            network: Outbox::default(),
        }
    }

    /// For an access now, by a device of this name.
    pub(crate) fn context<'a>(&'a mut self, name: &'a str) -> DeviceContext<'a> {
        DeviceContext {
            name,
            now: self.now,
            memory: &mut self.memory,
            disks: &mut self.disks,
            events: &mut self.events,
            serial: &mut self.serial,
            network: &mut self.network,
        }
    }
}
