//! What the guest sends over its serial ports: console text as lines, control frames as events.

use crate::control::Decoder;
use crate::event::EventBody;
use crate::state::{StateError, StateReader, StateVersions, StateWriter};
use crate::time::Nanos;

/// The console's port number.
pub const CONSOLE: u32 = 0;
/// The control port's number.
pub const CONTROL: u32 = 1;

/// Longest line of console text, in the guest's bytes.
pub const MAX_LINE_BYTES: usize = crate::event::limits::LINE_BYTES;

const PANIC: &str = "Kernel panic - not syncing:";

/// The far end of the guest's serial ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SerialPorts {
    line: Vec<u8>,
    control: Decoder,
}

impl SerialPorts {
    /// Takes one byte that the guest sent on `port` at `now`, and says what it completed.
    pub fn transmit(&mut self, port: u32, byte: u8, now: Nanos, events: &mut Vec<EventBody>) {
        match port {
            CONSOLE if byte == b'\n' => {
                if self.line.last() == Some(&b'\r') {
                    self.line.pop();
                }
                let line = std::mem::take(&mut self.line);
                push_line(&line, events);
            }
            CONSOLE => {
                self.line.push(byte);
                if self.line.len() >= MAX_LINE_BYTES {
                    self.split(events);
                }
            }
            CONTROL => events.extend(self.control.push(byte, now)),
            _ => {}
        }
    }

    /// A line that is too long ends before its last character, if that is incomplete.
    fn split(&mut self, events: &mut Vec<EventBody>) {
        let cut = match std::str::from_utf8(&self.line) {
            Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => {
                error.valid_up_to()
            }
            _ => self.line.len(),
        };
        let rest = self.line.split_off(cut);
        let line = std::mem::replace(&mut self.line, rest);
        push_line(&line, events);
    }

    /// The guest is off: what it had begun is its last line.
    pub fn flush(&mut self, events: &mut Vec<EventBody>) {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            push_line(&line, events);
        }
    }

    /// The versions of the saved state, the frame decoder's included.
    pub const STATE_VERSIONS: StateVersions = StateVersions::FIRST;

    /// Appends the state.
    pub fn save(&self, state: &mut StateWriter) {
        state.bytes(&self.line);
        self.control.save(state);
    }

    /// Reads the state.
    ///
    /// # Errors
    /// [`StateError`] if it is not there.
    pub fn load(state: &mut StateReader<'_>) -> Result<Self, StateError> {
        Ok(Self { line: state.bytes(MAX_LINE_BYTES)?.to_vec(), control: Decoder::load(state)? })
    }
}

fn push_line(line: &[u8], events: &mut Vec<EventBody>) {
    let text = String::from_utf8_lossy(line).into_owned();
    let panic = kernel_message(&text).strip_prefix(PANIC).map(|why| why.trim().to_owned());
    events.push(EventBody::SerialLine { port: CONSOLE, text });
    if let Some(message) = panic {
        events.push(EventBody::GuestPanicked { message });
    }
}

/// A line without the bracketed time and origin that a kernel puts before its messages.
fn kernel_message(line: &str) -> &str {
    let mut rest = line;
    while let Some((bracketed, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        if !bracketed.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.')) {
            break;
        }
        rest = after.trim_start();
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<EventBody> {
        let (mut ports, mut events) = (SerialPorts::default(), Vec::new());
        for byte in bytes {
            ports.transmit(CONSOLE, *byte, 0, &mut events);
        }
        ports.flush(&mut events);
        events
    }

    #[test]
    fn text_is_split_into_bounded_lines_at_characters() {
        let long = "ä".repeat(3000);
        let events = lines(format!("x{long}\r\nend").as_bytes());
        let texts: Vec<_> = events
            .iter()
            .map(|event| match event {
                EventBody::SerialLine { text, .. } => text.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(texts.len(), 3);
        assert!(texts.iter().all(|text| text.len() <= MAX_LINE_BYTES));
        assert_eq!(texts.concat(), format!("x{long}end"));
    }

    #[test]
    fn a_kernel_panic_is_an_event_of_its_own() {
        let events = lines(b"[    1.0] Kernel panic - not syncing: No working init found.\n");
        assert_eq!(
            events[1],
            EventBody::GuestPanicked { message: "No working init found.".into() }
        );
    }

    #[test]
    fn a_panic_that_is_only_mentioned_is_none() {
        for line in
            ["see: Kernel panic - not syncing: x\n", "[a-b] Kernel panic - not syncing: x\n"]
        {
            assert_eq!(lines(line.as_bytes()).len(), 1, "{line}");
        }
        assert_eq!(lines(b"[    1.0][    T1] Kernel panic - not syncing: x\n").len(), 2);
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        let events = lines(&[0xff, b'a', 0xc3, b'\n']);
        assert_eq!(events, [EventBody::SerialLine { port: 0, text: "\u{fffd}a\u{fffd}".into() }]);
    }
}
