use super::*;
use crate::conformance::fake::{CONSOLE as CONSOLE_BASE, Fake, Op, op};
use crate::control::HostFrame;
use crate::devices::{Renewal, ns16550a};
use crate::engine::Exit;
use crate::event::{
    EVENT_BYTES, EventBody, EventKind, InputKind, KindSet, MAX_QUOTA_BYTES, Overflow, Quota,
};
use crate::loaders::Source;

mod clocks;
mod network;

fn config(program: &[Vec<u8>]) -> MachineConfig {
    MachineConfig {
        memory_bytes: 1 << 20,
        sample_step_nanos: 0,
        ..MachineConfig::new(Source::Bytes(program.concat().into()))
    }
}

fn machine(program: &[Vec<u8>]) -> Machine {
    Machine::new(&config(program), Fake::boxed()).expect("good")
}

fn kinds(machine: &Machine) -> Vec<&'static str> {
    let events = machine.events(0, usize::MAX).expect("all kept");
    events.iter().map(|event| event.body.kind().name()).collect()
}

fn endless() -> Vec<Vec<u8>> {
    vec![op(Op::Set, 1, 0, 1), op(Op::JumpIfNot, 1, 0, 0)]
}

#[test]
fn a_machine_executes_nothing_before_it_is_run() {
    let machine = machine(&[op(Op::Halt, 0, 0, 0)]);
    assert_eq!((machine.now(), machine.next_seq()), (0, 0));
}

#[test]
fn runs_end_for_every_reason_that_was_given() {
    let mut machine = machine(&endless());
    let at = |at| RunUntil { at_nanos: Some(at), ..RunUntil::default() };
    assert_eq!(machine.run(&at(100)), Stop::Time);
    assert_eq!(machine.now(), 100);
    assert_eq!(machine.run(&at(100)), Stop::Time);
    assert_eq!(machine.run(&at(50)), Stop::Time);
    let budget = RunUntil { budget_nanos: Some(7), ..RunUntil::default() };
    assert_eq!(machine.run(&budget), Stop::Budget);
    assert_eq!(machine.now(), 107);
    machine.handle().interrupt();
    assert_eq!(machine.run(&RunUntil::default()), Stop::Interrupted);
    assert_eq!(machine.now(), 107);
    assert_eq!(machine.run(&budget), Stop::Budget, "an interruption is reported once");
}

#[test]
fn a_run_ends_right_behind_the_instruction_that_caused_the_event() {
    let emit = op(Op::Emit, 0, 0, 0);
    let mut machine = machine(&[emit.clone(), emit.clone(), emit, op(Op::Halt, 0, 3, 0)]);
    let until =
        RunUntil { kinds: KindSet::EMPTY.with(EventKind::HeartbeatTick), ..RunUntil::default() };
    for seq in 0..3 {
        assert_eq!(machine.run(&until), Stop::Event { seq });
        assert_eq!(machine.now(), seq + 1);
    }
    assert_eq!(machine.run(&until), Stop::Halted { reason: 3 });
    assert_eq!(machine.run(&until), Stop::Halted { reason: 3 });
    assert_eq!(kinds(&machine).last(), Some(&"GuestHalted"));
    assert_eq!(machine.next_seq(), 4);
    assert!(matches!(machine.send_serial(0, b"x"), Err(InputError::MachineEnded { .. })));
}

