//! Any program, as likely as not with what is hard to get right.

use crate::assembly::{self as asm, Register, compressed};
use crate::program::{ADDRESS, BASES, DESTINATIONS, Instruction, Item, Jump, Program};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn source() -> impl Strategy<Value = Register> {
    0..32u32
}

fn destination() -> impl Strategy<Value = Register> {
    select(&DESTINATIONS[..])
}

/// A writable register of the eight that compressed instructions name.
fn destination_of_eight() -> impl Strategy<Value = Register> {
    10..16u32
}

/// Where a load or store goes: a base and an offset that stays inside the buffer.
fn place() -> impl Strategy<Value = (Register, i32)> {
    (select(&BASES[..]), prop_oneof![-256..256i32, (-32..32i32).prop_map(|word| word * 8)])
}

fn rounding() -> impl Strategy<Value = u32> {
    select(&[0u32, 1, 2, 3, 4, 7][..])
}

fn words(words: impl IntoIterator<Item = u32>) -> Item {
    Item::Straight(words.into_iter().map(Instruction::Word).collect())
}

/// One integer instruction between registers and immediates.
fn integer_instruction() -> impl Strategy<Value = u32> {
    let base =
        [(0, 0), (0, 0x20), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (5, 0x20), (6, 0), (7, 0)];
    let base_32 = [(0, 0), (0, 0x20), (1, 0), (5, 0), (5, 0x20)];
    let register = (select(base.to_vec()), destination(), source(), source())
        .prop_map(|((f3, f7), rd, rs1, rs2)| asm::r(asm::OP, f3, f7, rd, rs1, rs2));
    let register_32 = (select(base_32.to_vec()), destination(), source(), source())
        .prop_map(|((f3, f7), rd, rs1, rs2)| asm::r(asm::OP_32, f3, f7, rd, rs1, rs2));
    let multiply = (0..8u32, destination(), source(), source())
        .prop_map(|(f3, rd, rs1, rs2)| asm::r(asm::OP, f3, 1, rd, rs1, rs2));
    let multiply_32 = (select(&[0u32, 4, 5, 6, 7][..]), destination(), source(), source())
        .prop_map(|(f3, rd, rs1, rs2)| asm::r(asm::OP_32, f3, 1, rd, rs1, rs2));
    let immediate = (select(&[0u32, 2, 3, 4, 6, 7][..]), destination(), source(), -2048..2048i32)
        .prop_map(|(f3, rd, rs1, imm)| asm::i(asm::OP_IMM, f3, rd, rs1, imm));
    let immediate_32 = (destination(), source(), -2048..2048i32)
        .prop_map(|(rd, rs1, imm)| asm::i(asm::OP_IMM_32, 0, rd, rs1, imm));
    let shift = (select(&[(1u32, 0), (5, 0), (5, 0x400)][..]), destination(), source(), 0..64i32)
        .prop_map(|((f3, kind), rd, rs1, by)| asm::i(asm::OP_IMM, f3, rd, rs1, kind | by));
    let shift_32 =
        (select(&[(1u32, 0), (5, 0), (5, 0x400)][..]), destination(), source(), 0..32i32)
            .prop_map(|((f3, kind), rd, rs1, by)| asm::i(asm::OP_IMM_32, f3, rd, rs1, kind | by));
    let upper = (any::<bool>(), destination(), any::<u32>())
        .prop_map(|(pc, rd, imm)| if pc { asm::auipc(rd, imm) } else { asm::lui(rd, imm) });
    prop_oneof![
        4 => register, 2 => register_32, 4 => multiply, 3 => multiply_32, 3 => immediate,
        2 => immediate_32, 2 => shift, 2 => shift_32, 1 => upper,
    ]
}

