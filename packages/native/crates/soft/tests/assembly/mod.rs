//! A small assembler for test programs: one function per instruction format, and a buffer that
//! knows where it is.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod compressed;

/// Number of an integer or floating-point register, or the value of a five-bit immediate.
pub type Register = u32;

pub const ZERO: Register = 0;
pub const RA: Register = 1;
pub const SP: Register = 2;
pub const GP: Register = 3;
pub const T0: Register = 5;
pub const T1: Register = 6;
pub const T2: Register = 7;
pub const A0: Register = 10;
pub const A1: Register = 11;
pub const A2: Register = 12;
pub const A6: Register = 16;
pub const A7: Register = 17;

pub const OP: u32 = 0x33;
pub const OP_32: u32 = 0x3b;
pub const OP_IMM: u32 = 0x13;
pub const OP_IMM_32: u32 = 0x1b;
pub const LOAD: u32 = 0x03;
pub const LOAD_FP: u32 = 0x07;
pub const STORE: u32 = 0x23;
pub const STORE_FP: u32 = 0x27;
pub const OP_FP: u32 = 0x53;
pub const AMO: u32 = 0x2f;
pub const MADD: u32 = 0x43;
pub const SYSTEM: u32 = 0x73;

pub const FFLAGS: u32 = 0x001;
pub const FRM: u32 = 0x002;
pub const FCSR: u32 = 0x003;
pub const SSTATUS: u32 = 0x100;
pub const SIE: u32 = 0x104;
pub const STVEC: u32 = 0x105;
pub const SCOUNTEREN: u32 = 0x106;
pub const SENVCFG: u32 = 0x10a;
pub const SSCRATCH: u32 = 0x140;
pub const SEPC: u32 = 0x141;
pub const SCAUSE: u32 = 0x142;
pub const STVAL: u32 = 0x143;
pub const SIP: u32 = 0x144;
pub const SATP: u32 = 0x180;

pub const ECALL: u32 = 0x0000_0073;
pub const EBREAK: u32 = 0x0010_0073;
pub const SRET: u32 = 0x1020_0073;
pub const FENCE_I: u32 = 0x0000_100f;
pub const SFENCE_VMA: u32 = 0x1200_0073;
pub const NOP: u32 = 0x0000_0013;

/// Register-register format.
pub fn r(opcode: u32, f3: u32, f7: u32, rd: Register, rs1: Register, rs2: Register) -> u32 {
    f7 << 25 | rs2 << 20 | rs1 << 15 | f3 << 12 | rd << 7 | opcode
}

/// Immediate format; the immediate's low twelve bits count.
pub fn i(opcode: u32, f3: u32, rd: Register, rs1: Register, imm: i32) -> u32 {
    (imm as u32 & 0xfff) << 20 | rs1 << 15 | f3 << 12 | rd << 7 | opcode
}

/// Store format.
pub fn s(opcode: u32, f3: u32, rs1: Register, rs2: Register, imm: i32) -> u32 {
    let imm = imm as u32;
    (imm >> 5 & 0x7f) << 25 | rs2 << 20 | rs1 << 15 | f3 << 12 | (imm & 0x1f) << 7 | opcode
}

/// Branch; the offset is in bytes from this instruction.
pub fn branch(f3: u32, rs1: Register, rs2: Register, offset: i32) -> u32 {
    let o = offset as u32;
    (o >> 12 & 1) << 31
        | (o >> 5 & 0x3f) << 25
        | rs2 << 20
        | rs1 << 15
        | f3 << 12
        | (o >> 1 & 0xf) << 8
        | (o >> 11 & 1) << 7
        | 0x63
}

/// Jump and link; the offset is in bytes from this instruction.
pub fn jal(rd: Register, offset: i32) -> u32 {
    let o = offset as u32;
    (o >> 20 & 1) << 31
        | (o >> 1 & 0x3ff) << 21
        | (o >> 11 & 1) << 20
        | (o >> 12 & 0xff) << 12
        | rd << 7
        | 0x6f
}

/// Jump and link to a register.
pub fn jalr(rd: Register, rs1: Register, offset: i32) -> u32 {
    i(0x67, 0, rd, rs1, offset)
}

