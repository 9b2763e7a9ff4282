//! The decoder against encodings written down by hand, and against all bit patterns.

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
