//! Decoder of the compressed instructions.
//!
//! Source: The RISC-V Instruction Set Manual, volume I, chapter "C Extension", listings.

use super::{Inst, Op};

/// Bits `[high:low]` of `c`, moved to start at bit `to`.
const fn field(c: u16, high: u32, low: u32, to: u32) -> i32 {
    (((c as u32 >> low) & ((1 << (high - low + 1)) - 1)) << to) as i32
}

/// `value`, of which bit `sign` is the sign, extended to 32 bits.
const fn extend(value: i32, sign: u32) -> i32 {
    value << (31 - sign) >> (31 - sign)
}

/// Decodes a compressed instruction.
pub(super) const fn decode_compressed(c: u16) -> Inst {
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
