use super::fake::{BASE, CLOCK, CONSOLE, Fake, Op, op};
use super::*;
use crate::loaders::Source;
use crate::snapshot::{CaptureKind, RestoreOptions};
use proptest::prelude::*;

pub(crate) fn guest(program: &[Vec<u8>]) -> MachineConfig {
    MachineConfig {
        memory_bytes: 1 << 20,
        sample_step_nanos: 10_000,
        ..MachineConfig::new(Source::Bytes(program.concat().into()))
    }
}

/// Programs that compute, touch memory, talk to devices, wait and loop.
fn programs() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let plain = prop_oneof![
        (0..4u8, any::<u64>()).prop_map(|(r, b)| op(Op::Set, r, 0, b)),
        (0..4u8, 0..100_000u64).prop_map(|(r, b)| op(Op::Add, r, 0, b)),
        (0..4u8, 0..4u32, 0..0x40000u64).prop_map(|(r, a, b)| op(Op::Store, r, a, b | 0x10000)),
        (0..4u8, 0..4u32, 0..0x40000u64).prop_map(|(r, a, b)| op(Op::Load, r, a, b)),
        (0..8u32, any::<u8>()).prop_map(|(a, b)| op(
            Op::DeviceWrite,
            0,
            CONSOLE as u32 + a,
            u64::from(b)
        )),
        (0..4u8, 0..8u32).prop_map(|(r, a)| op(Op::DeviceRead, r, CONSOLE as u32 + a, 0)),
        Just(op(Op::DeviceWrite, 0, CONSOLE as u32 + 1, 1)),
        Just(op(Op::DeviceWrite, 0, CONSOLE as u32, u64::from(b'\n'))),
        (0..8u32, any::<u32>()).prop_map(|(a, b)| op(
            Op::DeviceWrite,
            0,
            CLOCK as u32 + a * 4,
            u64::from(b)
        )),
        (0..4u8, 0..8u32).prop_map(|(r, a)| op(Op::DeviceRead, r, CLOCK as u32 + a * 4, 0)),
        (0..50_000u64).prop_map(|b| op(Op::Timer, 0, 0, b)),
        Just(op(Op::Wait, 0, 0, 0)),
        (0..4u8).prop_map(|r| op(Op::Random, r, 0, 0)),
        (0..4u8).prop_map(|r| op(Op::Emit, r, 0, 0)),
    ];
    (proptest::collection::vec(plain, 1..40), 0..4u8, 0..3u8).prop_map(|(mut body, r, end)| {
        // Register 3 counts the rounds, down from whatever it is.
        let len = body.len() as u64;
        body.push(op(Op::Add, r & 1, 0, 4096));
        body.push(op(Op::Decrement, 3, 0, 0));
        body.push(match end {
            0 => op(Op::Halt, 0, 7, 0),
            1 => op(Op::JumpIfNot, 3, 0, 0),
            _ => op(Op::JumpIfNot, 0, 0, len / 2),
        });
        body.push(op(Op::Reset, 0, 1, 0));
        body
    })
}

proptest! {
    #![proptest_config(crate::generated::cases(48))]

    /// The fake engine keeps every law on random programs, disturbed at random moments, with
    /// random input, whichever way its memory is kept.
    #[test]
    fn the_machine_keeps_the_laws(
        program in programs(),
        is_mapped in any::<bool>(),
        cuts in proptest::collection::vec(0..60_000u64, 0..5),
        inputs in proptest::collection::vec((0..60_000u64, proptest::collection::vec(any::<u8>(), 1..400)), 0..3),
    ) {
        let mut inputs = inputs;
        inputs.sort();
        let guest = guest(&program);
        let engines = Engines::only(if is_mapped { Fake::mapped } else { Fake::boxed });
        let subject = Subject { engines: &engines, guest, end_nanos: 60_000, inputs };
        for law in laws::ALL {
            law.check(&subject, &cuts).map_err(|violation| {
                TestCaseError::fail(violation.to_string())
            })?;
        }
    }
}

