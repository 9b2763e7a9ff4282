//! The saved state of a platform without its memory: its clock and randomness, the unfinished text
//! on its serial lines, and each of its devices.

use super::Platform;
use crate::event::{EventLog, OpenCommands, OpenListeners, Quotas};
use crate::random::RandomStream;
use crate::serial_ports::SerialPorts;
use crate::state::{Sections, StateError, StateReader, StateVersions, StateWriter};

pub(crate) const PLATFORM: &str = "platform";
pub(crate) const SERIAL_PORTS: &str = "serial ports";
const SAYING: &str = "what the guest says";
const LAST_WORDS: &str = "last words";
const CHANNEL: &str = "agent channel";
const OPEN_LISTENERS: &str = "open listeners";
const OPEN_COMMANDS: &str = "open commands";
const FROZEN: &str = "frozen workload";

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
        let saying = self.saying();
        if saying != self.saying_nothing() {
            sections.push(SAYING, StateVersions::FIRST, saying);
        }
        // Left out if there are none; older snapshots have none.
        if let Some(words) = self.serial.save_last_words() {
            sections.push(LAST_WORDS, StateVersions::FIRST, words);
        }
        if let Some(channel) = self.serial.save_channel() {
            sections.push(CHANNEL, StateVersions::FIRST, channel);
        }
        if !self.listeners.all().is_empty() {
            sections.push(OPEN_LISTENERS, StateVersions::FIRST, self.listeners.save());
        }
        if !self.commands.is_empty() {
            sections.push(OPEN_COMMANDS, StateVersions::FIRST, self.commands.save());
        }
        if self.is_frozen {
            sections.push(FROZEN, StateVersions::FIRST, Vec::new());
        }
    }

    /// The levels of the quotas, and the time of the next report.
    fn saying(&self) -> Vec<u8> {
        let mut state = StateWriter::new();
        self.serial.save_calm(&mut state);
        self.quotas.save(self.now, &mut state);
        state.finish()
    }

    /// The same for a guest that has been silent for long. The section is then left out, and is
    /// missing in snapshots from before quotas.
    fn saying_nothing(&self) -> Vec<u8> {
        let mut state = StateWriter::new();
        self.serial.all_told().save_calm(&mut state);
        Quotas::default().save(self.now, &mut state);
        state.finish()
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
        if sections.holds(SAYING) {
            let saved = sections.take(SAYING, StateVersions::FIRST)?;
            let mut state = StateReader::new(SAYING, &saved);
            self.serial.load_calm(&mut state)?;
            self.quotas = Quotas::load(self.now, &mut state)?;
            state.finish()?;
        }
        if sections.holds(LAST_WORDS) {
            let saved = sections.take(LAST_WORDS, StateVersions::FIRST)?;
            let mut state = StateReader::new(LAST_WORDS, &saved);
            self.serial.load_last_words(&mut state)?;
            state.finish()?;
        }
        if sections.holds(CHANNEL) {
            let saved = sections.take(CHANNEL, StateVersions::FIRST)?;
            let mut state = StateReader::new(CHANNEL, &saved);
            self.serial.load_channel(&mut state)?;
            state.finish()?;
        }
        self.listeners = OpenListeners::default();
        if sections.holds(OPEN_LISTENERS) {
            let saved = sections.take(OPEN_LISTENERS, StateVersions::FIRST)?;
            self.listeners = OpenListeners::load(&saved)?;
        }
        self.commands = OpenCommands::default();
        if sections.holds(OPEN_COMMANDS) {
            let saved = sections.take(OPEN_COMMANDS, StateVersions::FIRST)?;
            self.commands = OpenCommands::load(&saved)?;
        }
        self.is_frozen = sections.holds(FROZEN);
        if self.is_frozen {
            let saved = sections.take(FROZEN, StateVersions::FIRST)?;
            StateReader::new(FROZEN, &saved).finish()?;
        }
        for (name, device) in self.bus.devices_mut() {
            let saved = sections.take(&section_of(name), device.state_versions())?;
            device.load(&saved)?;
        }
        self.bus.refresh();
        Ok(())
    }
}
