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

use crate::assembly::{self as asm, Code, Register};
use crate::program::nasty_integer;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::fmt;

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

/// What one case does.
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

fn write(memory: &mut [u8], at: u64, value: u64) {
    let offset = (at - PAYLOAD) as usize;
    memory[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
}

/// The memory from [`PAYLOAD`] to [`END`]; `finish` appends what happens after the last case.
pub fn payload(cases: &[Case], finish: impl FnOnce(&mut Code)) -> Vec<u8> {
    assert!(cases.len() <= MAX_CASES, "a payload holds at most {MAX_CASES} cases");
    let mut memory = vec![0; (END - PAYLOAD) as usize];
    for at in (DATA..END).step_by(8) {
        write(&mut memory, at, TRAP);
    }
    for page in 0..DATA_PAGES {
        let at = DATA + page * PAGE;
        write(&mut memory, at + 64, 0x8182_8384_8586_8788 + page);
        write(&mut memory, at + 72, 0x7f7e_7d7c_7b7a_7978 - page);
        // The first half of an `ecall` ends the page, its second half begins the next one.
        write(&mut memory, at, TRAP & !0xffff);
        write(&mut memory, at + PAGE - 8, TRAP & 0xffff_ffff_ffff | 0x0073 << 48);
    }

    let mut code = Code::at(PAYLOAD);
    // The handler comes first, 256-byte aligned, entered directly or through vector 1.
    let start = code.here();
    code.word(asm::NOP);
    code.pad_to(PAYLOAD + 256);
    let vectors = code.here();
    code.words(&[asm::jal(0, 8), asm::jal(0, 4)]);
    let handler = code.here();
    assert_eq!(handler, vectors + 8, "both vectors lead to the handler");
    code.word(asm::csr(1, RECORD, asm::SSCRATCH, RECORD));
    for register in (1..32).filter(|register| *register != RECORD) {
        code.word(asm::sd(register, RECORD, 8 * register as i32));
    }
    code.words(&[asm::csrr(1, asm::SSCRATCH), asm::sd(1, RECORD, 8 * RECORD as i32)]);
    for (csr, slot) in [
        (asm::SCAUSE, CAUSE),
        (asm::STVAL, VALUE),
        (asm::SEPC, PROGRAM_COUNTER),
        (asm::SSTATUS, STATUS),
    ] {
        code.words(&[asm::csrr(1, csr), asm::sd(1, RECORD, 8 * slot as i32)]);
    }
    code.words(&[
        asm::csrw(asm::SATP, 0),
        asm::SFENCE_VMA,
        asm::csrw(asm::STVAL, 0),
        asm::csr(7, 0, asm::SIP, 2),
        asm::ld(1, RECORD, 8 * RESUME as i32),
        asm::jalr(0, 1, 0),
    ]);

    let cases_start = code.here();
    code.patch(start, asm::jal(0, (cases_start - start) as i32));
    // What the firmware leaves behind is its own business.
    code.value(asm::T0, FS).word(asm::csrw(asm::SSTATUS, asm::T0));
    for register in 0..32 {
        code.word(asm::r(asm::OP_FP, 0, 0x79, register, 0, 0));
    }
    code.word(asm::csrw(asm::FCSR, 0));
    for csr in [
        asm::SSTATUS,
        asm::SIE,
        asm::STVEC,
        asm::SCOUNTEREN,
        asm::SSCRATCH,
        asm::SEPC,
        asm::SCAUSE,
        asm::STVAL,
    ] {
        code.word(asm::csrw(csr, 0));
    }
    for (index, case) in (0..).zip(cases) {
        let record = RECORDS + index * RECORD_BYTES;
        code.address(RECORD, record);
        match case {
            Case::Probe { csr, f3, value } => {
                code.value(asm::T1, *value).words(&[
                    asm::csrr(asm::T2, *csr),
                    asm::csr(*f3, asm::T0, *csr, asm::T1),
                    asm::sd(asm::T0, RECORD, 8 * PROBE as i32),
                    asm::csrr(asm::T0, *csr),
                    asm::sd(asm::T0, RECORD, 8 * (PROBE + 1) as i32),
                    asm::csrw(*csr, asm::T2),
                    asm::csrr(asm::T0, *csr),
                    asm::sd(asm::T0, RECORD, 8 * (PROBE + 2) as i32),
                ]);
            }
            Case::Trap(situation) => {
                set_up(&mut memory, index, situation);
                enter(&mut code, index, situation, vectors);
                write(&mut memory, record + 8 * RESUME, code.here());
            }
        }
    }
    finish(&mut code);
    assert!(code.here() < RECORDS, "the harness reaches into the records");
    memory[..code.bytes().len()].copy_from_slice(code.bytes());
    memory
}

fn set_up(memory: &mut [u8], index: u64, situation: &Situation) {
    let record = RECORDS + index * RECORD_BYTES;
    let [root, middle, last, code] = tables(index);
    for (at, value) in (0..).zip(&situation.registers).skip(1) {
        write(memory, record + 8 * at, *value);
    }
    write(memory, root, entry(middle, V));
    write(memory, root + 8, situation.gigapage);
    write(memory, root + 16, entry(0x8000_0000, V | R | W | X | A | D));
    write(memory, middle, entry(last, V));
    write(memory, middle + 8, situation.megapage);
    write(memory, middle + 16, entry(last, V) | situation.pointer);
    for (at, value) in (0..).zip(&situation.pages) {
        write(memory, last + 8 * at, *value);
    }
    write(memory, last + 64, entry(code, 0) | situation.code_page);
    for at in (code..code + PAGE).step_by(8) {
        write(memory, at, TRAP);
    }
    let offset = (code - PAYLOAD) as usize;
    for (at, word) in situation.code.iter().enumerate() {
        memory[offset + at * 4..offset + at * 4 + 4].copy_from_slice(&word.to_le_bytes());
    }
}

fn enter(code: &mut Code, index: u64, situation: &Situation, vectors: u64) {
    let [root, .., code_page] = tables(index);
    let (pending, enabled) = situation.software_interrupt;
    let status = situation.status | if situation.supervisor { SPP } else { 0 };
    code.word(asm::csrw(asm::SSCRATCH, RECORD));
    code.address(asm::T0, vectors + u64::from(situation.vectored));
    code.word(asm::csrw(asm::STVEC, asm::T0));
    code.value(asm::T0, if situation.translated { CODE_VIRTUAL } else { code_page });
    code.word(asm::csrw(asm::SEPC, asm::T0));
    code.value(asm::T0, status).word(asm::csrw(asm::SSTATUS, asm::T0));
    code.words(&[asm::csrw(asm::SCAUSE, 0), asm::csrw(asm::STVAL, 0)]);
    code.value(asm::T0, 2 * u64::from(enabled)).word(asm::csrw(asm::SIE, asm::T0));
    if pending {
        code.word(asm::csr(6, 0, asm::SIP, 2));
    }
    if situation.translated {
        code.value(asm::T0, 8 << 60 | root >> 12);
        code.words(&[asm::csrw(asm::SATP, asm::T0), asm::SFENCE_VMA]);
    }
    code.words(&[asm::ld(1, RECORD, 8), asm::ld(2, RECORD, 16)]);
    for register in 4..32 {
        code.word(asm::ld(register, RECORD, 8 * register as i32));
    }
    code.words(&[asm::ld(RECORD, RECORD, 8 * RECORD as i32), asm::SRET]);
}

/// The case that runs while `sscratch` has this value.
pub fn case_of(sscratch: u64) -> Option<usize> {
    let index = sscratch.checked_sub(RECORDS)? / RECORD_BYTES;
    (index < MAX_CASES as u64).then_some(index as usize)
}

/// Whether an address lies in the harness, where every trap leads.
pub fn is_harness(address: u64) -> bool {
    (PAYLOAD..RECORDS).contains(&address)
}

/// Whether an address is one of the harness, or of the case's own code by any of its addresses.
pub fn is_code(case: usize, address: u64) -> bool {
    let [.., physical] = tables(case as u64);
    let page = address / PAGE * PAGE;
    is_harness(address) || [physical, CODE_VIRTUAL, 0x40_0000 + CODE_VIRTUAL].contains(&page)
}

/// The parts of the payload's memory that are compared, by address and length.
pub fn observed(cases: usize) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    for index in 0..cases as u64 {
        ranges.push((RECORDS + index * RECORD_BYTES, RECORD_BYTES));
        let [root, middle, last, _] = tables(index);
        ranges.extend([(root, 24), (middle, 24), (last, 72)]);
    }
    ranges.push((DATA, DATA_PAGES * PAGE));
    ranges
}

