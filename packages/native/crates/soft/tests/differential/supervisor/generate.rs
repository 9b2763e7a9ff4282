//! Generators of cases.

use super::{
    A, Case, D, DATA, DATA_PAGES, FS, G, MXR, NOWHERE, PAGE, R, SPIE, SPP, SUM, Situation, U, V, W,
    X, entry,
};
use crate::assembly::{self as asm, Code, Register};
use crate::generated::nasty_integer;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

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
    // The fault of the code's page: none, the accessed bit, or any.
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
