//! Decoder of RV64GC machine code: bits in, [`Inst`] out. Pure, total, independent of any state.
//!
//! Every bit pattern decodes: patterns that the unprivileged or privileged specification reserves
//! become [`Op::Illegal`]. Compressed instructions decode to the base instruction that they
//! abbreviate, with `len` 2. Whether an instruction is *allowed* (privilege mode, `sstatus.FS`,
//! existing CSR) is decided when it executes.
//!
//! Source: The RISC-V Instruction Set Manual, volume I, chapters "RV32/64G Instruction Set
//! Listings" and "C Extension", volume II, "RISC-V Privileged Instruction Set Listings".

mod compressed;
mod inst;

use compressed::decode_compressed;
pub use inst::{Inst, Op};

/// Length in bytes of the instruction whose first 16 bits these are. Encodings of more than 32
/// bits are reserved here and count as 4 (they decode to [`Op::Illegal`]).
#[inline]
pub const fn length(first: u16) -> u8 {
    if first & 3 == 3 { 4 } else { 2 }
}

/// Decodes the instruction at the start of `bits`; of a compressed one the upper half is ignored.
///
/// ```
/// use stillpoint_soft::decode::{Op, decode};
/// let inst = decode(0x0015_0513); // addi a0, a0, 1
/// assert_eq!((inst.op, inst.rd, inst.rs1, inst.imm, inst.len), (Op::Addi, 10, 10, 1, 4));
/// ```
pub const fn decode(bits: u32) -> Inst {
    if bits & 3 == 3 { decode_full(bits) } else { decode_compressed(bits as u16) }
}

const fn rd(w: u32) -> u8 {
    (w >> 7 & 31) as u8
}
const fn rs1(w: u32) -> u8 {
    (w >> 15 & 31) as u8
}
const fn rs2(w: u32) -> u8 {
    (w >> 20 & 31) as u8
}
const fn funct3(w: u32) -> u32 {
    w >> 12 & 7
}
const fn imm_i(w: u32) -> i32 {
    w as i32 >> 20
}
const fn imm_s(w: u32) -> i32 {
    (w as i32 >> 25 << 5) | (w >> 7 & 31) as i32
}
const fn imm_b(w: u32) -> i32 {
    (w as i32 >> 31 << 12)
        | ((w >> 7 & 1) << 11) as i32
        | ((w >> 25 & 0x3f) << 5) as i32
        | ((w >> 8 & 0xf) << 1) as i32
}
const fn imm_j(w: u32) -> i32 {
    (w as i32 >> 31 << 20)
        | (w & 0xff000) as i32
        | ((w >> 20 & 1) << 11) as i32
        | ((w >> 21 & 0x3ff) << 1) as i32
}

