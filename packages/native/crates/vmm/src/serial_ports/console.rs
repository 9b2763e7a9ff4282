//! The guest's console output as lines.
//!
//! * A *line* is the text before a newline, without carriage returns at its end. Others stay: a
//!   progress bar is one line.
//! * A line has at most [`MAX_LINE_BYTES`] bytes. A longer one is reported in pieces, which begin
//!   at a word if one begins near, and otherwise at a character. Together the pieces are the line.
//! * A kernel message in the middle of a line is a line of its own, and the interrupted line
//!   continues after it. Such a message has the present time, so old ones that a program prints are
//!   not mistaken for one.
//! * The kernel's last words are a `GuestPanicked`, too; a log that a program prints, of this guest
//!   or another, has old ones. Whether they are believed is the ports' to say.
//! * Text without a newline, such as a prompt, is reported as `SerialText` once nothing has
//!   followed for [`CALM_NANOS`] of guest time: all of the line so far. The line itself follows
//!   when it ends.

use crate::event::EventBody;
use crate::time::Nanos;

use super::CONSOLE;

/// Longest line of console text, in the guest's bytes.
pub const MAX_LINE_BYTES: usize = crate::event::limits::LINE_BYTES;

/// Guest time without a byte after which an unfinished line is reported.
pub const CALM_NANOS: Nanos = 20_000_000;

/// Maximum bytes before the end of a full line at which a word may begin that is left for the next
/// piece.
const WORD_BYTES: usize = 512;

/// Maximum difference between now and the time of a kernel message: its clock begins with the
/// kernel.
const CLOCK_NANOS: Nanos = 1_000_000_000;

const PANIC: &str = "Kernel panic - not syncing:";

/// The begun line of a console.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Console {
    pub(super) line: Vec<u8>,
    /// When its last byte came; 0 without one.
    pub(super) last_byte_at: Nanos,
    /// Number of its bytes that were reported already.
    pub(super) told: usize,
}

impl Console {
    pub(super) fn push(&mut self, byte: u8, now: Nanos, events: &mut Vec<EventBody>) {
        if byte == b'\n' {
            return self.end_line(now, events);
        }
        self.line.push(byte);
        self.last_byte_at = now;
        if self.line.len() >= MAX_LINE_BYTES {
            let cut = cut_of(&self.line);
            let rest = self.line.split_off(cut);
            push_line(&std::mem::replace(&mut self.line, rest), now, events);
            self.told = 0;
        }
    }

    fn end_line(&mut self, now: Nanos, events: &mut Vec<EventBody>) {
        match kernel_message_inside(&self.line, now) {
            Some(at) => {
                push_line(without_returns(&self.line[at..]), now, events);
                self.line.truncate(at);
                self.told = self.told.min(at);
            }
            None => {
                push_line(without_returns(&self.line), now, events);
                *self = Self::default();
            }
        }
    }

    /// When the unfinished line is due.
    pub(super) fn due(&self) -> Option<Nanos> {
        (self.told < self.line.len()).then(|| self.last_byte_at.saturating_add(CALM_NANOS))
    }

    /// Tells the begun line.
    pub(super) fn tell(&mut self, events: &mut Vec<EventBody>) {
        self.told = self.line.len();
        let text = without_returns(whole_characters(&self.line));
        if !text.is_empty() {
            let text = String::from_utf8_lossy(text).into_owned();
            events.push(EventBody::SerialText { port: CONSOLE, text });
        }
    }

    /// The guest is off: its unfinished line is its last one.
    pub(super) fn flush(&mut self, events: &mut Vec<EventBody>) {
        if !self.line.is_empty() {
            push_line(&self.line, self.last_byte_at, events);
            *self = Self::default();
        }
    }
}

fn without_returns(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
    &line[..end]
}

/// The text without an incomplete character at its end.
fn whole_characters(text: &[u8]) -> &[u8] {
    match std::str::from_utf8(text) {
        Err(error) if error.error_len().is_none() => &text[..error.valid_up_to()],
        _ => text,
    }
}

/// The place at which a full line is cut.
fn cut_of(line: &[u8]) -> usize {
    let near = line.len().saturating_sub(WORD_BYTES);
    let word = line[near..].iter().rposition(|byte| matches!(byte, b' ' | b'\t'));
    match word {
        Some(space) => near + space + 1,
        None => Some(whole_characters(line).len()).filter(|cut| *cut > 0).unwrap_or(line.len()),
    }
}

/// The start of a kernel message in the middle of a line: `[    1.234567] `.
fn kernel_message_inside(line: &[u8], now: Nanos) -> Option<usize> {
    (1..line.len()).find(|at| {
        line[*at] == b'['
            && stamp_of(&line[*at + 1..])
                .is_some_and(|(time, rest)| rest.starts_with(b"] ") && is_now(time, now))
    })
}

fn is_now(time: Nanos, now: Nanos) -> bool {
    time.abs_diff(now) <= CLOCK_NANOS
}

/// The time of a stamp, from behind its bracket on, and what follows it.
fn stamp_of(text: &[u8]) -> Option<(Nanos, &[u8])> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
    let blanks = text.iter().take_while(|byte| **byte == b' ').count();
    let text = &text[blanks..];
    let (seconds, rest) = text.split_at_checked(digits(text))?;
    let (micros, rest) = rest.strip_prefix(b".")?.split_at_checked(6)?;
    if digits(micros) != 6 {
        return None;
    }
    let seconds = number(seconds)?.checked_mul(1_000_000_000)?;
    Some((seconds.checked_add(number(micros)? * 1000)?, rest))
}

