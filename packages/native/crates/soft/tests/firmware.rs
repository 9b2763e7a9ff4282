//! The supervisor binary interface.

#![allow(clippy::panic, reason = "a test says what it expects")]

mod assembly;
mod guest;

use assembly::{ECALL, NOP, jal};
use guest::*;
use stillpoint_vmm::engine::{Engine, Exit};

const NOT_SUPPORTED: u64 = -2i64 as u64;
const INVALID_PARAM: u64 = -3i64 as u64;
const INVALID_ADDRESS: u64 = -5i64 as u64;
const ALREADY_AVAILABLE: u64 = -6i64 as u64;

const BASE_EXTENSION: u64 = 0x10;
const TIME: u64 = 0x5449_4d45;
const IPI: u64 = 0x73_5049;
const RFENCE: u64 = 0x5246_4e43;
const HSM: u64 = 0x48_534d;
const SRST: u64 = 0x5352_5354;
const DBCN: u64 = 0x4442_434e;

fn caller(extension: u64, function: u64, arguments: &[u64]) -> Guest {
    let mut guest = Guest::new(&[ECALL, NOP, NOP]);
    for (name, value) in ["a0", "a1", "a2", "a3", "a4", "a5"].iter().zip(arguments) {
        guest.set(name, *value);
    }
    guest.set("a6", function);
    guest.set("a7", extension);
    guest
}

/// The error and the value that a call gives.
fn call(extension: u64, function: u64, arguments: &[u64]) -> (u64, u64) {
    let mut guest = caller(extension, function, arguments);
    assert_eq!(guest.step(), None);
    assert_eq!((guest.get("pc"), guest.get("mode")), (BASE + 4, 1));
    (guest.get("a0"), guest.get("a1"))
}

#[test]
fn base_says_the_version_and_what_there_is() {
    assert_eq!(call(BASE_EXTENSION, 0, &[]), (0, 2 << 24));
    for extension in [BASE_EXTENSION, TIME, IPI, RFENCE, HSM, SRST, DBCN, 0, 1, 2, 8] {
        assert_eq!(call(BASE_EXTENSION, 3, &[extension]), (0, 1), "{extension:#x}");
    }
    for extension in [9, 0x0050_4d55, 0x5355_5350, u64::MAX] {
        assert_eq!(call(BASE_EXTENSION, 3, &[extension]), (0, 0), "{extension:#x}");
    }
    for function in 4..=6 {
        assert_eq!(call(BASE_EXTENSION, function, &[]), (0, 0));
    }
}

#[test]
fn unknown_extensions_and_functions_are_not_supported() {
    for (extension, function) in [
        (9, 0),
        (u64::MAX, 0),
        (BASE_EXTENSION, 7),
        (TIME, 1),
        (IPI, 1),
        (RFENCE, 3),
        (RFENCE, 9),
        (HSM, 4),
        (SRST, 1),
        (DBCN, 3),
    ] {
        assert_eq!(call(extension, function, &[]).0, NOT_SUPPORTED, "{extension:#x} {function}");
    }
}

#[test]
fn the_timer_can_be_set_through_the_firmware() {
    let mut guest = caller(TIME, 0, &[5]);
    guest.steps(1);
    assert_eq!((guest.get("a0"), guest.get("stimecmp")), (0, 5));
    let mut guest = caller(0, 0, &[6]);
    guest.steps(1);
    assert_eq!((guest.get("a0"), guest.get("stimecmp")), (0, 6));
}

#[test]
fn harts_are_named_by_masks() {
    for (arguments, error, sent) in [
        ([1, 0], 0, true),
        ([0, u64::MAX], 0, true),
        ([0, 0], 0, false),
        ([2, 0], INVALID_PARAM, false),
        ([3, 0], INVALID_PARAM, false),
        ([1, 1], INVALID_PARAM, false),
    ] {
        let mut guest = caller(IPI, 0, &arguments);
        guest.steps(1);
        assert_eq!((guest.get("a0"), guest.get("ssip") == 2), (error, sent), "{arguments:?}");
        assert_eq!(call(RFENCE, 0, &arguments).0, error);
        assert_eq!(call(RFENCE, 1, &arguments).0, error);
        assert_eq!(call(RFENCE, 2, &arguments).0, error);
    }
}

#[test]
fn the_hart_is_started_and_can_stop_for_ever() {
    assert_eq!(call(HSM, 2, &[0]), (0, 0));
    assert_eq!(call(HSM, 2, &[1]).0, INVALID_PARAM);
    assert_eq!(call(HSM, 0, &[0, BASE, 0]).0, ALREADY_AVAILABLE);
    assert_eq!(call(HSM, 0, &[1, BASE, 0]).0, INVALID_PARAM);
    assert_eq!(call(HSM, 3, &[1]).0, INVALID_PARAM);
    let mut guest = caller(HSM, 1, &[]);
    guest.set("sie", 0x222);
    guest.set("stimecmp", 0);
    assert_eq!(guest.run(1000), Exit::Idle { wake_at: None });
}