#[test]
fn waiting_costs_no_host_time_and_is_announced_only_when_it_waits() {
    let program = [
        op(Op::Timer, 0, 0, 3_600_000_000_000),
        op(Op::Wait, 0, 0, 0),
        op(Op::Timer, 0, 0, 1),
        op(Op::Wait, 0, 0, 0),
        op(Op::Timer, 0, 0, 0),
        op(Op::Wait, 0, 0, 0),
    ];
    let mut machine = machine(&program);
    assert_eq!(machine.run(&RunUntil::default()), Stop::Idle);
    let events = machine.events(0, 100).expect("kept");
    let times: Vec<_> = events.iter().map(|e| (e.body.kind().name(), e.at_nanos)).collect();
    let hour = 3_600_000_000_001;
    assert_eq!(
        times,
        [("GuestIdle", 2), ("GuestBusy", hour), ("GuestIdle", hour + 4)],
        "the second wait ended before it began"
    );
    let until = RunUntil { at_nanos: Some(HORIZON_NANOS + 5), ..RunUntil::default() };
    assert_eq!(machine.run(&until), Stop::Horizon);
    assert_eq!(machine.now(), HORIZON_NANOS);
}

#[test]
fn input_wakes_a_waiting_guest_and_is_recorded() {
    let program = [
        op(Op::DeviceWrite, 0, CONSOLE_BASE as u32 + 1, 1),
        op(Op::Wait, 0, 0, 0),
        op(Op::DeviceRead, 0, CONSOLE_BASE as u32, 0),
        op(Op::Emit, 0, 0, 0),
        op(Op::Halt, 0, 0, 0),
    ];
    let mut machine = machine(&program);
    assert_eq!(machine.run(&RunUntil::default()), Stop::Idle);
    machine.run(&RunUntil { at_nanos: Some(500), ..RunUntil::default() });
    assert_eq!(machine.send_serial(0, b"A"), Ok(1));
    assert_eq!(machine.run(&RunUntil::default()), Stop::Halted { reason: 0 });
    let bodies: Vec<_> =
        machine.events(0, 100).expect("kept").into_iter().map(|e| (e.at_nanos, e.body)).collect();
    assert_eq!(bodies[1].0, 500);
    assert_eq!(bodies[2], (500, EventBody::GuestBusy));
    assert_eq!(bodies[3], (502, EventBody::HeartbeatTick { count: u64::from(b'A') }));
}

#[test]
fn a_long_paced_wait_is_outside_of_the_run_and_a_short_one_takes_host_time() {
    let paced = |at_nanos| RunUntil {
        at_nanos: Some(at_nanos),
        pace: Pace::HostTime,
        ..RunUntil::default()
    };
    let mut machine = machine(&[op(Op::Wait, 0, 0, 0)]);
    assert_eq!(machine.run(&paced(1 << 50)), Stop::Interrupted);
    let begins_at = machine.now();
    assert!(begins_at < 1 << 20);
    assert!(machine.waits_until().is_some());
    machine.let_pass(begins_at + 5_000_000);
    assert_eq!(machine.now(), begins_at + 5_000_000);
    let began = std::time::Instant::now();
    assert_eq!(machine.run(&paced(begins_at + 5_500_000)), Stop::Time);
    assert!(began.elapsed() >= std::time::Duration::from_nanos(500_000));
}

#[test]
fn an_engine_that_panics_is_a_fault_and_the_process_goes_on() {
    let mut machine = machine(&[op(Op::Emit, 0, 0, 0), op(Op::Panic, 0, 0, 0)]);
    let stop = machine.run(&RunUntil::default());
    let Stop::Fault { message } = stop else { panic!("{stop:?}") };
    assert!(message.contains("as the guest wished"), "{message}");
    assert_eq!(kinds(&machine), ["HeartbeatTick", "EngineFault"]);
    assert!(matches!(machine.fork(), Err(ForkError::MachineFaulted { .. })));
    assert!(matches!(machine.run(&RunUntil::default()), Stop::Fault { .. }));
}

