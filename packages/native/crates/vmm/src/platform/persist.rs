//! The saved state of a platform without its memory: its clock and randomness, what stands on its
//! serial lines, and each of its devices.

use super::Platform;
use crate::event::EventLog;
use crate::random::RandomStream;
use crate::serial_ports::SerialPorts;
use crate::state::{Sections, StateError, StateReader, StateVersions, StateWriter};

pub(crate) const PLATFORM: &str = "platform";
pub(crate) const SERIAL_PORTS: &str = "serial ports";

/// The name under which a device's state is saved.
pub(crate) fn section_of(device: &str) -> String {
    format!("device {device}")
}

impl Platform {
    /// Adds the complete guest-visible state beside memory: equal states give equal bytes.
    pub(crate) fn save(&self, sections: &mut Sections) {
        let mut state = StateWriter::new();
        state.u64(self.now).u64(self.log.next_seq());
        self.random.save(&mut state);
        sections.push(PLATFORM, StateVersions::FIRST, state.finish());
        self.serial.save(&mut state);
        sections.push(SERIAL_PORTS, SerialPorts::STATE_VERSIONS, state.finish());
        for (name, device) in self.bus.devices() {
            sections.push(&section_of(name), device.state_versions(), device.save());
        }
    }

    /// Becomes the state that `save` gave. Devices must have been attached. On an error the
    /// platform is good for nothing but being dropped.
    pub(crate) fn load(
        &mut self,
        sections: &mut Sections,
        log_bytes: usize,
    ) -> Result<(), StateError> {
        let saved = sections.take(PLATFORM, StateVersions::FIRST)?;
        let mut state = StateReader::new(PLATFORM, &saved);
        self.now = state.u64()?;
        self.log = EventLog::new(state.u64()?, log_bytes);
        self.random = RandomStream::load(&mut state)?;
        state.finish()?;
        let saved = sections.take(SERIAL_PORTS, SerialPorts::STATE_VERSIONS)?;
        let mut state = StateReader::new(SERIAL_PORTS, &saved);
        self.serial = SerialPorts::load(&mut state)?;
        state.finish()?;
        for (name, device) in self.bus.devices_mut() {
            let saved = sections.take(&section_of(name), device.state_versions())?;
            device.load(&saved)?;
        }
        self.bus.refresh();
        Ok(())
    }
}
