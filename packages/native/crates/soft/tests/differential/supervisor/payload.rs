//! The payload: set-up and entry of every case, the trap handler, tables and data.

use super::{
    A, CAUSE, CODE_VIRTUAL, Case, D, DATA, DATA_PAGES, END, FS, MAX_CASES, PAGE, PAYLOAD, PROBE,
    PROGRAM_COUNTER, R, RECORD, RECORD_BYTES, RECORDS, RESUME, SPP, STATUS, Situation, TRAP, V,
    VALUE, W, X, entry, tables,
};
use crate::assembly::{self as asm, Code};

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
    // The firmware's remaining state does not matter.
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
