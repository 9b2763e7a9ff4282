//! Decoder of RV64GC machine code: bits in, [`Inst`] out. Pure, total, independent of any state.
//!
//! Every bit pattern decodes: what the unprivileged or privileged specification reserves becomes
//! [`Op::Illegal`]. Compressed instructions decode to the base instruction that they abbreviate,
//! with `len` 2. Whether an instruction is *allowed* (privilege mode, `sstatus.FS`, existing CSR)
//! is decided when it executes.
//!
//! Source: The RISC-V Instruction Set Manual, volume I, chapters "RV32/64G Instruction Set
//! Listings" and "C Extension", volume II, "RISC-V Privileged Instruction Set Listings".

/// What an instruction does. Operand fields are those of [`Inst`].
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// Reserved encoding; `raw` is what `stval` reports.
    Illegal,
    Lui,
    Auipc,
    Jal,
    Jalr,
    Beq,
    Bne,
    Blt,
    Bge,
    Bltu,
    Bgeu,
    Lb,
    Lh,
    Lw,
    Ld,
    Lbu,
    Lhu,
    Lwu,
    Sb,
    Sh,
    Sw,
    Sd,
    Addi,
    Slti,
    Sltiu,
    Xori,
    Ori,
    Andi,
    Slli,
    Srli,
    Srai,
    Add,
    Sub,
    Sll,
    Slt,
    Sltu,
    Xor,
    Srl,
    Sra,
    Or,
    And,
    Addiw,
    Slliw,
    Srliw,
    Sraiw,
    Addw,
    Subw,
    Sllw,
    Srlw,
    Sraw,
    Mul,
    Mulh,
    Mulhsu,
    Mulhu,
    Div,
    Divu,
    Rem,
    Remu,
    Mulw,
    Divw,
    Divuw,
    Remw,
    Remuw,
    LrW,
    ScW,
    AmoswapW,
    AmoaddW,
    AmoxorW,
    AmoandW,
    AmoorW,
    AmominW,
    AmomaxW,
    AmominuW,
    AmomaxuW,
    LrD,
    ScD,
    AmoswapD,
    AmoaddD,
    AmoxorD,
    AmoandD,
    AmoorD,
    AmominD,
    AmomaxD,
    AmominuD,
    AmomaxuD,
    Fence,
    FenceI,
    Ecall,
    Ebreak,
    Sret,
    Wfi,
    SfenceVma,
    Csrrw,
    Csrrs,
    Csrrc,
    Csrrwi,
    Csrrsi,
    Csrrci,
    Flw,
    Fsw,
    Fld,
    Fsd,
    FmaddS,
    FmsubS,
    FnmsubS,
    FnmaddS,
    FaddS,
    FsubS,
    FmulS,
    FdivS,
    FsqrtS,
    FsgnjS,
    FsgnjnS,
    FsgnjxS,
    FminS,
    FmaxS,
    FeqS,
    FltS,
    FleS,
    FclassS,
    FcvtWS,
    FcvtWuS,
    FcvtLS,
    FcvtLuS,
    FcvtSW,
    FcvtSWu,
    FcvtSL,
    FcvtSLu,
    FmvXW,
    FmvWX,
    FmaddD,
    FmsubD,
    FnmsubD,
    FnmaddD,
    FaddD,
    FsubD,
    FmulD,
    FdivD,
    FsqrtD,
    FsgnjD,
    FsgnjnD,
    FsgnjxD,
    FminD,
    FmaxD,
    FeqD,
    FltD,
    FleD,
    FclassD,
    FcvtWD,
    FcvtWuD,
    FcvtLD,
    FcvtLuD,
    FcvtDW,
    FcvtDWu,
    FcvtDL,
    FcvtDLu,
    FcvtSD,
    FcvtDS,
    FmvXD,
    FmvDX,
}

/// One decoded instruction.
///
/// Fields that an operation does not have are 0. Register numbers are 0 to 31 and name the
/// integer or the floating-point file as the operation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inst {
    /// The operation.
    pub op: Op,
    /// Destination register.
    pub rd: u8,
    /// First source register; for `Csrrwi`, `Csrrsi`, `Csrrci` the 5-bit immediate.
    pub rs1: u8,
    /// Second source register.
    pub rs2: u8,
    /// Third source register, of the fused multiply-adds.
    pub rs3: u8,
    /// Rounding mode field of floating-point operations (7: dynamic).
    pub rm: u8,
    /// Bytes: 2 or 4.
    pub len: u8,
    /// Immediate, sign-extended: branch and jump offsets relative to this instruction, the upper
    /// immediates already shifted, shift amounts, the CSR number.
    pub imm: i32,
    /// The instruction's bits, zero-extended.
    pub raw: u32,
}