#[test]
fn dirtied_pages_are_counted_at_fixed_steps() {
    // Writes two pages, waits over several steps, writes one.
    let program = [
        op(Op::Store, 0, 0, 0x10000),
        op(Op::Store, 0, 0, 0x11000),
        op(Op::Store, 0, 0, 0x11008),
        op(Op::Timer, 0, 0, 1_000_000),
        op(Op::Wait, 0, 0, 0),
        op(Op::Store, 0, 0, 0x10000),
        op(Op::Timer, 0, 0, 0),
        op(Op::Wait, 0, 0, 0),
    ];
    let config = MachineConfig { sample_step_nanos: 100_000, ..config(&program) };
    let mut machine = Machine::new(&config, Fake::boxed()).expect("good");
    assert_eq!(machine.run(&RunUntil::default()), Stop::Idle);
    let samples: Vec<_> = machine
        .events(0, 100)
        .expect("kept")
        .into_iter()
        .filter_map(|event| match event.body {
            EventBody::PagesDirtied { count } => Some((event.at_nanos, count)),
            _ => None,
        })
        .collect();
    assert_eq!(samples, [(100_000, 2), (200_000, 0), (1_100_000, 1), (1_200_000, 0)]);
}

#[test]
fn every_event_reaches_the_sink_once_and_in_order() {
    let mut program: Vec<_> = (0..5000).map(|_| op(Op::Emit, 0, 0, 0)).collect();
    program.push(op(Op::Halt, 0, 0, 0));
    let mut machine = machine(&program);
    let mut seen = Vec::new();
    let mut run = |machine: &mut Machine, until: &RunUntil| {
        machine.run_into(until, &mut |events| seen.extend(events.iter().map(|event| event.seq)))
    };
    run(&mut machine, &RunUntil { budget_nanos: Some(1234), ..RunUntil::default() });
    machine.emit(EventBody::Custom { name: "mine".into(), payload_json: "1".into() });
    run(&mut machine, &RunUntil::default());
    assert_eq!(seen, (0..5002).collect::<Vec<_>>());
}

#[test]
fn a_flood_of_events_within_one_slice_loses_none() {
    let program = [
        op(Op::DeviceWrite, 0, CONSOLE_BASE as u32, u64::from(b'\n')),
        op(Op::Set, 1, 0, 1),
        op(Op::JumpIfNot, 1, 0, 0),
    ];
    let quota = Quota {
        burst_bytes: MAX_QUOTA_BYTES,
        bytes_per_second: MAX_QUOTA_BYTES,
        overflow: Overflow::Drop,
    };
    let quotas = vec![(EventKind::SerialLine, quota)];
    let mut machine =
        Machine::new(&MachineConfig { log_bytes: 0, quotas, ..config(&program) }, Fake::boxed())
            .expect("good");
    let mut next = 0;
    machine.run_into(&RunUntil { at_nanos: Some(900_000), ..RunUntil::default() }, &mut |events| {
        for event in events {
            assert_eq!(event.seq, next);
            next += 1;
        }
    });
    assert_eq!(next, 300_000);
    assert!(machine.platform.log().size_bytes() <= MIN_LOG_BYTES);
}

/// A guest that says its sign of life a hundred thousand times, every third nanosecond, and rests.
fn flood(overflow: Overflow) -> Machine {
    let program = [
        op(Op::Set, 1, 0, 100_000),
        op(Op::Emit, 0, 0, 0),
        op(Op::Decrement, 1, 0, 0),
        op(Op::JumpIfNot, 1, 0, 1),
        op(Op::Wait, 0, 0, 0),
    ];
    let quota = Quota { burst_bytes: 10 * EVENT_BYTES, bytes_per_second: 0, overflow };
    let quotas = vec![(EventKind::HeartbeatTick, quota)];
    Machine::new(&MachineConfig { quotas, ..config(&program) }, Fake::boxed()).expect("good")
}

fn until(at: Nanos) -> RunUntil {
    RunUntil { at_nanos: Some(at), ..RunUntil::default() }
}

