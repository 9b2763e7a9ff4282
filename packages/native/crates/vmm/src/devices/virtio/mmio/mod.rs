//! The memory-mapped transport, version 2 (Virtual I/O 1.2, chapter 4.2).
//!
//! ```text
//! 0x000 magic  0x004 version  0x008 device  0x00c vendor  0x010 features  0x014 …select
//! 0x020 accepted features  0x024 …select  0x030 queue  0x034 most  0x038 size  0x044 ready
//! 0x050 notify  0x060 interrupt  0x064 acknowledge  0x070 status
//! 0x080 descriptors  0x090 available  0x0a0 used (low, high)
//! 0x0fc generation of the configuration  0x100… configuration of the device
//! ```

mod persist;

use super::io::{INTERRUPT_CONFIGURATION, Lent};
use super::queue::Queue;
use super::{Io, QueueError, VirtioDevice};
use crate::devices::{Device, DeviceContext, InputFull, Renewal, read_register, written_register};
use crate::disks::Attached;
use crate::event::EventBody;
use crate::network::{Interface, Traffic};
use crate::state::{StateError, StateVersions};
use crate::time::Nanos;

/// Bytes of the register window.
pub const WINDOW_BYTES: u64 = 0x1000;

const CONFIGURATION: u64 = 0x100;
const MAGIC: u32 = 0x7472_6976;
const VENDOR: u32 = 0x4c49_5453;
const FEATURE_VERSION_1: u64 = 1 << 32;
const STATUS_FEATURES_OK: u32 = 8;
const STATUS_DRIVER_OK: u32 = 4;
const STATUS_NEEDS_RESET: u32 = 0x40;
const STATUS_MASK: u32 = 0xcf;

/// A device behind the transport.
pub struct VirtioMmio {
    device: Box<dyn VirtioDevice>,
    queues: Vec<Queue>,
    queue_select: u32,
    device_features_select: u32,
    driver_features_select: u32,
    driver_features: u64,
    status: u32,
    interrupt: u32,
    generation: u32,
}

impl VirtioMmio {
    /// Puts `device` behind a transport, reset.
    pub fn new(device: Box<dyn VirtioDevice>) -> Self {
        let queues = vec![Queue::default(); device.queue_sizes().len()];
        Self {
            device,
            queues,
            queue_select: 0,
            device_features_select: 0,
            driver_features_select: 0,
            driver_features: 0,
            status: 0,
            interrupt: 0,
            generation: 0,
        }
    }

    fn features(&self) -> u64 {
        self.device.features() | FEATURE_VERSION_1
    }

    /// Whether the driver has started the device and not broken it.
    fn is_running(&self) -> bool {
        let running = STATUS_DRIVER_OK | STATUS_FEATURES_OK;
        self.status & running == running && self.status & STATUS_NEEDS_RESET == 0
    }

    /// Lets `act` work on the device, and draws the consequences.
    fn visit(
        &mut self,
        context: &mut DeviceContext<'_>,
        act: impl FnOnce(&mut dyn VirtioDevice, &mut Io<'_>) -> Result<(), QueueError>,
    ) {
        let lent = Lent {
            queues: &mut self.queues,
            features: self.driver_features,
            interrupt: &mut self.interrupt,
            generation: &mut self.generation,
            is_told: self.device.works_on_requests(),
        };
        let mut io = Io::new(context, lent);
        let outcome = act(self.device.as_mut(), &mut io);
        io.end(outcome.is_err());
        if outcome.is_err() {
            self.device.reset();
            self.queues.iter_mut().for_each(Queue::stop);
            self.status |= STATUS_NEEDS_RESET;
            self.interrupt |= INTERRUPT_CONFIGURATION;
        }
    }

    fn set_status(&mut self, value: u32) {
        if value == 0 {
            self.device.reset();
            self.queues.iter_mut().for_each(Queue::reset);
            self.queue_select = 0;
            self.device_features_select = 0;
            self.driver_features_select = 0;
            self.driver_features = 0;
            self.status = 0;
            self.interrupt = 0;
            return;
        }
        let mut status = value & STATUS_MASK | self.status & STATUS_NEEDS_RESET;
        let accepted = self.driver_features & !self.features() == 0
            && self.driver_features & FEATURE_VERSION_1 != 0
            && self.device.accepts(self.driver_features);
        if !accepted {
            status &= !STATUS_FEATURES_OK;
        }
        self.status = status;
    }

    fn set_driver_features(&mut self, value: u32) {
        let (features, value) = (self.driver_features, u64::from(value));
        match self.driver_features_select {
            0 => self.driver_features = features & !0xffff_ffff | value,
            1 => self.driver_features = features & 0xffff_ffff | value << 32,
            _ => {}
        }
    }

    fn set_queue(&mut self, offset: u64, value: u32) {
        // The driver's settings of a queue count only while the queue is off.
        let may_start = self.status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET) == 0;
        let index = self.queue_select as usize;
        let Some(queue) = self.queues.get_mut(index) else { return };
        let most = self.device.queue_sizes().get(index).copied().unwrap_or(0);
        let low = |word: u64| word & !0xffff_ffff | u64::from(value);
        let high = |word: u64| word & 0xffff_ffff | u64::from(value) << 32;
        match offset {
            0x044 if value & 1 == 0 => {
                queue.stop();
                self.device.queue_stopped(index);
            }
            0x044 if may_start => queue.ready = queue.is_valid(most),
            _ if queue.ready => {}
            0x038 => queue.size = u16::try_from(value).unwrap_or(0),
            0x080 => queue.descriptors = low(queue.descriptors),
            0x084 => queue.descriptors = high(queue.descriptors),
            0x090 => queue.available = low(queue.available),
            0x094 => queue.available = high(queue.available),
            0x0a0 => queue.used = low(queue.used),
            0x0a4 => queue.used = high(queue.used),
            _ => {}
        }
    }

