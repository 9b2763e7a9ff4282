//! Address translation as a supervisor observes it.

#![allow(clippy::panic, reason = "a test says what it expects")]

mod assembly;
mod guest;

use assembly::{LOAD, NOP, SFENCE_VMA, STORE, T0, T1, ZERO, amo, i, jalr, ld, s, sd};
use guest::*;

const LOAD_PAGE_FAULT: u64 = 13;
const STORE_PAGE_FAULT: u64 = 15;
const FETCH_PAGE_FAULT: u64 = 12;

/// A guest whose window's first page has this entry, about to execute `code` with `t0` there.
fn window(flags: u64, code: &[u32]) -> Guest {
    let mut guest = Guest::paged(code);
    guest.entry(LEAVES, FRAME, flags);
    guest.set("t0", WINDOW);
    guest
}

#[test]
fn loads_and_stores_need_their_permission() {
    for (flags, load, store) in [
        (0, Some(LOAD_PAGE_FAULT), Some(STORE_PAGE_FAULT)),
        (V | R, None, Some(STORE_PAGE_FAULT)),
        (V | R | W, None, None),
        (V | X, Some(LOAD_PAGE_FAULT), Some(STORE_PAGE_FAULT)),
        (V | R | X, None, Some(STORE_PAGE_FAULT)),
        (V | W, Some(LOAD_PAGE_FAULT), Some(STORE_PAGE_FAULT)),
        (V | R | W | U, Some(LOAD_PAGE_FAULT), Some(STORE_PAGE_FAULT)),
    ] {
        let fault = |cause: Option<u64>| cause.map(|cause| (cause, WINDOW));
        assert_eq!(window(flags, &[ld(T1, T0, 0)]).trap(), fault(load), "load, {flags:#x}");
        assert_eq!(window(flags, &[sd(T1, T0, 0)]).trap(), fault(store), "store, {flags:#x}");
        let add = amo(0, 3, T1, T0, T1);
        assert_eq!(window(flags, &[add]).trap(), fault(store), "atomic, {flags:#x}");
    }
}

#[test]
fn sum_lets_the_supervisor_read_user_pages_but_not_execute_them() {
    let mut guest = window(V | R | W | X | U, &[ld(T1, T0, 0), jalr(ZERO, T0, 0)]);
    guest.set("sstatus", SUM);
    assert_eq!(guest.trap(), None);
    guest.steps(1);
    assert_eq!(guest.trap(), Some((FETCH_PAGE_FAULT, WINDOW)));
    assert_eq!(guest.get("sepc"), WINDOW);
}

#[test]
fn sum_is_looked_at_for_every_access() {
    // Allowed, then forbidden without any fence: the translation stays, the right does not.
    let mut guest = window(V | R | U, &[ld(T1, T0, 0), ld(T1, T0, 0)]);
    guest.set("sstatus", SUM);
    assert_eq!(guest.trap(), None);
    guest.set("sstatus", 0);
    assert_eq!(guest.trap(), Some((LOAD_PAGE_FAULT, WINDOW)));
}

#[test]
fn mxr_makes_executable_pages_readable() {
    let mut guest = window(V | X, &[ld(T1, T0, 0), ld(T1, T0, 0)]);
    guest.set("sstatus", MXR);
    assert_eq!(guest.trap(), None);
    guest.set("sstatus", 0);
    assert_eq!(guest.trap(), Some((LOAD_PAGE_FAULT, WINDOW)));
}

#[test]
fn users_reach_user_pages_only() {
    let mut guest = Guest::user(&[ld(T1, T0, 0), ld(T1, T0, 0)]);
    guest.entry(LEAVES, FRAME, V | R | U);
    guest.entry(LEAVES + 8, FRAME, V | R);
    guest.set("t0", WINDOW);
    assert_eq!(guest.trap(), None);
    guest.set("t0", WINDOW + 0x1000);
    assert_eq!(guest.trap(), Some((LOAD_PAGE_FAULT, WINDOW + 0x1000)));
    assert_eq!(guest.get("mode"), 1);
    assert_eq!(guest.get("sstatus") & SPP, 0);
}

#[test]
fn hardware_sets_accessed_and_dirty() {
    let mut guest = window(V | R | W, &[ld(T1, T0, 0), sd(T1, T0, 0)]);
    guest.steps(1);
    assert_eq!(guest.u64_at(LEAVES) & (A | D), A);
    guest.steps(1);
    assert_eq!(guest.u64_at(LEAVES) & (A | D), A | D);
}