#[test]
fn what_a_flood_loses_is_counted_and_depends_on_the_guest_alone() {
    let (mut whole, mut cut) = (flood(Overflow::Drop), flood(Overflow::Drop));
    let end = 250_000_000;
    assert_eq!(whole.run(&until(end)), Stop::Time);
    for at in [7, 50_000, 99_999_999, 100_000_001, 150_000_000, end] {
        assert_eq!(cut.run(&until(at)), Stop::Time);
        cut = cut.fork().expect("good");
    }
    let all = |machine: &Machine| machine.events(0, usize::MAX).expect("all kept");
    assert_eq!(all(&cut), all(&whole));
    assert_eq!(cut.digest().expect("good"), whole.digest().expect("good"));
    let said = all(&whole);
    // Ten signs of life, the rest, and what was dropped, once.
    assert_eq!(said.len(), 12);
    let reports: Vec<_> = said[11..].iter().map(|event| (event.at_nanos, &event.body)).collect();
    let EventBody::EventsDropped { kind: EventKind::HeartbeatTick, count } = *reports[0].1 else {
        panic!("{reports:?}")
    };
    assert_eq!(count, 100_000 - 10);
    assert!(reports[0].0 >= 100_000_000 && reports[0].0 < 100_001_000, "{reports:?}");
}

#[test]
fn a_quota_that_pauses_ends_the_run_and_loses_nothing() {
    let mut machine = flood(Overflow::Pause);
    assert_eq!(machine.run(&until(1000)), Stop::Event { seq: 10 });
    assert_eq!(machine.run(&until(1000)), Stop::Event { seq: 21 });
    let events = machine.events(0, usize::MAX).expect("all kept");
    assert!(events.iter().all(|event| event.body.kind() == EventKind::HeartbeatTick));
}

#[test]
fn a_quota_that_ends_the_guest_says_why() {
    let mut machine = flood(Overflow::End);
    let stop = machine.run(&until(1000));
    assert!(matches!(&stop, Stop::Fault { message } if message.contains("HeartbeatTick")));
    assert_eq!(machine.run(&until(2000)), stop);
    assert_eq!(kinds(&machine)[10..], ["EventsDropped", "EngineFault"]);
}

#[test]
fn a_prompt_is_told_to_whoever_waits_for_it() {
    let write = |byte: u8| op(Op::DeviceWrite, 0, CONSOLE_BASE as u32, u64::from(byte));
    let mut machine = machine(&[write(b'$'), write(b' '), op(Op::Wait, 0, 0, 0)]);
    let kinds = KindSet::EMPTY.with(EventKind::SerialText);
    let stop = machine.run(&RunUntil { kinds, ..RunUntil::default() });
    assert_eq!(stop, Stop::Event { seq: 1 });
    assert_eq!(machine.now(), 2 + crate::serial_ports::CALM_NANOS);
    assert_eq!(machine.run(&RunUntil::default()), Stop::Idle);
    assert_eq!(self::kinds(&machine), ["GuestIdle", "SerialText"]);
}

#[test]
fn frames_of_the_hosts_are_checked() {
    let mut machine = machine(&endless());
    assert_eq!(machine.send_control(&HostFrame::Go), Ok(0));
    for bad in [&[][..], &[1, 0, 0, 0], &[2, 0, 0, 0, 0x81], &[1, 0, 0, 0, 0x01]] {
        assert!(matches!(machine.send_control_bytes(bad), Err(InputError::FrameInvalid { .. })));
    }
    assert!(matches!(machine.send_serial(1, b"x"), Err(InputError::PortUnknown { found: 1 })));
    let unknown = machine.send_serial_secret(1, b"x");
    assert!(matches!(unknown, Err(InputError::PortUnknown { found: 1 })));
    let most = vec![0; ns16550a::INPUT_BYTES];
    machine.send_serial(0, &most).expect("fits");
    assert!(matches!(machine.send_serial(0, &most), Err(InputError::InputFull { .. })));
}

