//! A serial port with the registers of the National Semiconductor 16550A.
//!
//! ```text
//! 0 RBR/THR (DLL)   1 IER (DLM)   2 IIR/FCR   3 LCR   4 MCR   5 LSR   6 MSR   7 SCR
//! ```
//! Transmission takes no time: the holding register is always empty, whatever FIFO depth the device
//! tree promises. Reception comes in bursts of at most 512 bytes, 500 µs apart, a megabyte a
//! second: a kernel that gets more than its deferred work can handle silently drops bytes.
//! Reception pauses while a guest that has once raised RTS holds it down.

mod persist;

use std::collections::VecDeque;

use serde::Deserialize;

use super::{Device, DeviceContext, DeviceKind, InputFull, Node};
use crate::state::StateError;
use crate::time::Nanos;

/// The kind in descriptions. Its option `port` is the number of the serial port.
pub const KIND: DeviceKind = DeviceKind {
    name: "ns16550a",
    window_bytes: 8,
    node: Node {
        name: "serial",
        compatible: "ns16550a",
        alias: Some("serial"),
        numbers: &[
            ("clock-frequency", 3_686_400),
            ("fifo-size", TRANSMIT_FIFO_BYTES),
            // The driver fills the FIFO up to this many bytes below its depth.
            ("tx-threshold", 1),
        ],
    },
    hardware_id: Some("PNP0501"),
    make: |description, _making| {
        let Options { port } = description.options_as()?;
        Ok(Box::new(Ns16550a::new(port)))
    },
};

/// The options of a serial port.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    port: u32,
}

/// Maximum bytes of one burst into the receive FIFO.
pub const RECEIVE_FIFO_BYTES: usize = 512;

/// Depth that the device tree gives for the transmit FIFO: a driver writes that many bytes for
/// each interrupt.
pub const TRANSMIT_FIFO_BYTES: u32 = 4096;

/// Guest time between two bursts.
pub const BURST_NANOS: Nanos = 500_000;

/// Maximum bytes of waiting input from the host.
pub const INPUT_BYTES: usize = 4 << 20;

const IER_RECEIVED: u8 = 1 << 0;
const IER_TRANSMITTED: u8 = 1 << 1;
const IER_MASK: u8 = 0x0f;
const IIR_NONE: u8 = 0x01;
const IIR_TRANSMITTED: u8 = 0x02;
const IIR_RECEIVED: u8 = 0x04;
const IIR_FIFO: u8 = 0xc0;
const FCR_ENABLE: u8 = 1 << 0;
const FCR_CLEAR_RECEIVED: u8 = 1 << 1;
const LCR_DIVISOR: u8 = 1 << 7;
const MCR_DTR: u8 = 1 << 0;
const MCR_RTS: u8 = 1 << 1;
const MCR_OUT1: u8 = 1 << 2;
const MCR_OUT2: u8 = 1 << 3;
const MCR_LOOP: u8 = 1 << 4;
const MCR_MASK: u8 = 0x1f;
const LSR_RECEIVED: u8 = 1 << 0;
const LSR_EMPTY: u8 = 1 << 5 | 1 << 6;
const MSR_CTS: u8 = 1 << 4;
const MSR_DSR: u8 = 1 << 5;
const MSR_RI: u8 = 1 << 6;
const MSR_DCD: u8 = 1 << 7;

/// A serial port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ns16550a {
    port: u32,
    interrupt_enable: u8,
    fifo_control: u8,
    line_control: u8,
    modem_control: u8,
    scratch: u8,
    divisor: u16,
    transmitted_pending: bool,
    received: VecDeque<u8>,
    waiting: VecDeque<u8>,
    next_burst_at: Nanos,
    flow_control_seen: bool,
}

impl Ns16550a {
    /// Serial port number `port`, reset.
    pub fn new(port: u32) -> Self {
        Self {
            port,
            interrupt_enable: 0,
            fifo_control: 0,
            line_control: 0,
            modem_control: 0,
            scratch: 0,
            divisor: 12,
            transmitted_pending: false,
            received: VecDeque::new(),
            waiting: VecDeque::new(),
            next_burst_at: 0,
            flow_control_seen: false,
        }
    }

    fn may_receive(&self) -> bool {
        !self.flow_control_seen || self.modem_control & MCR_RTS != 0
    }

    /// Moves a burst into the receive FIFO if one is due.
    fn refill(&mut self, now: Nanos) {
        if !self.received.is_empty()
            || self.waiting.is_empty()
            || now < self.next_burst_at
            || !self.may_receive()
        {
            return;
        }
        let count = self.waiting.len().min(RECEIVE_FIFO_BYTES);
        self.received.extend(self.waiting.drain(..count));
        self.next_burst_at = now.saturating_add(BURST_NANOS);
    }

