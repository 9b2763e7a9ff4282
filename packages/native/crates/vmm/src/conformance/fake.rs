//! An engine with an instruction set of its own, just large enough to use every part of the seam.
//!
//! An instruction is 16 bytes: operation, register, two bytes of nothing, u32, u64. It takes 1 ns.

use std::ptr::NonNull;
use std::sync::Arc;

use super::mapped::MappedMemory;
use crate::board::{Board, Boot, Entry};
use crate::devices::DeviceDescription;
use crate::engine::{Engine, Exit};
use crate::event::EventBody;
use crate::loaders::{LoadError, put};
use crate::memory::{GuestMemory, PageImage, PagedMemory};
use crate::platform::Platform;
use crate::state::{StateError, StateReader, StateWriter};
use crate::time::Nanos;

pub(crate) const BASE: u64 = 0x10_0000;
pub(crate) const CONSOLE: u64 = 0x1000;
pub(crate) const CLOCK: u64 = 0x3000;
pub(crate) const DISKS: u64 = 0x4_0000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Halt,
    Set,
    Add,
    Store,
    Load,
    DeviceWrite,
    DeviceRead,
    JumpIfNot,
    Timer,
    Wait,
    Random,
    Emit,
    Reset,
    Panic,
    Decrement,
}

const OPS: [Op; 15] = [
    Op::Halt,
    Op::Set,
    Op::Add,
    Op::Store,
    Op::Load,
    Op::DeviceWrite,
    Op::DeviceRead,
    Op::JumpIfNot,
    Op::Timer,
    Op::Wait,
    Op::Random,
    Op::Emit,
    Op::Reset,
    Op::Panic,
    Op::Decrement,
];

/// One instruction, encoded.
pub(crate) fn op(op: Op, register: u8, a: u32, b: u64) -> Vec<u8> {
    let mut bytes = vec![OPS.iter().position(|o| *o == op).expect("listed") as u8, register, 0, 0];
    bytes.extend(a.to_le_bytes());
    bytes.extend(b.to_le_bytes());
    bytes
}

struct FakeBoard;

impl Board for FakeBoard {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn memory_base(&self) -> u64 {
        BASE
    }

    fn usual_devices(&self) -> Vec<DeviceDescription> {
        let device = DeviceDescription::new;
        vec![
            device("serial0", "ns16550a", CONSOLE, 1).with("port", 0),
            device("serial1", "ns16550a", 0x2000, 2).with("port", 1),
            device("rtc", "goldfish-rtc", CLOCK, 3),
            device("entropy", "virtio-rng", 0x4000, 4),
            device("vmgenid", "vmgenid", 0x5000, 5),
        ]
    }

    fn disk_place(&self, number: u32) -> Option<(u64, u32)> {
        Some((DISKS + u64::from(number) * 0x1000, 16 + number))
    }

    fn network_device(&self) -> DeviceDescription {
        DeviceDescription::new("network", "virtio-net", 0x6000, 6)
    }

    fn default_command_line(&self) -> &'static str {
        ""
    }

    fn load(
        &self,
        memory: &mut dyn GuestMemory,
        _devices: &[DeviceDescription],
        boot: &Boot<'_>,
    ) -> Result<Entry, LoadError> {
        put(memory, BASE, boot.kernel)?;
        Ok(Entry { pc: BASE, device_tree: 0 })
    }
}

/// Every page that the programs of the tests use, so that none takes the place of another.
const KEPT_PAGES: usize = 64;

pub(crate) struct Fake {
    pc: u64,
    registers: [u64; 4],
    timer: Option<Nanos>,
    waiting: bool,
    now: Nanos,
    generation: u64,
    /// Pages that the memory handed out, each at its number modulo the length: number, place, whether for writing.
    pages: [Option<(u64, NonNull<u8>, bool)>; KEPT_PAGES],
    /// Executes from memory in one host mapping.
    is_mapped: bool,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            pc: 0,
            registers: [0; 4],
            timer: None,
            waiting: false,
            now: 0,
            generation: 0,
            pages: [None; KEPT_PAGES],
            is_mapped: false,
        }
    }
}