#[test]
fn a_single_step_executes_one_instruction() {
    let mut machine = machine(&[op(Op::Set, 0, 0, 5), op(Op::Add, 0, 0, 6), op(Op::Halt, 0, 9, 0)]);
    assert_eq!(machine.step(), None);
    assert_eq!(machine.registers()[1], ("a", 5));
    machine.set_register("a", 100).expect("there");
    assert_eq!(machine.step(), None);
    assert_eq!(machine.registers()[1], ("a", 106));
    assert_eq!(machine.step(), Some(Exit::Halted { reason: 9 }));
    assert_eq!(machine.run(&RunUntil::default()), Stop::Halted { reason: 9 });
    assert!(machine.set_register("nothing", 0).is_err());
}

#[test]
fn machines_that_cannot_be_made_say_why() {
    let bad = |change: fn(&mut MachineConfig)| {
        let mut config = config(&endless());
        change(&mut config);
        Machine::new(&config, Fake::boxed()).map(|_| ()).expect_err("bad").name()
    };
    assert_eq!(bad(|config| config.memory_bytes = 4096), "MemorySizeInvalid");
    assert_eq!(bad(|config| config.memory_bytes += 1), "MemorySizeInvalid");
    assert_eq!(bad(|config| config.memory_bytes = 1 << 60), "MemorySizeInvalid");
    assert_eq!(bad(|config| config.sample_step_nanos = 1), "SampleStepInvalid");
    assert_eq!(bad(|config| config.kernel = Source::Path("/nowhere".into())), "KernelUnreadable");
    assert_eq!(bad(|config| config.kernel = Source::Path("/dev".into())), "KernelUnreadable");
    let large = |config: &mut MachineConfig| {
        config.kernel = Source::Bytes(vec![0; (1 << 20) + 1].into());
    };
    assert_eq!(bad(large), "KernelTooLarge");
    let initramfs =
        |config: &mut MachineConfig| config.initramfs = Some(Source::Path("/nowhere".into()));
    assert_eq!(bad(initramfs), "InitramfsUnreadable");
}

#[test]
fn forks_and_captures_are_sent_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Machine>();
    is_send::<crate::snapshot::Capture>();
    is_send::<MachineHandle>();
}

#[test]
fn a_machine_of_host_randomness_differs_from_its_forks() {
    let program = [op(Op::Random, 0, 0, 0), op(Op::Emit, 0, 0, 0), op(Op::Halt, 0, 0, 0)];
    let config = MachineConfig { seed: Seed::Host, ..config(&program) };
    let mut machine = Machine::new(&config, Fake::boxed()).expect("good");
    let mut child = machine.fork().expect("good");
    machine.run(&RunUntil::default());
    child.run(&RunUntil::default());
    assert_ne!(machine.events(0, 1), child.events(0, 1));
    assert!(!machine.origin().deterministic);
}

#[test]
fn a_renewed_fork_is_another_machine_and_the_renewal_is_an_event() {
    let program = [op(Op::Random, 0, 0, 0), op(Op::Emit, 0, 0, 0), op(Op::Halt, 0, 0, 0)];
    let mut machine = machine(&program);
    let renewal = |number| Renewal::new(&[number; 32], &[number; 16], 5).expect("lengths");
    let mut runs = Vec::new();
    for renewed in [None, Some(1), Some(2), Some(1)] {
        let mut fork = machine.fork().expect("good");
        if let Some(number) = renewed {
            assert_eq!(fork.renew(&renewal(number)), Ok(0));
            let recorded = fork.events(0, 1).expect("kept");
            let EventBody::HostInput { kind: InputKind::Renewal, port: 0, data } =
                &recorded[0].body
            else {
                panic!("{recorded:?}");
            };
            assert_eq!(Renewal::decode(data), Ok(renewal(number)));
        }
        fork.run(&RunUntil::default());
        runs.push((fork.digest().expect("in memory"), fork.events(0, 9).expect("kept")));
        assert_eq!(fork.renew(&renewal(3)).map_err(|error| error.name()), Err("MachineEnded"));
    }
    assert_ne!(runs[0], runs[1]);
    assert_ne!(runs[1], runs[2]);
    assert_eq!(runs[1], runs[3]);
}