fn compressed_instruction() -> impl Strategy<Value = u16> {
    let eight = 8..16u32;
    let not_zero = select(&DESTINATIONS[1..]);
    let wide = not_zero.clone();
    let addi =
        (not_zero.clone(), -32..32i32).prop_map(|(rd, imm)| compressed::immediate(0, rd, imm));
    let addiw =
        (not_zero.clone(), -32..32i32).prop_map(|(rd, imm)| compressed::immediate(1, rd, imm));
    let li = (destination(), -32..32i32).prop_map(|(rd, imm)| compressed::immediate(2, rd, imm));
    let lui = (not_zero.clone(), prop_oneof![-32..0i32, 1..32i32])
        .prop_map(|(rd, imm)| compressed::immediate(3, rd, imm));
    let shift = (0..2u32, destination_of_eight(), 1..64i32)
        .prop_map(|(f2, rd, by)| compressed::shift_or_and(f2, rd, by));
    let andi = (destination_of_eight(), -32..32i32)
        .prop_map(|(rd, imm)| compressed::shift_or_and(2, rd, imm));
    let arithmetic = (0..6u32, destination_of_eight(), eight.clone())
        .prop_map(|(which, rd, rs2)| compressed::arithmetic(which, rd, rs2));
    let slli = (not_zero.clone(), 1..64u32).prop_map(|(rd, by)| compressed::slli(rd, by));
    let register = (any::<bool>(), not_zero, 1..32u32)
        .prop_map(|(add, rd, rs2)| compressed::register(add, rd, rs2));
    let addi4spn =
        (destination_of_eight(), 1..256u32).prop_map(|(rd, imm)| compressed::addi4spn(rd, imm * 4));
    let load_word = (destination_of_eight(), 8..10u32, 0..32u32)
        .prop_map(|(rd, base, imm)| compressed::memory_word(2, rd, base, imm * 4));
    let load_double = (select(&[1u32, 3][..]), destination_of_eight(), 8..10u32, 0..32u32)
        .prop_map(|(f3, rd, base, imm)| compressed::memory_double(f3, rd, base, imm * 8));
    let store_word = (eight.clone(), 8..10u32, 0..32u32)
        .prop_map(|(data, base, imm)| compressed::memory_word(6, data, base, imm * 4));
    let store_double = (select(&[5u32, 7][..]), eight, 8..10u32, 0..32u32)
        .prop_map(|(f3, data, base, imm)| compressed::memory_double(f3, data, base, imm * 8));
    let stack = prop_oneof![
        (wide.clone(), 0..64u32).prop_map(|(rd, imm)| compressed::lwsp(rd, imm * 4)),
        (wide, 0..64u32).prop_map(|(rd, imm)| compressed::load_double_sp(3, rd, imm * 8)),
        (0..32u32, 0..64u32).prop_map(|(rd, imm)| compressed::load_double_sp(1, rd, imm * 8)),
        (0..32u32, 0..64u32).prop_map(|(rs2, imm)| compressed::swsp(rs2, imm * 4)),
        (select(&[5u32, 7][..]), 0..32u32, 0..64u32)
            .prop_map(|(f3, rs2, imm)| compressed::store_double_sp(f3, rs2, imm * 8)),
    ];
    prop_oneof![
        1 => addi, 1 => addiw, 1 => li, 1 => lui, 1 => shift, 1 => andi, 1 => arithmetic,
        1 => slli, 1 => register, 1 => addi4spn, 1 => load_word, 1 => load_double,
        1 => store_word, 1 => store_double, 3 => stack,
    ]
}

fn memory_instruction() -> impl Strategy<Value = u32> {
    let load = (0..7u32, destination(), place())
        .prop_map(|(f3, rd, (base, imm))| asm::i(asm::LOAD, f3, rd, base, imm));
    let store = (0..4u32, source(), place())
        .prop_map(|(f3, data, (base, imm))| asm::s(asm::STORE, f3, base, data, imm));
    let load_float = (2..4u32, 0..32u32, place())
        .prop_map(|(f3, rd, (base, imm))| asm::i(asm::LOAD_FP, f3, rd, base, imm));
    let store_float = (2..4u32, 0..32u32, place())
        .prop_map(|(f3, data, (base, imm))| asm::s(asm::STORE_FP, f3, base, data, imm));
    prop_oneof![4 => load, 4 => store, 2 => load_float, 1 => store_float]
}

/// An atomic operation, or a load-reserved with one or two store-conditionals after it.
fn atomic() -> impl Strategy<Value = Item> {
    let address = || {
        (-32..32i32, 2..4u32).prop_map(|(word, f3)| {
            // Words also at addresses that are not those of double words.
            let offset = if f3 == 3 { word * 8 } else { word * 4 };
            (asm::addi(ADDRESS, BASES[1], offset), f3)
        })
    };
    let operations = [0u32, 1, 4, 8, 12, 16, 20, 24, 28];
    let operation = (address(), select(operations.to_vec()), destination(), source(), 0..4u32)
        .prop_map(|((address, f3), f5, rd, rs2, order)| {
            words([address, asm::amo(f5, f3, rd, ADDRESS, rs2) | order << 25])
        });
    let conditional = (
        (address(), 0..4u32),
        destination(),
        vec(integer_instruction(), 0..3),
        vec((destination(), source()), 1..3),
    )
        .prop_map(|(((address, f3), order), rd, between, stores)| {
            let mut code = vec![address, asm::amo(2, f3, rd, ADDRESS, 0) | order << 25];
            code.extend(between);
            for (rd, rs2) in stores {
                code.push(asm::amo(3, f3, rd, ADDRESS, rs2) | order << 25);
            }
            words(code)
        });
    let unreserved = (address(), destination(), source())
        .prop_map(|((address, f3), rd, rs2)| words([address, asm::amo(3, f3, rd, ADDRESS, rs2)]));
    prop_oneof![5 => operation, 3 => conditional, 1 => unreserved]
}

