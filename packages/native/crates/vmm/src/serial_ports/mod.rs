//! The guest's output on its serial ports: console text as lines, control frames as events.
//!
//! Any program in the guest can write the words of a kernel panic on the console. So they are
//! trusted at once only before the agent's first frame, since until then only trusted code runs.
//! After that they are held until the announced event happens: the kernel resets the machine, which
//! no other code can do in a guest with an agent, and the agent, which runs only while the kernel
//! does, has been silent in between.

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

/// Maximum bytes of last words: an invalid byte of a line becomes three bytes.
const MAX_WORDS_BYTES: usize = 3 * MAX_LINE_BYTES;

/// The path between host and agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Channel {
    /// Over the control port.
    #[default]
    Closed,
    /// The agent has said that it talks over its channel. The host has said nothing since.
    Opened,
    /// Over the channel, in both directions.
    Followed,
}

/// The far end of the guest's serial ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SerialPorts {
    console: Console,
    control: Decoder,
    channel: Channel,
    /// The panic message that would precede a reset, if there is one.
    last_words: Option<String>,
}

impl SerialPorts {
    /// Takes one byte that the guest sent on `port` at `now`, and adds the events that it
    /// completes.
    pub fn transmit(&mut self, port: u32, byte: u8, now: Nanos, events: &mut Vec<EventBody>) {
        match port {
            CONSOLE => {
                let before = events.len();
                self.console.push(byte, now, events);
                self.hold_last_words(before, events);
            }
            CONTROL => {
                self.last_words = None;
                let event = self.control.push(byte, now);
                // Announced on the port that only the agent has: earlier bytes on the channel are
                // not trusted.
                if event == Some(EventBody::AgentChannelOpened) && self.channel == Channel::Closed {
                    self.channel = Channel::Opened;
                }
                events.extend(event);
            }
            _ => {}
        }
    }

    /// Takes bytes that the guest sent over the agent's channel, and adds the events that they
    /// complete.
    pub fn transmit_on_channel(&mut self, bytes: &[u8], now: Nanos, events: &mut Vec<EventBody>) {
        if self.channel != Channel::Closed {
            self.last_words = None;
            self.control.extend(bytes, now, events);
        }
    }

    /// Whether the agent uses its channel.
    pub(crate) fn is_channel_open(&self) -> bool {
        self.channel != Channel::Closed
    }

    /// Whether the agent knows that the host uses it too.
    pub(crate) fn is_channel_followed(&self) -> bool {
        self.channel == Channel::Followed
    }

    /// The agent was notified that the host uses the channel.
    pub(crate) fn follow_channel(&mut self) {
        self.channel = Channel::Followed;
    }

    /// The path between host and agent, as state; `None` if it is the control port.
    pub(crate) fn save_channel(&self) -> Option<Vec<u8>> {
        let is_followed = self.is_channel_followed();
        self.is_channel_open().then(|| StateWriter::new().bool(is_followed).finish())
    }

    /// Reads that the agent talks over its channel.
    ///
    /// # Errors
    /// [`StateError`] if it is not there.
    pub(crate) fn load_channel(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        self.channel = if state.bool()? { Channel::Followed } else { Channel::Opened };
        Ok(())
    }

    /// When unfinished console text is due.
    pub(crate) fn due(&self) -> Option<Nanos> {
        self.console.due()
    }

    /// Tells console text that stands without a newline.
    pub(crate) fn tell(&mut self, events: &mut Vec<EventBody>) {
        self.console.tell(events);
    }

    /// The guest is off: its unfinished line is its last one. If the machine was reset, the
    /// kernel's last words are trusted.
    pub fn flush(&mut self, was_reset: bool, events: &mut Vec<EventBody>) {
        let before = events.len();
        self.console.flush(events);
        self.hold_last_words(before, events);
        let words = self.last_words.take().filter(|_| was_reset);
        events.extend(words.map(|message| EventBody::GuestPanicked { message }));
    }

    /// Removes the last words from the new events, once the agent has sent a frame.
    fn hold_last_words(&mut self, before: usize, events: &mut Vec<EventBody>) {
        if !self.control.has_heard() {
            return;
        }
        for event in
            events.extract_if(before.., |event| matches!(event, EventBody::GuestPanicked { .. }))
        {
            if let EventBody::GuestPanicked { message } = event {
                self.last_words = Some(message);
            }
        }
    }

    /// Last words that are held, as state; none where there are none.
    pub(crate) fn save_last_words(&self) -> Option<Vec<u8>> {
        self.last_words.as_ref().map(|words| StateWriter::new().bytes(words.as_bytes()).finish())
    }

