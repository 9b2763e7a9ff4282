//! Exceptions, interrupts, CSRs and waits as a supervisor or user observes them.

#![allow(clippy::panic, reason = "a test says what it expects")]

mod assembly;
mod guest;

use assembly::*;
use guest::{BASE, FRAME, Guest, MXR, SIE, SPIE, SPP, SUM, VECTOR};
use stillpoint_vmm::engine::{Engine, Exit};

const ILLEGAL: u64 = 2;
const WFI: u32 = 0x1050_0073;
const STIMECMP: u32 = 0x14d;

#[test]
fn a_user_call_goes_to_the_supervisor_and_sret_comes_back() {
    let mut guest = Guest::user(&[ECALL, NOP]);
    guest.put(VECTOR, &SRET.to_le_bytes());
    guest.set("sstatus", SIE);
    let pc = guest.get("pc");
    assert_eq!(guest.trap(), Some((8, 0)));
    assert_eq!((guest.get("pc"), guest.get("sepc"), guest.get("mode")), (VECTOR, pc, 1));
    assert_eq!(guest.get("sstatus") & (SIE | SPIE | SPP), SPIE);
    guest.set("sepc", pc + 4);
    guest.steps(1);
    assert_eq!((guest.get("pc"), guest.get("mode")), (pc + 4, 0));
    assert_eq!(guest.get("sstatus") & (SIE | SPIE | SPP), SIE | SPIE);
}

#[test]
fn sret_returns_to_the_mode_that_spp_names_and_clears_it() {
    let mut guest = Guest::new(&[SRET]);
    guest.set("sstatus", SPP);
    guest.set("sepc", BASE + 0x100);
    guest.steps(1);
    assert_eq!((guest.get("mode"), guest.get("pc")), (1, BASE + 0x100));
    assert_eq!(guest.get("sstatus") & (SIE | SPIE | SPP), SPIE);
}

#[test]
fn exceptions_say_what_and_where() {
    let mut guest = Guest::new(&[EBREAK]);
    assert_eq!(guest.trap(), Some((3, BASE)));
    assert_eq!(guest.get("sstatus") & SPP, SPP);
    let mut guest = Guest::new(&[0xffff_ffff]);
    assert_eq!(guest.trap(), Some((ILLEGAL, 0xffff_ffff)));
    let mut guest = Guest::new(&[0xabcd_0000]);
    assert_eq!(guest.trap(), Some((ILLEGAL, 0)), "a compressed one shows its 16 bits");
    let mut guest = Guest::new(&[ld(T1, ZERO, 64)]);
    assert_eq!(guest.trap(), Some((5, 64)));
    let mut guest = Guest::new(&[sd(T1, ZERO, 64)]);
    assert_eq!(guest.trap(), Some((7, 64)));
    let mut guest = Guest::new(&[jalr(ZERO, ZERO, 64)]);
    guest.steps(1);
    assert_eq!(guest.trap(), Some((1, 64)));
}

#[test]
fn a_trap_takes_a_nanosecond_and_retires_nothing() {
    let mut guest = Guest::new(&[NOP, EBREAK]);
    guest.steps(2);
    assert_eq!((guest.engine.now(), guest.get("instret")), (2, 1));
}

#[test]
fn users_may_not_execute_what_is_the_supervisors() {
    for word in [SRET, WFI, SFENCE_VMA, csrr(T0, SSTATUS), csrr(T0, SATP), csrr(T0, STIMECMP)] {
        let mut guest = Guest::user(&[word]);
        assert_eq!(guest.trap(), Some((ILLEGAL, u64::from(word))), "{word:#x}");
    }
}

#[test]
fn registers_that_do_not_exist_are_illegal() {
    for number in [0x300, 0x341, 0xf14, 0x600, 0x5a8, 0xc03, 0xc1f, 0x7a0, 0x180 + 1, 0xb00] {
        let word = csrr(T0, number);
        let mut guest = Guest::new(&[word]);
        assert_eq!(guest.trap(), Some((ILLEGAL, u64::from(word))), "{number:#x}");
    }
}

#[test]
fn read_only_registers_can_be_read_but_not_written() {
    for number in [0xc00, 0xc01, 0xc02] {
        let mut guest =
            Guest::new(&[csrr(T0, number), csr(2, T0, number, T1), csr(5, 0, number, 0)]);
        assert_eq!(guest.trap(), None);
        assert_eq!(guest.trap().map(|t| t.0), Some(ILLEGAL));
        guest.set("pc", BASE + 8);
        assert_eq!(guest.trap().map(|t| t.0), Some(ILLEGAL));
    }
}

