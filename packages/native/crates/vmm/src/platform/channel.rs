//! The path of the host's bytes to the agent: over the control port, or over the channel that it
//! has opened.
//!
//! ```text
//!  agent   AgentChannelOpened on the port ─▶ every later frame over the channel
//!  host    ChannelFollows on the port ─────▶ every later frame over the channel
//! ```
//! Earlier bytes over the port may still be on their way. So the agent reads from the channel once
//! it has read `ChannelFollows`, which keeps the order.

use super::Platform;
use crate::control::HostFrame;
use crate::devices::InputFull;
use crate::serial_ports::CONTROL;

impl Platform {
    /// Gives input of the host to a serial port, or to the agent's channel if it is for the control
    /// port. `None` if there is no such port.
    pub(crate) fn accept_input(
        &mut self,
        port: u32,
        bytes: &[u8],
    ) -> Option<Result<(), InputFull>> {
        let accepted = if port == CONTROL && self.serial.is_channel_open() {
            Some(self.accept_on_channel(bytes))
        } else {
            self.accept_on_port(port, bytes)
        };
        if port == CONTROL && accepted == Some(Ok(())) {
            self.commands.take_frame(bytes);
        }
        accepted
    }

    fn accept_on_port(&mut self, port: u32, bytes: &[u8]) -> Option<Result<(), InputFull>> {
        (0..self.bus.len()).find_map(|slot| {
            self.with_device(slot, |device, context, _| device.accept_input(context, port, bytes))
        })
    }

    fn accept_on_channel(&mut self, bytes: &[u8]) -> Result<(), InputFull> {
        let full = InputFull { room: 0 };
        if !self.serial.is_channel_followed() {
            let follows = HostFrame::ChannelFollows.encode().map_err(|_| full)?;
            self.accept_on_port(CONTROL, &follows).unwrap_or(Ok(())).map_err(|_| full)?;
            self.serial.follow_channel();
        }
        // A console whose driver has stopped takes nothing.
        let accepted = (0..self.bus.len()).find_map(|slot| {
            self.with_device(slot, |device, context, _| device.accept_on_channel(context, bytes))
        });
        accepted.unwrap_or(Err(full))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::ns16550a::Ns16550a;
    use crate::devices::virtio::VirtioMmio;
    use crate::devices::virtio::console::Console;
    use crate::memory::PagedMemory;

    const PORT: u64 = 0x1000;

    #[test]
    fn what_went_over_the_port_ends_with_one_mark() {
        let mut platform = Platform::new(PagedMemory::new(0x8000_0000, 1 << 20));
        platform.attach("serial1", PORT, 8, 1, Box::new(Ns16550a::new(CONTROL)));
        let channel = VirtioMmio::new(Box::new(Console::default()));
        platform.attach("channel", 0x1_0000, 0x1000, 2, Box::new(channel));
        assert_eq!(platform.accept_input(CONTROL, b"before"), Some(Ok(())));
        for byte in [1, 0, 0, 0, 0x16] {
            platform.mmio_write(PORT, &[byte]).expect("the port");
        }
        // No driver has started the channel: it takes nothing, and nothing goes the other way.
        for _ in 0..2 {
            let full = Some(Err(InputFull { room: 0 }));
            assert_eq!(platform.accept_input(CONTROL, b"after"), full);
        }
        let mut arrived = Vec::new();
        loop {
            platform.now += 1_000_000;
            platform.tick();
            let (mut status, mut byte) = ([0], [0]);
            platform.mmio_read(PORT + 5, &mut status).expect("the port");
            if status[0] & 1 == 0 {
                break;
            }
            platform.mmio_read(PORT, &mut byte).expect("the port");
            arrived.extend(byte);
        }
        assert_eq!(arrived, [&b"before"[..], &[1, 0, 0, 0, 0x8d]].concat());
    }
}
