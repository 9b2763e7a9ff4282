//! The console device with several ports (Virtual I/O 1.2, chapter 5.3), of which it has one: the
//! agent's channel.
//!
//! ```text
//! configuration  0x00 columns, u16  0x02 rows, u16  0x04 ports, u32  0x08 emergency write, u32
//! queue 0  to the port's reader    queue 1  from its writer
//! queue 2  messages to the driver  queue 3  from it: u32 port │ u16 event │ u16 value │ name
//!
//!  driver  ready ─▶            port ready ─▶                 open ─▶
//!  device          ◀─ port added          ◀─ its name, open
//! ```
//! Input from the host waits here until the driver offers room for it. The kernel's driver gives a
//! port no terminal: bytes are copied in blocks, with one notification for each.

mod persist;

use std::collections::VecDeque;

use super::{FEATURE_EVENT_INDEX, Io, QueueError, VirtioDevice, VirtioMmio, WINDOW_BYTES};
use crate::devices::description::NoOptions;
use crate::devices::{DeviceKind, InputFull, Node};
use crate::state::StateError;

const RECEIVE: usize = 0;
const SEND: usize = 1;
const RECEIVE_MESSAGES: usize = 2;
const SEND_MESSAGES: usize = 3;
/// Descriptors of each queue. The driver has a page in memory for each of those that it receives into.
const QUEUE_SIZES: [u16; 4] = [64, 16, 8, 8];

/// The device has ports, announced by control messages.
const FEATURE_PORTS: u64 = 1 << 1;

const DEVICE_READY: u16 = 0;
const PORT_ADDED: u16 = 1;
const PORT_READY: u16 = 3;
const PORT_OPEN: u16 = 6;
const PORT_NAME: u16 = 7;
const MESSAGE_BYTES: usize = 8;

/// The port's name in the guest, under `/sys/class/virtio-ports`.
pub const PORT: &str = "stillpoint.agent";

/// Maximum bytes of waiting input from the host.
pub const INPUT_BYTES: usize = 4 << 20;
/// Maximum bytes of one request: the kernel's driver sends no more. The rest of a larger one is lost.
const MAX_REQUEST_BYTES: u64 = 64 * 1024;
/// Maximum number of messages that wait for the driver; a driver that causes more does not read them.
const MAX_MESSAGES: usize = 8;

/// The kind in descriptions.
pub const KIND: DeviceKind = DeviceKind {
    name: "virtio-console",
    window_bytes: WINDOW_BYTES,
    node: Node { name: "virtio_mmio", compatible: "virtio,mmio", alias: None, numbers: &[] },
    hardware_id: Some("LNRO0005"),
    make: |description, _making| {
        let NoOptions {} = description.options_as()?;
        Ok(Box::new(VirtioMmio::new(Box::new(Console::default()))))
    },
};

/// The agent's channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Console {
    /// Messages that the driver has not received.
    messages: VecDeque<Vec<u8>>,
    /// The host's bytes that the driver has not received.
    waiting: VecDeque<u8>,
}

fn message(event: u16, value: u16) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(event.to_le_bytes());
    bytes.extend(value.to_le_bytes());
    bytes
}

impl Console {
    /// Gives the driver what waits for it, as far as it has offered room.
    fn give(&mut self, io: &mut Io<'_>) -> Result<(), QueueError> {
        while !self.waiting.is_empty() {
            let Some(request) = io.take(RECEIVE)? else { break };
            let mut written = 0;
            // Waiting bytes are in a ring, so in two pieces.
            for piece in <[&[u8]; 2]>::from(self.waiting.as_slices()) {
                written += request.write(io.memory(), written as u64, piece)?;
            }
            self.waiting.drain(..written);
            io.complete(&request, written as u32)?;
        }
        Ok(())
    }

    fn give_messages(&mut self, io: &mut Io<'_>) -> Result<(), QueueError> {
        while let Some(message) = self.messages.front() {
            let Some(request) = io.take(RECEIVE_MESSAGES)? else { break };
            let written = request.write(io.memory(), 0, message)?;
            self.messages.pop_front();
            io.complete(&request, written as u32)?;
        }
        Ok(())
    }

    fn take(&mut self, io: &mut Io<'_>) -> Result<(), QueueError> {
        while let Some(request) = io.take(SEND)? {
            let mut bytes = vec![0; request.readable_bytes().min(MAX_REQUEST_BYTES) as usize];
            request.read(io.memory(), 0, &mut bytes)?;
            io.complete(&request, 0)?;
            io.transmit_on_channel(&bytes);
        }
        Ok(())
    }

    fn take_messages(&mut self, io: &mut Io<'_>) -> Result<(), QueueError> {
        while let Some(request) = io.take(SEND_MESSAGES)? {
            let mut bytes = [0; MESSAGE_BYTES];
            request.read(io.memory(), 0, &mut bytes)?;
            io.complete(&request, 0)?;
            let [.., a, b, c, d] = bytes;
            if self.messages.len() < MAX_MESSAGES {
                self.answer(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
            }
        }
        self.give_messages(io)
    }

    fn answer(&mut self, event: u16, value: u16) {
        match (event, value) {
            (DEVICE_READY, 1) => self.messages.push_back(message(PORT_ADDED, 1)),
            (PORT_READY, 1) => {
                let name = [&message(PORT_NAME, 1), PORT.as_bytes()].concat();
                self.messages.extend([name, message(PORT_OPEN, 1)]);
            }
            // The agent announces on the trusted control port that it has opened the port.
            _ => {}
        }
    }
}

impl VirtioDevice for Console {
    fn device_id(&self) -> u32 {
        3
    }

    fn features(&self) -> u64 {
        FEATURE_PORTS | FEATURE_EVENT_INDEX
    }

    fn accepts(&self, features: u64) -> bool {
        features & FEATURE_PORTS != 0
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn read_configuration(&self, offset: u64, into: &mut [u8]) {
        const SPACE: [u8; 12] = [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        for (byte, at) in into.iter_mut().zip(offset..) {
            *byte = usize::try_from(at).ok().and_then(|at| SPACE.get(at)).copied().unwrap_or(0);
        }
    }

    fn notified(&mut self, io: &mut Io<'_>, queue: usize) -> Result<(), QueueError> {
        match queue {
            RECEIVE => self.give(io),
            SEND => self.take(io),
            RECEIVE_MESSAGES => self.give_messages(io),
            SEND_MESSAGES => self.take_messages(io),
            _ => Ok(()),
        }
    }

    fn accept_on_channel(
        &mut self,
        io: &mut Io<'_>,
        bytes: &[u8],
    ) -> Result<Option<Result<(), InputFull>>, QueueError> {
        let room = INPUT_BYTES - self.waiting.len();
        if bytes.len() > room {
            return Ok(Some(Err(InputFull { room })));
        }
        self.waiting.extend(bytes);
        self.give(io)?;
        Ok(Some(Ok(())))
    }

    fn works_on_requests(&self) -> bool {
        false
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn save(&self) -> Vec<u8> {
        persist::save(self)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        *self = persist::load(state)?;
        Ok(())
    }

    fn fork(&self) -> Box<dyn VirtioDevice> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests;