fn push_line(line: &[u8], now: Nanos, events: &mut Vec<EventBody>) {
    let text = String::from_utf8_lossy(line).into_owned();
    let panic =
        kernel_message(&text, now).and_then(|message| message.strip_prefix(PANIC)).map(str::trim);
    let panic = panic.map(str::to_owned);
    events.push(EventBody::SerialLine { port: CONSOLE, text });
    if let Some(message) = panic {
        events.push(EventBody::GuestPanicked { message });
    }
}

/// A line without the bracketed time and origin that a kernel puts before its messages; none for a
/// message of another time.
fn kernel_message(line: &str, now: Nanos) -> Option<&str> {
    let mut rest = line;
    while let Some((bracketed, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        if !bracketed.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.')) {
            break;
        }
        let stamp = stamp_of(bracketed.as_bytes());
        if stamp.is_some_and(|(time, rest)| rest.is_empty() && !is_now(time, now)) {
            return None;
        }
        rest = after.trim_start();
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Nanos = 1_000_000_000;

    /// Writes, and lets time pass; returns the events, with the lines' texts in brackets.
    fn told(parts: &[(Nanos, &str)]) -> Vec<String> {
        let (mut console, mut events) = (Console::default(), Vec::new());
        for (at, text) in parts {
            if console.due().is_some_and(|due| due <= *at) {
                console.tell(&mut events);
            }
            for byte in text.bytes() {
                console.push(byte, *at, &mut events);
            }
        }
        events
            .into_iter()
            .map(|event| match event {
                EventBody::SerialLine { text, .. } => format!("line {text}"),
                EventBody::SerialText { text, .. } => format!("text {text}"),
                EventBody::GuestPanicked { message } => format!("panic {message}"),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn lines(text: &str) -> Vec<String> {
        told(&[(0, text), (0, "\n")]).into_iter().map(|line| line[5..].to_owned()).collect()
    }

    #[test]
    fn carriage_returns_at_the_end_are_no_part_of_a_line() {
        assert_eq!(lines("a\r\nb\r\r\n\r\n10%\r20%\r"), ["a", "b", "", "10%\r20%"]);
    }

    #[test]
    fn a_long_line_is_told_in_pieces_that_break_no_word() {
        let words = "warming the cache ".repeat(600);
        let pieces = lines(&words);
        assert!(pieces.len() > 2);
        assert!(pieces.iter().all(|piece| piece.len() <= MAX_LINE_BYTES));
        assert!(pieces[..pieces.len() - 1].iter().all(|piece| piece.ends_with(' ')));
        assert_eq!(pieces.concat(), words);
        let unbroken = "ä".repeat(3000);
        let pieces = lines(&format!("x{unbroken}"));
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces.concat(), format!("x{unbroken}"));
    }

    #[test]
    fn a_message_of_the_kernel_inside_a_line_is_a_line_of_its_own() {
        let now = 5 * SECOND;
        let parts =
            [(now, "serv"), (now, "[    4.812345] virtio: ready\r\n"), (now, "er is up\r\n")];
        assert_eq!(told(&parts), ["line [    4.812345] virtio: ready", "line server is up"]);
        // An old message that a program prints is a part of its line.
        let printed = "12:[    0.000000] Linux version\n";
        assert_eq!(told(&[(now, printed)]), ["line 12:[    0.000000] Linux version"]);
        let own = "[    5.000001] a\n[x] b [1] c\n";
        assert_eq!(told(&[(now, own)]), ["line [    5.000001] a", "line [x] b [1] c"]);
    }

    #[test]
    fn a_prompt_is_told_after_a_calm_and_its_line_when_it_ends() {
        let parts = [
            (0, "login: "),
            (CALM_NANOS - 1, ""),
            (CALM_NANOS, "ro"),
            (2 * CALM_NANOS, "ot"),
            (3 * CALM_NANOS, ""),
            (9 * CALM_NANOS, "\r\n"),
            (99 * CALM_NANOS, "\r"),
            (199 * CALM_NANOS, "\n"),
        ];
        let expected = ["text login: ", "text login: ro", "text login: root", "line login: root"];
        assert_eq!(told(&parts), [&expected[..], &["line "]].concat());
    }

    const PANICS: &str = "[    4.812345][    T1] Kernel panic - not syncing: No init found.\n";

    #[test]
    fn a_kernel_panic_is_an_event_of_its_own() {
        let told_as = ["panic No init found."];
        assert_eq!(told(&[(5 * SECOND, PANICS)])[1..], told_as);
        // Of a kernel that does not say its time.
        let unstamped = "[T1] Kernel panic - not syncing: No init found.\n";
        assert_eq!(told(&[(5 * SECOND, unstamped)])[1..], told_as);
    }

    #[test]
    fn a_kernel_panic_in_a_log_that_a_program_prints_is_none() {
        for now in [0, 3 * SECOND, 7 * SECOND, 3_600 * SECOND] {
            assert_eq!(told(&[(now, PANICS)]), [format!("line {}", PANICS.trim_end())]);
        }
    }

    proptest! {
        #![proptest_config(crate::generated::cases(256))]

        /// No text is lost, invented or longer than the limit, for any bytes.
        #[test]
        fn the_lines_are_the_text(
            text in proptest::collection::vec(prop_oneof![
                "[a-z ä]{0,20}", Just("\n".to_owned()), Just("\r".to_owned()),
                "[a-z]{0,1}".prop_map(|word| word.repeat(5000)),
            ], 0..12),
        ) {
            let text = text.concat();
            let told = lines(&text);
            prop_assert!(told.iter().all(|line| line.len() <= MAX_LINE_BYTES));
            let plain: String = text.split('\n').map(|line| line.trim_end_matches('\r')).collect();
            prop_assert_eq!(told.concat(), plain);
        }
    }
}