    fn register(&self, offset: u64) -> u32 {
        let index = self.queue_select as usize;
        match offset {
            0x000 => MAGIC,
            0x004 => 2,
            0x008 => self.device.device_id(),
            0x00c => VENDOR,
            0x010 if self.device_features_select == 0 => self.features() as u32,
            0x010 if self.device_features_select == 1 => (self.features() >> 32) as u32,
            0x034 => self.device.queue_sizes().get(index).map_or(0, |most| u32::from(*most)),
            0x044 => self.queues.get(index).map_or(0, |queue| u32::from(queue.ready)),
            0x060 => self.interrupt,
            0x070 => self.status,
            0x0fc => self.generation,
            _ => 0,
        }
    }
}

impl Device for VirtioMmio {
    fn read(&mut self, _context: &mut DeviceContext<'_>, offset: u64, into: &mut [u8]) {
        match offset.checked_sub(CONFIGURATION) {
            Some(offset) => self.device.read_configuration(offset, into),
            None => read_register(self.register(offset), into),
        }
    }

    fn write(&mut self, context: &mut DeviceContext<'_>, offset: u64, from: &[u8]) {
        let value = written_register(from);
        let was_working = self.is_working();
        match offset {
            0x014 => self.device_features_select = value,
            0x020 if self.status & STATUS_FEATURES_OK == 0 => self.set_driver_features(value),
            0x024 => self.driver_features_select = value,
            0x030 => self.queue_select = value,
            0x050 if self.is_running() => {
                return self.visit(context, |device, io| device.notified(io, value as usize));
            }
            0x064 => self.interrupt &= !value,
            0x070 => self.set_status(value),
            0x038 | 0x044 | 0x080..=0x0a4 => self.set_queue(offset, value),
            CONFIGURATION.. => {
                return self.visit(context, |device, io| {
                    device.write_configuration(io, offset - CONFIGURATION, from);
                    Ok(())
                });
            }
            _ => {}
        }
        // A reset, or a stopped queue, ends the requests in progress.
        if was_working && !self.is_working() {
            context.events.push(EventBody::IoSettled { device: context.name.to_owned() });
        }
    }

    fn interrupt_asserted(&self) -> bool {
        self.interrupt != 0
    }

    fn is_working(&self) -> bool {
        self.device.works_on_requests() && self.queues.iter().any(|queue| queue.in_work() > 0)
    }

    fn deadline(&self) -> Option<Nanos> {
        if self.is_running() { self.device.deadline() } else { None }
    }

    fn tick(&mut self, context: &mut DeviceContext<'_>) {
        if self.is_running() {
            self.visit(context, |device, io| device.due(io));
        }
    }

    fn attach_disk(
        &mut self,
        _context: &mut DeviceContext<'_>,
        number: usize,
        disk: &Attached,
    ) -> bool {
        let is_attached = self.device.attach_disk(number, disk);
        if is_attached {
            self.generation = self.generation.wrapping_add(1);
            // Before the driver has started the device, no notification is expected.
            if self.is_running() {
                self.interrupt |= INTERRUPT_CONFIGURATION;
            }
        }
        is_attached
    }

    fn as_interface(&self) -> Option<&dyn Interface> {
        self.device.as_interface().filter(|_| self.is_running())
    }

    fn accept_frame(
        &mut self,
        context: &mut DeviceContext<'_>,
        frame: &[u8],
    ) -> Option<Result<(), InputFull>> {
        self.device.as_interface()?;
        if !self.is_running() {
            return Some(Err(InputFull { room: 0 }));
        }
        // A driver whose buffers cannot be written to was given something nevertheless.
        let mut accepted = Some(Ok(()));
        self.visit(context, |device, io| {
            accepted = device.accept_frame(io, frame)?;
            Ok(())
        });
        accepted
    }

    fn accept_on_channel(
        &mut self,
        context: &mut DeviceContext<'_>,
        bytes: &[u8],
    ) -> Option<Result<(), InputFull>> {
        if !self.is_running() {
            return None;
        }
        let mut accepted = None;
        self.visit(context, |device, io| {
            accepted = device.accept_on_channel(io, bytes)?;
            Ok(())
        });
        accepted
    }

    fn connections_open(&self) -> u64 {
        self.device.connections_open()
    }

    fn take_traffic(&mut self) -> Traffic {
        self.device.take_traffic()
    }

    fn renew(&mut self, renewal: &Renewal, now: Nanos) {
        self.device.renew(renewal, now);
    }

    fn state_versions(&self) -> StateVersions {
        persist::VERSIONS
    }

    fn save(&self) -> Vec<u8> {
        persist::save(self)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        persist::load(self, state)
    }

    fn fork(&self) -> Box<dyn Device> {
        Box::new(Self { device: self.device.fork(), queues: self.queues.clone(), ..*self })
    }
}

#[cfg(test)]
pub(super) mod tests;
