//! Guests without a kernel, on this host's `/dev/kvm`, of whatever kind it is.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::expect_used, reason = "a test says what it expects")]

use proptest::prelude::*;
use stillpoint_kvm::{Kind, Kvm, kind, usable};
use stillpoint_vmm::board::PayloadForm;
use stillpoint_vmm::engine::{Engine, Exit};
use stillpoint_vmm::engines::Engines;
use stillpoint_vmm::event::{EventKind, KindSet};
use stillpoint_vmm::loaders::Source;
use stillpoint_vmm::machine::{Machine, MachineConfig, RunUntil, Stop};
use stillpoint_vmm::snapshot::{CaptureKind, RestoreOptions};

const ADDRESS: u64 = 0x2_0000;
const COUNT: u64 = 0x3_0000;

/// mov ebx, COUNT; again: inc qword [rbx]; jmp again
const COUNTER: [u8; 10] = [0xbb, 0x00, 0x00, 0x03, 0x00, 0x48, 0xff, 0x03, 0xeb, 0xfb];
/// cli; hlt
const DEAD: [u8; 2] = [0xfa, 0xf4];
/// ud2, without a handler
const UNDEFINED: [u8; 2] = [0x0f, 0x0b];
/// mov al, 0xfe; out 0x64, al
const RESET: [u8; 4] = [0xb0, 0xfe, 0xe6, 0x64];
/// mov edx, 0x3f8; mov esi, text; mov ecx, 6; rep outsb; jmp to itself; text: "hello\n"
const HELLO: [u8; 25] = [
    0xba, 0xf8, 0x03, 0, 0, 0xbe, 0x13, 0, 2, 0, 0xb9, 6, 0, 0, 0, 0xf3, 0x6e, 0xeb, 0xfe, b'h',
    b'e', b'l', b'l', b'o', b'\n',
];

/// Whether the tests can be run here.
fn is_usable() -> bool {
    if let Err(why) = usable() {
        println!("skipped: engine kvm cannot be used here: {why}");
        return false;
    }
    true
}

fn config(code: &[u8]) -> MachineConfig {
    MachineConfig {
        form: PayloadForm::Flat { address: ADDRESS },
        memory_bytes: 4 << 20,
        ..MachineConfig::new(Source::Bytes(code.to_vec().into()))
    }
}

fn machine(code: &[u8]) -> Machine {
    Machine::new(&config(code), Box::new(Kvm::new())).expect("a good guest")
}

fn for_nanos(nanos: u64) -> RunUntil {
    RunUntil { budget_nanos: Some(nanos), ..RunUntil::default() }
}

fn memory(machine: &mut Machine) -> Vec<u8> {
    let (base, bytes) = machine.memory_range();
    let mut content = vec![0; bytes as usize];
    machine.read_memory(base, &mut content).expect("in memory");
    content
}

fn count(machine: &mut Machine) -> u64 {
    let mut bytes = [0; 8];
    machine.read_memory(COUNT, &mut bytes).expect("in memory");
    u64::from_le_bytes(bytes)
}

/// Runs until it has counted, however slow the host is.
fn counted(machine: &mut Machine) -> u64 {
    let before = count(machine);
    for _ in 0..10_000 {
        assert_eq!(machine.run(&for_nanos(1_000_000)), Stop::Budget);
        if count(machine) > before {
            return count(machine);
        }
    }
    before
}

#[test]
fn a_guest_ends_by_name() {
    if !is_usable() {
        return;
    }
    let until = RunUntil::default();
    assert_eq!(
        machine(include_bytes!("guests/prober.bin")).run(&until),
        Stop::Halted { reason: 0 }
    );
    assert_eq!(machine(&RESET).run(&until), Stop::Reset { reason: 0 });
    assert_eq!(machine(&DEAD).run(&until), Stop::Idle);
    let mut undefined = machine(&UNDEFINED);
    let Stop::Fault { message } = undefined.run(&until) else { panic!("expected a fault") };
    assert!(message.contains("at 0x"), "{message}");
    assert!(undefined.fork().is_err() && undefined.run(&until).name() == "fault");
}

#[test]
fn a_guest_that_never_exits_is_stopped_by_its_deadline_and_by_others() {
    if !is_usable() {
        return;
    }
    let mut machine = machine(&[0xeb, 0xfe]);
    assert_eq!(machine.run(&for_nanos(3_000_000)), Stop::Budget);
    let handle = machine.handle();
    let other = std::thread::spawn(move || handle.interrupt());
    assert_eq!(machine.run(&RunUntil::default()), Stop::Interrupted);
    other.join().expect("no panic");
}

