//! What an engine sees of its machine while it runs.

use crate::engine::Nanos;
use crate::event::{Event, EventBody};
use crate::memory::GuestMemory;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// No device answers at a guest-physical address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDevice;

/// A device on the memory-mapped bus. Registers only: no clock, no thread, no host input or
/// output of its own.
pub trait Device: Send {
    /// Reads `into.len()` (1, 2, 4 or 8) bytes at `offset` from the device's base.
    fn read(&mut self, context: &mut DeviceContext<'_>, offset: u64, into: &mut [u8]);
    /// Writes `from.len()` (1, 2, 4 or 8) bytes at `offset` from the device's base.
    fn write(&mut self, context: &mut DeviceContext<'_>, offset: u64, from: &[u8]);
    /// Whether the device asserts its interrupt line.
    fn interrupt_asserted(&self) -> bool;
}

/// What a device may touch while it is accessed.
pub struct DeviceContext<'a> {
    /// Guest time of the access.
    pub now: Nanos,
    /// Guest memory, for devices that read and write it.
    pub memory: &'a mut GuestMemory,
    /// Where the device says what happened.
    pub events: &'a mut Vec<EventBody>,
}

struct Slot {
    base: u64,
    len: u64,
    line: u32,
    device: Box<dyn Device>,
}

/// The machine as its engine sees it.
pub struct Platform {
    /// Guest-physical memory.
    pub memory: GuestMemory,
    /// Guest time of the access in progress: the engine sets it before every device access,
    /// console write and event.
    pub now: Nanos,
    /// Raised when the machine must have control back after the instruction in progress. The
    /// engine looks at it after every device access, firmware call and event, and returns
    /// [`crate::engine::Exit::Attention`].
    pub attention: bool,
    lines: u64,
    slots: Vec<Slot>,
    stop: Arc<AtomicBool>,
    events: Vec<Event>,
    next_seq: u64,
}

impl Platform {
    /// A platform with memory and no device.
    pub fn new(memory: GuestMemory) -> Self {
        Self {
            memory,
            now: 0,
            attention: false,
            lines: 0,
            slots: Vec::new(),
            stop: Arc::new(AtomicBool::new(false)),
            events: Vec::new(),
            next_seq: 0,
        }
    }

    /// Puts a device on the bus, `len` bytes at `base`, its interrupt on `line` (1 to 63).
    pub fn attach(&mut self, base: u64, len: u64, line: u32, device: Box<dyn Device>) {
        self.slots.push(Slot { base, len, line, device });
    }

    /// Reads a device register.
    ///
    /// # Errors
    /// [`NoDevice`] if nothing answers there: the engine raises its access fault.
    pub fn mmio_read(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), NoDevice> {
        self.access(gpa, into.len(), |slot, context, offset| slot.read(context, offset, into))
    }

    /// Writes a device register.
    ///
    /// # Errors
    /// [`NoDevice`] if nothing answers there: the engine raises its access fault.
    pub fn mmio_write(&mut self, gpa: u64, from: &[u8]) -> Result<(), NoDevice> {
        self.access(gpa, from.len(), |slot, context, offset| slot.write(context, offset, from))
    }

    fn access(
        &mut self,
        gpa: u64,
        len: usize,
        act: impl FnOnce(&mut dyn Device, &mut DeviceContext<'_>, u64),
    ) -> Result<(), NoDevice> {
        let slot = self
            .slots
            .iter_mut()
            .find(|s| gpa >= s.base && gpa - s.base < s.len && s.len - (gpa - s.base) >= len as u64)
            .ok_or(NoDevice)?;
        let mut bodies = Vec::new();
        let mut context =
            DeviceContext { now: self.now, memory: &mut self.memory, events: &mut bodies };
        act(slot.device.as_mut(), &mut context, gpa - slot.base);
        let bit = 1u64 << slot.line;
        self.lines = if slot.device.interrupt_asserted() { self.lines | bit } else { self.lines & !bit };
        for body in bodies {
            self.emit(body);
        }
        Ok(())
    }

    /// Interrupt lines that devices assert now, one bit each. Level-triggered.
    #[inline]
    pub fn interrupt_lines(&self) -> u64 {
        self.lines
    }

    /// One byte that the guest wrote to its firmware console; it joins the console's lines.
    pub fn console_write(&mut self, byte: u8) {
        let _ = byte;
    }

    /// One byte that the host has for the firmware console, if any.
    pub fn console_read(&mut self) -> Option<u8> {
        None
    }

    /// Appends an event at [`Self::now`], and raises [`Self::attention`] if the run is to stop at
    /// its kind.
    pub fn emit(&mut self, body: EventBody) {
        self.events.push(Event { seq: self.next_seq, at_nanos: self.now, body });
        self.next_seq += 1;
    }

    /// Whether another thread asked the run to end. Engines look every few thousand instructions.
    #[inline]
    pub fn interrupt_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Bytes of the engine's deterministic or host randomness (device tree seeds, firmware).
    pub fn fill_random(&mut self, into: &mut [u8]) {
        into.fill(0);
    }
}