/// The first difference between two observations, in words.
pub fn first_difference(cases: &[Case], ours: &[u8], theirs: &[u8]) -> Option<String> {
    let words = |bytes: &[u8]| -> Vec<u64> {
        bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
    };
    let (words_ours, words_theirs) = (words(ours), words(theirs));
    assert_eq!(words_ours.len(), words_theirs.len(), "both sides show the same ranges");
    let mut at = 0;
    for (range, (address, bytes)) in observed(cases.len()).into_iter().enumerate() {
        for offset in 0..bytes / 8 {
            let (ours, theirs) = (words_ours[at], words_theirs[at]);
            at += 1;
            let case = range / 4;
            let place = match (range % 4, offset) {
                _ if case == cases.len() => format!("data {:#x}", address + offset * 8),
                (0, CAUSE) => "scause".to_owned(),
                (0, VALUE) => "stval".to_owned(),
                (0, PROGRAM_COUNTER) => "sepc".to_owned(),
                (0, STATUS) => "sstatus".to_owned(),
                (0, 1..32) => format!("x{offset}"),
                (0, PROBE..) => format!("probe {}", offset - PROBE),
                (table, _) => format!("table {table} entry {offset}"),
            };
            let record = at - 1 - offset as usize;
            let is_allowed = match cases.get(case) {
                Some(Case::Trap(situation)) if range % 4 == 0 => is_allowed(
                    situation,
                    offset,
                    ours,
                    theirs,
                    words_ours[record + CAUSE as usize],
                    words_ours[record + PROGRAM_COUNTER as usize],
                ),
                _ => false,
            };
            if ours != theirs && !is_allowed {
                return Some(format!("case {case}: {place}: ours {ours:#x}, theirs {theirs:#x}"));
            }
        }
    }
    None
}

