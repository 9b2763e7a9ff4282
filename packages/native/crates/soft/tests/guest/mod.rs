//! A guest of a few instructions, executed one at a time and looked at in between.

#![allow(dead_code, reason = "each test binary uses its own part")]

use stillpoint_soft::Soft;
use stillpoint_vmm::engine::{Engine, Entry, Exit};
use stillpoint_vmm::memory::PagedMemory;
use stillpoint_vmm::platform::Platform;

/// First address of memory, and of the code.
pub const BASE: u64 = 0x8000_0000;
pub const MEMORY_BYTES: u64 = 1 << 20;
/// Where traps go.
pub const VECTOR: u64 = BASE + 0x800;
/// Page tables: root, one middle table, one table of leaves.
pub const ROOT: u64 = BASE + 0x10000;
pub const MIDDLE: u64 = BASE + 0x11000;
pub const LEAVES: u64 = BASE + 0x12000;
/// Virtual address of the leaves' first page.
pub const WINDOW: u64 = 0xc000_0000;
/// Physical address that it usually leads to.
pub const FRAME: u64 = BASE + 0x20000;

pub const SV39: u64 = 8 << 60;
pub const SV48: u64 = 9 << 60;

/// Page table entry bits.
pub const V: u64 = 1;
pub const R: u64 = 2;
pub const W: u64 = 4;
pub const X: u64 = 8;
pub const U: u64 = 16;
pub const G: u64 = 32;
pub const A: u64 = 64;
pub const D: u64 = 128;

/// `sstatus` bits.
pub const SIE: u64 = 1 << 1;
pub const SPIE: u64 = 1 << 5;
pub const SPP: u64 = 1 << 8;
pub const SUM: u64 = 1 << 18;
pub const MXR: u64 = 1 << 19;

pub struct Guest {
    pub engine: Soft,
    pub platform: Platform,
}

impl Guest {
    /// A supervisor about to execute `code` at [`BASE`], translation off.
    pub fn new(code: &[u32]) -> Self {
        let mut guest = Self {
            engine: Soft::new(),
            platform: Platform::new(PagedMemory::new(BASE, MEMORY_BYTES)),
        };
        for (index, word) in code.iter().enumerate() {
            guest.put(BASE + 4 * index as u64, &word.to_le_bytes());
        }
        guest.engine.reset(Entry { pc: BASE, device_tree: 0 });
        guest.set("stvec", VECTOR);
        guest
    }

    /// The same with Sv39 tables: memory mapped to itself for the supervisor, and empty leaves
    /// at [`WINDOW`].
    pub fn paged(code: &[u32]) -> Self {
        let mut guest = Self::new(code);
        guest.entry(ROOT + 16, BASE, V | R | W | X | A | D);
        guest.entry(ROOT + 24, MIDDLE, V);
        guest.entry(MIDDLE, LEAVES, V);
        guest.set("satp", SV39 | ROOT >> 12);
        guest
    }

    /// The same in user mode: code and data of the first gibibyte window are the user's.
    pub fn user(code: &[u32]) -> Self {
        let mut guest = Self::paged(code);
        guest.entry(ROOT + 8, BASE, V | R | W | X | U | A | D);
        guest.set("mode", 0);
        guest.set("pc", BASE - 0x4000_0000);
        guest
    }

    pub fn put(&mut self, gpa: u64, bytes: &[u8]) {
        assert_eq!(self.platform.memory.write(gpa, bytes), Ok(()));
    }

    pub fn put_u64(&mut self, gpa: u64, value: u64) {
        self.put(gpa, &value.to_le_bytes());
    }

    pub fn u64_at(&mut self, gpa: u64) -> u64 {
        let mut bytes = [0; 8];
        assert_eq!(self.platform.memory.read(gpa, &mut bytes), Ok(()));
        u64::from_le_bytes(bytes)
    }

    /// Writes a page table entry.
    pub fn entry(&mut self, at: u64, pa: u64, flags: u64) {
        self.put_u64(at, pa >> 12 << 10 | flags);
    }

    pub fn set(&mut self, name: &str, value: u64) {
        assert!(self.engine.set_register(name, value), "{name} cannot be {value:#x}");
    }

    pub fn get(&self, name: &str) -> u64 {
        match self.engine.registers().into_iter().find(|(n, _)| *n == name) {
            Some((_, value)) => value,
            None => panic!("no register {name}"),
        }
    }

    pub fn step(&mut self) -> Option<Exit> {
        self.engine.step(&mut self.platform)
    }

    pub fn steps(&mut self, count: usize) {
        for _ in 0..count {
            assert_eq!(self.step(), None);
        }
    }

    pub fn run(&mut self, deadline: u64) -> Exit {
        self.engine.run(&mut self.platform, deadline)
    }

    /// Executes one instruction and says which exception it raised: cause and value.
    pub fn trap(&mut self) -> Option<(u64, u64)> {
        let traps = self.get("traps");
        assert_eq!(self.step(), None);
        (self.get("traps") != traps).then(|| (self.get("scause"), self.get("stval")))
    }

    /// Goes back to the first instruction in supervisor mode.
    pub fn again(&mut self) {
        self.set("mode", 1);
        self.set("pc", BASE);
    }
}
