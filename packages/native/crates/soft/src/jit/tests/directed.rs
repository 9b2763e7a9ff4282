//! Programs that once told the tiers apart.

use super::*;

/// The function is overwritten between calls, with one of the two instructions at s6.
const OVERWRITTEN_FUNCTION: [(usize, u32); 14] = [
    (0x100, 0x0320_0293), // addi t0,zero,50
    (0x104, 0x02c0_00ef), // jal ra,80001130
    (0x108, 0xfff2_8293), // addi t0,t0,-1
    (0x10c, 0xfe02_9ce3), // bne t0,zero,80001104
    (0x110, 0x000b_2303), // lw t1,0(s6)
    (0x114, 0x004b_2383), // lw t2,4(s6)
    (0x118, 0x006b_2223), // sw t1,4(s6)
    (0x11c, 0x007b_2023), // sw t2,0(s6)
    (0x120, 0x0000_0e17), // auipc t3,0x0
    (0x124, 0x006e_2823), // sw t1,16(t3)
    (0x128, 0x0320_0293), // addi t0,zero,50
    (0x12c, 0xfd9f_f06f), // jal zero,80001104
    (0x130, 0x0015_0513), // addi a0,a0,1
    (0x134, 0x0000_8067), // jalr zero,0(ra)
];

/// Each store replaces the instruction behind it.
const OVERWRITTEN_NEXT: [(usize, u32); 10] = [
    (0x100, 0x000b_2303), // lw t1,0(s6)
    (0x104, 0x004b_2383), // lw t2,4(s6)
    (0x108, 0x0000_0e17), // auipc t3,0x0
    (0x10c, 0x006e_2423), // sw t1,8(t3)
    (0x110, 0x0015_0513), // addi a0,a0,1
    (0x114, 0x0003_0e93), // addi t4,t1,0
    (0x118, 0x0003_8313), // addi t1,t2,0
    (0x11c, 0x000e_8393), // addi t2,t4,0
    (0x120, 0x000e_0e13), // addi t3,t3,0
    (0x124, 0xfe9f_f06f), // jal zero,8000110c
];

/// Under two sets of tables in turn, calls a jump across the pages that they exchange.
const EXCHANGED_PAGES: [(usize, u32); 21] = [
    (0x10, 0x0205_0513),   // addi a0,a0,32
    (0x14, 0x0000_8067),   // jalr zero,0(ra)
    (0x100, 0x180e_9073),  // csrrw zero,satp,t4
    (0x104, 0x1200_0073),  // sfence.vma zero,zero
    (0x108, 0x0000_1337),  // lui t1,0x1
    (0x10c, 0x01b3_0333),  // add t1,t1,s11
    (0x110, 0xff03_0313),  // addi t1,t1,-16
    (0x114, 0x0203_0393),  // addi t2,t1,32
    (0x118, 0x0003_00e7),  // jalr ra,0(t1)
    (0x11c, 0x0003_80e7),  // jalr ra,0(t2)
    (0x120, 0x0003_00e7),  // jalr ra,0(t1)
    (0x124, 0x1802_1073),  // csrrw zero,satp,tp
    (0x128, 0x1200_0073),  // sfence.vma zero,zero
    (0x12c, 0x0003_00e7),  // jalr ra,0(t1)
    (0x130, 0x0003_80e7),  // jalr ra,0(t2)
    (0x134, 0x0003_00e7),  // jalr ra,0(t1)
    (0x138, 0xfc9f_f06f),  // jal zero,80001100
    (0xff0, 0x0200_006f),  // jal zero,80002010
    (0x1010, 0x0015_0513), // addi a0,a0,1
    (0x1014, 0x0000_8067), // jalr zero,0(ra)
    (0x1ff0, 0x0200_006f), // jal zero,80003010
];

/// Loads and stores with the floating-point state off, clean and dirty.
const FLOAT_STATE: [(usize, u32); 18] = [
    (0x100, 0x0000_62b7), // lui t0,0x6
    (0x104, 0x0000_4337), // lui t1,0x4
    (0x108, 0x0009_3087), // fld ft1,0(s2)
    (0x10c, 0x1002_b073), // csrrc zero,sstatus,t0
    (0x110, 0x1003_2073), // csrrs zero,sstatus,t1
    (0x114, 0x1000_23f3), // csrrs t2,sstatus,zero
    (0x118, 0x0075_0533), // add a0,a0,t2
    (0x11c, 0x0009_3087), // fld ft1,0(s2)
    (0x120, 0x1000_23f3), // csrrs t2,sstatus,zero
    (0x124, 0x00d3_d393), // srli t2,t2,0xd
    (0x128, 0x0075_0533), // add a0,a0,t2
    (0x12c, 0x0015_8593), // addi a1,a1,1
    (0x130, 0x0075_f613), // andi a2,a1,7
    (0x134, 0xfc06_1ae3), // bne a2,zero,80001108
    (0x138, 0x1002_b073), // csrrc zero,sstatus,t0
    (0x13c, 0x0019_3427), // fsd ft1,8(s2)
    (0x140, 0x1002_a073), // csrrs zero,sstatus,t0
    (0x144, 0xfc5f_f06f), // jal zero,80001108
];

/// Runs both tiers through a directed program and compares them now and then. `data` is what s2
/// and s6 point at.
fn same_in_both_tiers(program: &[(usize, u32)], data: [u32; 2]) {
    let mut code = [0x000c_8067; CODE_BYTES / 4];
    for (at, word) in program {
        code[at / 4] = *word;
    }
    let machine = |heat| {
        let (mut platform, mut engine) = prepare(&code, 0x100, false, heat);
        for (at, word) in (0u64..).zip(data) {
            assert!(platform.memory.write(DATA + 4 * at, &word.to_le_bytes()).is_ok());
        }
        assert!(engine.set_register("s6", DATA) && engine.set_register("s11", ALIAS + 0x1000));
        // No interrupts: long stretches of translated code.
        assert!(engine.set_register("sie", 0));
        (platform, engine)
    };
    let (mut platform, mut reference) = machine(None);
    let (mut other_platform, mut translated) = machine(Some(0));
    translated.set_store(warm::store());
    for at in [10, 100, 1003, 2000, 3017, 20_000] {
        assert!(!advance(&mut platform, &mut reference, at));
        assert!(!advance(&mut other_platform, &mut translated, at));
        let expected = picture(&mut platform, &reference);
        let found = picture(&mut other_platform, &translated);
        assert_eq!(expected.0, found.0, "at {at}");
        assert!(expected == found, "at {at}");
    }
    let count = reference.registers().into_iter().find(|(name, _)| *name == "a0");
    assert!(count.is_some_and(|(_, count)| count > 100), "{count:?}");
    assert!(translated.code_bytes() > 500);
}

/// addi a0, a0, 1 and addi a0, a0, 32
const TWO_ADDITIONS: [u32; 2] = [0x0015_0513, 0x0205_0513];

#[test]
fn an_overwritten_function_is_called_as_it_is_now() {
    same_in_both_tiers(&OVERWRITTEN_FUNCTION, TWO_ADDITIONS);
}

#[test]
fn a_store_to_the_next_instruction_takes_effect_at_once() {
    same_in_both_tiers(&OVERWRITTEN_NEXT, TWO_ADDITIONS);
}

#[test]
fn a_jump_to_another_page_goes_where_the_tables_say_now() {
    same_in_both_tiers(&EXCHANGED_PAGES, TWO_ADDITIONS);
}

#[test]
fn floating_point_memory_accesses_keep_the_state_bits() {
    same_in_both_tiers(&FLOAT_STATE, TWO_ADDITIONS);
}
