use super::super::entropy::Entropy;
use super::super::io::INTERRUPT_USED;
use super::*;
use crate::devices::surroundings::Surroundings;
use crate::random::{RandomStream, Seed};
use proptest::prelude::*;

const BASE: u64 = 0x8000_0000;

struct Bench {
    around: Surroundings,
    device: VirtioMmio,
}

impl Bench {
    fn new() -> Self {
        Self::with(Box::new(Entropy::new(Seed::from_number(7))))
    }

    fn with(device: Box<dyn VirtioDevice>) -> Self {
        Self { around: Surroundings::new(BASE, 1 << 20), device: VirtioMmio::new(device) }
    }

    fn at<R>(&mut self, act: impl FnOnce(&mut VirtioMmio, &mut DeviceContext<'_>) -> R) -> R {
        let mut context = self.around.context("entropy");
        act(&mut self.device, &mut context)
    }

    fn write(&mut self, offset: u64, value: u32) {
        self.at(|device, context| device.write(context, offset, &value.to_le_bytes()));
    }

    fn read(&mut self, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        self.at(|device, context| device.read(context, offset, &mut bytes));
        u32::from_le_bytes(bytes)
    }

    /// What a driver does before its first request.
    fn start(&mut self) {
        self.write(0x070, 3);
        self.write(0x024, 1);
        self.write(0x020, 1);
        self.write(0x070, 3 | STATUS_FEATURES_OK);
        self.write(0x038, 8);
        self.write(0x080, BASE as u32);
        self.write(0x090, BASE as u32 + 0x1000);
        self.write(0x0a0, BASE as u32 + 0x2000);
        self.write(0x044, 1);
        self.write(0x070, 3 | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
    }

    fn descriptor(&mut self, index: u64, address: u64, len: u32, flags: u16, next: u16) {
        let mut bytes = address.to_le_bytes().to_vec();
        bytes.extend(len.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        self.around.memory.write(BASE + index * 16, &bytes).expect("in range");
    }

    fn offer(&mut self, index: u16, heads: &[u16]) {
        let mut bytes = vec![0, 0];
        bytes.extend(index.to_le_bytes());
        bytes.extend(heads.iter().flat_map(|head| head.to_le_bytes()));
        self.around.memory.write(BASE + 0x1000, &bytes).expect("in range");
    }
}

mod delayed;

#[test]
fn a_request_is_filled_from_the_seed_and_announced() {
    let mut bench = Bench::new();
    bench.start();
    assert_eq!((bench.read(0x000), bench.read(0x008)), (MAGIC, 4));
    bench.descriptor(2, BASE + 0x8000, 40, 3, 5);
    bench.descriptor(5, BASE + 0x9000, 24, 2, 0);
    bench.offer(1, &[2]);
    bench.write(0x050, 0);
    let mut expected = [0; 64];
    RandomStream::new(Seed::from_number(7), "entropy device").fill(&mut expected);
    let mut found = [0; 64];
    bench.around.memory.read(BASE + 0x8000, &mut found[..40]).expect("in range");
    bench.around.memory.read(BASE + 0x9000, &mut found[40..]).expect("in range");
    assert_eq!(found, expected);
    let mut used = [0; 12];
    bench.around.memory.read(BASE + 0x2000, &mut used).expect("in range");
    assert_eq!(used, [0, 0, 1, 0, 2, 0, 0, 0, 64, 0, 0, 0]);
    assert_eq!(bench.read(0x060), INTERRUPT_USED);
    assert!(bench.device.interrupt_asserted());
    bench.write(0x064, 1);
    assert!(!bench.device.interrupt_asserted());
    let kinds: Vec<_> = bench.around.events.iter().map(|event| event.kind().name()).collect();
    assert_eq!(kinds, ["IoStarted", "IoSettled"]);
    let mut other = Bench::new().device;
    other.load(&bench.device.save()).expect("same");
    assert_eq!(other.save(), bench.device.save());
}

#[test]
fn a_renewed_device_gives_other_bytes() {
    let mut bytes = Vec::new();
    for renewal in [None, Some(1), Some(2), Some(1)] {
        let mut bench = Bench::new();
        if let Some(number) = renewal {
            bench.device.renew(&Renewal::new(&[number; 32], &[0; 16], 0).expect("lengths"), 0);
        }
        bench.start();
        bench.descriptor(0, BASE + 0x8000, 64, 2, 0);
        bench.offer(1, &[0]);
        bench.write(0x050, 0);
        let mut found = [0; 64];
        bench.around.memory.read(BASE + 0x8000, &mut found).expect("in range");
        bytes.push(found);
    }
    assert_ne!(bytes[0], bytes[1]);
    assert_ne!(bytes[1], bytes[2]);
    assert_eq!(bytes[1], bytes[3]);
}

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
    #![proptest_config(ProptestConfig::with_cases(200))]

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