#[test]
fn a_fault_leaves_the_entry_alone() {
    let mut guest = window(V | R, &[sd(T1, T0, 0)]);
    assert_eq!(guest.trap(), Some((STORE_PAGE_FAULT, WINDOW)));
    assert_eq!(guest.u64_at(LEAVES) & (A | D), 0);
}

#[test]
fn a_translation_stays_until_it_is_fenced() {
    for fence in [SFENCE_VMA, SFENCE_VMA | T0 << 15, SFENCE_VMA | T1 << 20] {
        let mut guest = window(V | R, &[ld(T1, T0, 0), ld(T1, T0, 0), fence, ld(T1, T0, 0)]);
        guest.steps(1);
        guest.put_u64(LEAVES, 0);
        guest.steps(2);
        assert_eq!(guest.trap(), Some((LOAD_PAGE_FAULT, WINDOW)), "{fence:#x}");
    }
}

#[test]
fn a_fence_for_another_address_or_space_does_not_count() {
    let mut guest =
        window(V | R, &[ld(T1, T0, 0), SFENCE_VMA | 8 << 15, SFENCE_VMA | 9 << 20, ld(T1, T0, 0)]);
    guest.set("s0", WINDOW + 0x1000);
    guest.set("s1", 5);
    guest.steps(1);
    guest.put_u64(LEAVES, 0);
    guest.steps(2);
    assert_eq!(guest.trap(), None);
}

#[test]
fn spaces_are_told_apart_and_global_entries_belong_to_all() {
    for (global, found) in [(0, false), (G, true)] {
        let mut guest = window(V | R | global, &[ld(T1, T0, 0), ld(T1, T0, 0)]);
        guest.set("satp", SV39 | 1 << 44 | ROOT >> 12);
        guest.entry(ROOT + 16, BASE, V | R | W | X | A | D | G);
        guest.steps(1);
        guest.put_u64(LEAVES, 0);
        guest.set("satp", SV39 | 2 << 44 | ROOT >> 12);
        assert_eq!(guest.trap().is_none(), found, "global {global:#x}");
    }
}

#[test]
fn a_superpage_is_fenced_by_any_of_its_addresses() {
    let fence = SFENCE_VMA | 8 << 15;
    let mut guest = Guest::paged(&[ld(T1, T0, 0), fence, ld(T1, T0, 0)]);
    guest.entry(MIDDLE + 8, BASE, V | R);
    guest.set("t0", WINDOW + 0x20_3000);
    guest.set("s0", WINDOW + 0x20_0000);
    guest.steps(1);
    guest.put_u64(MIDDLE + 8, 0);
    guest.steps(1);
    assert_eq!(guest.trap(), Some((LOAD_PAGE_FAULT, WINDOW + 0x20_3000)));
}

#[test]
fn malformed_entries_fault() {
    let misaligned = (BASE + 0x1000) >> 12 << 10 | V | R;
    for (at, entry, what) in [
        (LEAVES, FRAME >> 2 | V | R | 1 << 63, "Svnapot without the extension"),
        (LEAVES, FRAME >> 2 | V | R | 1 << 61, "Svpbmt without the extension"),
        (LEAVES, FRAME >> 2 | V | R | 1 << 54, "reserved bit"),
        (LEAVES, FRAME >> 2 | V, "pointer at the last level"),
        (MIDDLE, misaligned, "misaligned superpage"),
        (MIDDLE, LEAVES >> 2 | V | A, "accessed bit in a pointer"),
        (MIDDLE, LEAVES >> 2 | V | U, "user bit in a pointer"),
        (ROOT + 24, MIDDLE >> 2 | V | D, "dirty bit in a pointer"),
    ] {
        let mut guest = window(V | R, &[ld(T1, T0, 0)]);
        guest.put_u64(at, entry);
        assert_eq!(guest.trap(), Some((LOAD_PAGE_FAULT, WINDOW)), "{what}");
    }
}

#[test]
fn addresses_that_are_not_sign_extended_fault() {
    let mut guest = window(V | R, &[ld(T1, T0, 0), jalr(ZERO, T0, 0)]);
    for address in [0x40_0000_0000, 0x8000_0000_0000_0000, u64::MAX << 39 & !(1 << 63)] {
        guest.again();
        guest.set("t0", address);
        assert_eq!(guest.trap(), Some((LOAD_PAGE_FAULT, address)));
        guest.set("pc", BASE + 4);
        guest.steps(1);
        assert_eq!(guest.trap(), Some((FETCH_PAGE_FAULT, address)));
    }
}

