//! Events as bytes, for a reader in another language.
//!
//! ```text
//! event   := kind u8 | atNanos u64 | fields of the kind, in the order of their declaration
//! integer := little-endian, of the field's width
//! str     := length u32 | UTF-8      bytes := length u32 | bytes
//! list    := count u32 | items       status, protocol, stream, input kind := u8 (see below)
//! ```
//!
//! Sequence numbers are not encoded: events in a batch follow each other without gaps. The kinds
//! are numbered in the order of [`EventKind::ALL`](stillpoint_vmm::event::EventKind::ALL).

use stillpoint_vmm::event::{Event, EventBody, ExitStatus, InputKind, OutputStream, Protocol};

/// Appends the encoding of `event` to `into`.
pub fn encode(event: &Event, into: &mut Vec<u8>) {
    into.push(event.body.kind() as u8);
    into.extend_from_slice(&event.at_nanos.to_le_bytes());
    match &event.body {
        EventBody::SerialLine { port, text } => {
            into.extend_from_slice(&port.to_le_bytes());
            bytes(into, text.as_bytes());
        }
        EventBody::HeartbeatTick { count } | EventBody::PagesDirtied { count } => {
            into.extend_from_slice(&count.to_le_bytes());
        }
        EventBody::WorkloadPreExec { argv } => {
            into.extend_from_slice(&length(argv.len()));
            for argument in argv {
                bytes(into, argument.as_bytes());
            }
        }
        EventBody::ListenerBound { protocol, address, port } => {
            into.push(match protocol {
                Protocol::Tcp => 6,
                Protocol::Udp => 17,
            });
            bytes(into, address.as_bytes());
            into.extend_from_slice(&port.to_le_bytes());
        }
        EventBody::WorkloadExited { status } => exit_status(into, *status),
        EventBody::WorkloadFailed { stage, errno, message } => {
            bytes(into, stage.as_bytes());
            into.extend_from_slice(&errno.to_le_bytes());
            bytes(into, message.as_bytes());
        }
        EventBody::IoStarted { device } | EventBody::IoSettled { device } => {
            bytes(into, device.as_bytes());
        }
        EventBody::AgentReady { protocol_version, kernel_release } => {
            into.extend_from_slice(&protocol_version.to_le_bytes());
            bytes(into, kernel_release.as_bytes());
        }
        EventBody::AgentQuiesced { token }
        | EventBody::AgentThawed { token }
        | EventBody::IdentityApplied { token } => into.extend_from_slice(&token.to_le_bytes()),
        EventBody::AgentRejected { frame, message } => {
            into.push(*frame);
            bytes(into, message.as_bytes());
        }
        EventBody::ExecStarted { id, pid } => {
            into.extend_from_slice(&id.to_le_bytes());
            into.extend_from_slice(&pid.to_le_bytes());
        }
        EventBody::ExecOutput { id, stream, data } => {
            into.extend_from_slice(&id.to_le_bytes());
            into.push(match stream {
                OutputStream::Stdout => 1,
                OutputStream::Stderr => 2,
            });
            bytes(into, data);
        }
        EventBody::ExecExited { id, status } => {
            into.extend_from_slice(&id.to_le_bytes());
            exit_status(into, *status);
        }
        EventBody::ExecFailed { id, stage, errno, message } => {
            into.extend_from_slice(&id.to_le_bytes());
            bytes(into, stage.as_bytes());
            into.extend_from_slice(&errno.to_le_bytes());
            bytes(into, message.as_bytes());
        }
        EventBody::HostInput { kind, port, data } => {
            into.push(match kind {
                InputKind::Control => 0,
                InputKind::Serial => 1,
                InputKind::Renewal => 2,
            });
            into.extend_from_slice(&port.to_le_bytes());
            bytes(into, data);
        }
        EventBody::GuestPanicked { message } | EventBody::EngineFault { message } => {
            bytes(into, message.as_bytes());
        }
        EventBody::GuestHalted { reason } | EventBody::GuestReset { reason } => {
            into.extend_from_slice(&reason.to_le_bytes());
        }
        EventBody::Custom { name, payload_json } => {
            bytes(into, name.as_bytes());
            bytes(into, payload_json.as_bytes());
        }
        EventBody::WorkloadParked | EventBody::GuestIdle | EventBody::GuestBusy => {}
    }
}

fn length(count: usize) -> [u8; 4] {
    // Frames and lines are bounded far below 4 GiB where they enter the machine.
    u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes()
}

fn bytes(into: &mut Vec<u8>, content: &[u8]) {
    into.extend_from_slice(&length(content.len()));
    into.extend_from_slice(content);
}

fn exit_status(into: &mut Vec<u8>, status: ExitStatus) {
    let (kind, value) = match status {
        ExitStatus::Code(code) => (0, code),
        ExitStatus::Signal(signal) => (1, signal),
    };
    into.push(kind);
    into.extend_from_slice(&value.to_le_bytes());
}

/// One event of every kind, with telling content, for the test that sends them all across.
pub fn examples() -> Vec<Event> {
    let text = |s: &str| s.to_owned();
    let bodies = vec![
        EventBody::SerialLine { port: 0, text: text("Linux — ready ✓") },
        EventBody::HeartbeatTick { count: (1 << 40) + 3 },
        EventBody::WorkloadPreExec { argv: vec![text("/bin/httpd"), text("-f"), text("")] },
        EventBody::ListenerBound { protocol: Protocol::Tcp, address: text("::"), port: 65_535 },
        EventBody::WorkloadParked,
        EventBody::WorkloadExited { status: ExitStatus::Signal(9) },
        EventBody::WorkloadFailed { stage: text("exec"), errno: 2, message: text("not found") },
        EventBody::GuestIdle,
        EventBody::GuestBusy,
        EventBody::IoStarted { device: text("entropy") },
        EventBody::IoSettled { device: text("entropy") },
        EventBody::PagesDirtied { count: 17 },
        EventBody::AgentReady { protocol_version: 1, kernel_release: text("6.12.107") },
        EventBody::AgentQuiesced { token: 1 },
        EventBody::AgentThawed { token: 2 },
        EventBody::IdentityApplied { token: u32::MAX },
        EventBody::AgentRejected { frame: 0x87, message: text("short entropy") },
        EventBody::ExecStarted { id: 1, pid: 42 },
        EventBody::ExecOutput { id: 1, stream: OutputStream::Stderr, data: vec![0, 255, 10] },
        EventBody::ExecExited { id: 1, status: ExitStatus::Code(-1) },
        EventBody::ExecFailed { id: 2, stage: text("cwd"), errno: 20, message: text("no folder") },
        EventBody::HostInput { kind: InputKind::Serial, port: 0, data: vec![1, 2, 3] },
        EventBody::GuestPanicked { message: text("Attempted to kill init!") },
        EventBody::GuestHalted { reason: 0 },
        EventBody::GuestReset { reason: 1 },
        EventBody::EngineFault { message: text("fetch outside memory") },
        EventBody::Custom { name: text("cache.warm"), payload_json: text("{\"entries\":[1,2]}") },
    ];
    bodies
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