impl Inst {
    const fn illegal(raw: u32, len: u8) -> Self {
        Self { op: Op::Illegal, rd: 0, rs1: 0, rs2: 0, rs3: 0, rm: 0, len, imm: 0, raw }
    }
}

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

/// Bits `[high:low]` of `c`, moved to start at bit `to`.
const fn field(c: u16, high: u32, low: u32, to: u32) -> i32 {
    (((c as u32 >> low) & ((1 << (high - low + 1)) - 1)) << to) as i32
}

/// `value`, of which bit `sign` is the sign, extended to 32 bits.
const fn extend(value: i32, sign: u32) -> i32 {
    value << (31 - sign) >> (31 - sign)
}

const fn decode_compressed(c: u16) -> Inst {
    let raw = c as u32;
    let illegal = Inst::illegal(raw, 2);
    let base = Inst { op: Op::Illegal, rd: 0, rs1: 0, rs2: 0, rs3: 0, rm: 0, len: 2, imm: 0, raw };
    // Registers of the full (5-bit) and of the short (3-bit, x8 to x15) fields.
    let full = (c >> 7 & 31) as u8;
    let full2 = (c >> 2 & 31) as u8;
    let short = (c >> 7 & 7) as u8 + 8;
    let short2 = (c >> 2 & 7) as u8 + 8;
    let imm6 = extend(field(c, 12, 12, 5) | field(c, 6, 2, 0), 5);
    let shift = field(c, 12, 12, 5) | field(c, 6, 2, 0);
    let off_w = field(c, 12, 10, 3) | field(c, 6, 6, 2) | field(c, 5, 5, 6);
    let off_d = field(c, 12, 10, 3) | field(c, 6, 5, 6);
    match (c & 3, c >> 13) {
        (0, 0) => {
            let imm =
                field(c, 12, 11, 4) | field(c, 10, 7, 6) | field(c, 6, 6, 2) | field(c, 5, 5, 3);
            if imm == 0 {
                return illegal;
            }
            Inst { op: Op::Addi, rd: short2, rs1: 2, imm, ..base }
        }
        (0, 1) => Inst { op: Op::Fld, rd: short2, rs1: short, imm: off_d, ..base },
        (0, 2) => Inst { op: Op::Lw, rd: short2, rs1: short, imm: off_w, ..base },
        (0, 3) => Inst { op: Op::Ld, rd: short2, rs1: short, imm: off_d, ..base },
        (0, 5) => Inst { op: Op::Fsd, rs2: short2, rs1: short, imm: off_d, ..base },
        (0, 6) => Inst { op: Op::Sw, rs2: short2, rs1: short, imm: off_w, ..base },
        (0, 7) => Inst { op: Op::Sd, rs2: short2, rs1: short, imm: off_d, ..base },
        (1, 0) => Inst { op: Op::Addi, rd: full, rs1: full, imm: imm6, ..base },
        (1, 1) => {
            if full == 0 {
                return illegal;
            }
            Inst { op: Op::Addiw, rd: full, rs1: full, imm: imm6, ..base }
        }
        (1, 2) => Inst { op: Op::Addi, rd: full, rs1: 0, imm: imm6, ..base },
        (1, 3) if full == 2 => {
            let imm = extend(
                field(c, 12, 12, 9)
                    | field(c, 6, 6, 4)
                    | field(c, 5, 5, 6)
                    | field(c, 4, 3, 7)
                    | field(c, 2, 2, 5),
                9,
            );
            if imm == 0 {
                return illegal;
            }
            Inst { op: Op::Addi, rd: 2, rs1: 2, imm, ..base }
        }
        (1, 3) => {
            if imm6 == 0 {
                return illegal;
            }
            Inst { op: Op::Lui, rd: full, imm: imm6 << 12, ..base }
        }
        (1, 4) => {
            let alu = Inst { rd: short, rs1: short, rs2: short2, ..base };
            match (c >> 10 & 3, c >> 12 & 1, c >> 5 & 3) {
                (0, _, _) => Inst { op: Op::Srli, rd: short, rs1: short, imm: shift, ..base },
                (1, _, _) => Inst { op: Op::Srai, rd: short, rs1: short, imm: shift, ..base },
                (2, _, _) => Inst { op: Op::Andi, rd: short, rs1: short, imm: imm6, ..base },
                (_, 0, 0) => Inst { op: Op::Sub, ..alu },
                (_, 0, 1) => Inst { op: Op::Xor, ..alu },
                (_, 0, 2) => Inst { op: Op::Or, ..alu },
                (_, 0, _) => Inst { op: Op::And, ..alu },
                (_, _, 0) => Inst { op: Op::Subw, ..alu },
                (_, _, 1) => Inst { op: Op::Addw, ..alu },
                _ => illegal,
            }
        }
        (1, 5) => {
            let imm = extend(
                field(c, 12, 12, 11)
                    | field(c, 11, 11, 4)
                    | field(c, 10, 9, 8)
                    | field(c, 8, 8, 10)
                    | field(c, 7, 7, 6)
                    | field(c, 6, 6, 7)
                    | field(c, 5, 3, 1)
                    | field(c, 2, 2, 5),
                11,
            );
            Inst { op: Op::Jal, rd: 0, imm, ..base }
        }
        (1, 6 | 7) => {
            let imm = extend(
                field(c, 12, 12, 8)
                    | field(c, 11, 10, 3)
                    | field(c, 6, 5, 6)
                    | field(c, 4, 3, 1)
                    | field(c, 2, 2, 5),
                8,
            );
            let op = if c >> 13 == 6 { Op::Beq } else { Op::Bne };
            Inst { op, rs1: short, rs2: 0, imm, ..base }
        }
        (2, 0) => Inst { op: Op::Slli, rd: full, rs1: full, imm: shift, ..base },
        (2, 1) => {
            let imm = field(c, 12, 12, 5) | field(c, 6, 5, 3) | field(c, 4, 2, 6);
            Inst { op: Op::Fld, rd: full, rs1: 2, imm, ..base }
        }
        (2, 2) => {
            if full == 0 {
                return illegal;
            }
            let imm = field(c, 12, 12, 5) | field(c, 6, 4, 2) | field(c, 3, 2, 6);
            Inst { op: Op::Lw, rd: full, rs1: 2, imm, ..base }
        }
        (2, 3) => {
            if full == 0 {
                return illegal;
            }
            let imm = field(c, 12, 12, 5) | field(c, 6, 5, 3) | field(c, 4, 2, 6);
            Inst { op: Op::Ld, rd: full, rs1: 2, imm, ..base }
        }
        (2, 4) => match (c >> 12 & 1, full, full2) {
            (0, 0, 0) => illegal,
            (0, _, 0) => Inst { op: Op::Jalr, rd: 0, rs1: full, ..base },
            (0, _, _) => Inst { op: Op::Add, rd: full, rs1: 0, rs2: full2, ..base },
            (_, 0, 0) => Inst { op: Op::Ebreak, ..base },
            (_, _, 0) => Inst { op: Op::Jalr, rd: 1, rs1: full, ..base },
            _ => Inst { op: Op::Add, rd: full, rs1: full, rs2: full2, ..base },
        },
        (2, 5) => {
            let imm = field(c, 12, 10, 3) | field(c, 9, 7, 6);
            Inst { op: Op::Fsd, rs1: 2, rs2: full2, imm, ..base }
        }
        (2, 6) => {
            let imm = field(c, 12, 9, 2) | field(c, 8, 7, 6);
            Inst { op: Op::Sw, rs1: 2, rs2: full2, imm, ..base }
        }
        (2, 7) => {
            let imm = field(c, 12, 10, 3) | field(c, 9, 7, 6);
            Inst { op: Op::Sd, rs1: 2, rs2: full2, imm, ..base }
        }
        _ => illegal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(bits: u32) -> (Op, u8, u8, u8, i32, u8) {
        let i = decode(bits);
        (i.op, i.rd, i.rs1, i.rs2, i.imm, i.len)
    }

    #[test]
    fn immediates_of_every_format_are_sign_extended() {
        assert_eq!(fields(0xfff5_0513), (Op::Addi, 10, 10, 0, -1, 4)); // addi a0,a0,-1
        assert_eq!(fields(0xfea1_2c23), (Op::Sw, 0, 2, 10, -8, 4)); // sw a0,-8(sp)
        assert_eq!(fields(0xfe05_0ee3), (Op::Beq, 0, 10, 0, -4, 4)); // beq a0,x0,-4
        assert_eq!(fields(0xffdf_f0ef), (Op::Jal, 1, 0, 0, -4, 4)); // jal -4
        assert_eq!(fields(0x8000_0537), (Op::Lui, 10, 0, 0, i32::MIN, 4));
        assert_eq!(fields(0x4035_5513), (Op::Srai, 10, 10, 0, 3, 4));
        assert_eq!(fields(0x03f5_1513), (Op::Slli, 10, 10, 0, 63, 4));
    }

    #[test]
    fn compressed_instructions_decode_to_what_they_abbreviate() {
        assert_eq!(fields(0x0001), (Op::Addi, 0, 0, 0, 0, 2)); // c.nop
        assert_eq!(fields(0x1141), (Op::Addi, 2, 2, 0, -16, 2)); // c.addi sp,-16
        assert_eq!(fields(0x717d), (Op::Addi, 2, 2, 0, -16, 2)); // c.addi16sp -16
        assert_eq!(fields(0x0808), (Op::Addi, 10, 2, 0, 16, 2)); // c.addi4spn a0,16
        assert_eq!(fields(0xe406), (Op::Sd, 0, 2, 1, 8, 2)); // c.sdsp ra,8
        assert_eq!(fields(0x60a2), (Op::Ld, 1, 2, 0, 8, 2)); // c.ldsp ra,8
        assert_eq!(fields(0x8082), (Op::Jalr, 0, 1, 0, 0, 2)); // ret
        assert_eq!(fields(0x9002), (Op::Ebreak, 0, 0, 0, 0, 2));
        assert_eq!(fields(0x852e), (Op::Add, 10, 0, 11, 0, 2)); // c.mv a0,a1
        assert_eq!(fields(0x952e), (Op::Add, 10, 10, 11, 0, 2)); // c.add a0,a1
        assert_eq!(fields(0xbfd5), (Op::Jal, 0, 0, 0, -12, 2)); // c.j -12
        assert_eq!(fields(0xd57d), (Op::Beq, 0, 10, 0, -18, 2)); // c.beqz a0,-18
        assert_eq!(fields(0x7501), (Op::Lui, 10, 0, 0, -32 << 12, 2)); // c.lui a0,0xfffe0
        assert_eq!(fields(0x8d0d), (Op::Sub, 10, 10, 11, 0, 2));
        assert_eq!(fields(0x4108), (Op::Lw, 10, 10, 0, 0, 2));
        assert_eq!(fields(0x6508), (Op::Ld, 10, 10, 0, 8, 2));
    }

    #[test]
    fn reserved_encodings_are_illegal() {
        for bits in [
            0x0000_0000, // defined illegal
            0xffff_ffff,
            0x2001,                // c.addiw x0
            0x6101 & !0x107c,      // c.addi16sp 0
            0x4002,                // c.lwsp x0
            0x6002,                // c.ldsp x0
            0x8002,                // c.jr x0
            0x9c61,                // reserved in the register-register group
            0x0000_7003,           // load, width 7
            0x0200_1013 | 1 << 31, // slli with upper bits
            0x0200_101b,           // slliw by 32
            0x3020_0073,           // mret
            0x0000_4073,           // csr funct3 4
            0x0000_5053,           // fadd with reserved rounding mode 5
            0x1010_202f | 1 << 28, // lr.w with rs2 != 0
        ] {
            assert_eq!(decode(bits).op, Op::Illegal, "{bits:#x}");
        }
    }

    #[test]
    fn system_instructions_are_exact_patterns() {
        assert_eq!(decode(0x0000_0073).op, Op::Ecall);
        assert_eq!(decode(0x0010_0073).op, Op::Ebreak);
        assert_eq!(decode(0x1020_0073).op, Op::Sret);
        assert_eq!(decode(0x1050_0073).op, Op::Wfi);
        assert_eq!(decode(0x0000_00f3).op, Op::Illegal);
        assert_eq!(fields(0x12b5_0073), (Op::SfenceVma, 0, 10, 11, 0, 4));
        assert_eq!(fields(0x1001_7073), (Op::Csrrci, 0, 2, 0, 0x100, 4));
    }

    proptest! {
        #[test]
        fn every_bit_pattern_decodes_within_bounds(bits: u32) {
            let i = decode(bits);
            prop_assert_eq!(i.len, length(bits as u16));
            prop_assert!(i.rd < 32 && i.rs1 < 32 && i.rs2 < 32 && i.rs3 < 32 && i.rm < 8);
            prop_assert_eq!(i.raw, if i.len == 2 { bits & 0xffff } else { bits });
        }
    }
}