    fn interrupt_source(&self) -> u8 {
        if self.interrupt_enable & IER_RECEIVED != 0 && !self.received.is_empty() {
            IIR_RECEIVED
        } else if self.interrupt_enable & IER_TRANSMITTED != 0 && self.transmitted_pending {
            IIR_TRANSMITTED
        } else {
            IIR_NONE
        }
    }

    fn modem_status(&self) -> u8 {
        if self.modem_control & MCR_LOOP == 0 {
            return MSR_CTS | MSR_DSR | MSR_DCD;
        }
        let wires =
            [(MCR_RTS, MSR_CTS), (MCR_DTR, MSR_DSR), (MCR_OUT1, MSR_RI), (MCR_OUT2, MSR_DCD)];
        wires
            .into_iter()
            .filter(|(output, _)| self.modem_control & output != 0)
            .fold(0, |status, (_, input)| status | input)
    }

    fn read_byte(&mut self, now: Nanos, offset: u64) -> u8 {
        let divisor = self.line_control & LCR_DIVISOR != 0;
        match offset {
            0 if divisor => self.divisor as u8,
            0 => {
                let byte = self.received.pop_front().unwrap_or(0);
                self.refill(now);
                byte
            }
            1 if divisor => (self.divisor >> 8) as u8,
            1 => self.interrupt_enable,
            2 => {
                let source = self.interrupt_source();
                if source == IIR_TRANSMITTED {
                    self.transmitted_pending = false;
                }
                source | if self.fifo_control & FCR_ENABLE != 0 { IIR_FIFO } else { 0 }
            }
            3 => self.line_control,
            4 => self.modem_control,
            5 => LSR_EMPTY | if self.received.is_empty() { 0 } else { LSR_RECEIVED },
            6 => self.modem_status(),
            7 => self.scratch,
            _ => 0,
        }
    }

    fn write_byte(&mut self, context: &mut DeviceContext<'_>, offset: u64, byte: u8) {
        let divisor = self.line_control & LCR_DIVISOR != 0;
        match offset {
            0 if divisor => self.divisor = self.divisor & 0xff00 | u16::from(byte),
            0 => {
                if self.modem_control & MCR_LOOP == 0 {
                    context.serial.transmit(self.port, byte, context.now, context.events);
                } else if self.received.len() < RECEIVE_FIFO_BYTES {
                    self.received.push_back(byte);
                }
                self.transmitted_pending = true;
            }
            1 if divisor => self.divisor = self.divisor & 0x00ff | u16::from(byte) << 8,
            1 => {
                let enabled = byte & !self.interrupt_enable;
                self.interrupt_enable = byte & IER_MASK;
                // The holding register is empty, so enabling its interrupt raises it.
                if enabled & IER_TRANSMITTED != 0 {
                    self.transmitted_pending = true;
                }
            }
            2 => {
                self.fifo_control = byte & FCR_ENABLE;
                if byte & FCR_CLEAR_RECEIVED != 0 {
                    self.received.clear();
                    self.refill(context.now);
                }
            }
            3 => self.line_control = byte,
            4 => {
                self.modem_control = byte & MCR_MASK;
                self.flow_control_seen |= byte & MCR_RTS != 0;
                self.refill(context.now);
            }
            7 => self.scratch = byte,
            // The status registers cannot be written.
            _ => {}
        }
    }
}

impl Device for Ns16550a {
    fn read(&mut self, context: &mut DeviceContext<'_>, offset: u64, into: &mut [u8]) {
        into.fill(0);
        if let Some(first) = into.first_mut() {
            *first = self.read_byte(context.now, offset);
        }
    }

    fn write(&mut self, context: &mut DeviceContext<'_>, offset: u64, from: &[u8]) {
        if let Some(first) = from.first() {
            self.write_byte(context, offset, *first);
        }
    }

    fn interrupt_asserted(&self) -> bool {
        self.interrupt_source() != IIR_NONE
    }

    fn deadline(&self) -> Option<Nanos> {
        let due = self.received.is_empty() && !self.waiting.is_empty() && self.may_receive();
        due.then_some(self.next_burst_at)
    }

    fn tick(&mut self, context: &mut DeviceContext<'_>) {
        self.refill(context.now);
    }

    fn accept_input(
        &mut self,
        context: &mut DeviceContext<'_>,
        port: u32,
        bytes: &[u8],
    ) -> Option<Result<(), InputFull>> {
        if port != self.port {
            return None;
        }
        let room = INPUT_BYTES - self.waiting.len();
        if bytes.len() > room {
            return Some(Err(InputFull { room }));
        }
        self.waiting.extend(bytes);
        self.refill(context.now);
        Some(Ok(()))
    }

    fn take_input(&mut self, port: u32) -> Option<u8> {
        if port != self.port {
            return None;
        }
        self.received.pop_front().or_else(|| self.waiting.pop_front())
    }

    fn save(&self) -> Vec<u8> {
        persist::save(self)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        *self = persist::load(self.port, state)?;
        Ok(())
    }

    fn fork(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests;
