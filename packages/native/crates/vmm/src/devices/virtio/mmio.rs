//! The memory-mapped transport, version 2 (Virtual I/O 1.2, chapter 4.2).
//!
//! ```text
//! 0x000 magic  0x004 version  0x008 device  0x00c vendor  0x010 features  0x014 …select
//! 0x020 accepted features  0x024 …select  0x030 queue  0x034 most  0x038 size  0x044 ready
//! 0x050 notify  0x060 interrupt  0x064 acknowledge  0x070 status
//! 0x080 descriptors  0x090 available  0x0a0 used (low, high)  0x0fc generation
//! ```

use super::queue::{MAX_QUEUE_SIZE, Queue};
use super::{QueueError, VirtioDevice};
use crate::devices::{Device, DeviceContext, Renewal, read_register, written_register};
use crate::state::{StateError, StateReader, StateWriter};
use crate::time::Nanos;

/// Bytes of the register window.
pub const WINDOW_BYTES: u64 = 0x1000;

const MAGIC: u32 = 0x7472_6976;
const VENDOR: u32 = 0x4c49_5453;
const FEATURE_VERSION_1: u64 = 1 << 32;
const STATUS_FEATURES_OK: u32 = 8;
const STATUS_DRIVER_OK: u32 = 4;
const STATUS_NEEDS_RESET: u32 = 0x40;
const STATUS_MASK: u32 = 0xcf;
const INTERRUPT_USED: u32 = 1;
const INTERRUPT_CONFIGURATION: u32 = 2;
const MOST_QUEUES: usize = 8;

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
}

impl VirtioMmio {
    /// Puts `device` behind a transport, reset.
    pub fn new(device: Box<dyn VirtioDevice>) -> Self {
        let queues = vec![Queue::default(); device.queue_count().min(MOST_QUEUES)];
        Self {
            device,
            queues,
            queue_select: 0,
            device_features_select: 0,
            driver_features_select: 0,
            driver_features: 0,
            status: 0,
            interrupt: 0,
        }
    }

    fn features(&self) -> u64 {
        self.device.features() | FEATURE_VERSION_1
    }

    fn reset(&mut self) {
        self.device.reset();
        self.queues.fill(Queue::default());
        self.queue_select = 0;
        self.device_features_select = 0;
        self.driver_features_select = 0;
        self.driver_features = 0;
        self.status = 0;
        self.interrupt = 0;
    }

    fn needs_reset(&mut self) {
        self.status |= STATUS_NEEDS_RESET;
        self.interrupt |= INTERRUPT_CONFIGURATION;
    }

    fn serve(&mut self, context: &mut DeviceContext<'_>, index: usize) -> Result<(), QueueError> {
        let Some(queue) = self.queues.get_mut(index) else { return Ok(()) };
        if self.device.serve(context, index, queue)? && queue.wants_interrupt(context.memory)? {
            self.interrupt |= INTERRUPT_USED;
        }
        Ok(())
    }

    fn notify(&mut self, context: &mut DeviceContext<'_>, index: u32) {
        let running = STATUS_DRIVER_OK | STATUS_FEATURES_OK;
        if self.status & running != running || self.status & STATUS_NEEDS_RESET != 0 {
            return;
        }
        if self.serve(context, index as usize).is_err() {
            self.needs_reset();
        }
    }

    fn set_status(&mut self, value: u32) {
        if value == 0 {
            self.reset();
            return;
        }
        let mut status = value & STATUS_MASK | self.status & STATUS_NEEDS_RESET;
        let accepted = self.driver_features & !self.features() == 0
            && self.driver_features & FEATURE_VERSION_1 != 0;
        if !accepted {
            status &= !STATUS_FEATURES_OK;
        }
        self.status = status;
    }

