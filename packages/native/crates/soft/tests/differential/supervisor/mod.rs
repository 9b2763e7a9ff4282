//! Generated situations for a supervisor: page tables, privileges and instructions that trap.
//!
//! A payload runs one case after the other. Each case sets up its own page tables, enters its
//! code in user or supervisor mode, and ends with the first trap; what the trap left in registers
//! and CSRs is the case's record. Page tables and data pages are compared after the last case.
//!
//! ```text
//! 0x8020_0000  HARNESS   for each case: set-up, entry; the trap handler; the ending
//! 0x8030_0000  RECORDS   for each case: 64 words
//! 0x8031_0000  TABLES    for each case: root, middle and last page table, and its code page
//! 0x8050_0000  DATA      8 pages, shared by all cases
//!
//! virtual      0x0000_0000 + page          last table, entries 0 to 7: random
//!              0x0000_8000                 last table, entry 8: the case's code
//!              0x0030_0000 + page          middle table, entry 1: a random megapage
//!              0x0040_0000 + page          middle table, entry 2: the last table again, random bits
//!              0x4050_0000 + page          root table, entry 1: a random gigapage
//!              0x8000_0000                 root table, entry 2: the harness, supervisor only
//! ```

mod comparison;
mod generate;
mod payload;

use crate::assembly::{self as asm, Register};
use std::fmt;

pub use comparison::{case_of, first_difference, is_code, is_harness, observed};
pub use generate::case;
pub use payload::payload;

/// Where the payload is loaded and entered.
pub const PAYLOAD: u64 = 0x8020_0000;
const RECORDS: u64 = 0x8030_0000;
const RECORD_BYTES: u64 = 64 * 8;
const TABLES: u64 = 0x8031_0000;
const TABLES_STRIDE: u64 = 4 * PAGE;
const DATA: u64 = 0x8050_0000;
const DATA_PAGES: u64 = 8;
/// One past the last byte of the payload.
pub const END: u64 = DATA + DATA_PAGES * PAGE;
const PAGE: u64 = 4096;
/// Most cases in a payload.
pub const MAX_CASES: usize = 96;

const CODE_VIRTUAL: u64 = 0x8000;
/// Where no memory and no device is, on QEMU's board neither.
const NOWHERE: u64 = 0x40_0000_0000;
/// A half-word and a word that trap at once: `c.ebreak`, twice.
const TRAP: u64 = 0x9002_9002_9002_9002;

const RECORD: Register = asm::GP;
const RESUME: u64 = 0;
const CAUSE: u64 = 32;
const VALUE: u64 = 33;
const PROGRAM_COUNTER: u64 = 34;
const STATUS: u64 = 35;
const PROBE: u64 = 40;

const ILLEGAL_INSTRUCTION: u64 = 2;
const BREAKPOINT: u64 = 3;
const LOAD_ACCESS_FAULT: u64 = 5;
const STORE_ACCESS_FAULT: u64 = 7;

const V: u64 = 1;
const R: u64 = 2;
const W: u64 = 4;
const X: u64 = 8;
const U: u64 = 16;
const G: u64 = 32;
const A: u64 = 64;
const D: u64 = 128;

const SPIE: u64 = 1 << 5;
const SPP: u64 = 1 << 8;
const FS: u64 = 3 << 13;
const SUM: u64 = 1 << 18;
const MXR: u64 = 1 << 19;

/// The content of one case.
#[derive(Debug, Clone)]
pub enum Case {
    /// Enters code that traps.
    Trap(Box<Situation>),
    /// Writes a value to a CSR and reads it back, in supervisor mode. The write is by this `f3`.
    Probe { csr: u32, f3: u32, value: u64 },
}

/// The state in which code is entered.
#[derive(Clone)]
pub struct Situation {
    pub supervisor: bool,
    pub translated: bool,
    /// SUM, MXR, FS and SPIE.
    pub status: u64,
    /// Whether a software interrupt is pending, and whether it is enabled.
    pub software_interrupt: (bool, bool),
    pub vectored: bool,
    /// Page-table entries 0 to 7 of the last table.
    pub pages: Vec<u64>,
    /// The entry for the code page.
    pub code_page: u64,
    pub megapage: u64,
    pub pointer: u64,
    pub gigapage: u64,
    pub registers: Vec<u64>,
    pub code: Vec<u32>,
}

impl fmt::Debug for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "supervisor {} translated {} status {:#x} interrupt {:?} vectored {} pages {:x?} code page \
             {:x} megapage {:x} pointer {:x} gigapage {:x} code {:08x?} registers",
            self.supervisor,
            self.translated,
            self.status,
            self.software_interrupt,
            self.vectored,
            self.pages,
            self.code_page,
            self.megapage,
            self.pointer,
            self.gigapage,
            self.code,
        )?;
        for (number, value) in self.registers.iter().enumerate().filter(|(_, value)| **value != 0) {
            write!(f, " x{number}={value:x}")?;
        }
        Ok(())
    }
}

fn tables(case: u64) -> [u64; 4] {
    [0, 1, 2, 3].map(|table| TABLES + case * TABLES_STRIDE + table * PAGE)
}

fn entry(physical: u64, flags: u64) -> u64 {
    physical >> 12 << 10 | flags
}
