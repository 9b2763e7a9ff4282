//! The resources that the transport lends a device while it works.

use super::queue::{Queue, QueueError};
use super::request::Request;
use crate::devices::DeviceContext;
use crate::disks::{Disk, Disks, RecordedFailure};
use crate::event::{DiskOperation, EventBody};
use crate::memory::GuestMemory;
use crate::network::Outbox;
use crate::serial_ports::SerialPorts;
use crate::time::Nanos;

/// Interrupt: a request was completed.
pub(super) const INTERRUPT_USED: u32 = 1;
/// Interrupt: the configuration changed.
pub(super) const INTERRUPT_CONFIGURATION: u32 = 2;

/// The queues and the configuration's generation of one device, for one visit.
pub struct Io<'a> {
    now: Nanos,
    memory: &'a mut dyn GuestMemory,
    disks: &'a mut Disks,
    queues: &'a mut [Queue],
    features: u64,
    interrupt: &'a mut u32,
    generation: &'a mut u32,
    /// Requests that may still be taken in this visit.
    may_take: u32,
    name: &'a str,
    events: &'a mut Vec<EventBody>,
    network: &'a mut Outbox,
    serial: &'a mut SerialPorts,
    /// Whether events report requests in progress.
    is_told: bool,
    was_working: bool,
}

/// The lent resources of a transport.
pub(super) struct Lent<'a> {
    pub(super) queues: &'a mut [Queue],
    pub(super) features: u64,
    pub(super) interrupt: &'a mut u32,
    pub(super) generation: &'a mut u32,
    pub(super) is_told: bool,
}

impl<'a> Io<'a> {
    pub(super) fn new<'c: 'a>(context: &'a mut DeviceContext<'c>, lent: Lent<'a>) -> Self {
        let Lent { queues, features, interrupt, generation, is_told } = lent;
        // A driver whose buffers lie over its rings could make requests for ever.
        let may_take = queues.iter().map(|queue| u32::from(queue.size)).sum();
        let was_working = in_work(queues) > 0;
        Self {
            now: context.now,
            memory: &mut *context.memory,
            disks: &mut *context.disks,
            queues,
            features,
            interrupt,
            generation,
            may_take,
            name: context.name,
            events: &mut *context.events,
            network: &mut *context.network,
            serial: &mut *context.serial,
            is_told,
            was_working,
        }
    }

    /// Guest time.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// Guest memory.
    pub fn memory(&mut self) -> &mut dyn GuestMemory {
        self.memory
    }

    /// Disk number `number` of the machine.
    pub fn disk(&mut self, number: usize) -> Option<&mut Disk> {
        self.disks.get_mut(number)
    }

    /// The recorded failure of an operation on a disk, if this machine replays a recording.
    pub(super) fn recorded_failure(
        &mut self,
        disk: &str,
        operation: DiskOperation,
        offset: u64,
        len: u64,
    ) -> Option<RecordedFailure> {
        self.disks.recorded_failure(disk, self.now, operation, offset, len)
    }

    /// Tells an event of the device's.
    pub fn tell(&mut self, body: EventBody) {
        self.events.push(body);
    }

    /// The guest's output on a network interface.
    pub fn network(&mut self) -> &mut Outbox {
        self.network
    }

    /// Takes bytes that the guest sent over the agent's channel.
    pub fn transmit_on_channel(&mut self, bytes: &[u8]) {
        self.serial.transmit_on_channel(bytes, self.now, self.events);
    }

    /// The features that the driver has accepted.
    pub fn features(&self) -> u64 {
        self.features
    }

    /// Takes the next request of queue number `queue`, if there is one. The device holds it, and
    /// completes it in this visit or a later one. One visit takes no more than the queues have room
    /// for.
    ///
    /// # Errors
    /// [`QueueError`] if the driver broke the rules.
    pub fn take(&mut self, queue: usize) -> Result<Option<Request>, QueueError> {
        let Some(taken_from) = self.queues.get_mut(queue) else { return Ok(None) };
        let Some(may_take) = self.may_take.checked_sub(1) else { return Ok(None) };
        let request = taken_from.take(self.memory, queue as u16, self.features)?;
        if request.is_some() {
            self.may_take = may_take;
            if self.is_told && !self.was_working {
                self.was_working = true;
                self.events.push(EventBody::IoStarted { device: self.name.to_owned() });
            }
        }
        Ok(request)
    }

    /// Gives a request back, of whose writable buffers the first `written` bytes were written. A
    /// request from before a reset is forgotten.
    ///
    /// # Errors
    /// [`QueueError`] if the driver broke the rules.
    pub fn complete(&mut self, request: &Request, written: u32) -> Result<(), QueueError> {
        let Some(queue) = self.queues.get_mut(request.queue()) else { return Ok(()) };
        if queue.complete(self.memory, self.features, request, written)? {
            *self.interrupt |= INTERRUPT_USED;
        }
        Ok(())
    }

    /// Tells the driver that the configuration space is another one.
    pub fn configuration_changed(&mut self) {
        *self.generation = self.generation.wrapping_add(1);
        *self.interrupt |= INTERRUPT_CONFIGURATION;
    }

    /// Ends the visit: reports that no request is in progress any more, if one was. A driver that
    /// `has_broken` the rules gets nothing of it back.
    pub(super) fn end(self, has_broken: bool) {
        if self.is_told && self.was_working && (has_broken || in_work(self.queues) == 0) {
            self.events.push(EventBody::IoSettled { device: self.name.to_owned() });
        }
    }
}

/// Requests that were taken and not completed.
fn in_work(queues: &[Queue]) -> u32 {
    queues.iter().map(|queue| u32::from(queue.in_work())).sum()
}