/// Load upper immediate: the immediate's upper twenty bits count.
pub fn lui(rd: Register, imm: u32) -> u32 {
    imm & 0xffff_f000 | rd << 7 | 0x37
}

/// Add upper immediate to pc: the immediate's upper twenty bits count.
pub fn auipc(rd: Register, imm: u32) -> u32 {
    imm & 0xffff_f000 | rd << 7 | 0x17
}

pub fn addi(rd: Register, rs1: Register, imm: i32) -> u32 {
    i(OP_IMM, 0, rd, rs1, imm)
}

pub fn ld(rd: Register, rs1: Register, imm: i32) -> u32 {
    i(LOAD, 3, rd, rs1, imm)
}

pub fn sd(rs2: Register, rs1: Register, imm: i32) -> u32 {
    s(STORE, 3, rs1, rs2, imm)
}

pub fn fld(rd: Register, rs1: Register, imm: i32) -> u32 {
    i(LOAD_FP, 3, rd, rs1, imm)
}

pub fn fsd(rs2: Register, rs1: Register, imm: i32) -> u32 {
    s(STORE_FP, 3, rs1, rs2, imm)
}

/// Atomic memory operation; `f5` names it, `f3` is 2 for words and 3 for double words.
pub fn amo(f5: u32, f3: u32, rd: Register, rs1: Register, rs2: Register) -> u32 {
    r(AMO, f3, f5 << 2, rd, rs1, rs2)
}

/// CSR access: `f3` 1 write, 2 set, 3 clear, 5 to 7 the same with an immediate for `rs1`.
pub fn csr(f3: u32, rd: Register, csr: u32, rs1: Register) -> u32 {
    csr << 20 | rs1 << 15 | f3 << 12 | rd << 7 | SYSTEM
}

pub fn csrw(number: u32, rs1: Register) -> u32 {
    csr(1, ZERO, number, rs1)
}

pub fn csrr(rd: Register, number: u32) -> u32 {
    csr(2, rd, number, ZERO)
}

/// Machine code at a fixed address.
#[derive(Debug, Clone)]
pub struct Code {
    base: u64,
    bytes: Vec<u8>,
}

impl Code {
    pub fn at(base: u64) -> Self {
        Self { base, bytes: Vec::new() }
    }

    /// Address of the next instruction.
    pub fn here(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends a 32-bit instruction.
    pub fn word(&mut self, word: u32) -> &mut Self {
        self.bytes.extend_from_slice(&word.to_le_bytes());
        self
    }

    /// Appends 32-bit instructions.
    pub fn words(&mut self, words: &[u32]) -> &mut Self {
        for word in words {
            self.word(*word);
        }
        self
    }

    /// Appends a 16-bit instruction.
    pub fn half(&mut self, half: u16) -> &mut Self {
        self.bytes.extend_from_slice(&half.to_le_bytes());
        self
    }

    /// Replaces the 32-bit instruction at an address, for forward jumps.
    pub fn patch(&mut self, at: u64, word: u32) {
        let offset = (at - self.base) as usize;
        self.bytes[offset..offset + 4].copy_from_slice(&word.to_le_bytes());
    }

    /// Appends nops up to an address.
    pub fn pad_to(&mut self, address: u64) -> &mut Self {
        assert!(self.here() <= address, "code reaches {:#x}, past {address:#x}", self.here());
        while self.here() < address {
            self.word(NOP);
        }
        self
    }

    /// Loads an address within 2 GiB of here into a register.
    pub fn address(&mut self, rd: Register, address: u64) -> &mut Self {
        let offset = address.wrapping_sub(self.here()) as i64 as i32;
        let high = offset.wrapping_add(0x800) as u32 & 0xffff_f000;
        self.words(&[auipc(rd, high), addi(rd, rd, offset.wrapping_sub(high as i32))])
    }

    /// Loads any value into a register.
    pub fn value(&mut self, rd: Register, value: u64) -> &mut Self {
        // Eleven bits at a time: no sign extension gets in the way.
        self.word(addi(rd, ZERO, (value >> 55) as i32));
        for step in 0..5 {
            self.word(i(OP_IMM, 1, rd, rd, 11));
            self.word(i(OP_IMM, 6, rd, rd, (value >> (44 - 11 * step) & 0x7ff) as i32));
        }
        self
    }
}