/// Whether a word of a trap's record may differ from QEMU's as it does.
fn is_allowed(
    situation: &Situation,
    offset: u64,
    ours: u64,
    theirs: u64,
    cause: u64,
    program_counter: u64,
) -> bool {
    match (offset, cause) {
        // For a breakpoint the specification allows 0, which QEMU gives, and its address.
        (VALUE, BREAKPOINT) => ours == program_counter && theirs == 0,
        // A misaligned access consists of aligned ones for QEMU, and the first that fails is
        // reported.
        (VALUE, LOAD_ACCESS_FAULT | STORE_ACCESS_FAULT) => ours.wrapping_sub(theirs) < 8,
        // QEMU does not call floating-point state dirty when a comparison or a conversion to an
        // integer raises a flag.
        (STATUS, _) => {
            let raises =
                |word: &u32| word & 0x7f == asm::OP_FP && matches!(word >> 27, 0x14 | 0x18);
            ours == theirs & !FS | FS | 1 << 63 && situation.code.iter().any(raises)
        }
        // An atomic operation outside memory is a load and a store for QEMU; the specification
        // makes its fault that of a store.
        (CAUSE, STORE_ACCESS_FAULT) => {
            let instruction = situation.code.get((program_counter % PAGE / 4) as usize);
            theirs == LOAD_ACCESS_FAULT && instruction.is_some_and(|word| word & 0x7f == asm::AMO)
        }
        _ => false,
    }
}

