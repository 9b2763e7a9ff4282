//! An engine's view of its machine while it runs: memory, the bus, interrupt lines, the firmware
//! console, randomness, and events.

mod activity;
mod bus;
mod channel;
mod connections;
pub(crate) mod persist;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use crate::devices::{Device, DeviceContext};
pub use bus::NoDevice;

use crate::devices::{InputFull, Renewal};
use crate::disks::{Attached, Disks};
use crate::event::{
    Event, EventBody, EventKind, EventLog, KindSet, OpenCommands, OpenListeners, Over, Quotas,
};
use crate::memory::GuestMemory;
use crate::network::{Interface, Outbox};
use crate::random::{RandomStream, Seed};
use crate::serial_ports::{CONSOLE, SerialPorts};
use crate::time::Nanos;
use bus::Bus;

/// Events after which the machine must look up, so that they are handed on before the log has to
/// drop any.
const ATTENTION_EVENTS: u64 = 4096;

/// The name of the engine's stream of randomness.
const STREAM: &str = "engine";

/// Bytes of events that a log keeps unless told otherwise.
pub const DEFAULT_LOG_BYTES: usize = 64 << 20;

/// The machine as its engine sees it.
pub struct Platform {
    /// Guest-physical memory.
    pub memory: Box<dyn GuestMemory>,
    /// The content of block devices.
    pub disks: Disks,
    /// Guest time of the access in progress: the engine sets it before every device access,
    /// console write and event.
    pub now: Nanos,
    /// Raised when the machine must have control back after the instruction in progress. The
    /// engine looks at it after every device access, firmware call and event, and returns
    /// [`crate::engine::Exit::Attention`].
    pub attention: bool,
    bus: Bus,
    serial: SerialPorts,
    network: Outbox,
    log: EventLog,
    listeners: OpenListeners,
    commands: OpenCommands,
    /// Whether the agent has frozen the workload, and not thawed it since.
    is_frozen: bool,
    quotas: Quotas,
    /// The kind whose quota ends the guest.
    exceeded: Option<EventKind>,
    random: RandomStream,
    stop: Arc<AtomicBool>,
    /// Kinds of events that end the run in progress.
    stop_kinds: KindSet,
    /// Number of the first event that ended the run in progress.
    stopped_by: Option<u64>,
    /// First event that was emitted since the machine looked up last.
    looked_up_at: u64,
    /// The deadline of the engine's run; a device with an earlier deadline raises attention.
    engine_deadline: Nanos,
    scratch: Vec<EventBody>,
}

impl Platform {
    /// A platform with memory and no device, whose randomness is reproducible.
    pub fn new(memory: impl GuestMemory + 'static) -> Self {
        Self::with_seed(Box::new(memory), Seed::from_number(0), DEFAULT_LOG_BYTES)
    }

    /// A platform with memory and no device.
    pub(crate) fn with_seed(memory: Box<dyn GuestMemory>, seed: Seed, log_bytes: usize) -> Self {
        Self {
            memory,
            disks: Disks::default(),
            now: 0,
            attention: false,
            bus: Bus::default(),
            serial: SerialPorts::default(),
            network: Outbox::default(),
            log: EventLog::new(0, log_bytes),
            listeners: OpenListeners::default(),
            commands: OpenCommands::default(),
            is_frozen: false,
            quotas: Quotas::default(),
            exceeded: None,
            random: RandomStream::new(seed, STREAM),
            stop: Arc::new(AtomicBool::new(false)),
            stop_kinds: KindSet::EMPTY,
            stopped_by: None,
            looked_up_at: 0,
            engine_deadline: Nanos::MAX,
            scratch: Vec::new(),
        }
    }

    /// Puts a device on the bus under a name that no other has, `len` bytes at `base`, its
    /// interrupt on `line` (1 to 63).
    pub fn attach(&mut self, name: &str, base: u64, len: u64, line: u32, device: Box<dyn Device>) {
        self.bus.attach(name.to_owned(), base, len, line, device);
    }

    /// Reads a device register.
    ///
    /// # Errors
    /// [`NoDevice`] if nothing answers there: the engine raises its access fault.
    pub fn mmio_read(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), NoDevice> {
        let slot = self.bus.find(gpa, into.len())?;
        self.with_device(slot, |device, context, base| device.read(context, gpa - base, into));
        Ok(())
    }

