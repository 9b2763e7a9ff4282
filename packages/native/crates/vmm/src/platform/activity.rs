//! The guest's activity, for readers that have not seen its events.

use super::Platform;
use crate::event::{EventBody, OpenListener};

impl Platform {
    /// Updates the activity with an event.
    pub(super) fn note(&mut self, seq: u64, body: &EventBody) {
        self.listeners.take(seq, self.now, body);
        self.commands.take(body);
        match body {
            EventBody::AgentFrozen { .. } => self.is_frozen = true,
            EventBody::AgentThawed { .. } => self.is_frozen = false,
            _ => {}
        }
    }

    /// Names of the devices that have a request in flight.
    pub(crate) fn working_devices(&self) -> Vec<String> {
        let working = self.bus.devices().filter(|(_, device)| device.is_working());
        working.map(|(name, _)| name.to_owned()).collect()
    }

    /// Listeners of the guest that are open, oldest first.
    pub(crate) fn open_listeners(&self) -> &[OpenListener] {
        self.listeners.all()
    }

    /// Whether the agent has commands that have not ended.
    pub(crate) fn has_commands(&self) -> bool {
        !self.commands.is_empty()
    }

    /// Whether the agent has frozen the workload.
    pub(crate) fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// Number of the guest's open TCP connections.
    pub(crate) fn connections_open(&self) -> u64 {
        self.bus.devices().map(|(_, device)| device.connections_open()).sum()
    }
}