/// Flags of a page-table entry: mostly such that something works.
fn flags() -> impl Strategy<Value = u64> {
    let permissions = select(vec![R, R | W, R | X, R | W | X, X, R | W, R | W | X, 0, W, W | X]);
    let mostly = |flag: u64| prop_oneof![7 => Just(flag), 1 => Just(0)];
    let sometimes = |flag: u64| prop_oneof![Just(flag), Just(0)];
    let reserved = prop_oneof![
        24 => Just(0u64),
        1 => (54..64u32).prop_map(|bit| 1 << bit),
    ];
    (
        mostly(V),
        permissions,
        sometimes(U),
        prop_oneof![3 => Just(A), 1 => Just(0)],
        prop_oneof![3 => Just(D), 1 => Just(0)],
        prop_oneof![Just(0), Just(G), Just(3 << 8)],
        reserved,
    )
        .prop_map(|(v, rwx, u, a, d, ignored, reserved)| v | rwx | u | a | d | ignored | reserved)
}

/// An entry for a data page. None leads nowhere: in which order the two parts of an access across
/// pages are translated and performed is left open.
fn page() -> impl Strategy<Value = u64> {
    (0..DATA_PAGES, flags()).prop_map(|(page, flags)| entry(DATA + page * PAGE, flags))
}

/// A virtual address in one of the windows, sometimes across a page's end, sometimes nowhere.
fn address() -> impl Strategy<Value = u64> {
    let offset = prop_oneof![
        3 => (0..16u64).prop_map(|word| 0x40 + word * 8),
        2 => 0x40..0x80u64,
        2 => PAGE - 8..PAGE,
        1 => (0..PAGE / 8).prop_map(|word| word * 8),
    ];
    let base = prop_oneof![
        10 => (0..8u64).prop_map(|page| page * PAGE),
        2 => (0..8u64).prop_map(|page| 0x30_0000 + page * PAGE),
        2 => (0..8u64).prop_map(|page| 0x40_0000 + page * PAGE),
        2 => (0..8u64).prop_map(|page| 0x4050_0000 + page * PAGE),
        1 => select(vec![
            1 << 39, 1 << 38, 0u64.wrapping_sub(PAGE), 0xc000_0000, 0xffff_ffc0_0000_0000, 1 << 63,
        ]),
        1 => Just(DATA),
    ];
    (base, offset).prop_map(|(base, offset)| base.wrapping_add(offset))
}

/// Registers that hold addresses.
fn pointer() -> impl Strategy<Value = Register> {
    8..16u32
}

fn any_register() -> impl Strategy<Value = Register> {
    0..32u32
}

/// A destination that keeps the pointers.
fn destination() -> impl Strategy<Value = Register> {
    prop_oneof![1..8u32, 16..32u32]
}

fn memory_access() -> impl Strategy<Value = Vec<u32>> {
    let small = || prop_oneof![4 => Just(0), 1 => -16..16i32];
    let atomics = vec![0u32, 1, 4, 8, 12, 16, 20, 24, 28];
    prop_oneof![
        4 => (0..7u32, destination(), pointer(), small())
            .prop_map(|(f3, rd, base, imm)| vec![asm::i(asm::LOAD, f3, rd, base, imm)]),
        4 => (0..4u32, any_register(), pointer(), small())
            .prop_map(|(f3, data, base, imm)| vec![asm::s(asm::STORE, f3, base, data, imm)]),
        1 => (2..4u32, any_register(), pointer(), small())
            .prop_map(|(f3, rd, base, imm)| vec![asm::i(asm::LOAD_FP, f3, rd, base, imm)]),
        1 => (2..4u32, any_register(), pointer(), small())
            .prop_map(|(f3, data, base, imm)| vec![asm::s(asm::STORE_FP, f3, base, data, imm)]),
        2 => (select(atomics), 2..4u32, destination(), pointer(), any_register())
            .prop_map(|(f5, f3, rd, base, rs2)| vec![asm::amo(f5, f3, rd, base, rs2)]),
        1 => (2..4u32, destination(), destination(), pointer(), any_register())
            .prop_map(|(f3, rd, success, base, rs2)| {
                vec![asm::amo(2, f3, rd, base, 0), asm::amo(3, f3, success, base, rs2)]
            }),
        // To the page's last half-word, where an instruction of four bytes begins, and elsewhere.
        2 => (destination(), pointer(), prop_oneof![-2..3i32, Just(256)])
            .prop_map(|(rd, base, imm)| vec![asm::jalr(rd, base, imm)]),
    ]
}