const fn decode_full(w: u32) -> Inst {
    let base = Inst {
        op: Op::Illegal,
        rd: rd(w),
        rs1: rs1(w),
        rs2: rs2(w),
        rs3: 0,
        rm: 0,
        len: 4,
        imm: 0,
        raw: w,
    };
    let illegal = Inst::illegal(w, 4);
    let f3 = funct3(w);
    let f7 = w >> 25;
    match w & 0x7f {
        0x37 => Inst { op: Op::Lui, rs1: 0, rs2: 0, imm: (w & 0xffff_f000) as i32, ..base },
        0x17 => Inst { op: Op::Auipc, rs1: 0, rs2: 0, imm: (w & 0xffff_f000) as i32, ..base },
        0x6f => Inst { op: Op::Jal, rs1: 0, rs2: 0, imm: imm_j(w), ..base },
        0x67 if f3 == 0 => Inst { op: Op::Jalr, rs2: 0, imm: imm_i(w), ..base },
        0x63 => {
            let op = match f3 {
                0 => Op::Beq,
                1 => Op::Bne,
                4 => Op::Blt,
                5 => Op::Bge,
                6 => Op::Bltu,
                7 => Op::Bgeu,
                _ => return illegal,
            };
            Inst { op, rd: 0, imm: imm_b(w), ..base }
        }
        0x03 => {
            let op = match f3 {
                0 => Op::Lb,
                1 => Op::Lh,
                2 => Op::Lw,
                3 => Op::Ld,
                4 => Op::Lbu,
                5 => Op::Lhu,
                6 => Op::Lwu,
                _ => return illegal,
            };
            Inst { op, rs2: 0, imm: imm_i(w), ..base }
        }
        0x23 => {
            let op = match f3 {
                0 => Op::Sb,
                1 => Op::Sh,
                2 => Op::Sw,
                3 => Op::Sd,
                _ => return illegal,
            };
            Inst { op, rd: 0, imm: imm_s(w), ..base }
        }
        0x13 => {
            let (op, imm) = match f3 {
                0 => (Op::Addi, imm_i(w)),
                2 => (Op::Slti, imm_i(w)),
                3 => (Op::Sltiu, imm_i(w)),
                4 => (Op::Xori, imm_i(w)),
                6 => (Op::Ori, imm_i(w)),
                7 => (Op::Andi, imm_i(w)),
                1 if w >> 26 == 0 => (Op::Slli, (w >> 20 & 63) as i32),
                5 if w >> 26 == 0 => (Op::Srli, (w >> 20 & 63) as i32),
                5 if w >> 26 == 0x10 => (Op::Srai, (w >> 20 & 63) as i32),
                _ => return illegal,
            };
            Inst { op, rs2: 0, imm, ..base }
        }
        0x1b => {
            let (op, imm) = match f3 {
                0 => (Op::Addiw, imm_i(w)),
                1 if f7 == 0 => (Op::Slliw, (w >> 20 & 31) as i32),
                5 if f7 == 0 => (Op::Srliw, (w >> 20 & 31) as i32),
                5 if f7 == 0x20 => (Op::Sraiw, (w >> 20 & 31) as i32),
                _ => return illegal,
            };
            Inst { op, rs2: 0, imm, ..base }
        }
        0x33 => {
            let op = match (f7, f3) {
                (0, 0) => Op::Add,
                (0x20, 0) => Op::Sub,
                (0, 1) => Op::Sll,
                (0, 2) => Op::Slt,
                (0, 3) => Op::Sltu,
                (0, 4) => Op::Xor,
                (0, 5) => Op::Srl,
                (0x20, 5) => Op::Sra,
                (0, 6) => Op::Or,
                (0, 7) => Op::And,
                (1, 0) => Op::Mul,
                (1, 1) => Op::Mulh,
                (1, 2) => Op::Mulhsu,
                (1, 3) => Op::Mulhu,
                (1, 4) => Op::Div,
                (1, 5) => Op::Divu,
                (1, 6) => Op::Rem,
                (1, 7) => Op::Remu,
                _ => return illegal,
            };
            Inst { op, ..base }
        }
        0x3b => {
            let op = match (f7, f3) {
                (0, 0) => Op::Addw,
                (0x20, 0) => Op::Subw,
                (0, 1) => Op::Sllw,
                (0, 5) => Op::Srlw,
                (0x20, 5) => Op::Sraw,
                (1, 0) => Op::Mulw,
                (1, 4) => Op::Divw,
                (1, 5) => Op::Divuw,
                (1, 6) => Op::Remw,
                (1, 7) => Op::Remuw,
                _ => return illegal,
            };
            Inst { op, ..base }
        }
        0x2f => {
            let word = match f3 {
                2 => true,
                3 => false,
                _ => return illegal,
            };
            let op = match (w >> 27, word) {
                (0x02, true) if rs2(w) == 0 => Op::LrW,
                (0x02, false) if rs2(w) == 0 => Op::LrD,
                (0x03, true) => Op::ScW,
                (0x03, false) => Op::ScD,
                (0x01, true) => Op::AmoswapW,
                (0x01, false) => Op::AmoswapD,
                (0x00, true) => Op::AmoaddW,
                (0x00, false) => Op::AmoaddD,
                (0x04, true) => Op::AmoxorW,
                (0x04, false) => Op::AmoxorD,
                (0x0c, true) => Op::AmoandW,
                (0x0c, false) => Op::AmoandD,
                (0x08, true) => Op::AmoorW,
                (0x08, false) => Op::AmoorD,
                (0x10, true) => Op::AmominW,
                (0x10, false) => Op::AmominD,
                (0x14, true) => Op::AmomaxW,
                (0x14, false) => Op::AmomaxD,
                (0x18, true) => Op::AmominuW,
                (0x18, false) => Op::AmominuD,
                (0x1c, true) => Op::AmomaxuW,
                (0x1c, false) => Op::AmomaxuD,
                _ => return illegal,
            };
            Inst { op, ..base }
        }
        0x0f => match f3 {
            // Reserved fields of FENCE and FENCE.I are ignored, as the specification asks.
            0 => Inst { op: Op::Fence, rd: 0, rs1: 0, rs2: 0, ..base },
            1 => Inst { op: Op::FenceI, rd: 0, rs1: 0, rs2: 0, ..base },
            _ => illegal,
        },
        0x73 => decode_system(w, base, illegal),
        0x07 => match f3 {
            2 => Inst { op: Op::Flw, rs2: 0, imm: imm_i(w), ..base },
            3 => Inst { op: Op::Fld, rs2: 0, imm: imm_i(w), ..base },
            _ => illegal,
        },
        0x27 => match f3 {
            2 => Inst { op: Op::Fsw, rd: 0, imm: imm_s(w), ..base },
            3 => Inst { op: Op::Fsd, rd: 0, imm: imm_s(w), ..base },
            _ => illegal,
        },
        0x43 | 0x47 | 0x4b | 0x4f => {
            if matches!(f3, 5 | 6) {
                return illegal;
            }
            let op = match (w & 0x7f, w >> 25 & 3) {
                (0x43, 0) => Op::FmaddS,
                (0x47, 0) => Op::FmsubS,
                (0x4b, 0) => Op::FnmsubS,
                (0x4f, 0) => Op::FnmaddS,
                (0x43, 1) => Op::FmaddD,
                (0x47, 1) => Op::FmsubD,
                (0x4b, 1) => Op::FnmsubD,
                (0x4f, 1) => Op::FnmaddD,
                _ => return illegal,
            };
            Inst { op, rs3: (w >> 27) as u8, rm: f3 as u8, ..base }
        }
        0x53 => decode_float(w, base, illegal),
        _ => illegal,
    }
}