#[test]
fn a_suspended_hart_resumes_where_it_asked() {
    let mut guest = caller(HSM, 3, &[0]);
    guest.set("sie", 0x20);
    guest.set("stimecmp", 3);
    assert_eq!(guest.run(1000), Exit::Idle { wake_at: Some(300) });
    assert_eq!((guest.get("a0"), guest.get("pc")), (0, BASE + 4));
    let mut guest = caller(HSM, 3, &[0x8000_0000, BASE + 0x40, 77]);
    guest.set("sie", 0x20);
    guest.set("stimecmp", 3);
    assert_eq!(guest.run(1000), Exit::Idle { wake_at: Some(300) });
    assert_eq!((guest.get("a0"), guest.get("a1"), guest.get("pc")), (0, 77, BASE + 0x40));
}

#[test]
fn a_hart_is_not_suspended_to_resume_outside_memory() {
    for address in [0, BASE - 2, BASE + MEMORY_BYTES, u64::MAX] {
        assert_eq!(call(HSM, 3, &[0x8000_0000, address, 0]).0, INVALID_ADDRESS, "{address:#x}");
    }
}

#[test]
fn a_reset_names_its_kind_and_reason() {
    for (arguments, exit) in [
        ([0, 0], Exit::Halted { reason: 0 }),
        ([0, 1], Exit::Halted { reason: 1 }),
        ([0, 0xf000_0001], Exit::Halted { reason: 0xf000_0001 }),
        ([1, 0], Exit::Reset { reason: 0 }),
        ([2, 1], Exit::Reset { reason: 1 }),
    ] {
        assert_eq!(caller(SRST, 0, &arguments).run(1000), exit);
        assert_eq!(caller(SRST, 0, &arguments).step(), Some(exit));
    }
    assert_eq!(caller(8, 0, &[]).run(1000), Exit::Halted { reason: 0 });
    for arguments in [[3, 0], [0, 2], [0, 1 << 32], [0xf000_0000, 0]] {
        assert_eq!(call(SRST, 0, &arguments).0, INVALID_PARAM, "{arguments:?}");
    }
}

#[test]
fn the_console_takes_memory_and_single_bytes() {
    let mut guest = caller(DBCN, 0, &[5, FRAME, 0]);
    guest.put(FRAME, b"hello");
    guest.steps(1);
    assert_eq!((guest.get("a0"), guest.get("a1")), (0, 5));
    assert_eq!(call(DBCN, 2, &[u64::from(b'x')]), (0, 0));
    assert_eq!(call(DBCN, 1, &[8, FRAME, 0]), (0, 0), "nothing to read");
    assert_eq!(call(DBCN, 0, &[0, FRAME, 0]), (0, 0));
    for arguments in [
        [1, 0, 0],
        [1, FRAME, 1],
        [2, BASE + MEMORY_BYTES - 1, 0],
        [u64::MAX, FRAME, 0],
        [1, u64::MAX, 0],
    ] {
        assert_eq!(call(DBCN, 0, &arguments).0, INVALID_PARAM, "{arguments:?}");
        assert_eq!(call(DBCN, 1, &arguments).0, INVALID_PARAM, "{arguments:?}");
    }
    // However much there is, a call moves a bounded part and says how much.
    assert_eq!(call(DBCN, 0, &[0x8000, FRAME, 0]), (0, 0x1000));
}

#[test]
fn legacy_calls_answer_in_one_register() {
    let mut guest = caller(2, 0, &[1, 42]);
    guest.steps(1);
    assert_eq!((guest.get("a0"), guest.get("a1")), (u64::MAX, 42));
    assert_eq!(call(1, 0, &[u64::from(b'x'), 42]), (0, 42));
    let mut guest = caller(4, 0, &[FRAME]);
    guest.put_u64(FRAME, 1);
    guest.steps(1);
    assert_eq!((guest.get("a0"), guest.get("ssip")), (0, 2));
    assert_eq!(call(6, 0, &[0, 0, u64::MAX]).0, 0);
}

#[test]
fn a_call_costs_a_nanosecond_and_retires_nothing() {
    let mut guest = caller(BASE_EXTENSION, 0, &[]);
    guest.put(BASE + 4, &jal(0, 0).to_le_bytes());
    assert_eq!(guest.run(10), Exit::Deadline);
    assert_eq!((guest.engine.now(), guest.get("instret")), (10, 9));
}
