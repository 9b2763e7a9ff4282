//! The table of indirect jumps: repeated targets are found without leaving translated code.

use super::RAM;
use crate::Soft;
use crate::jit::Store;
use crate::jit::layout::in_table;
use proptest::collection::hash_set;
use proptest::prelude::*;
use std::sync::Arc;
use stillpoint_vmm::engine::{Engine, Entry, Exit};
use stillpoint_vmm::memory::PagedMemory;
use stillpoint_vmm::platform::Platform;

/// A loop of `jalr ra, 0(s2)`, `jalr ra, 0(s3)`, `jalr ra, 0(s4)`.
const LOOP: [u32; 4] = [0x0009_00e7, 0x0009_80e7, 0x000a_00e7, 0xff5f_f06f];
const RETURN: u32 = 0x0000_8067;
const RAM_BYTES: u64 = 4 << 20;
const TICKS: u64 = 70_000;

/// How often translated code was left for a jump through a register, of a loop that calls these functions.
fn times_left(functions: &[u64]) -> u64 {
    let mut platform = Platform::new(PagedMemory::new(RAM, RAM_BYTES));
    let returns = functions.iter().map(|function| (*function, RETURN));
    for (at, word) in (RAM..).step_by(4).zip(LOOP).chain(returns) {
        assert!(platform.memory.write(at, &word.to_le_bytes()).is_ok());
    }
    let mut engine = Soft::new();
    engine.set_store(Arc::new(Store::new(1 << 20)));
    engine.set_translation(Some(0));
    engine.reset(Entry { pc: RAM, device_tree: 0 });
    for (name, function) in ["s2", "s3", "s4"].into_iter().zip(functions) {
        assert!(engine.set_register(name, *function), "{name}");
    }
    assert_eq!(engine.run(&mut platform, TICKS), Exit::Deadline);
    let profile = engine.profile();
    assert!(profile.translated_ticks > TICKS / 2, "{profile:?}");
    profile.left_indirect
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn functions_at_one_offset_of_their_pages_do_not_evict_each_other(
        offset in (0u64..1024).prop_map(|word| 4 * word),
        pages in hash_set(1u64..RAM_BYTES >> 12, 3),
    ) {
        let functions: Vec<u64> = pages.iter().map(|page| RAM + (page << 12) + offset).collect();
        // The loop's own places are of another offset.
        let of_loop: Vec<usize> = (RAM..).step_by(4).take(LOOP.len()).map(in_table).collect();
        prop_assume!(!functions.iter().any(|function| of_loop.contains(&in_table(*function))));
        prop_assert!(times_left(&functions) < 100, "{functions:x?}");
    }
}

#[test]
fn functions_32_kib_apart_do_not_evict_each_other() {
    let functions = [1u64, 9, 17].map(|page| RAM + (page << 12) + 0x100);
    assert!(times_left(&functions) < 100);
}

/// `jal x0, offset`.
fn jump(offset: i32) -> u32 {
    let bits = offset as u32;
    let low = (bits >> 1 & 0x3ff) << 21 | (bits >> 11 & 1) << 20 | (bits >> 12 & 0xff) << 12;
    0x6f | (bits >> 20 & 1) << 31 | low
}

/// How often translated code was left for a jump, of a chain of jumps between two pages, there and back.
fn times_left_on_a_chain(store: &Arc<Store>, heat: u32) -> u64 {
    const LENGTH: u64 = 40;
    let mut platform = Platform::new(PagedMemory::new(RAM, RAM_BYTES));
    for link in 0..LENGTH {
        let there = RAM + 4 * link;
        let back = if link + 1 < LENGTH { 4 - 0x1000 } else { 0 };
        for (at, word) in [(there, jump(0x1000)), (there + 0x1000, jump(back))] {
            assert!(platform.memory.write(at, &word.to_le_bytes()).is_ok());
        }
    }
    let mut engine = Soft::new();
    engine.set_store(store.clone());
    engine.set_translation(Some(heat));
    engine.reset(Entry { pc: RAM, device_tree: 0 });
    // The last jump leads to itself.
    assert_eq!(engine.run(&mut platform, TICKS), Exit::Deadline);
    engine.profile().left_indirect
}

#[test]
fn a_machine_knows_beforehand_where_others_arrived_in_a_page() {
    let store = Arc::new(Store::new(1 << 20));
    // The first executes the chain once, interpreting, the second once what was translated meanwhile.
    times_left_on_a_chain(&store, 0);
    let without = times_left_on_a_chain(&store, u32::MAX);
    let with = times_left_on_a_chain(&store, u32::MAX);
    assert!(without >= 70 && with <= 10, "{without}, then {with}");
}