/// Encodings that are reserved, or legal without doing harm.
fn odd_encoding() -> impl Strategy<Value = u32> {
    let fields = |opcodes: Vec<u32>, f3: Vec<u32>| {
        (select(opcodes), select(f3), 0..128u32, destination(), 0..32u32, 0..32u32)
            .prop_map(|(opcode, f3, f7, rd, rs1, rs2)| asm::r(opcode, f3, f7, rd, rs1, rs2))
    };
    let all = || (0..8).collect::<Vec<u32>>();
    prop_oneof![
        2 => fields(vec![asm::OP, asm::OP_32, asm::OP_IMM, asm::OP_IMM_32], all()),
        2 => fields(vec![asm::OP_FP, 0x43, 0x47, 0x4b, 0x4f], all()),
        // Without a reservation QEMU never looks at the address of a store-conditional.
        1 => fields(vec![asm::AMO], all()).prop_filter("no lone sc", |word| word >> 27 != 3),
        1 => fields(vec![0x0b, 0x2b, 0x5b, 0x7b, 0x57, 0x6b, 0x77], all()),
        1 => fields(vec![asm::LOAD], vec![7]),
        1 => fields(vec![asm::LOAD_FP, asm::STORE_FP], vec![0, 1, 4, 5, 6, 7]),
        1 => fields(vec![asm::STORE], vec![4, 5, 6, 7]),
        1 => fields(vec![0x63], vec![2, 3]),
        1 => fields(vec![0x67], vec![1, 2, 3, 4, 5, 6, 7]),
        1 => Just(0),
        1 => Just(u32::MAX),
        // Compressed: all of quadrant 0 that is reserved or arithmetic, and reserved encodings of
        // quadrants 1 and 2; the upper half traps.
        2 => select(vec![
            0x0000u32, 0x0004, 0x8000, 0x8004, 0x9fff & !3, 0x2001 & !0xf80, 0x6101 & !0x7c,
            0x6081 & !0x7c, 0x9c41, 0x9c61, 0x8002, 0x4002, 0x6002, 0x0001, 0x1001, 0x6001,
        ])
        .prop_map(|half| 0x9002_0000 | half),
    ]
}

