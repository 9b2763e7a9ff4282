//! The hardware clock of a guest whose wall clock is set.

use proptest::prelude::*;

use super::*;
use crate::conformance::fake::CLOCK;

/// Reads the clock and tells both halves of what it shows, for ever.
fn telling() -> Machine {
    machine(&[
        op(Op::DeviceRead, 0, CLOCK as u32, 0),
        op(Op::DeviceRead, 1, CLOCK as u32 + 4, 0),
        op(Op::Emit, 0, 0, 0),
        op(Op::Emit, 1, 0, 0),
        op(Op::Set, 2, 0, 1),
        op(Op::JumpIfNot, 2, 0, 0),
    ])
}

/// The time that the guest has read last, and when.
fn shown(machine: &mut Machine) -> (u64, Nanos) {
    machine.run(&RunUntil { budget_nanos: Some(20), ..RunUntil::default() });
    let events = machine.events(0, usize::MAX).expect("kept");
    let ticks: Vec<_> = events
        .iter()
        .filter_map(|event| match event.body {
            EventBody::HeartbeatTick { count } => Some((count, event.at_nanos)),
            _ => None,
        })
        .collect();
    let pairs = ticks.chunks_exact(2).last().expect("read once at least");
    // The instruction that told the lower half is two behind the one that read it.
    (pairs[1].0 << 32 | pairs[0].0, pairs[0].1 - 2)
}

proptest! {
    /// After any setting of the guest's wall clock, at any moment, the hardware clock continues from
    /// that time, and a replay has the same clock.
    #[test]
    fn the_hardware_clock_goes_with_the_wall_clock(
        settings in proptest::collection::vec((0..500u64, any::<u64>(), any::<bool>()), 1..5),
    ) {
        let mut machine = telling();
        for (passing, realtime_nanos, is_recorded_frame) in settings {
            machine.run(&RunUntil { budget_nanos: Some(passing), ..RunUntil::default() });
            let set_at = machine.now();
            let frame = HostFrame::SetClock { realtime_nanos };
            let given = if is_recorded_frame {
                machine.send_control_bytes(&frame.encode().expect("short"))
            } else {
                machine.send_control(&frame)
            };
            prop_assert!(given.is_ok());
            let (time, read_at) = shown(&mut machine);
            prop_assert!(read_at >= set_at);
            prop_assert_eq!(time, realtime_nanos.wrapping_add(read_at - set_at));
        }
        let recorded = machine.events(0, usize::MAX).expect("kept");
        let mut again = telling();
        prop_assert_eq!(again.replay(&recorded), Ok(()));
        again.run(&RunUntil { at_nanos: Some(machine.now()), ..RunUntil::default() });
        prop_assert_eq!(again.digest(), machine.digest());
    }
}

#[test]
fn what_sets_no_clock_leaves_it() {
    let mut machine = telling();
    let (time, read_at) = shown(&mut machine);
    let begun_at = time - read_at;
    // The console is given what would set the clock on the control port.
    let frame = HostFrame::SetClock { realtime_nanos: 9 }.encode().expect("short");
    machine.send_serial(0, &frame).expect("room");
    machine.send_control(&HostFrame::Thaw { token: 0x89 }).expect("room");
    let (time, read_at) = shown(&mut machine);
    assert_eq!(time - read_at, begun_at);
}