// SAFETY: `page` alone reads the pointers, while the memory that gave them is borrowed exclusively, and
// forgets them where its generation is another.
unsafe impl Send for Fake {}

impl Fake {
    pub(crate) fn boxed() -> Box<dyn Engine> {
        Box::new(Self::default())
    }

    pub(crate) fn mapped() -> Box<dyn Engine> {
        Box::new(Self { is_mapped: true, ..Self::default() })
    }

    fn forget_pages(&mut self) {
        self.pages = [None; KEPT_PAGES];
    }

    fn page(&mut self, memory: &mut dyn GuestMemory, gpa: u64, write: bool) -> Option<NonNull<u8>> {
        if memory.generation() != self.generation {
            self.generation = memory.generation();
            self.forget_pages();
        }
        let number = gpa / 4096;
        let kept = &mut self.pages[number as usize % KEPT_PAGES];
        match *kept {
            Some((of, page, writable)) if of == number && (writable || !write) => {
                return Some(page);
            }
            _ => {}
        }
        let page = if write { memory.page_for_write(gpa) } else { memory.page_for_read(gpa) }?;
        *kept = Some((number, page, write));
        Some(page)
    }

    fn word(&mut self, memory: &mut dyn GuestMemory, gpa: u64) -> Option<u64> {
        let page = self.page(memory, gpa, false)?;
        // SAFETY: `page` gave it for this generation, in which it is good; the mask keeps the word aligned
        // and inside.
        Some(unsafe { page.as_ptr().add((gpa & 0xff8) as usize).cast::<u64>().read() })
    }

    fn set_word(&mut self, memory: &mut dyn GuestMemory, gpa: u64, value: u64) -> Option<()> {
        let page = self.page(memory, gpa, true)?;
        // SAFETY: as in `word`; `page` gives what was handed out for writing alone.
        unsafe { page.as_ptr().add((gpa & 0xff8) as usize).cast::<u64>().write(value) };
        Some(())
    }

    fn pending(&self, platform: &Platform) -> bool {
        platform.interrupt_lines() != 0 || self.timer.is_some_and(|at| at <= self.now)
    }

    fn missing(memory: &dyn GuestMemory) -> Exit {
        match memory.failure() {
            Some(failure) => Exit::Fault(failure.to_string()),
            None => Exit::Fault("no memory there".to_owned()),
        }
    }

    fn execute(&mut self, platform: &mut Platform) -> Option<Exit> {
        if self.waiting {
            if !self.pending(platform) {
                return Some(Exit::Idle { wake_at: self.timer });
            }
            self.waiting = false;
        }
        let (Some(first), Some(b)) = (
            self.word(platform.memory.as_mut(), self.pc),
            self.word(platform.memory.as_mut(), self.pc + 8),
        ) else {
            return Some(Self::missing(platform.memory.as_ref()));
        };
        let [operation, register, _, _, a @ ..] = first.to_le_bytes();
        let (register, a) = (usize::from(register & 3), u64::from(u32::from_le_bytes(a)));
        let Some(operation) = OPS.get(usize::from(operation)) else {
            return Some(Exit::Fault("no such instruction".to_owned()));
        };
        let at = BASE + (self.registers[register].wrapping_add(b) & 0x3_fff8);
        self.now += 1;
        platform.now = self.now;
        self.pc += 16;
        let mut exit = None;
        match operation {
            Op::Halt => exit = Some(Exit::Halted { reason: a as u32 }),
            Op::Reset => exit = Some(Exit::Reset { reason: a as u32 }),
            Op::Set => self.registers[register] = b,
            Op::Add => self.registers[register] = self.registers[register].wrapping_add(b),
            Op::Decrement => self.registers[register] = self.registers[register].saturating_sub(1),
            Op::Store => {
                let value = self.registers[a as usize & 3];
                if self.set_word(platform.memory.as_mut(), at, value).is_none() {
                    return Some(Self::missing(platform.memory.as_ref()));
                }
            }
            Op::Load => match self.word(platform.memory.as_mut(), at) {
                Some(word) => self.registers[a as usize & 3] = word,
                None => return Some(Self::missing(platform.memory.as_ref())),
            },
            Op::DeviceWrite => {
                let _ = platform.mmio_write(a, &b.to_le_bytes()[..4]);
            }
            Op::DeviceRead => {
                let mut word = [0; 4];
                let _ = platform.mmio_read(a, &mut word);
                self.registers[register] = u64::from(u32::from_le_bytes(word));
            }
            Op::JumpIfNot => {
                if self.registers[register] != 0 {
                    self.pc = BASE + (b & 0xfff) * 16;
                }
            }
            Op::Timer => self.timer = (b != 0).then(|| self.now + b),
            Op::Wait => self.waiting = true,
            Op::Random => {
                let mut word = [0; 8];
                platform.fill_random(&mut word);
                self.registers[register] = u64::from_le_bytes(word);
            }
            Op::Emit => platform.emit(EventBody::HeartbeatTick { count: self.registers[register] }),
            Op::Panic => panic!("as the guest wished"),
        }
        exit.or_else(|| platform.attention.then_some(Exit::Attention))
    }
}