fn system_instruction() -> impl Strategy<Value = Vec<u32>> {
    const MRET: u32 = 0x3020_0073;
    const URET: u32 = 0x0020_0073;
    const DRET: u32 = 0x7b20_0073;
    const C_EBREAK: u32 = 0x9002_9002;
    let readable = vec![
        asm::FFLAGS,
        asm::FRM,
        asm::FCSR,
        asm::SSTATUS,
        asm::SIE,
        asm::SIP,
        asm::SSCRATCH,
        asm::SCAUSE,
        asm::STVAL,
    ];
    // Machine, hypervisor, debug, absent and read-only ones.
    let forbidden = vec![
        0x300u32, 0x301, 0x302, 0x303, 0x304, 0x305, 0x340, 0x341, 0x342, 0x344, 0x3a0, 0x3b0,
        0xf11, 0xf12, 0xf14, 0xb00, 0x7a0, 0x7b0, 0x000, 0x004, 0x005, 0x041, 0x0cc, 0x200, 0x5c0,
        0x600, 0x680, 0x800, 0x8ff, 0xcc0, 0xfff,
    ];
    prop_oneof![
        2 => select(vec![asm::EBREAK, MRET, URET, DRET, C_EBREAK]).prop_map(|word| vec![word]),
        2 => (1..8u32, destination(), select(readable), 0..32u32).prop_filter_map(
            "a write that would disturb the harness",
            |(f3, rd, csr, rs1)| {
                let floating = csr <= asm::FCSR;
                let reads_only = f3 & 3 != 1 && rs1 == 0;
                (f3 != 4 && (floating || reads_only)).then(|| vec![asm::csr(f3, rd, csr, rs1)])
            }
        ),
        2 => (1..8u32, destination(), select(forbidden), 0..32u32)
            .prop_filter_map("no such operation", |(f3, rd, csr, rs1)| {
                (f3 != 4).then(|| vec![asm::csr(f3, rd, csr, rs1)])
            }),
        // Writing a read-only counter, or only seeming to. OpenSBI lets users read the time whatever
        // scounteren says, and QEMU lets a register be set that holds 0.
        1 => (1..4u32, select(vec![0xc00u32, 0xc02]), select(vec![0, 8u32]))
            .prop_map(|(f3, csr, rs1)| vec![asm::csr(f3, 5, csr, rs1), asm::addi(5, 0, 1)]),
        1 => (any_register(), any_register())
            .prop_map(|(rs1, rs2)| vec![asm::SFENCE_VMA | rs2 << 20 | rs1 << 15]),
        // Return to wherever a pointer points.
        2 => (pointer(), select(vec![0, SPP, SPIE, SPP | SPIE, SPP | SUM, MXR | FS, 2, SPP | 2]))
            .prop_map(|(to, status)| {
                let mut code = Code::at(0);
                code.value(31, status);
                let mut words: Vec<u32> = code
                    .bytes()
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|word| u32::from_le_bytes(*word))
                    .collect();
                words.extend([
                    asm::csrw(asm::SSTATUS, 31),
                    // QEMU lets the lowest bit of sepc be set.
                    asm::i(asm::OP_IMM, 7, 31, to, -2),
                    asm::csrw(asm::SEPC, 31),
                    asm::SRET,
                ]);
                words
            }),
    ]
}

fn step() -> impl Strategy<Value = Vec<u32>> {
    prop_oneof![
        6 => memory_access(),
        2 => odd_encoding().prop_map(|word| vec![word]),
        2 => system_instruction(),
    ]
}

fn status() -> impl Strategy<Value = u64> {
    (
        prop_oneof![Just(0), Just(SUM)],
        prop_oneof![Just(0), Just(MXR)],
        prop_oneof![1 => Just(0), 3 => select(vec![FS, FS, 1u64 << 13, 2 << 13])],
        prop_oneof![Just(0), Just(SPIE)],
    )
        .prop_map(|(sum, mxr, fs, spie)| sum | mxr | fs | spie)
}

/// An entry for a page larger than 4 KiB: aligned, misaligned, or to where nothing is.
fn large_page() -> impl Strategy<Value = u64> {
    let target = prop_oneof![
        4 => Just(DATA >> 21 << 21), 2 => Just(0x8000_0000), 1 => Just(DATA), 1 => Just(NOWHERE),
    ];
    (target, flags()).prop_map(|(target, flags)| {
        // For QEMU a page table that cannot be read is a page fault, not an access fault.
        let is_table = flags & (R | W | X) == 0;
        entry(if is_table && target == NOWHERE { DATA } else { target }, flags)
    })
}

fn registers() -> impl Strategy<Value = Vec<u64>> {
    (vec(nasty_integer(), 32), vec(address(), 8)).prop_map(|(mut registers, pointers)| {
        for register in &mut registers {
            // Nobody points at the firmware by accident.
            if *register >> 28 == 8 {
                *register = 0x1234;
            }
        }
        registers[8..16].copy_from_slice(&pointers);
        registers
    })
}