#[test]
fn users_read_the_counters_that_the_supervisor_allows() {
    for (allowed, number) in [(1, 0xc00), (2, 0xc01), (4, 0xc02)] {
        let mut guest = Guest::user(&[csrr(T0, number), csrr(T0, number)]);
        guest.set("scounteren", allowed);
        assert_eq!(guest.trap(), None);
        guest.set("scounteren", 7 & !allowed);
        assert_eq!(guest.trap().map(|t| t.0), Some(ILLEGAL));
    }
}

#[test]
fn legal_values_are_kept_and_illegal_ones_are_not() {
    const SPECIAL: u64 = 2 << 32;
    let all = SIE | SPIE | SPP | SUM | MXR | 3 << 13 | SPECIAL | 1 << 63;
    for (number, written, read) in [
        (SSTATUS, u64::MAX, all),
        (SSTATUS, 0, SPECIAL),
        (SIE_REGISTER, u64::MAX, 0x222),
        (SIP, u64::MAX, 2),
        (STVEC, BASE | 1, BASE | 1),
        (STVEC, BASE | 2, VECTOR),
        (SEPC, BASE | 1, BASE),
        (SCAUSE, u64::MAX, u64::MAX),
        (STVAL, 0x1234, 0x1234),
        (SSCRATCH, u64::MAX, u64::MAX),
        (SCOUNTEREN, u64::MAX, 7),
        (SENVCFG, u64::MAX, 1),
        (FFLAGS, u64::MAX, 0x1f),
        (FRM, u64::MAX, 7),
        (FCSR, u64::MAX, 0xff),
        (SATP, 10 << 60 | 1, 0),
        (SATP, 1 << 60 | 1, 0),
        (STIMECMP, 12345, 12345),
    ] {
        let mut guest = Guest::new(&[csrw(number, T0), csrr(T1, number)]);
        guest.set("t0", written);
        guest.steps(2);
        assert_eq!(guest.get("t1"), read, "CSR {number:#x} after {written:#x}");
    }
}

const SIE_REGISTER: u32 = assembly::SIE;

#[test]
fn floating_point_is_illegal_while_it_is_off_and_dirty_when_written() {
    let fmv = r(OP_FP, 0, 0x79, 1, T0, 0);
    for word in [fmv, fld(1, T0, 0), fsd(1, T0, 0), r(OP_FP, 7, 1, 1, 1, 1), csrr(T1, FCSR)] {
        let mut guest = Guest::new(&[word]);
        guest.set("t0", FRAME);
        guest.set("sstatus", 0);
        assert_eq!(guest.trap(), Some((ILLEGAL, u64::from(word))), "{word:#x}");
    }
    for (word, state) in [
        (fmv, 3),
        (fld(1, T0, 0), 3),
        (fsd(1, T0, 0), 1),
        (csrr(T1, FCSR), 1),
        (csrw(FRM, ZERO), 3),
        // A comparison that raises nothing writes neither a register nor a flag.
        (r(OP_FP, 2, 0x51, T1, 1, 1), 1),
    ] {
        let mut guest = Guest::new(&[word]);
        guest.set("t0", FRAME);
        guest.set("sstatus", 1 << 13);
        guest.steps(1);
        assert_eq!(guest.get("sstatus") >> 13 & 3, state, "{word:#x}");
    }
}

#[test]
fn reserved_rounding_modes_are_illegal_also_through_frm() {
    let add = r(OP_FP, 7, 1, 1, 1, 1);
    let mut guest = Guest::new(&[add]);
    guest.set("frm", 5);
    assert_eq!(guest.trap(), Some((ILLEGAL, u64::from(add))));
    let mut guest = Guest::new(&[add & !(7 << 12) | 5 << 12]);
    assert_eq!(guest.trap().map(|t| t.0), Some(ILLEGAL));
}

#[test]
fn the_timer_interrupts_at_its_very_nanosecond() {
    let mut guest = Guest::new(&[jal(ZERO, 0)]);
    guest.set("sstatus", SIE);
    guest.set("sie", 0x20);
    guest.set("stimecmp", 7);
    assert_eq!(guest.run(700), Exit::Deadline);
    assert_eq!(guest.get("traps"), 0);
    assert_eq!(guest.run(701), Exit::Deadline);
    assert_eq!((guest.get("traps"), guest.get("scause")), (1, 1 << 63 | 5));
    assert_eq!((guest.get("sepc"), guest.get("pc")), (BASE, VECTOR));
}