#[test]
fn a_line_stops_the_run_behind_the_instruction_that_ended_it() {
    if !is_usable() {
        return;
    }
    let mut machine = machine(&HELLO);
    let kinds = KindSet::EMPTY.with(EventKind::SerialLine);
    let stop = machine.run(&RunUntil { kinds, ..RunUntil::default() });
    assert_eq!(stop, Stop::Event { seq: 0 });
    let registers = machine.registers();
    let value = |name| registers.iter().find(|(known, _)| *known == name).expect("known").1;
    // The string is written whole; whether its instruction is left or is to be, with nothing to do, is
    // the processor's to choose.
    assert_eq!(value("rcx"), 0);
    assert!([ADDRESS + 15, ADDRESS + 17].contains(&value("rip")), "{:#x}", value("rip"));
    assert!(machine.set_register("rax", 7).is_ok() && machine.set_register("x5", 7).is_err());
    assert_eq!(machine.step(), None);
    assert_eq!(machine.registers().iter().find(|(name, _)| *name == "rax"), Some(&("rax", 7)));
}

#[test]
fn a_guest_that_sleeps_wakes_by_its_timer() {
    if !is_usable() {
        return;
    }
    let mut machine = machine(include_bytes!("guests/sleeper.bin"));
    assert_eq!(machine.run(&RunUntil::default()), Stop::Halted { reason: 0 });
    assert!(machine.now() >= 5_000_000, "{}", machine.now());
    let events = machine.events(0, 100).expect("kept");
    let kinds: Vec<_> = events.iter().map(|event| event.body.kind()).collect();
    // A host that is late sees none of it; what it sees begin it sees end.
    let seen = |kind| kinds.iter().filter(|seen| **seen == kind).count();
    assert_eq!(seen(EventKind::GuestIdle), seen(EventKind::GuestBusy), "{kinds:?}");
}