    fn set_queue(&mut self, offset: u64, value: u32) {
        // What the driver says about a queue counts only while the queue is off.
        let driver_ok = self.status & STATUS_DRIVER_OK != 0;
        let Some(queue) = self.queues.get_mut(self.queue_select as usize) else { return };
        let low = |word: u64| word & !0xffff_ffff | u64::from(value);
        let high = |word: u64| word & 0xffff_ffff | u64::from(value) << 32;
        match offset {
            0x044 if value & 1 == 0 => queue.stop(),
            0x044 if !driver_ok => queue.ready = queue.is_valid(),
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
}

impl Device for VirtioMmio {
    fn read(&mut self, _context: &mut DeviceContext<'_>, offset: u64, into: &mut [u8]) {
        let queue = self.queues.get(self.queue_select as usize);
        let value = match offset {
            0x000 => MAGIC,
            0x004 => 2,
            0x008 => self.device.device_id(),
            0x00c => VENDOR,
            0x010 if self.device_features_select == 0 => self.features() as u32,
            0x010 if self.device_features_select == 1 => (self.features() >> 32) as u32,
            0x034 => queue.map_or(0, |_| u32::from(MAX_QUEUE_SIZE)),
            0x044 => queue.map_or(0, |queue| u32::from(queue.ready)),
            0x060 => self.interrupt,
            0x070 => self.status,
            _ => 0,
        };
        read_register(value, into);
    }

    fn write(&mut self, context: &mut DeviceContext<'_>, offset: u64, from: &[u8]) {
        let value = written_register(from);
        match offset {
            0x014 => self.device_features_select = value,
            0x020 if self.status & STATUS_FEATURES_OK == 0 => match self.driver_features_select {
                0 => {
                    self.driver_features = self.driver_features & !0xffff_ffff | u64::from(value);
                }
                1 => {
                    self.driver_features =
                        self.driver_features & 0xffff_ffff | u64::from(value) << 32;
                }
                _ => {}
            },
            0x024 => self.driver_features_select = value,
            0x030 => self.queue_select = value,
            0x050 => self.notify(context, value),
            0x064 => self.interrupt &= !value,
            0x070 => self.set_status(value),
            0x038 | 0x044 | 0x080..=0x0a4 => self.set_queue(offset, value),
            _ => {}
        }
    }

    fn interrupt_asserted(&self) -> bool {
        self.interrupt != 0
    }

    fn save(&self) -> Vec<u8> {
        let mut state = StateWriter::new();
        state
            .u32(self.queue_select)
            .u32(self.device_features_select)
            .u32(self.driver_features_select)
            .u64(self.driver_features)
            .u32(self.status)
            .u32(self.interrupt)
            .u32(self.queues.len() as u32);
        for queue in &self.queues {
            queue.save(&mut state);
        }
        state.bytes(&self.device.save());
        state.finish()
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        let most = state.len();
        let mut state = StateReader::new("virtio transport", state);
        let queue_select = state.u32()?;
        let device_features_select = state.u32()?;
        let driver_features_select = state.u32()?;
        let driver_features = state.u64()?;
        let status = state.u32()?;
        let interrupt = state.u32()?;
        let count = state.u32()?;
        if count as usize != self.queues.len() {
            let expected = format!("{} queues", self.queues.len());
            return Err(state.refuse(expected, count.to_string()));
        }
        let queues = (0..count).map(|_| Queue::load(&mut state)).collect::<Result<_, _>>()?;
        let device = state.bytes(most)?;
        state.finish()?;
        self.device.load(device)?;
        *self = Self {
            device: self.device.fork(),
            queues,
            queue_select,
            device_features_select,
            driver_features_select,
            driver_features,
            status,
            interrupt,
        };
        Ok(())
    }

    fn renew(&mut self, renewal: &Renewal, now: Nanos) {
        self.device.renew(renewal, now);
    }

    fn fork(&self) -> Box<dyn Device> {
        Box::new(Self {
            device: self.device.fork(),
            queues: self.queues.clone(),
            queue_select: self.queue_select,
            device_features_select: self.device_features_select,
            driver_features_select: self.driver_features_select,
            driver_features: self.driver_features,
            status: self.status,
            interrupt: self.interrupt,
        })
    }
}

#[cfg(test)]
mod tests;