    /// Reads last words that are held.
    ///
    /// # Errors
    /// [`StateError`] if they are not there, or are no text.
    pub(crate) fn load_last_words(
        &mut self,
        state: &mut StateReader<'_>,
    ) -> Result<(), StateError> {
        let words = state.bytes(MAX_WORDS_BYTES)?;
        let words = std::str::from_utf8(words).map_err(|_| state.refuse("text", "other bytes"))?;
        self.last_words = Some(words.to_owned());
        Ok(())
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
        // If nothing else is stored, unfinished text was reported long ago.
        Ok(Self { console, control: Decoder::load(state)?, ..Self::default() }.all_told())
    }

    /// Appends the time at which the unfinished line is due.
    pub(crate) fn save_calm(&self, state: &mut StateWriter) {
        state.u64(self.console.last_byte_at).u32(self.console.told as u32);
    }

    /// These ports, their begun line told long ago.
    pub(crate) fn all_told(&self) -> Self {
        let line = self.console.line.clone();
        let console = Console { told: line.len(), line, last_byte_at: 0 };
        Self { console, ..self.clone() }
    }

    /// Reads the time at which the unfinished line is due.
    ///
    /// # Errors
    /// [`StateError`] if it is not there.
    pub(crate) fn load_calm(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        self.console.last_byte_at = state.u64()?;
        self.console.told = (state.u32()? as usize).min(self.console.line.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;
    const PANICS: &str = "[    4.812345][    T1] Kernel panic - not syncing: forged\n";

    fn panics(ports: &mut SerialPorts, port: u32, text: &[u8]) -> usize {
        let mut events = Vec::new();
        for byte in text {
            ports.transmit(port, *byte, 5 * SECOND, &mut events);
        }
        events.iter().filter(|event| matches!(event, EventBody::GuestPanicked { .. })).count()
    }

    #[test]
    fn last_words_are_believed_before_there_is_an_agent() {
        assert_eq!(panics(&mut SerialPorts::default(), CONSOLE, PANICS.as_bytes()), 1);
    }

    #[test]
    fn once_the_agent_has_spoken_last_words_are_believed_when_the_machine_is_reset() {
        let mut ports = SerialPorts::default();
        panics(&mut ports, CONTROL, &[1]);
        assert_eq!(panics(&mut ports, CONSOLE, PANICS.as_bytes()), 0);
        // Kept with the machine's state, which is as before where there are none.
        let saved = ports.save_last_words().expect("they are held");
        let mut restored = SerialPorts { last_words: None, ..ports.clone() };
        assert_eq!(restored.save_last_words(), None);
        restored.load_last_words(&mut StateReader::new("words", &saved)).expect("its own state");
        assert_eq!(restored, ports);
        let at_end = |mut ports: SerialPorts, was_reset| {
            let mut events = Vec::new();
            ports.flush(was_reset, &mut events);
            events
        };
        let message = "forged".to_owned();
        assert_eq!(at_end(restored.clone(), true), [EventBody::GuestPanicked { message }]);
        // A clean power-off reports no panic, nor does a guest whose agent still sent frames.
        assert_eq!(at_end(restored, false), []);
        panics(&mut ports, CONTROL, &[0]);
        assert_eq!(at_end(ports, true), []);
    }

    #[test]
    fn the_channel_is_believed_once_the_agent_has_said_so_on_its_port() {
        const OPENED: [u8; 5] = [1, 0, 0, 0, 0x16];
        let told = |ports: &mut SerialPorts| {
            let mut events = Vec::new();
            ports.transmit_on_channel(&OPENED, SECOND, &mut events);
            events.len()
        };
        let mut ports = SerialPorts::default();
        assert_eq!((told(&mut ports), ports.save_channel()), (0, None));
        panics(&mut ports, CONTROL, &OPENED);
        assert!(ports.is_channel_open() && !ports.is_channel_followed());
        assert_eq!(told(&mut ports), 1);
        for _ in 0..2 {
            let saved = ports.save_channel().expect("it is open");
            let mut restored = SerialPorts { channel: Channel::Closed, ..ports.clone() };
            let mut state = StateReader::new("channel", &saved);
            restored.load_channel(&mut state).expect("its own state");
            assert_eq!(restored, ports);
            ports.follow_channel();
        }
    }

    #[test]
    fn last_words_that_are_no_text_are_refused() {
        let saved = StateWriter::new().bytes(&[0xff]).finish();
        let mut ports = SerialPorts::default();
        ports.load_last_words(&mut StateReader::new("words", &saved)).expect_err("no text");
    }
}