const fn decode_system(w: u32, base: Inst, illegal: Inst) -> Inst {
    let csr = (w >> 20) as i32;
    let op = match funct3(w) {
        0 => {
            let plain = Inst { rd: 0, rs1: 0, rs2: 0, ..base };
            return match w {
                0x0000_0073 => Inst { op: Op::Ecall, ..plain },
                0x0010_0073 => Inst { op: Op::Ebreak, ..plain },
                0x1020_0073 => Inst { op: Op::Sret, ..plain },
                0x1050_0073 => Inst { op: Op::Wfi, ..plain },
                _ if w >> 25 == 0x09 && rd(w) == 0 => Inst { op: Op::SfenceVma, ..base },
                _ => illegal,
            };
        }
        1 => Op::Csrrw,
        2 => Op::Csrrs,
        3 => Op::Csrrc,
        5 => Op::Csrrwi,
        6 => Op::Csrrsi,
        7 => Op::Csrrci,
        _ => return illegal,
    };
    Inst { op, rs2: 0, imm: csr, ..base }
}

const fn decode_float(w: u32, base: Inst, illegal: Inst) -> Inst {
    let rm = funct3(w);
    let double = match w >> 25 & 3 {
        0 => false,
        1 => true,
        _ => return illegal,
    };
    let second = rs2(w);
    let rounded = !matches!(rm, 5 | 6);
    let op = match (w >> 27, double) {
        (0x00, false) if rounded => Op::FaddS,
        (0x00, true) if rounded => Op::FaddD,
        (0x01, false) if rounded => Op::FsubS,
        (0x01, true) if rounded => Op::FsubD,
        (0x02, false) if rounded => Op::FmulS,
        (0x02, true) if rounded => Op::FmulD,
        (0x03, false) if rounded => Op::FdivS,
        (0x03, true) if rounded => Op::FdivD,
        (0x0b, false) if rounded && second == 0 => Op::FsqrtS,
        (0x0b, true) if rounded && second == 0 => Op::FsqrtD,
        (0x04, false) if rm == 0 => Op::FsgnjS,
        (0x04, false) if rm == 1 => Op::FsgnjnS,
        (0x04, false) if rm == 2 => Op::FsgnjxS,
        (0x04, true) if rm == 0 => Op::FsgnjD,
        (0x04, true) if rm == 1 => Op::FsgnjnD,
        (0x04, true) if rm == 2 => Op::FsgnjxD,
        (0x05, false) if rm == 0 => Op::FminS,
        (0x05, false) if rm == 1 => Op::FmaxS,
        (0x05, true) if rm == 0 => Op::FminD,
        (0x05, true) if rm == 1 => Op::FmaxD,
        (0x08, false) if rounded && second == 1 => Op::FcvtSD,
        (0x08, true) if rounded && second == 0 => Op::FcvtDS,
        (0x14, false) if rm == 2 => Op::FeqS,
        (0x14, false) if rm == 1 => Op::FltS,
        (0x14, false) if rm == 0 => Op::FleS,
        (0x14, true) if rm == 2 => Op::FeqD,
        (0x14, true) if rm == 1 => Op::FltD,
        (0x14, true) if rm == 0 => Op::FleD,
        (0x18, false) if rounded => match second {
            0 => Op::FcvtWS,
            1 => Op::FcvtWuS,
            2 => Op::FcvtLS,
            3 => Op::FcvtLuS,
            _ => return illegal,
        },
        (0x18, true) if rounded => match second {
            0 => Op::FcvtWD,
            1 => Op::FcvtWuD,
            2 => Op::FcvtLD,
            3 => Op::FcvtLuD,
            _ => return illegal,
        },
        (0x1a, false) if rounded => match second {
            0 => Op::FcvtSW,
            1 => Op::FcvtSWu,
            2 => Op::FcvtSL,
            3 => Op::FcvtSLu,
            _ => return illegal,
        },
        (0x1a, true) if rounded => match second {
            0 => Op::FcvtDW,
            1 => Op::FcvtDWu,
            2 => Op::FcvtDL,
            3 => Op::FcvtDLu,
            _ => return illegal,
        },
        (0x1c, false) if second == 0 && rm == 0 => Op::FmvXW,
        (0x1c, true) if second == 0 && rm == 0 => Op::FmvXD,
        (0x1c, false) if second == 0 && rm == 1 => Op::FclassS,
        (0x1c, true) if second == 0 && rm == 1 => Op::FclassD,
        (0x1e, false) if second == 0 && rm == 0 => Op::FmvWX,
        (0x1e, true) if second == 0 && rm == 0 => Op::FmvDX,
        _ => return illegal,
    };
    Inst { op, rm: rm as u8, ..base }
}

#[cfg(test)]
mod tests;