fn float_instruction() -> impl Strategy<Value = u32> {
    let f = || 0..32u32;
    let format = || 0..2u32;
    let arithmetic = (select(&[0u32, 4, 8, 12][..]), format(), rounding(), f(), f(), f())
        .prop_map(|(f7, d, rm, rd, a, b)| asm::r(asm::OP_FP, rm, f7 | d, rd, a, b));
    let root = (format(), rounding(), f(), f())
        .prop_map(|(d, rm, rd, a)| asm::r(asm::OP_FP, rm, 0x2c | d, rd, a, 0));
    let sign = (0..3u32, format(), f(), f(), f())
        .prop_map(|(f3, d, rd, a, b)| asm::r(asm::OP_FP, f3, 0x10 | d, rd, a, b));
    let extremum = (0..2u32, format(), f(), f(), f())
        .prop_map(|(f3, d, rd, a, b)| asm::r(asm::OP_FP, f3, 0x14 | d, rd, a, b));
    let compare = (0..3u32, format(), destination(), f(), f())
        .prop_map(|(f3, d, rd, a, b)| asm::r(asm::OP_FP, f3, 0x50 | d, rd, a, b));
    let to_integer = (0..4u32, format(), rounding(), destination(), f())
        .prop_map(|(kind, d, rm, rd, a)| asm::r(asm::OP_FP, rm, 0x60 | d, rd, a, kind));
    let from_integer = (0..4u32, format(), rounding(), f(), source())
        .prop_map(|(kind, d, rm, rd, a)| asm::r(asm::OP_FP, rm, 0x68 | d, rd, a, kind));
    let moved = (0..2u32, format(), destination(), f())
        .prop_map(|(f3, d, rd, a)| asm::r(asm::OP_FP, f3, 0x70 | d, rd, a, 0));
    let moved_back =
        (format(), f(), source()).prop_map(|(d, rd, a)| asm::r(asm::OP_FP, 0, 0x78 | d, rd, a, 0));
    let convert = (format(), rounding(), f(), f())
        .prop_map(|(d, rm, rd, a)| asm::r(asm::OP_FP, rm, 0x20 | d, rd, a, 1 - d));
    let fused = (0..4u32, format(), rounding(), (f(), f(), f(), f())).prop_map(
        |(which, d, rm, (rd, a, b, c))| asm::r(asm::MADD | which << 2, rm, c << 2 | d, rd, a, b),
    );
    prop_oneof![
        6 => arithmetic, 2 => root, 1 => sign, 1 => extremum, 1 => compare, 2 => to_integer,
        2 => from_integer, 1 => moved, 1 => moved_back, 2 => convert, 4 => fused,
    ]
}

/// An access to the floating-point status that leaves a legal rounding mode behind.
fn float_status() -> impl Strategy<Value = Item> {
    let mode =
        (destination(), 0..5u32).prop_map(|(rd, mode)| words([asm::csr(5, rd, asm::FRM, mode)]));
    let flags_immediate = (5..8u32, destination(), 0..32u32)
        .prop_map(|(f3, rd, imm)| words([asm::csr(f3, rd, asm::FFLAGS, imm)]));
    let flags = (1..4u32, destination(), source())
        .prop_map(|(f3, rd, rs1)| words([asm::csr(f3, rd, asm::FFLAGS, rs1)]));
    let read =
        (asm::FFLAGS..=asm::FCSR, destination()).prop_map(|(csr, rd)| words([asm::csrr(rd, csr)]));
    let both = (destination(), 0..5i32, 0..32i32, 0..8i32).prop_map(|(rd, mode, flags, beyond)| {
        words([
            asm::addi(ADDRESS, 0, beyond << 8 | mode << 5 | flags),
            asm::csr(1, rd, asm::FCSR, ADDRESS),
        ])
    });
    prop_oneof![mode, flags_immediate, flags, read, both]
}

/// Code that writes the instruction which it then executes.
fn self_modification() -> impl Strategy<Value = Item> {
    (integer_instruction(), any::<bool>()).prop_map(|(instruction, halves)| {
        let low = (instruction as i32) << 20 >> 20;
        let high = instruction.wrapping_sub(low as u32);
        let scratch = 29;
        let mut code = vec![
            asm::auipc(scratch, 0),
            asm::lui(ADDRESS, high),
            asm::i(asm::OP_IMM_32, 0, ADDRESS, ADDRESS, low),
        ];
        if halves {
            code.extend([
                asm::s(asm::STORE, 1, scratch, ADDRESS, 28),
                asm::i(asm::OP_IMM, 5, ADDRESS, ADDRESS, 16),
                asm::s(asm::STORE, 1, scratch, ADDRESS, 30),
            ]);
        } else {
            code.push(asm::s(asm::STORE, 2, scratch, ADDRESS, 20));
        }
        code.extend([asm::FENCE_I, asm::NOP]);
        words(code)
    })
}