#[test]
fn restored_and_forked_machines_have_the_same_memory_and_go_on() {
    if !is_usable() {
        return;
    }
    let directory = std::env::temp_dir().join(format!("stillpoint-kvm-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("delta")).expect("room");
    let engines = Engines::only(|| Box::new(Kvm::new()));
    let mut machine = machine(&COUNTER);
    counted(&mut machine);
    let capture = machine.begin_capture(CaptureKind::Full).expect("good");
    let (at, captured) = (machine.now(), memory(&mut machine));
    let registers = machine.registers();
    counted(&mut machine);
    let full = capture.write(&directory).expect("written").id;
    // Later writes are in the delta, including the processor's.
    let delta = machine.begin_capture(CaptureKind::Delta { parent: full }).expect("good");
    let later = memory(&mut machine);
    delta.write(&directory.join("delta")).expect("written");

    let restore = |directories: &[std::path::PathBuf]| {
        Machine::restore(directories, &engines, &RestoreOptions::default()).expect("whole")
    };
    let full = [directory.clone()];
    let chain = [directory.join("delta"), directory.clone()];
    assert!(memory(&mut restore(&chain)) == later);
    for _ in 0..2 {
        let mut restored = restore(&full);
        assert!(memory(&mut restored) == captured);
        assert_eq!((restored.now(), restored.registers()), (at, registers.clone()));
        let first = count(&mut restored);
        let mut fork = restored.fork().expect("good");
        assert!(counted(&mut restored) > first);
        assert!(memory(&mut fork) == captured, "a fork has what it was forked from");
        assert!(counted(&mut fork) > first);
        assert!(fork.now() > at && restored.now() > at);
    }
    std::fs::remove_dir_all(&directory).expect("removed");
}

/// Restoring at every entry, as KVM's own `state_test` does: the count never goes back, and no
/// machine is lost.
#[test]
fn a_machine_goes_on_from_its_saved_state_at_any_moment() {
    if !is_usable() {
        return;
    }
    let mut machine = machine(&COUNTER);
    let mut last = 0;
    for _ in 0..20 {
        let counted = counted(&mut machine);
        assert!(counted > last);
        last = counted;
        machine = machine.fork().expect("good");
        assert_eq!(count(&mut machine), last);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// With any executed bytes, the guest comes to a stop that has a name, and the host continues.
    #[test]
    fn any_bytes_come_to_a_named_stop(code in proptest::collection::vec(any::<u8>(), 1..200)) {
        if !is_usable() {
            return Ok(());
        }
        let stop = machine(&code).run(&for_nanos(2_000_000));
        let names = ["budget", "halted", "reset", "fault", "idle"];
        prop_assert!(names.contains(&stop.name()), "{stop:?}");
    }

    /// Whatever is written to any model-specific register or control register.
    #[test]
    fn any_register_can_be_written_and_read(
        index in prop_oneof![any::<u32>(), 0u32..0x2000, 0xc000_0000u32..0xc001_2000, 0x4b56_4d00u32..0x4b56_4d10],
        value in any::<u64>(),
    ) {
        if !is_usable() {
            return Ok(());
        }
        // mov ecx, index; mov eax, low; mov edx, high; wrmsr; rdmsr; mov rbx, rax; mov cr3, rbx; jmp $
        let mut code = vec![0xb9];
        code.extend(index.to_le_bytes());
        code.push(0xb8);
        code.extend((value as u32).to_le_bytes());
        code.push(0xba);
        code.extend(((value >> 32) as u32).to_le_bytes());
        code.extend([0x0f, 0x30, 0x0f, 0x32, 0x48, 0x89, 0xc3, 0x0f, 0x22, 0xdb, 0xeb, 0xfe]);
        let mut machine = machine(&code);
        let stop = machine.run(&for_nanos(2_000_000));
        prop_assert!(["budget", "fault", "idle"].contains(&stop.name()), "{stop:?}");
        if let Ok(mut fork) = machine.fork() {
            fork.run(&for_nanos(1_000_000));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever port and address is accessed, with any width: devices, what is behind memory, the edges of both.
    #[test]
    fn any_access_comes_to_a_named_stop(
        accesses in proptest::collection::vec(
            (
                prop_oneof![any::<u16>(), 0x2f0u16..0x300, 0x3f0u16..0x400, 0x60u16..0x80, 0x600u16..0x610],
                prop_oneof![0xcfff_fff0u32..0xd000_3000, 0xd001_0000u32..0xd001_2000, 0xfebf_fff0u32..=u32::MAX, any::<u32>()],
                any::<u32>(),
                0..6u8,
            ),
            1..12,
        ),
    ) {
        if !is_usable() {
            return Ok(());
        }
        let mut code = Vec::new();
        for (port, address, value, form) in accesses {
            // mov edx, port; mov ebx, address; mov eax, value
            code.push(0xba);
            code.extend(u32::from(port).to_le_bytes());
            code.push(0xbb);
            code.extend(address.to_le_bytes());
            code.push(0xb8);
            code.extend(value.to_le_bytes());
            // out dx, eax; in eax, dx │ out dx, ax; in ax, dx │ out dx, al; in al, dx │
            // mov [rbx], rax; mov rax, [rbx] │ mov [rbx], eax; mov eax, [rbx] │ mov [rbx], al; mov al, [rbx]
            let bytes: &[u8] = match form {
                0 => &[0xef, 0xed],
                1 => &[0x66, 0xef, 0x66, 0xed],
                2 => &[0xee, 0xec],
                3 => &[0x48, 0x89, 0x03, 0x48, 0x8b, 0x03],
                4 => &[0x89, 0x03, 0x8b, 0x03],
                _ => &[0x88, 0x03, 0x8a, 0x03],
            };
            code.extend(bytes);
        }
        code.extend([0xeb, 0xfe]);
        let mut machine = machine(&code);
        let stop = machine.run(&for_nanos(2_000_000));
        prop_assert!(["budget", "halted", "reset", "fault", "idle"].contains(&stop.name()), "{stop:?}");
        if let Ok(mut fork) = machine.fork() {
            fork.run(&for_nanos(100_000));
        }
    }
}

/// A kernel's file of 4 KiB, as far as a loader looks at it.
fn kernel() -> Vec<u8> {
    let mut image = vec![0xcc; 0x1400];
    image[0x1f1] = 1;
    image[0x1f4..0x1f8].copy_from_slice(&0x100_u32.to_le_bytes());
    image[0x1fe..0x206].copy_from_slice(&[0x55, 0xaa, 0xeb, 0x6a, b'H', b'd', b'r', b'S']);
    image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    image[0x236] = 1;
    image[0x258..0x260].copy_from_slice(&0x10_0000_u64.to_le_bytes());
    image[0x260..0x264].copy_from_slice(&0x2000_u32.to_le_bytes());
    image
}

#[test]
fn linux_is_refused_by_name_where_kvm_emulates() {
    if !is_usable() {
        return;
    }
    let linux = MachineConfig { form: PayloadForm::Recognised, ..config(&kernel()) };
    let made = Machine::new(&linux, Box::new(Kvm::new()));
    match kind().expect("usable") {
        Kind::Complete => assert!(made.is_ok(), "expected a machine where KVM is complete"),
        Kind::Emulating { .. } => {
            let refused = made.map(|_| ()).expect_err("expected a refusal where KVM emulates");
            assert_eq!(refused.name(), "EngineUnfit");
            let said = refused.to_string();
            assert!(said.contains("emulates") && said.contains("engine \"soft\""), "{said}");
        }
    }
}

#[test]
fn memory_of_another_engine_is_refused() {
    if !is_usable() {
        return;
    }
    let memory = stillpoint_vmm::memory::PagedMemory::new(0, 1 << 20);
    let mut platform = stillpoint_vmm::platform::Platform::new(memory);
    let Exit::Fault(message) = Kvm::new().run(&mut platform, 1) else { panic!("expected a fault") };
    assert!(message.contains("from no other"), "{message}");
}
