use super::super::io::INTERRUPT_USED;
use super::*;
use driver::{BASE, Bench};
use proptest::prelude::*;

mod delayed;
pub(in crate::devices::virtio) mod driver;

#[test]
fn broken_rings_end_in_needs_reset_and_a_reset_helps() {
    type Break = fn(&mut Bench);
    let breaks: [Break; 5] = [
        |bench| bench.descriptor(0, BASE, 16, 3, 0),
        |bench| bench.descriptor(0, u64::MAX - 3, 16, 2, 0),
        |bench| bench.descriptor(0, BASE, 16, 3, 999),
        |bench| bench.descriptor(0, BASE, 16, 4, 0),
        |bench| bench.offer(100, &[0]),
    ];
    for break_it in breaks {
        let mut bench = Bench::new();
        bench.start();
        bench.descriptor(0, BASE + 0x8000, 16, 2, 0);
        bench.offer(1, &[0]);
        break_it(&mut bench);
        bench.write(0x050, 0);
        assert_ne!(bench.read(0x070) & STATUS_NEEDS_RESET, 0);
        bench.write(0x070, 0);
        assert_eq!(bench.read(0x070), 0);
    }
}

#[test]
fn a_queue_that_is_switched_off_keeps_its_setup_and_begins_anew() {
    let mut bench = Bench::new();
    bench.start();
    for round in 0..2 {
        bench.descriptor(0, BASE + 0x8000, 16, 2, 0);
        bench.offer(1, &[0]);
        bench.write(0x050, 0);
        assert_eq!(bench.read(0x060), INTERRUPT_USED, "round {round}");
        // A driver may set the size first and then say that the queue is off.
        bench.write(0x070, 0);
        bench.write(0x070, 3);
        bench.write(0x024, 1);
        bench.write(0x020, 1);
        bench.write(0x038, 8);
        bench.write(0x080, BASE as u32);
        bench.write(0x090, BASE as u32 + 0x1000);
        bench.write(0x044, 0);
        bench.write(0x0a0, BASE as u32 + 0x2000);
        bench.write(0x044, 1);
        bench.write(0x070, 3 | STATUS_FEATURES_OK);
        bench.write(0x070, 3 | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
    }
}

#[test]
fn features_that_were_not_offered_are_not_accepted() {
    let mut bench = Bench::new();
    bench.write(0x024, 0);
    bench.write(0x020, 1 << 28);
    bench.write(0x024, 1);
    bench.write(0x020, 1);
    bench.write(0x070, 3 | STATUS_FEATURES_OK);
    assert_eq!(bench.read(0x070) & STATUS_FEATURES_OK, 0);
}

proptest! {
    #![proptest_config(crate::generated::cases(200))]

    /// Whatever a driver writes to registers and rings, the device answers without panic, without
    /// an endless loop and without touching memory outside the guest's.
    #[test]
    fn hostile_drivers_are_survived(
        rings in proptest::collection::vec(any::<u8>(), 0..0x3000),
        small in any::<bool>(),
        writes in proptest::collection::vec((0..0x100u64, any::<u32>()), 0..60),
    ) {
        let mut bench = Bench::new();
        bench.start();
        let rings: Vec<u8> = if small { rings.iter().map(|b| b & 3).collect() } else { rings };
        bench.around.memory.write(BASE, &rings).expect("in range");
        bench.write(0x050, 0);
        for (offset, value) in writes {
            bench.write(offset, value);
            bench.read(offset);
        }
        bench.write(0x050, 0);
        let state = bench.device.save();
        let mut other = Bench::new().device;
        other.load(&state).expect("same");
        prop_assert_eq!(other.save(), state);
    }

    /// A state that was not saved by this device is refused or harmless.
    #[test]
    fn any_state_is_survived(state in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bench = Bench::new();
        if bench.device.load(&state).is_ok() {
            bench.write(0x050, 0);
        }
    }
}
