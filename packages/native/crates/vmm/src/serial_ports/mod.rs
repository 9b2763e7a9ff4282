//! What the guest sends over its serial ports: console text as lines, control frames as events.

mod console;

pub use console::{CALM_NANOS, MAX_LINE_BYTES};

use crate::control::Decoder;
use crate::event::EventBody;
use crate::state::{StateError, StateReader, StateVersions, StateWriter};
use crate::time::Nanos;
use console::Console;

/// The console's port number.
pub const CONSOLE: u32 = 0;
/// The control port's number.
pub const CONTROL: u32 = 1;

/// The far end of the guest's serial ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SerialPorts {
    console: Console,
    control: Decoder,
}

impl SerialPorts {
    /// Takes one byte that the guest sent on `port` at `now`, and says what it completed.
    pub fn transmit(&mut self, port: u32, byte: u8, now: Nanos, events: &mut Vec<EventBody>) {
        match port {
            CONSOLE => self.console.push(byte, now, events),
            CONTROL => events.extend(self.control.push(byte, now)),
            _ => {}
        }
    }

    /// When console text that stands without a newline is to be told.
    pub(crate) fn due(&self) -> Option<Nanos> {
        self.console.due()
    }

    /// Tells console text that stands without a newline.
    pub(crate) fn tell(&mut self, events: &mut Vec<EventBody>) {
        self.console.tell(events);
    }

    /// The guest is off: what it had begun is its last line.
    pub fn flush(&mut self, events: &mut Vec<EventBody>) {
        self.console.flush(events);
    }

    /// The versions of the saved state, the frame decoder's included.
    pub const STATE_VERSIONS: StateVersions = StateVersions::FIRST;

    /// Appends the state.
    pub fn save(&self, state: &mut StateWriter) {
        state.bytes(&self.console.line);
        self.control.save(state);
    }

    /// Reads the state.
    ///
    /// # Errors
    /// [`StateError`] if it is not there.
    pub fn load(state: &mut StateReader<'_>) -> Result<Self, StateError> {
        let line = state.bytes(MAX_LINE_BYTES)?.to_vec();
        let console = Console { line, ..Console::default() };
        // Where nothing else is said, what was begun was told long ago.
        Ok(Self { console, control: Decoder::load(state)? }.all_told())
    }

    /// Appends when the begun line is to be told.
    pub(crate) fn save_calm(&self, state: &mut StateWriter) {
        state.u64(self.console.last_byte_at).u32(self.console.told as u32);
    }

    /// These ports, their begun line told long ago.
    pub(crate) fn all_told(&self) -> Self {
        let line = self.console.line.clone();
        let console = Console { told: line.len(), line, last_byte_at: 0 };
        Self { console, control: self.control.clone() }
    }

    /// Reads when the begun line is to be told.
    ///
    /// # Errors
    /// [`StateError`] if it is not there.
    pub(crate) fn load_calm(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        self.console.last_byte_at = state.u64()?;
        self.console.told = (state.u32()? as usize).min(self.console.line.len());
        Ok(())
    }
}
