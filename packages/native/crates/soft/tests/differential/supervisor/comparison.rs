//! The compared state, the places where the specification lets QEMU differ, and the known faults of
//! its versions.

use super::{
    BREAKPOINT, CAUSE, CODE_VIRTUAL, Case, DATA, DATA_PAGES, FS, ILLEGAL_INSTRUCTION,
    LOAD_ACCESS_FAULT, MAX_CASES, PAGE, PAYLOAD, PROBE, PROGRAM_COUNTER, RECORD_BYTES, RECORDS,
    STATUS, STORE_ACCESS_FAULT, Situation, VALUE, tables,
};
use crate::assembly as asm;
use crate::qemu_system::Version;

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

/// The first difference between two observations, in words; QEMU's are those of `version`.
pub fn first_difference(
    cases: &[Case],
    ours: &[u8],
    theirs: &[u8],
    version: Version,
) -> Option<String> {
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
                Some(Case::Trap(situation)) if range % 4 == 0 => {
                    let cause = words_ours[record + CAUSE as usize];
                    let program_counter = words_ours[record + PROGRAM_COUNTER as usize];
                    is_allowed(situation, offset, ours, theirs, cause, program_counter)
                        || offset == VALUE
                            && is_known_fault(version, cause, ours, theirs, &words_theirs[record..])
                }
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

/// The instruction `mret`.
const MRET: u64 = 0x3020_0073;

/// Whether the value of a trap is wrong in QEMU as this version of it is known to be wrong.
///
/// *10.0, `mret` outside machine mode*: on an illegal instruction `stval` holds its bits or zero
/// (The RISC-V Instruction Set Manual, Volume II, section on the supervisor trap value register).
/// That version leaves bits of an instruction executed earlier. 7.2 gives those of `mret`.
fn is_known_fault(version: Version, cause: u64, ours: u64, theirs: u64, record: &[u64]) -> bool {
    version == Version { major: 10, minor: 0 }
        && cause == ILLEGAL_INSTRUCTION
        && record[CAUSE as usize] == ILLEGAL_INSTRUCTION
        && ours == MRET
        && theirs != 0
}
