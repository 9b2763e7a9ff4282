//! A device with a configuration space and two queues that answers later: what disks and networks
//! need of the transport, tried by lawful and by hostile drivers.

use super::super::super::{
    FEATURE_EVENT_INDEX, FEATURE_INDIRECT, Io, QueueError, Request, VirtioDevice,
};
use super::*;
use crate::state::{StateReader, StateWriter};

const DESCRIPTORS: u64 = BASE;
const AVAILABLE: u64 = BASE + 0x1000;
const USED: u64 = BASE + 0x2000;
const QUEUE_BYTES: u64 = 0x4000;
const BUFFERS: u64 = BASE + 0x10000;
/// A feature of the device's own: it gives back the latest request first.
const FEATURE_REVERSED: u64 = 1;
/// A feature that the device takes only together with the other one.
const FEATURE_NEEDS_REVERSED: u64 = 2;
const SIZES: [u16; 2] = [8, 4];

/// Copies what it reads to what it writes, `delay` nanoseconds after it was asked. Configuration:
/// u32 delay, which the driver may set; u32 requests that it has completed.
#[derive(Clone, Default)]
struct Delayed {
    delay: u32,
    completed: u32,
    in_work: Vec<(Nanos, Request)>,
}

impl VirtioDevice for Delayed {
    fn device_id(&self) -> u32 {
        42
    }

    fn features(&self) -> u64 {
        FEATURE_INDIRECT | FEATURE_EVENT_INDEX | FEATURE_REVERSED | FEATURE_NEEDS_REVERSED
    }

    fn queue_sizes(&self) -> &[u16] {
        &SIZES
    }

    fn accepts(&self, features: u64) -> bool {
        features & FEATURE_NEEDS_REVERSED == 0 || features & FEATURE_REVERSED != 0
    }

    fn read_configuration(&self, offset: u64, into: &mut [u8]) {
        let space = [self.delay.to_le_bytes(), self.completed.to_le_bytes()].concat();
        for (at, byte) in (offset as usize..).zip(into) {
            *byte = space.get(at).copied().unwrap_or(0);
        }
    }

    fn write_configuration(&mut self, io: &mut Io<'_>, offset: u64, from: &[u8]) {
        if let (0, Ok(delay)) = (offset, <[u8; 4]>::try_from(from)) {
            self.delay = u32::from_le_bytes(delay);
            io.configuration_changed();
        }
    }

    fn notified(&mut self, io: &mut Io<'_>, queue: usize) -> Result<(), QueueError> {
        while let Some(request) = io.take(queue)? {
            self.in_work.push((io.now() + Nanos::from(self.delay), request));
        }
        self.due(io)
    }

    fn deadline(&self) -> Option<Nanos> {
        self.in_work.iter().map(|(at, _)| *at).min()
    }

    fn due(&mut self, io: &mut Io<'_>) -> Result<(), QueueError> {
        let now = io.now();
        let mut due: Vec<_> = self.in_work.extract_if(.., |(at, _)| *at <= now).collect();
        if io.features() & FEATURE_REVERSED != 0 {
            due.reverse();
        }
        for (_, request) in due {
            let mut bytes = vec![0; request.readable_bytes().min(4096) as usize];
            request.read(io.memory(), 0, &mut bytes)?;
            let written = request.write(io.memory(), 0, &bytes)?;
            self.completed += 1;
            io.complete(&request, written as u32)?;
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.in_work.clear();
    }

    fn save(&self) -> Vec<u8> {
        let mut state = StateWriter::new();
        state.u32(self.delay).u32(self.completed).u32(self.in_work.len() as u32);
        for (at, request) in &self.in_work {
            state.u64(*at);
            request.save(&mut state);
        }
        state.finish()
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        let mut state = StateReader::new("delayed device", state);
        (self.delay, self.completed) = (state.u32()?, state.u32()?);
        let count = state.u32()?;
        self.in_work = (0..count)
            .map(|_| Ok((state.u64()?, Request::load(&mut state)?)))
            .collect::<Result<_, StateError>>()?;
        state.finish()
    }

    fn fork(&self) -> Box<dyn VirtioDevice> {
        Box::new(self.clone())
    }
}

impl Bench {
    fn delayed(features: u64) -> Self {
        let mut bench = Self::with(Box::new(Delayed { delay: 100, ..Delayed::default() }));
        bench.negotiate(features);
        bench
    }

