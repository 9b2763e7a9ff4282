//! Guests that mean harm: whatever they do, a run ends at its deadline, the host's memory stays
//! bounded, and what is cached cannot be seen.

#![allow(clippy::panic, clippy::expect_used, reason = "a test says what it expects")]

mod assembly;
mod guest;

use assembly::*;
use guest::{BASE, FRAME, Guest, LEAVES, MIDDLE, R, ROOT, SV39, V, VECTOR, W, X};
use std::time::Duration;
use stillpoint_soft::Soft;
use stillpoint_vmm::board::PayloadForm;
use stillpoint_vmm::engine::{Engine, Exit};
use stillpoint_vmm::loaders::Source;
use stillpoint_vmm::machine::{Machine, MachineConfig, RunUntil, Stop};

/// A machine that executes `code` as a flat payload.
fn machine(code: &[u32]) -> Machine {
    let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    let config = MachineConfig {
        form: PayloadForm::Flat { address: BASE },
        memory_bytes: 1 << 20,
        ..MachineConfig::new(Source::Bytes(bytes.into()))
    };
    Machine::new(&config, Box::new(Soft::new())).expect("a machine")
}

#[test]
fn loops_and_trap_storms_can_be_interrupted() {
    for code in [
        vec![jal(ZERO, 0)],
        vec![jalr(ZERO, ZERO, 0)],
        vec![EBREAK],
        vec![csrw(STVEC, ZERO), ECALL, jal(ZERO, -4)],
        vec![csrw(SATP, T0), jal(ZERO, 0)],
    ] {
        let mut machine = machine(&code);
        let handle = machine.handle();
        let interrupter = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            handle.interrupt();
        });
        let stop = machine.run(&RunUntil::default());
        interrupter.join().expect("the other thread");
        assert_eq!(stop, Stop::Interrupted, "{code:x?}");
    }
}

#[test]
fn a_fault_in_the_trap_handler_is_a_storm_that_meets_its_deadline() {
    for vector in [0, VECTOR, !3, 0xffff_ffff_8000_0000] {
        let mut guest = Guest::paged(&[ld(T0, ZERO, 0)]);
        guest.set("stvec", vector);
        assert_eq!(guest.run(100_000), Exit::Deadline, "{vector:#x}");
        assert_eq!(guest.engine.now(), 100_000);
    }
}

#[test]
fn page_tables_may_point_to_themselves_and_to_code() {
    let mut guest = Guest::paged(&[sd(T1, T0, 0), ld(T2, T0, 8), addi(T0, T0, 16), jal(ZERO, -12)]);
    guest.entry(ROOT + 24, ROOT, V);
    guest.entry(ROOT + 16, BASE, V | R | W | X);
    guest.entry(LEAVES, MIDDLE, V | R | W | X);
    guest.set("t0", 0xc000_0000);
    guest.set("t1", u64::MAX);
    assert_eq!(guest.run(200_000), Exit::Deadline);
    // The tables lie over the code, so that setting A and D changes instructions.
    let mut guest = Guest::new(&[NOP, NOP, NOP, NOP, ld(T1, T0, 0), jal(ZERO, -4)]);
    guest.put_u64(BASE + 16, BASE >> 2 | V | R | W | X);
    guest.set("satp", SV39 | BASE >> 12);
    guest.set("t0", FRAME);
    assert_eq!(guest.run(200_000), Exit::Deadline);
}

#[test]
fn a_guest_that_rewrites_its_code_for_ever_stays_bounded_and_right() {
    // Rewrites the first instruction of a long block, runs the block, and counts.
    let mut code = vec![
        addi(A1, A1, 1), // the instruction that is rewritten
    ];
    code.extend([NOP; 58]);
    code.extend([
        i(OP_IMM, 4, T0, T0, 1 << 8), // xori: `addi a1, a1, 1` to `addi a1, a2, 1` and back …
        s(STORE, 2, T1, T0, 0),
        addi(A0, A0, 1),
        jal(ZERO, -4 * 62),
    ]);
    let mut guest = Guest::new(&code);
    guest.set("t0", u64::from(code[0]));
    guest.set("t1", BASE);
    let laps = 60_000u64;
    assert_eq!(guest.run(laps * 63), Exit::Deadline);
    assert_eq!((guest.get("a0"), guest.get("pc")), (laps, BASE));
    assert!(guest.engine.block_flushes() > 0, "the store of decoded blocks was never full");
}

#[test]
fn a_machine_of_code_only_stays_bounded() {
    // Every halfword of memory is the start of a block: jumps to all of them.
    let mut guest = Guest::new(&[addi(T0, T0, 2), jalr(RA, T0, 0), jal(ZERO, -8)]);
    // `c.jr ra` everywhere else.
    let fill: Vec<u8> = std::iter::repeat_n([0x82u8, 0x80], 0x70000).flatten().collect();
    guest.put(BASE + 0x1000, &fill);
    guest.set("t0", BASE + 0x1000);
    assert_eq!(guest.run(4 * 0x60000), Exit::Deadline);
    assert_eq!(guest.get("traps"), 0);
}

#[test]
fn the_end_of_memory_and_of_the_address_space_are_ends() {
    let code = [ld(T1, T0, 0), sd(T1, T0, 0), amo(0, 3, T1, T0, T1), jalr(ZERO, T0, 0)];
    for address in [BASE + guest::MEMORY_BYTES - 4, u64::MAX - 3, u64::MAX - 7, BASE - 4] {
        for (index, cause) in [(0, 5), (1, 7), (2, 6), (3, 1)] {
            let mut guest = Guest::new(&code);
            guest.set("t0", address);
            guest.set("pc", BASE + 4 * index);
            let mut trap = guest.trap();
            if index == 3 {
                trap = guest.trap();
                // The last instruction of memory can be executed: it is zeros.
                if address == BASE + guest::MEMORY_BYTES - 4 {
                    assert_eq!(trap, Some((2, 0)));
                    continue;
                }
            }
            let trap = trap.map(|t| t.0);
            // An aligned atomic outside memory is an access fault.
            let wanted = if index == 2 && address % 8 == 0 { 7 } else { cause };
            assert_eq!(trap, Some(wanted), "{address:#x}, instruction {index}");
        }
    }
}