/// How memory is kept is no part of a machine: the same digest, and a snapshot of one restores in
/// the other.
#[test]
fn a_machine_is_the_same_whichever_way_its_memory_is_kept() {
    let program = [
        op(Op::Store, 0, 0, 0x10000),
        op(Op::Add, 0, 0, 0x1238),
        op(Op::Set, 3, 0, 1),
        op(Op::JumpIfNot, 3, 0, 0),
    ];
    let engines = [Fake::boxed, Fake::mapped].map(Engines::only);
    let until = |at| RunUntil { at_nanos: Some(at), ..RunUntil::default() };
    let mut digests = Vec::new();
    for (one, other) in [(0, 1), (1, 0)] {
        let engine = engines[one].make(AUTO).expect("there");
        let mut machine = Machine::new(&guest(&program), engine).expect("good");
        machine.run(&until(2000));
        let scratch = Scratch::new().expect("room");
        let capture = machine.begin_capture(CaptureKind::Full).expect("good");
        capture.write(&scratch.0).expect("written");
        let directories = [scratch.0.clone()];
        let mut moved = Machine::restore(&directories, &engines[other], &RestoreOptions::default())
            .expect("the same machine");
        machine.run(&until(5000));
        moved.run(&until(5000));
        digests.extend([machine.digest().expect("whole"), moved.digest().expect("whole")]);
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]));
}

/// Small, so that Miri reads it, too: what the engine and either memory point to and copy.
#[test]
fn a_guest_and_its_fork_have_what_each_stored_whichever_way_its_memory_is_kept() {
    let program = [
        op(Op::Set, 1, 0, 7),
        op(Op::Store, 0, 1, 0x10000),
        op(Op::Load, 0, 2, 0x10000),
        op(Op::Add, 0, 0, 0x1238),
        op(Op::Add, 1, 0, 1),
        op(Op::Set, 3, 0, 1),
        op(Op::JumpIfNot, 3, 0, 1),
    ];
    let until = |at| RunUntil { at_nanos: Some(at), ..RunUntil::default() };
    // Across two pages, the first of which the guest has stored to, and the second has not.
    let written = BASE + 0x10ffe;
    let stories = [Fake::boxed, Fake::mapped].map(|engine| {
        let mut machine = Machine::new(&guest(&program), engine()).expect("good");
        machine.run(&until(30));
        let mut fork = machine.fork().expect("good");
        machine.write_memory(written, &[1, 2, 3, 4]).expect("memory");
        let mut story = Vec::new();
        for machine in [&mut machine, &mut fork] {
            machine.run(&until(60));
            let mut bytes = [0; 4];
            machine.read_memory(written, &mut bytes).expect("memory");
            let mut stored = [0; 8];
            machine.read_memory(BASE + 0x10000 + 5 * 0x1238, &mut stored).expect("memory");
            story.push((bytes, u64::from_le_bytes(stored), machine.registers()));
        }
        story
    });
    let [paged, mapped] = stories;
    assert_eq!(paged, mapped);
    assert_eq!(paged.iter().map(|(bytes, ..)| *bytes).collect::<Vec<_>>(), [[1, 2, 3, 4], [0; 4]]);
    assert_eq!(paged[0].1, 12, "the sixth word that the guest stored");
    assert_eq!(paged[0].2, paged[1].2);
}

#[test]
fn a_violation_names_the_first_moment_that_differs() {
    let program = [op(Op::Add, 0, 0, 1), op(Op::Set, 1, 0, 1), op(Op::JumpIfNot, 1, 0, 0)].to_vec();
    let engines = Engines::only(Fake::boxed);
    let subject =
        Subject { engines: &engines, guest: guest(&program), end_nanos: 5000, inputs: Vec::new() };
    let violation = subject
        .compare("a-write-changes-nothing", &[100, 1000], &|mut machine| {
            if machine.now() == 1000 {
                machine.write_memory(BASE + 0x8000, &[1]).map_err(|error| error.to_string())?;
            }
            Ok(machine)
        })
        .expect_err("memory was changed");
    assert_eq!(violation.first_nanos, 1001);
}

/// Found by the property above: a sample that says nothing, taken by a cut run and skipped by
/// another, was seen in the digest.
#[test]
fn samples_that_say_nothing_leave_no_trace() {
    let program = [op(Op::Wait, 0, 0, 0)].to_vec();
    let engines = Engines::only(Fake::boxed);
    let subject = Subject {
        engines: &engines,
        guest: guest(&program),
        end_nanos: 30_001,
        inputs: Vec::new(),
    };
    for law in laws::ALL {
        law.check(&subject, &[9_999, 10_000, 10_001, 20_000]).expect("the law");
    }
}