fn jump() -> impl Strategy<Value = Jump> {
    prop_oneof![
        4 => (select(&[0u32, 1, 4, 5, 6, 7][..]), source(), source())
            .prop_map(|(f3, rs1, rs2)| Jump::Branch { f3, rs1, rs2 }),
        2 => (6..8u32, 8..16u32).prop_map(|(f3, rs1)| Jump::CompressedBranch { f3, rs1 }),
        1 => destination().prop_map(|rd| Jump::Jal { rd }),
        1 => Just(Jump::Compressed),
        1 => destination().prop_map(|rd| Jump::Register { rd }),
        1 => any::<bool>().prop_map(|link| Jump::CompressedRegister { link }),
    ]
}

fn straight() -> impl Strategy<Value = Item> {
    prop_oneof![
        8 => integer_instruction().prop_map(|word| words([word])),
        6 => compressed_instruction().prop_map(|half| Item::Straight(vec![Instruction::Half(half)])),
        5 => memory_instruction().prop_map(|word| words([word])),
        2 => atomic(),
        10 => float_instruction().prop_map(|word| words([word])),
        2 => float_status(),
        1 => self_modification(),
        1 => Just(words([0x0ff0_000f])),
    ]
}

fn item(nesting: u32) -> BoxedStrategy<Item> {
    let flat = prop_oneof![
        8 => straight(),
        1 => (jump(), 1..4usize).prop_map(|(jump, over)| Item::Skip { jump, over }),
    ];
    if nesting == 0 {
        return flat.boxed();
    }
    let count = prop_oneof![8 => 1..6u16, 1 => 40..200u16];
    let body = vec(item(nesting - 1), 1..8);
    prop_oneof![
        20 => flat,
        1 => (count, body).prop_map(|(count, body)| Item::Loop { count, body }),
    ]
    .boxed()
}

/// Integers at the edges of every width, and any others.
pub fn nasty_integer() -> impl Strategy<Value = u64> {
    let edges = [
        0,
        1,
        u64::MAX,
        i64::MAX as u64,
        i64::MIN as u64,
        i32::MAX as u64,
        i32::MIN as u64,
        u32::MAX.into(),
        1 << 31,
        1 << 32,
    ];
    prop_oneof![
        3 => select(edges.to_vec()),
        2 => any::<u64>(),
        1 => any::<i32>().prop_map(|x| x as u64),
        1 => (0..64u32).prop_map(|bit| 1 << bit),
        1 => (-16..16i64).prop_map(|x| x as u64),
    ]
}

/// Register contents that hold nasty floating-point numbers of either format, some not boxed.
pub fn nasty_float() -> impl Strategy<Value = u64> {
    let number = |exponent_bits: u32, fraction_bits: u32| {
        let top = (1u64 << exponent_bits) - 1;
        let fraction_mask = (1u64 << fraction_bits) - 1;
        let exponent = prop_oneof![
            Just(0),
            Just(top),
            1..4u64,
            top - 3..top,
            top / 2 - 30..top / 2 + 70,
            0..=top,
        ];
        let fraction = prop_oneof![
            Just(0),
            Just(fraction_mask),
            (0..fraction_bits).prop_map(|bit| 1 << bit),
            (0..fraction_bits).prop_map(move |bit| fraction_mask << bit & fraction_mask),
            any::<u64>().prop_map(move |x| x & fraction_mask),
        ];
        (0..2u64, exponent, fraction).prop_map(move |(sign, exponent, fraction)| {
            sign << (exponent_bits + fraction_bits) | exponent << fraction_bits | fraction
        })
    };
    prop_oneof![
        6 => number(11, 52),
        6 => number(8, 23).prop_map(|single| 0xffff_ffff_0000_0000 | single),
        1 => any::<u64>(),
    ]
}

/// Any program.
pub fn program() -> impl Strategy<Value = Program> {
    // The code comes first: it is what shrinks first.
    (
        vec(item(2), 1..40),
        vec(nasty_integer(), 32),
        vec(nasty_float(), 32),
        (0..5u8, 0..32u8).prop_map(|(mode, flags)| mode << 5 | flags),
        prop_oneof![Just(0u8), 0..8u8],
        any::<u64>(),
    )
        .prop_map(|(items, integers, floats, fcsr, skew, data_seed)| Program {
            integers,
            floats,
            fcsr,
            skew,
            data_seed,
            items,
        })
}