#[test]
fn tables_and_pages_outside_memory_are_access_faults() {
    let mut guest = window(V | R | W | X, &[ld(T1, T0, 0), sd(T1, T0, 0), jalr(ZERO, T0, 0)]);
    guest.entry(LEAVES, 0x1_0000_0000, V | R | W | X);
    assert_eq!(guest.trap(), Some((5, WINDOW)));
    guest.set("pc", BASE + 4);
    assert_eq!(guest.trap(), Some((7, WINDOW)));
    guest.set("pc", BASE + 8);
    guest.steps(1);
    assert_eq!(guest.trap(), Some((1, WINDOW)));
    guest.entry(MIDDLE, 0x1_0000_0000, V);
    guest.set("t0", WINDOW + 0x5000);
    guest.set("pc", BASE);
    assert_eq!(guest.trap(), Some((5, WINDOW + 0x5000)));
}

#[test]
fn an_access_across_pages_faults_at_the_page_that_refuses() {
    let mut guest = window(V | R | W, &[sd(T1, T0, -4), ld(T1, T0, -4)]);
    guest.entry(LEAVES + 8, FRAME + 0x1000, 0);
    guest.set("t0", WINDOW + 0x1000);
    guest.set("t1", u64::MAX);
    assert_eq!(guest.trap(), Some((STORE_PAGE_FAULT, WINDOW + 0x1000)));
    assert_eq!(guest.u64_at(FRAME + 0xff8), 0, "the first half was not written");
    guest.set("pc", BASE + 4);
    assert_eq!(guest.trap(), Some((LOAD_PAGE_FAULT, WINDOW + 0x1000)));
    guest.entry(LEAVES + 8, FRAME + 0x3000, V | R | W);
    guest.set("pc", BASE);
    guest.steps(2);
    assert_eq!(guest.u64_at(FRAME + 0xff8) >> 32, 0xffff_ffff);
    assert_eq!(guest.u64_at(FRAME + 0x3000), 0xffff_ffff);
    assert_eq!(guest.get("t1"), u64::MAX);
}

#[test]
fn an_instruction_across_pages_faults_at_its_second_half() {
    let mut guest = window(V | X, &[]);
    guest.put(FRAME + 0xffe, &NOP.to_le_bytes()[..2]);
    guest.put(FRAME + 0x5000, &NOP.to_le_bytes()[2..]);
    guest.entry(LEAVES + 8, FRAME + 0x5000, V | R);
    guest.set("pc", WINDOW + 0xffe);
    assert_eq!(guest.trap(), Some((FETCH_PAGE_FAULT, WINDOW + 0x1000)));
    assert_eq!(guest.get("sepc"), WINDOW + 0xffe);
    guest.entry(LEAVES + 8, FRAME + 0x5000, V | X);
    guest.set("pc", WINDOW + 0xffe);
    assert_eq!(guest.trap(), None);
    assert_eq!(guest.get("pc"), WINDOW + 0x1002);
}

#[test]
fn sv48_walks_four_levels() {
    let mut guest = Guest::paged(&[ld(T1, T0, 0)]);
    let top = BASE + 0x13000;
    guest.entry(top, ROOT, V);
    guest.entry(top + 8, BASE, V | R);
    guest.put_u64(FRAME, 77);
    guest.entry(LEAVES, FRAME, V | R);
    guest.set("satp", SV48 | top >> 12);
    guest.set("t0", WINDOW);
    guest.steps(1);
    assert_eq!(guest.get("t1"), 77);
    // A leaf at the top level must be aligned to 512 GiB, which this one is not.
    guest.again();
    guest.set("t0", 1 << 39);
    assert_eq!(guest.trap(), Some((LOAD_PAGE_FAULT, 1 << 39)));
    guest.again();
    guest.set("t0", 1 << 47);
    assert_eq!(guest.trap(), Some((LOAD_PAGE_FAULT, 1 << 47)));
}

#[test]
fn misaligned_accesses_work_and_misaligned_atomics_do_not() {
    let lr = amo(2, 3, T1, T0, ZERO);
    let mut guest = Guest::new(&[
        i(LOAD, 1, T1, T0, 1),
        s(STORE, 2, T0, T1, 5),
        lr,
        amo(0, 3, T1, T0, T1),
        amo(3, 3, T1, T0, T1),
    ]);
    guest.set("t0", FRAME + 2);
    guest.put_u64(FRAME, 0x8877_6655_4433_2211);
    guest.steps(2);
    assert_eq!(guest.get("t1"), 0x5544);
    assert_eq!(guest.u64_at(FRAME), 0x4477_6655_4433_2211);
    assert_eq!(guest.u64_at(FRAME + 8), 0x55);
    for cause in [4, 6, 6] {
        assert_eq!(guest.trap(), Some((cause, FRAME + 2)));
        let next = guest.get("sepc") + 4;
        guest.set("pc", next);
    }
}