impl Engine for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn is_deterministic(&self) -> bool {
        true
    }

    fn board(&self) -> &'static dyn Board {
        &FakeBoard
    }

    fn memory(&self, base: u64, size_bytes: u64) -> Box<dyn GuestMemory> {
        if self.is_mapped {
            return Box::new(MappedMemory::new(base, size_bytes));
        }
        Box::new(PagedMemory::new(base, size_bytes))
    }

    fn restored_memory(
        &self,
        base: u64,
        size_bytes: u64,
        image: Arc<dyn PageImage>,
    ) -> Box<dyn GuestMemory> {
        if self.is_mapped {
            return Box::new(MappedMemory::restored(base, size_bytes, &image));
        }
        Box::new(PagedMemory::restored(base, size_bytes, image))
    }

    fn reset(&mut self, entry: Entry) {
        *self = Self { pc: entry.pc, is_mapped: self.is_mapped, ..Self::default() };
    }

    fn run(&mut self, platform: &mut Platform, deadline: Nanos) -> Exit {
        self.forget_pages();
        loop {
            if self.waiting && !self.pending(platform) {
                return Exit::Idle { wake_at: self.timer };
            }
            if self.now >= deadline {
                return Exit::Deadline;
            }
            if platform.interrupt_requested() {
                return Exit::Interrupted;
            }
            if let Some(exit) = self.execute(platform) {
                return exit;
            }
        }
    }

    fn now(&self) -> Nanos {
        self.now
    }

    fn wait(&mut self, platform: &mut Platform, until: Nanos) {
        self.now = self.now.max(until);
        platform.now = self.now;
    }

    fn drop_host_pointers(&mut self) {
        self.forget_pages();
    }

    fn save(&self) -> Vec<u8> {
        let mut state = StateWriter::new();
        state.u64(self.pc).u64(self.now).bool(self.waiting).optional_u64(self.timer);
        self.registers.iter().for_each(|register| {
            state.u64(*register);
        });
        state.finish()
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        let mut state = StateReader::new("fake engine", state);
        let mut loaded = Self {
            pc: state.u64()?,
            now: state.u64()?,
            waiting: state.bool()?,
            timer: state.optional_u64()?,
            is_mapped: self.is_mapped,
            ..Self::default()
        };
        for register in &mut loaded.registers {
            *register = state.u64()?;
        }
        state.finish()?;
        *self = loaded;
        Ok(())
    }

    fn fork(&self) -> Box<dyn Engine> {
        Box::new(Self {
            pc: self.pc,
            registers: self.registers,
            timer: self.timer,
            waiting: self.waiting,
            now: self.now,
            generation: 0,
            pages: [None; KEPT_PAGES],
            is_mapped: self.is_mapped,
        })
    }

    fn registers(&self) -> Vec<(&'static str, u64)> {
        let [a, b, c, d] = self.registers;
        vec![("pc", self.pc), ("a", a), ("b", b), ("c", c), ("d", d)]
    }

    fn set_register(&mut self, name: &str, value: u64) -> bool {
        match name {
            "pc" => self.pc = value,
            "a" => self.registers[0] = value,
            _ => return false,
        }
        true
    }

    fn step(&mut self, platform: &mut Platform) -> Option<Exit> {
        self.forget_pages();
        self.execute(platform)
    }
}