    /// Writes a device register.
    ///
    /// # Errors
    /// [`NoDevice`] if nothing answers there: the engine raises its access fault.
    pub fn mmio_write(&mut self, gpa: u64, from: &[u8]) -> Result<(), NoDevice> {
        let slot = self.bus.find(gpa, from.len())?;
        self.with_device(slot, |device, context, base| device.write(context, gpa - base, from));
        Ok(())
    }

    /// Lets `act` work on a device, and draws the consequences: its interrupt line, its events,
    /// and, if it wants to be ticked before the engine returns, the machine's attention.
    fn with_device<R>(
        &mut self,
        slot: usize,
        act: impl FnOnce(&mut dyn Device, &mut DeviceContext<'_>, u64) -> R,
    ) -> R {
        let mut events = std::mem::take(&mut self.scratch);
        let (now, memory, disks) = (self.now, self.memory.as_mut(), &mut self.disks);
        let (serial, network) = (&mut self.serial, &mut self.network);
        let result = self.bus.with(slot, |device, name, base| {
            let events = &mut events;
            let mut context = DeviceContext { name, now, memory, disks, events, serial, network };
            act(device, &mut context, base)
        });
        for body in events.drain(..) {
            self.emit(body);
        }
        self.scratch = events;
        let deadline = self.bus.deadline_of(slot);
        if deadline.is_some_and(|at| at > self.now && at < self.engine_deadline)
            || self.memory.failure().is_some()
            || self.network.is_waiting()
        {
            self.attention = true;
        }
        result
    }

    /// Interrupt lines that devices assert now, one bit each. Level-triggered.
    #[inline]
    pub fn interrupt_lines(&self) -> u64 {
        self.bus.lines()
    }

    /// One byte that the guest wrote to its firmware console; it joins the console's lines.
    pub fn console_write(&mut self, byte: u8) {
        let mut events = std::mem::take(&mut self.scratch);
        self.serial.transmit(CONSOLE, byte, self.now, &mut events);
        for body in events.drain(..) {
            self.emit(body);
        }
        self.scratch = events;
    }

    /// One byte that the host has for the firmware console, if any.
    pub fn console_read(&mut self) -> Option<u8> {
        (0..self.bus.len())
            .find_map(|slot| self.bus.with(slot, |device, _, _| device.take_input(CONSOLE)))
    }

    /// Appends an event at [`Self::now`], if it is within the guest's quota, and raises
    /// [`Self::attention`] if the run is to stop at its kind.
    pub fn emit(&mut self, body: EventBody) {
        let over = self.quotas.count(&body, self.now);
        if over == Some(Over::Ended) {
            self.attention = true;
            self.exceeded.get_or_insert(body.kind());
        }
        if let None | Some(Over::Paused) = over {
            self.tell(body, over.is_some());
        }
    }

    /// Appends an event, regardless of quotas.
    fn tell(&mut self, body: EventBody, ends_run: bool) {
        let seq = self.log.next_seq();
        if seq.saturating_sub(self.looked_up_at) >= ATTENTION_EVENTS {
            self.attention = true;
        }
        if ends_run || self.stop_kinds.contains(body.kind()) {
            self.attention = true;
            self.stopped_by.get_or_insert(seq);
        }
        self.note(seq, &body);
        self.log.push(Event { seq, at_nanos: self.now, body });
    }

    /// Sets the quotas of the guest's events.
    pub(crate) fn set_quotas(&mut self, quotas: Quotas) {
        self.quotas = quotas;
    }

    /// The kind of which the guest said so much that it is to be ended.
    pub(crate) fn exceeded(&self) -> Option<EventKind> {
        self.exceeded
    }

    /// Reports dropped events that are not reported yet.
    pub(crate) fn report_dropped(&mut self) {
        let mut reports = Vec::new();
        self.quotas.report(&mut reports);
        for report in reports {
            self.tell(report, false);
        }
    }

    /// Emits what is due besides the devices' work: unfinished console text, and dropped events.
    fn tell_due(&mut self) {
        if self.serial.due().is_some_and(|at| at <= self.now) {
            let mut events = Vec::new();
            self.serial.tell(&mut events);
            for body in events {
                self.emit(body);
            }
        }
        if self.quotas.due().is_some_and(|at| at <= self.now) {
            self.report_dropped();
        }
    }

    /// Whether another thread requested the end of the run. Engines check every few thousand
    /// instructions.
    #[inline]
    pub fn interrupt_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Bytes of the engine's deterministic or host randomness (device tree seeds, firmware).
    pub fn fill_random(&mut self, into: &mut [u8]) {
        self.random.fill(into);
    }

    /// The events so far.
    pub fn log(&self) -> &EventLog {
        &self.log
    }

    /// Begins a run that ends at events of `kinds`.
    pub(crate) fn begin(&mut self, kinds: KindSet) {
        self.stop_kinds = kinds;
        self.stopped_by = None;
        self.attention = false;
    }

    /// The event that ended the run in progress.
    pub(crate) fn stopped_by(&self) -> Option<u64> {
        self.stopped_by
    }

    /// Says when the engine will return.
    pub(crate) fn lend_until(&mut self, deadline: Nanos) {
        self.engine_deadline = deadline;
        self.looked_up_at = self.log.next_seq();
        self.attention = false;
    }

    /// The time of the next device tick.
    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        // A deadline that ticking has left in the past never comes again.
        (0..self.bus.len())
            .filter_map(|slot| self.bus.deadline_of(slot))
            .chain(self.serial.due())
            .chain(self.quotas.due())
            .filter(|at| *at > self.now)
            .min()
    }

