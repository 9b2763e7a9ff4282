//! Random programs: every group of instructions, traps, devices, stores into their own code.

use proptest::prelude::*;
use proptest::sample::select;

/// A register that programs may write without losing their way.
pub(super) fn free() -> impl Strategy<Value = u32> {
    prop_oneof![8 => select(&[5u32, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 28][..]), 1 => 0..3u32]
}

/// A register with an address in it, most of the time.
pub(super) fn pointer() -> impl Strategy<Value = u32> {
    prop_oneof![12 => 18..25u32, 1 => 0..32u32]
}

pub(super) fn any_register() -> impl Strategy<Value = u32> {
    prop_oneof![3 => free(), 1 => 0..32u32]
}

pub(super) fn arithmetic() -> impl Strategy<Value = u32> {
    let operation = (select(&[0x33u32, 0x3b][..]), 0..8u32, select(&[0u32, 0x20, 1][..]));
    (operation, free(), any_register(), any_register()).prop_map(|((op, f3, f7), rd, a, b)| {
        let f7 = if f7 == 0x20 && !matches!(f3, 0 | 5) { 0 } else { f7 };
        f7 << 25 | b << 20 | a << 15 | f3 << 12 | rd << 7 | op
    })
}

pub(super) fn immediate() -> impl Strategy<Value = u32> {
    let plain = (select(&[0x13u32, 0x1b][..]), 0..8u32, any::<u32>(), free(), any_register());
    let plain = plain.prop_map(|(op, f3, imm, rd, a)| {
        let imm = match f3 {
            1 => imm & if op == 0x13 { 63 } else { 31 },
            5 => imm & if op == 0x13 { 63 } else { 31 } | imm >> 16 & 0x400,
            _ => imm & 0xfff,
        };
        imm << 20 | a << 15 | f3 << 12 | rd << 7 | op
    });
    let upper = (select(&[0x37u32, 0x17][..]), any::<u32>(), free())
        .prop_map(|(op, imm, rd)| imm & 0xffff_f000 | rd << 7 | op);
    prop_oneof![4 => plain, 1 => upper]
}

pub(super) fn offset() -> impl Strategy<Value = u32> {
    prop_oneof![6 => (0..64u32).prop_map(|n| n * 8), 2 => 0..0x1000u32, 1 => Just(0)]
}

pub(super) fn memory() -> impl Strategy<Value = u32> {
    let load = (select(&[0x03u32, 0x03, 0x03, 0x07][..]), 0..7u32, offset(), free(), pointer());
    let load = load.prop_map(|(op, f3, imm, rd, a)| {
        let f3 = if op == 0x07 { 2 + (f3 & 1) } else { f3 };
        imm << 20 | a << 15 | f3 << 12 | rd << 7 | op
    });
    let store = (select(&[0x23u32, 0x23, 0x27][..]), 0..4u32, offset(), any_register(), pointer());
    let store = store.prop_map(|(op, f3, imm, b, a)| {
        let f3 = if op == 0x27 { 2 + (f3 & 1) } else { f3 };
        imm >> 5 << 25 | b << 20 | a << 15 | f3 << 12 | (imm & 31) << 7 | op
    });
    prop_oneof![load, store]
}

pub(super) fn atomic() -> impl Strategy<Value = u32> {
    let kind = select(&[2u32, 3, 1, 0, 4, 8, 12, 16, 20, 24, 28][..]);
    (kind, 2..4u32, free(), pointer(), any_register()).prop_map(|(kind, f3, rd, a, b)| {
        let b = if kind == 2 { 0 } else { b };
        kind << 27 | b << 20 | a << 15 | f3 << 12 | rd << 7 | 0x2f
    })
}

pub(super) fn branch() -> impl Strategy<Value = u32> {
    let by = prop_oneof![3 => 1..20i32, 1 => -20..1i32];
    let condition = select(&[0u32, 1, 4, 5, 6, 7][..]);
    let branch = (condition, any_register(), any_register(), by.clone());
    let branch = branch.prop_map(|(f3, a, b, by)| {
        let imm = (by * 4) as u32;
        (imm >> 12 & 1) << 31
            | (imm >> 5 & 0x3f) << 25
            | b << 20
            | a << 15
            | f3 << 12
            | (imm >> 1 & 0xf) << 8
            | (imm >> 11 & 1) << 7
            | 0x63
    });
    let jump = (prop_oneof![3 => by.clone(), 1 => -400..400i32], select(&[0u32, 1, 5][..]));
    let jump = jump.prop_map(|(by, rd)| {
        let imm = (by * 4) as u32;
        (imm >> 20 & 1) << 31
            | (imm >> 1 & 0x3ff) << 21
            | (imm >> 11 & 1) << 20
            | (imm >> 12 & 0xff) << 12
            | rd << 7
            | 0x6f
    });
    // x25 and x27 hold addresses of code; x1 and x5 what a jump left there.
    let indirect = (select(&[25u32, 25, 27, 1, 5][..]), 0..100u32, select(&[0u32, 1, 5][..]));
    let indirect = indirect.prop_map(|(a, imm, rd)| {
        let imm = if matches!(a, 1 | 5) { 0 } else { imm * 4 };
        imm << 20 | a << 15 | rd << 7 | 0x67
    });
    prop_oneof![4 => branch, 2 => jump, 2 => indirect]
}

/// A rounding mode, or what selects among comparisons and moves; seldom a reserved one.
pub(super) fn rounding() -> impl Strategy<Value = u32> {
    prop_oneof![6 => select(&[0u32, 1, 2, 7][..]), 1 => 0..8u32]
}