fn situation() -> impl Strategy<Value = Situation> {
    let pointer_bits =
        prop_oneof![8 => Just(0), 1 => select(vec![A, D, U, G, V, R, X, W, 1 << 60])];
    // What is wrong with the code's page: nothing, the accessed bit, or anything.
    let code_page = prop_oneof![
        12 => Just(Ok(0)), 2 => Just(Ok(A)), 1 => flags().prop_map(Err),
    ];
    let mode = (
        any::<bool>(),
        prop_oneof![12 => Just(true), 1 => Just(false)],
        status(),
        prop_oneof![8 => Just((false, false)), 1 => any::<(bool, bool)>()],
        any::<bool>(),
    );
    // The code comes first: it is what shrinks first.
    (
        vec(step(), 1..6),
        mode,
        vec(page(), 8),
        (code_page, large_page(), pointer_bits, large_page()),
        registers(),
    )
        .prop_map(|(steps, mode, pages, tables, registers)| {
            let (supervisor, translated, status, software_interrupt, vectored) = mode;
            let (code_page, megapage, pointer, gigapage) = tables;
            // OpenSBI passes traps on to the address in stvec with its mode bits left in: vectors
            // only where the interrupt is certain to be the trap.
            let interrupted =
                software_interrupt == (true, true) && (!supervisor || status & SPIE != 0);
            let vectored = vectored && interrupted;
            // Once QEMU has loaded from a user page under SUM, it also fetches from it.
            let no_fetch = |entry: u64| {
                let forbidden = supervisor && status & SUM != 0 && entry & (U | X) == U | X;
                if forbidden { entry & !X } else { entry }
            };
            let pages = pages.into_iter().map(no_fetch).collect();
            let (megapage, gigapage) = (no_fetch(megapage), no_fetch(gigapage));
            let mut registers = registers;
            for pointer in &mut registers[8..16] {
                // QEMU's board has devices and a ROM at low addresses.
                if !translated && *pointer < DATA {
                    *pointer = DATA + *pointer % (DATA_PAGES * PAGE - 64);
                }
            }
            let right = V | X | A | if supervisor { 0 } else { U };
            let mut code: Vec<u32> = steps.into_iter().flatten().collect();
            code.push(if supervisor { asm::EBREAK } else { asm::ECALL });
            Situation {
                supervisor,
                translated,
                status,
                software_interrupt,
                vectored,
                pages,
                code_page: code_page.map_or_else(|flags| flags, |without| right & !without),
                megapage,
                pointer,
                gigapage,
                registers,
                code,
            }
        })
}

/// Values for CSRs with fields that accept only some: what is legal, or ignored, on both sides.
fn probe() -> impl Strategy<Value = Case> {
    // QEMU lets UXL take any value, and VS although it has no vectors; interrupts stay off.
    const STATUS_LEFT_OUT: u64 = 3 << 32 | 3 << 9 | 2;
    const UXL_64: u64 = 2 << 32;
    let value = || prop_oneof![nasty_integer(), any::<u64>()];
    let any_write = 1..4u32;
    let field = prop_oneof![
        value().prop_map(|value| (asm::SIE, value)),
        value().prop_map(|value| (asm::SIP, value)),
        value().prop_map(|value| (asm::STVEC, value & !2)),
        value().prop_map(|value| (asm::SSCRATCH, value)),
        // QEMU lets the lowest bit be set.
        value().prop_map(|value| (asm::SEPC, value & !1)),
        value().prop_map(|value| (asm::STVAL, value)),
        (any::<bool>(), 0..16u64)
            .prop_map(|(interrupt, code)| { (asm::SCAUSE, u64::from(interrupt) << 63 | code) }),
        value().prop_map(|value| (asm::SCOUNTEREN, value & 7)),
        // Modes that do not exist leave the register alone.
        (select(vec![1u64, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14, 15]), value())
            .prop_map(|(mode, value)| (asm::SATP, mode << 60 | value >> 4)),
    ];
    prop_oneof![
        9 => (field, any_write).prop_map(|((csr, value), f3)| Case::Probe { csr, f3, value }),
        1 => value().prop_map(|value| Case::Probe {
            csr: asm::SSTATUS,
            f3: 1,
            value: value & !STATUS_LEFT_OUT | UXL_64,
        }),
    ]
}

/// Any case.
pub fn case() -> impl Strategy<Value = Case> {
    prop_oneof![
        6 => situation().prop_map(|situation| Case::Trap(Box::new(situation))),
        1 => probe(),
    ]
}