    /// Lets devices do the work that is due now.
    pub(crate) fn tick(&mut self) {
        for slot in 0..self.bus.len() {
            if self.bus.deadline_of(slot).is_some_and(|at| at <= self.now) {
                self.with_device(slot, |device, context, _| device.tick(context));
            }
        }
        self.tell_due();
    }

    /// Becomes the platform of another machine than those that share its past.
    pub(crate) fn renew(&mut self, renewal: &Renewal) {
        self.random.renew(renewal.entropy(), STREAM);
        for slot in 0..self.bus.len() {
            self.with_device(slot, |device, context, _| device.renew(renewal, context.now));
        }
    }

    /// Has every clock among the devices show this time, in nanoseconds since 1970.
    pub(crate) fn set_clock(&mut self, realtime_nanos: u64) {
        for slot in 0..self.bus.len() {
            self.with_device(slot, |device, context, _| {
                device.set_clock(realtime_nanos, context.now);
            });
        }
    }

    /// Tells the empty slot for disk number `number` of its disk; whether there is that slot.
    pub(crate) fn attach_disk(&mut self, number: usize, disk: &Attached) -> bool {
        (0..self.bus.len()).any(|slot| {
            self.with_device(slot, |device, context, _| device.attach_disk(context, number, disk))
        })
    }

    /// The guest's network interface, if it has one that its driver has started.
    pub(crate) fn interface(&self) -> Option<&dyn Interface> {
        self.bus.devices().find_map(|(_, device)| device.as_interface())
    }

    /// Gives the network interface a frame. `None` if there is none.
    pub(crate) fn accept_frame(&mut self, frame: &[u8]) -> Option<Result<(), InputFull>> {
        (0..self.bus.len()).find_map(|slot| {
            self.with_device(slot, |device, context, _| device.accept_frame(context, frame))
        })
    }

    /// The guest's frames that the link has not taken.
    pub(crate) fn network(&mut self) -> &mut Outbox {
        &mut self.network
    }

    /// Appends an event that the host has caused, regardless of quotas.
    pub(crate) fn tell_of_host(&mut self, body: EventBody) {
        self.tell(body, false);
    }

    /// The guest is off, by a reset or otherwise: emits its last text.
    pub(crate) fn flush_console(&mut self, was_reset: bool) {
        let mut events = Vec::new();
        self.serial.flush(was_reset, &mut events);
        for body in events {
            self.emit(body);
        }
    }

    /// The flag that other threads raise.
    pub(crate) fn stop_flag(&self) -> &Arc<AtomicBool> {
        &self.stop
    }

    /// A platform in the same state, its memory shared copy-on-write.
    pub fn fork(&mut self) -> Self {
        Self {
            memory: self.memory.fork(),
            disks: self.disks.fork(),
            now: self.now,
            attention: false,
            bus: self.bus.fork(),
            serial: self.serial.clone(),
            network: Outbox::default(),
            log: self.log.fork(),
            listeners: self.listeners.clone(),
            commands: self.commands.clone(),
            is_frozen: self.is_frozen,
            quotas: self.quotas.clone(),
            exceeded: self.exceeded,
            random: self.random.continued(),
            stop: Arc::new(AtomicBool::new(false)),
            stop_kinds: KindSet::EMPTY,
            stopped_by: None,
            looked_up_at: 0,
            engine_deadline: Nanos::MAX,
            scratch: Vec::new(),
        }
    }
}
