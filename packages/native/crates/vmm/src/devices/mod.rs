//! Devices on the memory-mapped bus: register models with their saved state beside them.
//!
//! A device has no clock, thread or host resource of its own. Its behaviour depends only on its state,
//! on accesses and on guest time, so a machine's devices are reproducible; input from the host comes in
//! through [`Device::accept_input`].
//!
//! A device is one folder: its registers in `mod.rs`, its saved state in `persist.rs`, its tests,
//! and its `KIND`, which says how it is described, made and announced.

mod description;
pub mod goldfish_rtc;
mod kinds;
pub mod ns16550a;
mod renewal;
#[cfg(test)]
pub(crate) mod surroundings;
pub mod virtio;
pub mod vmgenid;

pub use description::{DeviceDescription, DeviceKind, Making, Node};
pub use kinds::KINDS;
pub use renewal::{GENERATION_BYTES, MIN_ENTROPY_BYTES, Renewal, RenewalInvalid};

use crate::disks::{Attached, Disks};
use crate::event::EventBody;
use crate::memory::GuestMemory;
use crate::network::{Interface, Outbox, Traffic};
use crate::serial_ports::SerialPorts;
use crate::state::{StateError, StateVersions};
use crate::time::Nanos;

/// The resources that a device may use during an access.
pub struct DeviceContext<'a> {
    /// The device's name in events.
    pub name: &'a str,
    /// Guest time of the access.
    pub now: Nanos,
    /// Guest memory, for devices that read and write it.
    pub memory: &'a mut dyn GuestMemory,
    /// The machine's disks, for devices that are one.
    pub disks: &'a mut Disks,
    /// The device's events.
    pub events: &'a mut Vec<EventBody>,
    /// The guest's output on serial ports.
    pub serial: &'a mut SerialPorts,
    /// The guest's output on network interfaces.
    pub network: &'a mut Outbox,
}

/// The host has more for a device than it can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputFull {
    /// Bytes that it would take now.
    pub room: usize,
}

/// A device on the memory-mapped bus.
pub trait Device: Send {
    /// Reads `into.len()` (1, 2, 4 or 8) bytes at `offset` from the device's base.
    fn read(&mut self, context: &mut DeviceContext<'_>, offset: u64, into: &mut [u8]);

    /// Writes `from.len()` (1, 2, 4 or 8) bytes at `offset` from the device's base.
    fn write(&mut self, context: &mut DeviceContext<'_>, offset: u64, from: &[u8]);

    /// Whether the device asserts its interrupt line.
    fn interrupt_asserted(&self) -> bool;

    /// The time of the device's next tick, if any.
    fn deadline(&self) -> Option<Nanos> {
        None
    }

    /// Does the work that is due at `context.now`. A second call at the same time has no effect.
    fn tick(&mut self, context: &mut DeviceContext<'_>) {
        let _ = context;
    }

    /// Takes bytes that the host has for serial port `port`, all or none. `None`: this device is
    /// not that port.
    fn accept_input(
        &mut self,
        context: &mut DeviceContext<'_>,
        port: u32,
        bytes: &[u8],
    ) -> Option<Result<(), InputFull>> {
        let _ = (context, port, bytes);
        None
    }

    /// Gives back one byte that the host had for serial port `port`, for a firmware that reads it.
    fn take_input(&mut self, port: u32) -> Option<u8> {
        let _ = port;
        None
    }

    /// Becomes the machine's disk number `number`, if it is the empty slot for it; whether it is.
    fn attach_disk(
        &mut self,
        context: &mut DeviceContext<'_>,
        number: usize,
        disk: &Attached,
    ) -> bool {
        let _ = (context, number, disk);
        false
    }

    /// The device as a network interface, if it is one.
    fn as_interface(&self) -> Option<&dyn Interface> {
        None
    }

    /// Takes a frame that the host has for the guest. `None`: this device is no network interface.
    fn accept_frame(
        &mut self,
        context: &mut DeviceContext<'_>,
        frame: &[u8],
    ) -> Option<Result<(), InputFull>> {
        let _ = (context, frame);
        None
    }

    /// Takes bytes that the host has for the agent, all or none. `None`: this device is not the agent's
    /// channel, or no driver has started it.
    fn accept_on_channel(
        &mut self,
        context: &mut DeviceContext<'_>,
        bytes: &[u8],
    ) -> Option<Result<(), InputFull>> {
        let _ = (context, bytes);
        None
    }

    /// Number of open connections over a network interface.
    fn connections_open(&self) -> u64 {
        0
    }

    /// Bytes over a network interface's connections since the last call.
    fn take_traffic(&mut self) -> Traffic {
        Traffic::default()
    }

    /// Whether a request is in flight: between `IoStarted` and `IoSettled`.
    fn is_working(&self) -> bool {
        false
    }

    /// The versions of the device's saved state.
    fn state_versions(&self) -> StateVersions {
        StateVersions::FIRST
    }

    /// The device's complete state, in the current version: equal states give equal bytes.
    fn save(&self) -> Vec<u8>;

    /// Restores the state that `save` returned, in this build or, converted, in an earlier one.
    ///
    /// # Errors
    /// [`StateError`] if the bytes are not such a state.
    fn load(&mut self, state: &[u8]) -> Result<(), StateError>;

    /// Becomes part of another machine than those that share its past, as of `now`: what tells
    /// machines from each other, and time, are the renewal's.
    fn renew(&mut self, renewal: &Renewal, now: Nanos) {
        let _ = (renewal, now);
    }

    /// Shows this wall-clock time, in nanoseconds since 1970, as of `now`: a clock does.
    fn set_clock(&mut self, realtime_nanos: u64, now: Nanos) {
        let _ = (realtime_nanos, now);
    }

    /// A device in the same state, independent of this one.
    fn fork(&self) -> Box<dyn Device>;
}

/// Copies the bytes of a 32-bit register that a read of any width sees.
pub(crate) fn read_register(value: u32, into: &mut [u8]) {
    into.fill(0);
    let count = into.len().min(4);
    into[..count].copy_from_slice(&value.to_le_bytes()[..count]);
}

/// The 32-bit value that a write of any width gives.
pub(crate) fn written_register(from: &[u8]) -> u32 {
    let mut bytes = [0; 4];
    let count = from.len().min(4);
    bytes[..count].copy_from_slice(&from[..count]);
    u32::from_le_bytes(bytes)
}
