//! Events as bytes, for a reader in another language.
//!
//! ```text
//! event   := kind u8 | atNanos u64 | fields of the kind, in the order of their declaration
//! integer := little-endian, of the field's width
//! str     := length u32 | UTF-8      bytes := length u32 | bytes
//! list    := count u32 | items       optional := u8 (0 absent, 1 present) | value
//! status  := u8 (0 code, 1 signal) | i32        named values, kinds := u8
//! ```
//!
//! Sequence numbers are not encoded: events in a batch follow each other without gaps. The kinds
//! are numbered in the order of [`EventKind::ALL`](stillpoint_vmm::event::EventKind::ALL).

mod contract;

use stillpoint_vmm::event::{Event, ExitStatus};

/// Appends the encoding of `event` to `into`.
pub fn encode(event: &Event, into: &mut Vec<u8>) {
    into.push(event.body.kind() as u8);
    into.extend_from_slice(&event.at_nanos.to_le_bytes());
    contract::fields(&event.body, into);
}

fn length(count: usize) -> [u8; 4] {
    // Frames and lines are bounded far below 4 GiB where they enter the machine.
    u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes()
}

fn bytes(into: &mut Vec<u8>, content: &[u8]) {
    into.extend_from_slice(&length(content.len()));
    into.extend_from_slice(content);
}

fn texts(into: &mut Vec<u8>, items: &[String]) {
    into.extend_from_slice(&length(items.len()));
    for item in items {
        bytes(into, item.as_bytes());
    }
}

fn optional<const N: usize>(into: &mut Vec<u8>, value: Option<[u8; N]>) {
    into.push(u8::from(value.is_some()));
    into.extend(value.into_iter().flatten());
}

fn status(into: &mut Vec<u8>, status: ExitStatus) {
    let (kind, value) = match status {
        ExitStatus::Code(code) => (0, code),
        ExitStatus::Signal(signal) => (1, signal),
    };
    into.push(kind);
    into.extend_from_slice(&value.to_le_bytes());
}

/// One event of every kind, with telling content, for the test that sends them all across.
pub fn examples() -> Vec<Event> {
    contract::every_body()
        .into_iter()
        .zip(0..)
        .map(|(body, seq)| Event { seq, at_nanos: (1 << 53) - 1 - seq, body })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillpoint_vmm::event::EventKind;

    #[test]
    fn every_kind_has_an_example_and_its_number_is_its_place() {
        let kinds: Vec<_> = examples().iter().map(|event| event.body.kind()).collect();
        assert_eq!(kinds, EventKind::ALL);
        for (kind, number) in EventKind::ALL.into_iter().zip(0..) {
            assert_eq!(kind as u8, number);
        }
    }
}