    fn negotiate(&mut self, features: u64) {
        self.write(0x070, 3);
        for (select, word) in [(0, features as u32), (1, (features >> 32) as u32 | 1)] {
            self.write(0x024, select);
            self.write(0x020, word);
        }
        self.write(0x070, 3 | STATUS_FEATURES_OK);
        for (queue, size) in SIZES.into_iter().enumerate() {
            let at = (queue as u64 * QUEUE_BYTES) as u32;
            self.write(0x030, queue as u32);
            self.write(0x038, u32::from(size));
            self.write(0x080, DESCRIPTORS as u32 + at);
            self.write(0x090, AVAILABLE as u32 + at);
            self.write(0x0a0, USED as u32 + at);
            self.write(0x044, 1);
        }
        self.write(0x070, 3 | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
    }

    fn word(&mut self, at: u64) -> u16 {
        let mut bytes = [0; 2];
        self.around.memory.read(at, &mut bytes).expect("in range");
        u16::from_le_bytes(bytes)
    }

    fn set_word(&mut self, at: u64, word: u16) {
        self.around.memory.write(at, &word.to_le_bytes()).expect("in range");
    }

    fn put_descriptor(&mut self, at: u64, address: u64, len: u32, flags: u16, next: u16) {
        let rest = u128::from(len) | u128::from(flags) << 32 | u128::from(next) << 48;
        let bytes = (u128::from(address) | rest << 64).to_le_bytes();
        self.around.memory.write(at, &bytes).expect("in range");
    }

    /// Asks for `text` to be copied, with descriptors `2 * number` and the next; makes it available.
    fn ask(&mut self, queue: u64, number: u16, text: &[u8]) {
        let at = queue * QUEUE_BYTES;
        let buffer = BUFFERS + 0x1000 * (queue * 16 + u64::from(number));
        self.around.memory.write(buffer, text).expect("in range");
        let descriptor = DESCRIPTORS + at + 32 * u64::from(number);
        self.put_descriptor(descriptor, buffer, text.len() as u32, 1, 2 * number + 1);
        self.put_descriptor(descriptor + 16, buffer + 0x800, 0x800, 2, 0);
        self.offer_head(queue, 2 * number);
    }

    fn offer_head(&mut self, queue: u64, head: u16) {
        let ring = AVAILABLE + queue * QUEUE_BYTES;
        let index = self.word(ring + 2);
        let size = SIZES[queue as usize];
        self.set_word(ring + 4 + 2 * u64::from(index % size), head);
        self.set_word(ring + 2, index.wrapping_add(1));
    }

    /// Heads of the requests that were given back.
    fn given_back(&mut self, queue: u64) -> Vec<u16> {
        let ring = USED + queue * QUEUE_BYTES;
        let size = SIZES[queue as usize];
        let count = self.word(ring + 2);
        (0..count).map(|entry| self.word(ring + 4 + 8 * u64::from(entry % size))).collect()
    }

    fn answer(&mut self, queue: u64, number: u16, len: usize) -> Vec<u8> {
        let buffer = BUFFERS + 0x1000 * (queue * 16 + u64::from(number));
        let mut found = vec![0; len];
        self.around.memory.read(buffer + 0x800, &mut found).expect("in range");
        found
    }

    fn run_to(&mut self, now: Nanos) {
        self.around.now = now;
        self.at(|device, context| device.tick(context));
    }

    fn kinds(&mut self) -> Vec<&'static str> {
        self.around.events.drain(..).map(|event| event.kind().name()).collect()
    }
}

#[test]
fn several_requests_are_in_work_and_come_back_when_their_time_has_come() {
    let mut bench = Bench::delayed(0);
    bench.ask(0, 0, b"first");
    bench.write(0x050, 0);
    bench.around.now = 40;
    bench.ask(0, 1, b"second");
    bench.ask(1, 0, b"of the other queue");
    bench.write(0x050, 0);
    bench.write(0x050, 1);
    assert_eq!((bench.read(0x060), bench.device.deadline()), (0, Some(100)));
    // A snapshot in the middle: the copy has the same in work.
    let mut other = Bench::with(Box::new(Delayed::default()));
    other.device.load(&bench.device.save()).expect("same");
    assert_eq!(other.device.save(), bench.device.save());
    bench.run_to(100);
    assert_eq!((bench.given_back(0), bench.given_back(1)), (vec![0], vec![]));
    assert_eq!((bench.read(0x060), bench.kinds()), (INTERRUPT_USED, vec!["IoStarted"]));
    bench.run_to(100);
    assert_eq!(bench.given_back(0), [0], "twice at one time is as good as once");
    bench.run_to(140);
    assert_eq!((bench.given_back(0), bench.given_back(1)), (vec![0, 2], vec![0]));
    assert_eq!(bench.answer(0, 1, 6), b"second");
    assert_eq!(bench.answer(1, 0, 18), b"of the other queue");
    assert_eq!((bench.device.deadline(), bench.kinds()), (None, vec!["IoSettled"]));
}

#[test]
fn configuration_has_a_generation_and_an_interrupt() {
    let mut bench = Bench::delayed(0);
    assert_eq!((bench.read(0x100), bench.read(0x0fc), bench.read(0x108)), (100, 0, 0));
    bench.write(0x100, 7);
    assert_eq!((bench.read(0x100), bench.read(0x0fc)), (7, 1));
    assert_eq!(bench.read(0x060), INTERRUPT_CONFIGURATION);
    let mut byte = [0xff];
    bench.at(|device, context| device.read(context, 0x101, &mut byte));
    assert_eq!(byte, [0]);
}

#[test]
fn the_device_has_a_say_in_what_is_negotiated() {
    let ok = |features| {
        let mut bench = Bench::delayed(features);
        bench.read(0x070) & STATUS_FEATURES_OK != 0
    };
    assert!(ok(FEATURE_REVERSED | FEATURE_NEEDS_REVERSED));
    assert!(!ok(FEATURE_NEEDS_REVERSED));
    assert!(!ok(1 << 20));
    let mut bench = Bench::delayed(FEATURE_REVERSED);
    bench.ask(0, 0, b"a");
    bench.ask(0, 1, b"b");
    bench.write(0x050, 0);
    bench.run_to(100);
    assert_eq!(bench.given_back(0), [2, 0]);
}

#[test]
fn an_indirect_table_is_followed_if_it_was_accepted() {
    for features in [0, FEATURE_INDIRECT] {
        let mut bench = Bench::delayed(features);
        let table = BUFFERS + 0x8000;
        bench.around.memory.write(BUFFERS, b"through a table").expect("in range");
        bench.put_descriptor(table, BUFFERS, 15, 1, 2);
        bench.put_descriptor(table + 32, BUFFERS + 0x800, 0x800, 2, 0);
        bench.put_descriptor(DESCRIPTORS, table, 48, 4, 0);
        bench.offer_head(0, 0);
        bench.write(0x050, 0);
        bench.run_to(100);
        let is_accepted = features != 0;
        assert_eq!(bench.read(0x070) & STATUS_NEEDS_RESET == 0, is_accepted);
        assert_eq!(bench.answer(0, 0, 15) == b"through a table", is_accepted);
    }
}

#[test]
fn events_are_announced_where_they_were_wished_for() {
    let mut bench = Bench::delayed(FEATURE_EVENT_INDEX);
    // The driver wants to hear of the second completion, not of the first.
    bench.set_word(AVAILABLE + 4 + 2 * 8, 1);
    bench.ask(0, 0, b"a");
    bench.write(0x050, 0);
    bench.run_to(100);
    assert_eq!((bench.given_back(0), bench.read(0x060)), (vec![0], 0));
    // The device wants to hear of the next request.
    assert_eq!(bench.word(USED + 4 + 8 * 8), 1);
    bench.ask(0, 1, b"b");
    bench.write(0x050, 0);
    bench.run_to(200);
    assert_eq!((bench.given_back(0), bench.read(0x060)), (vec![0, 2], INTERRUPT_USED));
}

#[test]
fn a_reset_in_the_middle_forgets_what_is_in_work() {
    let resets: [fn(&mut Bench); 2] = [
        |bench| bench.write(0x070, 0),
        |bench| {
            // The queue alone, which keeps its setup.
            bench.write(0x030, 0);
            bench.write(0x044, 0);
        },
    ];
    for reset in resets {
        let mut bench = Bench::delayed(0);
        bench.ask(0, 0, b"lost");
        bench.write(0x050, 0);
        reset(&mut bench);
        assert_eq!(bench.kinds(), ["IoStarted", "IoSettled"]);
        let rings = [0; 0x3000];
        bench.around.memory.write(BASE, &rings).expect("in range");
        bench.write(0x070, 0);
        bench.negotiate(0);
        bench.ask(0, 1, b"kept");
        bench.write(0x050, 0);
        bench.run_to(1000);
        assert_eq!(bench.given_back(0), [2]);
        assert_eq!(bench.answer(0, 1, 4), b"kept");
        assert_eq!(bench.answer(0, 0, 4), [0; 4]);
    }
}

#[test]
fn no_more_is_in_work_than_the_queue_has_room_for() {
    let mut bench = Bench::delayed(0);
    for number in [0, 1, 0, 1] {
        bench.ask(1, number, b"again, before it came back");
        bench.write(0x050, 1);
    }
    assert_eq!(bench.device.queues[1].in_work(), 4);
    bench.ask(1, 0, b"one too many");
    bench.write(0x050, 1);
    assert_ne!(bench.read(0x070) & STATUS_NEEDS_RESET, 0);
    assert!(!bench.device.is_working());
    assert_eq!(bench.kinds(), ["IoStarted", "IoSettled"]);
}

/// The actions of a hostile driver.
#[derive(Debug, Clone)]
enum Act {
    Ask { queue: u64, number: u16 },
    Register { offset: u64, value: u32 },
    Configuration { offset: u64, bytes: Vec<u8> },
    Descriptor { queue: u64, index: u16, place: u32, len: u32, flags: u16, next: u16 },
    Available { queue: u64, index: u16, head: u16 },
    Event { queue: u64, index: u16 },
    Notify { queue: u32 },
    Negotiate { features: u64 },
    Pass { nanos: u64 },
    Copy,
}

fn acts() -> impl Strategy<Value = Act> {
    let offsets =
        prop_oneof![0..0x120u64, Just(0x044), Just(0x070), any::<u64>().prop_map(|o| o % 0x1000)];
    let lens = prop_oneof![0..64u32, Just(16), Just(32), Just(0x800), any::<u32>()];
    // Buffers over the rings, over each other, over the end of memory, and outside it.
    let places = prop_oneof![0..0x8000u32, 0..0x20_0000u32, any::<u32>()];
    prop_oneof![
        1 => (offsets, prop_oneof![0..16u32, any::<u32>()])
            .prop_map(|(offset, value)| Act::Register { offset, value }),
        1 => (0..32u64, proptest::collection::vec(any::<u8>(), 1..8))
            .prop_map(|(offset, bytes)| Act::Configuration { offset, bytes }),
        6 => (0..2u64, 0..8u16, places, lens, 0..8u16, 0..10u16).prop_map(
            |(queue, index, place, len, flags, next)| {
                Act::Descriptor { queue, index, place, len, flags, next }
            }
        ),
        4 => (0..2u64, prop_oneof![0..12u16, any::<u16>()], 0..9u16)
            .prop_map(|(queue, index, head)| Act::Available { queue, index, head }),
        1 => (0..2u64, any::<u16>()).prop_map(|(queue, index)| Act::Event { queue, index }),
        8 => (0..2u64, 0..2u16).prop_map(|(queue, number)| Act::Ask { queue, number }),
        5 => (0..3u32).prop_map(|queue| Act::Notify { queue }),
        1 => prop_oneof![Just(FEATURE_INDIRECT | FEATURE_EVENT_INDEX), 0..4u64, any::<u64>()]
            .prop_map(|features| Act::Negotiate { features }),
        3 => (0..200u64).prop_map(|nanos| Act::Pass { nanos }),
        1 => Just(Act::Copy),
    ]
}

fn perform(bench: &mut Bench, act: &Act) {
    match act {
        Act::Ask { queue, number } => {
            bench.ask(*queue, *number, b"as a lawful driver asks");
            bench.write(0x050, *queue as u32);
        }
        Act::Register { offset, value } => bench.write(*offset, *value),
        Act::Configuration { offset, bytes } => {
            bench.at(|device, context| device.write(context, 0x100 + offset, bytes));
        }
        Act::Descriptor { queue, index, place, len, flags, next } => {
            let at = DESCRIPTORS + queue * QUEUE_BYTES + 16 * u64::from(*index);
            bench.put_descriptor(at, BASE + u64::from(*place), *len, *flags, *next);
        }
        Act::Available { queue, index, head } => {
            let ring = AVAILABLE + queue * QUEUE_BYTES;
            bench.set_word(ring + 4 + 2 * u64::from(index % SIZES[*queue as usize]), *head);
            bench.set_word(ring + 2, *index);
        }
        Act::Event { queue, index } => {
            let ring = AVAILABLE + queue * QUEUE_BYTES;
            bench.set_word(ring + 4 + 2 * u64::from(SIZES[*queue as usize]), *index);
        }
        Act::Notify { queue } => bench.write(0x050, *queue),
        Act::Negotiate { features } => {
            bench.write(0x070, 0);
            bench.negotiate(*features);
        }
        Act::Pass { nanos } => bench.run_to(bench.around.now + nanos),
        Act::Copy => {
            let mut copy = VirtioMmio::new(Box::new(Delayed::default()));
            copy.load(&bench.device.save()).expect("saved by this build");
            bench.device = copy;
        }
    }
}

proptest! {
    #![proptest_config(crate::generated::hostile_cases(2000))]

    /// Whatever a driver does: no panic, no endless loop, never more in work than the queues have
    /// room for, every start of work settled once it is over, and a reset helps.
    #[test]
    fn any_driver_is_survived_and_can_begin_anew(
        features in prop_oneof![Just(FEATURE_INDIRECT), Just(FEATURE_INDIRECT | FEATURE_EVENT_INDEX), Just(0)],
        acts in proptest::collection::vec(acts(), 1..60),
    ) {
        let mut bench = Bench::delayed(features);
        for act in &acts {
            perform(&mut bench, act);
            let in_work = bench.device.queues.iter().map(Queue::in_work);
            prop_assert!(in_work.zip(SIZES).all(|(in_work, size)| in_work <= size), "{act:?}");
        }
        bench.write(0x070, 0);
        prop_assert!(!bench.device.is_working());
        let mut started = false;
        for event in bench.kinds() {
            prop_assert_eq!(event == "IoSettled", started);
            started = !started;
        }
        prop_assert!(!started);
        bench.around.memory.write(BASE, &[0; 0x8000]).expect("in range");
        bench.write(0x100, 5);
        bench.negotiate(0);
        bench.ask(1, 1, b"as if nothing had been");
        bench.write(0x050, 1);
        bench.run_to(bench.around.now + 5);
        prop_assert_eq!(bench.given_back(1), [2]);
        prop_assert_eq!(bench.answer(1, 1, 22), b"as if nothing had been");
    }
}
