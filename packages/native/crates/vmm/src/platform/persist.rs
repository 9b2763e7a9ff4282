//! The saved state of a platform without its memory: devices by name, serial lines, randomness.

use super::Platform;
use crate::event::EventLog;
use crate::random::RandomStream;
use crate::serial_ports::SerialPorts;
use crate::state::{StateError, StateReader, StateWriter};

/// Most devices in a saved state.
const MAX_DEVICES: u32 = 64;

impl Platform {
    /// The complete guest-visible state beside memory: equal states give equal bytes.
    pub(crate) fn save(&self) -> Vec<u8> {
        let mut state = StateWriter::new();
        state.u64(self.now).u64(self.log.next_seq());
        self.serial.save(&mut state);
        self.random.save(&mut state);
        state.u32(self.bus.len() as u32);
        for device in self.bus.devices() {
            state.bytes(device.name().as_bytes()).bytes(&device.save());
        }
        state.finish()
    }

    /// Becomes the state that `save` gave. Devices must have been attached. On an error the
    /// platform is good for nothing but being dropped.
    pub(crate) fn load(&mut self, saved: &[u8], log_bytes: usize) -> Result<(), StateError> {
        let most = saved.len();
        let mut state = StateReader::new("platform", saved);
        self.now = state.u64()?;
        self.log = EventLog::new(state.u64()?, log_bytes);
        self.serial = SerialPorts::load(&mut state)?;
        self.random = RandomStream::load(&mut state)?;
        let count = state.u32()?;
        if count > MAX_DEVICES {
            return Err(state.refuse(format!("at most {MAX_DEVICES} devices"), count.to_string()));
        }
        let mut names = Vec::new();
        for _ in 0..count {
            let name = String::from_utf8_lossy(state.bytes(most)?).into_owned();
            let bytes = state.bytes(most)?;
            match self.bus.device_named(&name) {
                Some(device) if !names.contains(&name) => device.load(bytes)?,
                _ => return Err(state.refuse("a device of this machine, once", name)),
            }
            names.push(name);
        }
        state.finish()?;
        // The guest has the devices that it was captured with, and knows of no others.
        self.bus.keep(&names);
        self.bus.refresh();
        Ok(())
    }
}
