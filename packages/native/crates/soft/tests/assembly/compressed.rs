//! The 16-bit formats. Registers marked "of eight" are x8 to x15, given by their full number.

use super::Register;

fn bits(value: u32, from: u32, count: u32, to: u32) -> u32 {
    (value >> from & ((1 << count) - 1)) << to
}

/// `c.addi4spn`, rd of eight; `imm` a multiple of 4, 4 to 1020.
pub fn addi4spn(rd: Register, imm: u32) -> u16 {
    (bits(imm, 4, 2, 11)
        | bits(imm, 6, 4, 7)
        | bits(imm, 2, 1, 6)
        | bits(imm, 3, 1, 5)
        | (rd - 8) << 2) as u16
}

/// Word load (`f3` 2) or store (6): registers of eight, `imm` a multiple of 4 up to 124.
pub fn memory_word(f3: u32, data: Register, base: Register, imm: u32) -> u16 {
    (f3 << 13
        | bits(imm, 3, 3, 10)
        | (base - 8) << 7
        | bits(imm, 2, 1, 6)
        | bits(imm, 6, 1, 5)
        | (data - 8) << 2) as u16
}

/// Double-word load (`f3` 3, floating-point 1) or store (7, 5): registers of eight, `imm` a
/// multiple of 8 up to 248.
pub fn memory_double(f3: u32, data: Register, base: Register, imm: u32) -> u16 {
    (f3 << 13 | bits(imm, 3, 3, 10) | (base - 8) << 7 | bits(imm, 6, 2, 5) | (data - 8) << 2) as u16
}

/// Quadrant 1 with a six-bit signed immediate: `c.addi` (0), `c.addiw` (1), `c.li` (2),
/// `c.lui` (3).
pub fn immediate(f3: u32, rd: Register, imm: i32) -> u16 {
    let imm = imm as u32;
    (f3 << 13 | bits(imm, 5, 1, 12) | rd << 7 | bits(imm, 0, 5, 2) | 1) as u16
}

/// `c.srli` (0), `c.srai` (1), `c.andi` (2): rd of eight.
pub fn shift_or_and(f2: u32, rd: Register, imm: i32) -> u16 {
    let imm = imm as u32;
    (4 << 13 | bits(imm, 5, 1, 12) | f2 << 10 | (rd - 8) << 7 | bits(imm, 0, 5, 2) | 1) as u16
}

/// `c.sub`, `c.xor`, `c.or`, `c.and` (0 to 3), `c.subw`, `c.addw` (4, 5): registers of eight.
pub fn arithmetic(which: u32, rd: Register, rs2: Register) -> u16 {
    (4 << 13 | (which >> 2) << 12 | 3 << 10 | (rd - 8) << 7 | (which & 3) << 5 | (rs2 - 8) << 2 | 1)
        as u16
}

/// `c.j`: offset in bytes, within 2 KiB.
pub fn j(offset: i32) -> u16 {
    let o = offset as u32;
    (5 << 13
        | bits(o, 11, 1, 12)
        | bits(o, 4, 1, 11)
        | bits(o, 8, 2, 9)
        | bits(o, 10, 1, 8)
        | bits(o, 6, 1, 7)
        | bits(o, 7, 1, 6)
        | bits(o, 1, 3, 3)
        | bits(o, 5, 1, 2)
        | 1) as u16
}

/// `c.beqz` (`f3` 6) or `c.bnez` (7): rs1 of eight, offset in bytes within 256.
pub fn branch(f3: u32, rs1: Register, offset: i32) -> u16 {
    let o = offset as u32;
    (f3 << 13
        | bits(o, 8, 1, 12)
        | bits(o, 3, 2, 10)
        | (rs1 - 8) << 7
        | bits(o, 6, 2, 5)
        | bits(o, 1, 2, 3)
        | bits(o, 5, 1, 2)
        | 1) as u16
}

/// `c.slli`.
pub fn slli(rd: Register, shift: u32) -> u16 {
    (bits(shift, 5, 1, 12) | rd << 7 | bits(shift, 0, 5, 2) | 2) as u16
}

/// `c.lwsp`: `imm` a multiple of 4 up to 252.
pub fn lwsp(rd: Register, imm: u32) -> u16 {
    (2 << 13 | bits(imm, 5, 1, 12) | rd << 7 | bits(imm, 2, 3, 4) | bits(imm, 6, 2, 2) | 2) as u16
}

/// `c.ldsp` (`f3` 3), `c.fldsp` (1): `imm` a multiple of 8 up to 504.
pub fn load_double_sp(f3: u32, rd: Register, imm: u32) -> u16 {
    (f3 << 13 | bits(imm, 5, 1, 12) | rd << 7 | bits(imm, 3, 2, 5) | bits(imm, 6, 3, 2) | 2) as u16
}

/// `c.swsp`: `imm` a multiple of 4 up to 252.
pub fn swsp(rs2: Register, imm: u32) -> u16 {
    (6 << 13 | bits(imm, 2, 4, 9) | bits(imm, 6, 2, 7) | rs2 << 2 | 2) as u16
}

/// `c.sdsp` (`f3` 7), `c.fsdsp` (5): `imm` a multiple of 8 up to 504.
pub fn store_double_sp(f3: u32, rs2: Register, imm: u32) -> u16 {
    (f3 << 13 | bits(imm, 3, 3, 10) | bits(imm, 6, 3, 7) | rs2 << 2 | 2) as u16
}

/// `c.mv` (`link` false with rs2), `c.add` (true with rs2), `c.jr` and `c.jalr` (rs2 zero).
pub fn register(link_or_add: bool, rd: Register, rs2: Register) -> u16 {
    (4 << 13 | u32::from(link_or_add) << 12 | rd << 7 | rs2 << 2 | 2) as u16
}
