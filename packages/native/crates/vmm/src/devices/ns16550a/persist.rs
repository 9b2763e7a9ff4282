//! The saved state of a serial port.

use super::{IER_MASK, INPUT_BYTES, MCR_MASK, Ns16550a, RECEIVE_FIFO_BYTES};
use crate::state::{StateError, StateReader, StateWriter};

pub(super) fn save(serial: &Ns16550a) -> Vec<u8> {
    let received: Vec<u8> = serial.received.iter().copied().collect();
    let waiting: Vec<u8> = serial.waiting.iter().copied().collect();
    StateWriter::new()
        .u8(serial.interrupt_enable)
        .u8(serial.fifo_control)
        .u8(serial.line_control)
        .u8(serial.modem_control)
        .u8(serial.scratch)
        .u16(serial.divisor)
        .bool(serial.transmitted_pending)
        .bytes(&received)
        .bytes(&waiting)
        .u64(serial.next_burst_at)
        .bool(serial.flow_control_seen)
        .finish()
}

pub(super) fn load(port: u32, state: &[u8]) -> Result<Ns16550a, StateError> {
    let mut state = StateReader::new("serial port", state);
    let serial = Ns16550a {
        port,
        interrupt_enable: state.u8()? & IER_MASK,
        fifo_control: state.u8()?,
        line_control: state.u8()?,
        modem_control: state.u8()? & MCR_MASK,
        scratch: state.u8()?,
        divisor: state.u16()?,
        transmitted_pending: state.bool()?,
        received: state.bytes(RECEIVE_FIFO_BYTES)?.iter().copied().collect(),
        waiting: state.bytes(INPUT_BYTES)?.iter().copied().collect(),
        next_burst_at: state.u64()?,
        flow_control_seen: state.bool()?,
    };
    state.finish()?;
    Ok(serial)
}