pub(super) fn float() -> impl Strategy<Value = u32> {
    let kinds = [0u32, 4, 8, 12, 0x2c, 0x10, 0x14, 0x20, 0x50, 0x60, 0x68, 0x70, 0x78];
    let plain = (select(kinds.to_vec()), 0..2u32, rounding(), free(), 0..4u32, 0..4u32);
    let plain = plain.prop_map(|(kind, double, rm, rd, a, b)| {
        (kind | double) << 25 | b << 20 | a << 15 | rm << 12 | rd << 7 | 0x53
    });
    let small = (select(kinds.to_vec()), 0..2u32, rounding(), 0..4u32, 0..8u32, 0..4u32);
    let small = small.prop_map(|(kind, double, rm, rd, a, b)| {
        (kind | double) << 25 | b << 20 | a << 15 | rm << 12 | rd << 7 | 0x53
    });
    let fused = (select(&[0x43u32, 0x47, 0x4b, 0x4f][..]), 0..2u32, 0..5u32, 0..4u32, any::<u32>());
    let fused = fused.prop_map(|(op, double, rm, rd, bits)| {
        let (a, b, c) = (bits & 3, bits >> 2 & 3, bits >> 4 & 3);
        c << 27 | double << 25 | b << 20 | a << 15 | rm << 12 | rd << 7 | op
    });
    prop_oneof![1 => plain, 3 => small, 1 => fused]
}

pub(super) fn system() -> impl Strategy<Value = u32> {
    // sstatus, sscratch, sepc, fflags, frm, fcsr, time, instret, stimecmp, sie, sip, satp
    let csrs =
        [0x100u32, 0x100, 0x100, 0x140, 0x141, 1, 2, 3, 0xc01, 0xc02, 0x14d, 0x104, 0x144, 0x180];
    let csr = (select(csrs.to_vec()), 1..8u32, any_register(), free());
    let csr = csr.prop_map(|(csr, f3, a, rd)| {
        let f3 = if f3 == 4 { 2 } else { f3 };
        // Only the known values of satp: x29, x4 and x0.
        let a = if csr == 0x180 { [29, 4, 29, 0][a as usize % 4] } else { a };
        let f3 = if csr == 0x180 { 1 } else { f3 };
        csr << 20 | a << 15 | f3 << 12 | rd << 7 | 0x73
    });
    // Floating point off, clean, dirty: x16 has the bits of FS.
    let fs = select(&[0x1008_3073u32, 0x1008_2073, 0x1008_2073][..]);
    let interrupts = (select(&[0x1001_7073u32, 0x1001_6073][..]), free());
    let interrupts = interrupts.prop_map(|(bits, rd)| bits | rd << 7);
    let restore = free().prop_map(|from| 0x1000_2073 | from << 15);
    let fence = prop_oneof![Just(0x1200_0073u32), pointer().prop_map(|a| 0x1200_0073 | a << 15)];
    let others = select(&[0x0000_100fu32, 0x0ff0_000f, 0x1020_0073, 0x0000_0073, 0x0010_0073][..]);
    prop_oneof![6 => csr, 2 => fs, 3 => interrupts, 1 => restore, 3 => fence, 1 => others, 1 => Just(0x1050_0073)]
}

/// Writes of code: x26 holds two instructions, x22 and x24 point at code.
pub(super) fn overwrite() -> impl Strategy<Value = u32> {
    (2..4u32, 0..200u32, select(&[22u32, 24][..])).prop_map(|(f3, at, a)| {
        let imm = at * 4;
        imm >> 5 << 25 | 26 << 20 | a << 15 | f3 << 12 | (imm & 31) << 7 | 0x23
    })
}

pub(super) fn instruction() -> impl Strategy<Value = u32> {
    prop_oneof![
        40 => arithmetic(),
        30 => immediate(),
        40 => memory(),
        8 => atomic(),
        25 => branch(),
        12 => float(),
        8 => system(),
        5 => overwrite(),
        12 => (any::<u16>(), any::<u16>()).prop_map(|(a, b)| {
            // Two compressed instructions, of quadrants 0 to 2.
            let half = |bits: u16| if bits & 3 == 3 { bits & !2 } else { bits };
            u32::from(half(a)) | u32::from(half(b)) << 16
        }),
        1 => any::<u32>(),
    ]
}

/// The code that a trap returns through. After an exception the program continues four bytes
/// further, within its two pages; the timer is set again; every second time the previous mode is
/// kept.
pub(super) const RETURN: [u32; 20] = [
    0x1410_2ff3, // csrrs t6,sepc,zero
    0x1420_2f73, // csrrs t5,scause,zero
    0x020f_4063, // blt t5,zero,28
    0x004f_8f93, // addi t6,t6,4
    0x033f_9f93, // slli t6,t6,0x33
    0x035f_df93, // srli t6,t6,0x35
    0x002f_9f93, // slli t6,t6,0x2
    0xffff_df17, // auipc t5,0xffffd
    0x01ef_8fb3, // add t6,t6,t5
    0x141f_9073, // csrrw zero,sepc,t6
    0x1441_7073, // csrrci zero,sip,2
    0xc010_2f73, // csrrs t5,time,zero
    0x009f_0f13, // addi t5,t5,9
    0x14df_1073, // csrrw zero,stimecmp,t5
    0x1000_0f93, // addi t6,zero,256
    0x0018_ff13, // andi t5,a7,1
    0x000f_1463, // bne t5,zero,48
    0x100f_a073, // csrrs zero,sstatus,t6
    0x0018_8893, // addi a7,a7,1
    0x1020_0073, // sret
];