#[test]
fn interrupts_come_in_order_of_priority_and_to_their_vectors() {
    let mut guest = Guest::new(&[NOP]);
    guest.set("sstatus", SIE);
    guest.set("stvec", VECTOR | 1);
    guest.set("sie", 0x222);
    guest.set("ssip", 2);
    guest.set("stimecmp", 0);
    guest.steps(1);
    assert_eq!((guest.get("scause"), guest.get("pc")), (1 << 63 | 1, VECTOR + 4));
    // Exceptions go to the base.
    let mut guest = Guest::new(&[EBREAK]);
    guest.set("stvec", VECTOR | 1);
    guest.steps(1);
    assert_eq!(guest.get("pc"), VECTOR);
}

#[test]
fn interrupts_wait_for_sie_in_supervisor_mode_only() {
    let mut guest = Guest::new(&[NOP, csr(6, ZERO, SSTATUS, 2), NOP]);
    guest.set("sie", 2);
    guest.set("ssip", 2);
    guest.steps(2);
    assert_eq!(guest.get("traps"), 0);
    guest.steps(1);
    assert_eq!((guest.get("traps"), guest.get("sepc")), (1, BASE + 8));
    let mut guest = Guest::user(&[NOP]);
    guest.set("sie", 2);
    guest.set("ssip", 2);
    guest.steps(1);
    assert_eq!(guest.get("scause"), 1 << 63 | 1);
}

#[test]
fn waiting_ends_with_an_interrupt_whether_or_not_it_is_taken() {
    let mut guest = Guest::new(&[WFI, NOP]);
    guest.set("sie", 0x20);
    guest.set("stimecmp", 10);
    assert_eq!(guest.run(5000), Exit::Idle { wake_at: Some(1000) });
    assert_eq!(guest.engine.now(), 1);
    assert_eq!(guest.run(0), Exit::Idle { wake_at: Some(1000) });
    guest.engine.wait(&mut guest.platform, 500);
    assert_eq!(guest.run(5000), Exit::Idle { wake_at: Some(1000) });
    guest.engine.wait(&mut guest.platform, 1000);
    assert_eq!(guest.run(1001), Exit::Deadline);
    assert_eq!((guest.get("pc"), guest.get("instret")), (BASE + 8, 2));
    // Nothing is enabled: nothing wakes it.
    let mut guest = Guest::new(&[WFI]);
    guest.set("stimecmp", 10);
    assert_eq!(guest.run(5000), Exit::Idle { wake_at: None });
}

#[test]
fn time_counts_waits_and_cycles_do_not() {
    let mut guest = Guest::new(&[WFI, csrr(T0, 0xc01), csrr(T1, 0xc00), csrr(T2, 0xc02)]);
    guest.set("sie", 0x20);
    guest.set("stimecmp", 10);
    assert_eq!(guest.run(5000), Exit::Idle { wake_at: Some(1000) });
    guest.engine.wait(&mut guest.platform, 1000);
    guest.steps(3);
    assert_eq!((guest.get("t0"), guest.get("t1"), guest.get("t2")), (10, 2, 3));
}

#[test]
fn a_guest_that_traps_for_ever_still_meets_its_deadline() {
    let mut guest = Guest::new(&[EBREAK]);
    guest.set("stvec", 0);
    assert_eq!(guest.run(1_000_000), Exit::Deadline);
    assert_eq!((guest.engine.now(), guest.get("instret")), (1_000_000, 0));
}

#[test]
fn overwritten_code_is_executed_as_written_at_once() {
    // sw t0, 8(t1); nop; addi a0, a0, 1: the last is replaced by addi a0, a0, 2.
    let code = [s(STORE, 2, T1, T0, 8), NOP, addi(A0, A0, 1), jal(ZERO, 0)];
    let mut guest = Guest::new(&code);
    guest.set("t0", u64::from(addi(A0, A0, 2)));
    guest.set("t1", BASE);
    assert_eq!(guest.run(10), Exit::Deadline);
    assert_eq!(guest.get("a0"), 2);
}

#[test]
fn reservations_hold_for_one_store_conditional_to_the_same_place() {
    let lr = amo(2, 3, T1, T0, ZERO);
    let sc = amo(3, 3, T2, T0, T1);
    let mut guest =
        Guest::new(&[sc, lr, sc, sc, lr, amo(3, 3, T2, A0, T1), lr, amo(3, 2, T2, T0, T1)]);
    guest.set("t0", FRAME);
    guest.set("a0", FRAME + 8);
    for (steps, failed) in [(1, 1), (2, 0), (1, 1), (2, 1), (2, 1)] {
        guest.steps(steps);
        assert_eq!(guest.get("t2"), failed, "pc {:#x}", guest.get("pc"));
    }
}
