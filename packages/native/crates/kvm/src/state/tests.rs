use super::*;
use crate::host::host;
use crate::virtual_machine::VirtualMachine;
use kvm_bindings::kvm_cpuid_entry2;
use proptest::prelude::*;
use stillpoint_vmm::engine::Entry;

/// The state of a machine at reset, where there can be one.
fn at_reset() -> Option<State> {
    let host = match host() {
        Ok(host) => host,
        Err(why) => {
            println!("skipped: engine kvm cannot be used here: {why}");
            return None;
        }
    };
    let machine = VirtualMachine::at_reset(host, Entry { pc: 0x1_0000, device_tree: 7 });
    Some(machine.expect("made").state(host, 0, 0, None).expect("read"))
}

fn refused(change: impl Fn(&mut State)) -> Option<String> {
    let mut state = at_reset()?;
    state.check(host().expect("usable")).expect("this host's own");
    change(&mut state);
    Some(state.check(host().expect("usable")).err().map_or_else(String::new, |e| e.to_string()))
}

fn leaf(state: &mut State, function: u32) -> &mut kvm_cpuid_entry2 {
    let mut entries = state.processor.iter_mut();
    entries.find(|entry| entry.function == function).expect("every processor has it")
}

#[test]
fn another_processor_is_refused_with_what_is_missing() {
    let other = u32::from_le_bytes(*b"Othe");
    let refusals = [
        (refused(|state| leaf(state, 0).ebx = other), "Othe"),
        (
            refused(|state| leaf(state, 0xd).eax |= 1 << 17 | 1 << 29),
            "tile state, cpuid 0xd.0 eax bit 29",
        ),
        (refused(|state| state.registers.push((0xffff_ffff, 1))), "0xffffffff"),
        (refused(|state| state.tsc_khz /= 2), "kHz"),
    ];
    for (refusal, named) in refusals {
        let Some(refusal) = refusal else { return };
        // A host that scales its counter takes any frequency.
        assert!(refusal.contains(named) || named == "kHz" && refusal.is_empty(), "{refusal}");
    }
}

/// Time for which a guest stood is time that its clocks do not show, to the second and below.
#[test]
fn clocks_are_turned_back_by_what_the_guest_did_not_see() {
    let Some(mut state) = at_reset() else { return };
    let host = host().expect("usable");
    let second = u64::from(state.tsc_khz) * 1000;
    (state.tsc, state.clock_nanos) = (100 * second, 100_000_000_000);
    for (by, at_least) in [(90_000_000_000, 10), (20_000_000, 99)] {
        let machine = VirtualMachine::in_state(host, &state, 0).expect("this host's own");
        let before = machine.state(host, 0, 0, Some(&state)).expect("read");
        machine.turn_back(by, state.tsc_khz).expect("turned");
        let ago = machine.state(host, 0, 0, Some(&state)).expect("read");
        // It went on meanwhile, for as long as this takes, which is no minute.
        if before.tsc < 160 * second {
            let turned = before.tsc - u64::from(state.tsc_khz) * (by / 1_000_000);
            assert!(ago.tsc >= at_least * second);
            assert!(ago.tsc >= turned && ago.tsc < turned + 60 * second);
        } else {
            println!("skipped: this host's KVM has no counter that can be set");
        }
        assert!(ago.clock_nanos >= before.clock_nanos - by);
        assert!(ago.clock_nanos < before.clock_nanos - by + 60_000_000_000);
    }
}

/// A processor that is given a state has that state.
#[test]
fn a_state_is_read_back_as_it_was_set() {
    let Some(state) = at_reset() else { return };
    let host = host().expect("usable");
    let machine = VirtualMachine::in_state(host, &state, 0).expect("this host's own");
    let again = machine.state(host, 0, 0, Some(&state)).expect("read");
    let clocks_apart = |state: &State| {
        let mut state = state.clone();
        (state.tsc, state.clock_nanos) = (0, 0);
        state.structures.pit.channels.iter_mut().for_each(|channel| channel.count_load_time = 0);
        state.encode()
    };
    assert!(clocks_apart(&again) == clocks_apart(&state));
    assert!(again.tsc >= state.tsc && again.tsc - state.tsc < 60_000 * u64::from(state.tsc_khz));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a saved state says, it is refused or a machine is made of it; and what is taken is
    /// what was given.
    #[test]
    fn any_state_is_refused_or_taken(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let Some(state) = at_reset() else { return Ok(()) };
        let mut bytes = state.encode();
        prop_assert!(State::decode(&bytes[..cut.index(bytes.len())]).is_err());
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(state) = State::decode(&bytes) {
            prop_assert!(state.encode() == bytes);
            let host = host().expect("usable");
            if state.check(host).is_ok() {
                let _ = VirtualMachine::in_state(host, &state, 0);
            }
        }
    }
}
