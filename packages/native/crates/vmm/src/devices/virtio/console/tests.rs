use super::*;
use crate::devices::surroundings::Surroundings;
use crate::devices::{Device, DeviceContext};
use crate::event::EventBody;
use crate::serial_ports::CONTROL;
use proptest::prelude::*;

const BASE: u64 = 0x8000_0000;
const BUFFERS: u64 = BASE + 0x8_0000;
const BUFFER_BYTES: u64 = 0x1000;
const FLAG_WRITE: u16 = 2;

/// A driver that receives into buffers, and sends from them.
struct Bench {
    around: Surroundings,
    device: Box<dyn Device>,
    offered: [u16; 4],
    returned: [u16; 4],
}

const fn ring(queue: usize) -> u64 {
    BASE + queue as u64 * 0x8000
}

impl Bench {
    fn new() -> Self {
        let around = Surroundings::new(BASE, 2 << 20);
        let device = Box::new(VirtioMmio::new(Box::new(Console::default())));
        let mut bench = Self { around, device, offered: [0; 4], returned: [0; 4] };
        bench.write(0x070, 3);
        for (select, word) in [(0, FEATURE_PORTS as u32), (1, 1)] {
            bench.write(0x024, select);
            bench.write(0x020, word);
        }
        bench.write(0x070, 11);
        for (queue, size) in QUEUE_SIZES.into_iter().enumerate() {
            bench.write(0x030, queue as u32);
            bench.write(0x038, u32::from(size));
            bench.write(0x080, ring(queue) as u32);
            bench.write(0x090, ring(queue) as u32 + 0x2000);
            bench.write(0x0a0, ring(queue) as u32 + 0x4000);
            bench.write(0x044, 1);
        }
        bench.write(0x070, 15);
        bench
    }

    fn at<R>(&mut self, act: impl FnOnce(&mut dyn Device, &mut DeviceContext<'_>) -> R) -> R {
        let mut context = self.around.context("channel");
        act(self.device.as_mut(), &mut context)
    }

    fn write(&mut self, offset: u64, value: u32) {
        self.at(|device, context| device.write(context, offset, &value.to_le_bytes()));
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        self.around.memory.write(at, bytes).expect("in range");
    }

    /// Offers the next buffer of a queue, unless all of them are offered.
    fn offer(&mut self, queue: usize, len: u32, flags: u16) {
        let size = QUEUE_SIZES[queue];
        if self.offered[queue].wrapping_sub(self.returned[queue]) == size {
            return;
        }
        let index = self.offered[queue] % size;
        let mut bytes = self.buffer(queue, index).to_le_bytes().to_vec();
        bytes.extend(len.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend([0; 2]);
        self.put(ring(queue) + u64::from(index) * 16, &bytes);
        self.put(ring(queue) + 0x2004 + 2 * u64::from(index), &index.to_le_bytes());
        self.offered[queue] = self.offered[queue].wrapping_add(1);
        self.put(ring(queue) + 0x2002, &self.offered[queue].to_le_bytes());
        self.write(0x050, queue as u32);
    }

    fn buffer(&self, queue: usize, index: u16) -> u64 {
        BUFFERS + (queue as u64 * 64 + u64::from(index)) * BUFFER_BYTES
    }

    /// The bytes in buffers that came back since the last call.
    fn received(&mut self, queue: usize) -> Vec<Vec<u8>> {
        let mut count = [0; 2];
        self.around.memory.read(ring(queue) + 0x4002, &mut count).expect("in range");
        let count = u16::from_le_bytes(count);
        let mut contents = Vec::new();
        while self.returned[queue] != count {
            let at = u64::from(self.returned[queue] % QUEUE_SIZES[queue]);
            let mut element = [0; 8];
            self.around.memory.read(ring(queue) + 0x4004 + at * 8, &mut element).expect("there");
            let [a, b, _, _, len @ ..] = element;
            let mut content = vec![0; u32::from_le_bytes(len) as usize];
            let buffer = self.buffer(queue, u16::from_le_bytes([a, b]));
            self.around.memory.read(buffer, &mut content).expect("in range");
            contents.push(content);
            self.returned[queue] = self.returned[queue].wrapping_add(1);
        }
        contents
    }

    fn send(&mut self, queue: usize, bytes: &[u8]) {
        self.put(self.buffer(queue, self.offered[queue] % QUEUE_SIZES[queue]), bytes);
        self.offer(queue, bytes.len() as u32, 0);
        self.received(queue);
    }

    fn give(&mut self, bytes: &[u8]) -> Option<Result<(), InputFull>> {
        self.at(|device, context| device.accept_on_channel(context, bytes))
    }
}

#[test]
fn a_driver_finds_one_port_of_that_name_and_it_is_open() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.offer(RECEIVE_MESSAGES, 0x1000, FLAG_WRITE);
    }
    // The driver is ready, which is of no port; then the port is.
    bench.send(SEND_MESSAGES, &[0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0]);
    assert_eq!(bench.received(RECEIVE_MESSAGES), [[0, 0, 0, 0, 1, 0, 1, 0]]);
    bench.send(SEND_MESSAGES, &[0, 0, 0, 0, 3, 0, 1, 0]);
    let name = [&[0, 0, 0, 0, 7, 0, 1, 0], PORT.as_bytes()].concat();
    assert_eq!(bench.received(RECEIVE_MESSAGES), [name, vec![0, 0, 0, 0, 6, 0, 1, 0]]);
    // One that asks and never listens is answered so often and no more.
    for _ in 0..100 {
        bench.send(SEND_MESSAGES, &[0, 0, 0, 0, 3, 0, 1, 0]);
    }
    let state = bench.device.save();
    assert!(state.len() < 1000, "{}", state.len());
    Bench::new().device.load(&state).expect("its own state");
}

#[test]
fn more_than_fits_is_refused_whole_and_a_reset_forgets_what_waits() {
    let mut bench = Bench::new();
    let most = vec![7; INPUT_BYTES];
    assert_eq!(bench.give(&most), Some(Ok(())));
    assert_eq!(bench.give(&[1]), Some(Err(InputFull { room: 0 })));
    bench.offer(RECEIVE, 100, FLAG_WRITE);
    assert_eq!(bench.received(RECEIVE), [vec![7; 100]]);
    assert_eq!(bench.give(&[1; 101]), Some(Err(InputFull { room: 100 })));
    bench.write(0x070, 0);
    assert_eq!(bench.give(&[1]), None);
    assert_eq!(bench.device.save(), {
        let mut other = Bench::new();
        other.write(0x070, 0);
        // The number of restarts of queues is state.
        other.device.save()
    });
}

proptest! {
    #![proptest_config(crate::generated::cases(64))]

    /// Whatever the host gives and whatever buffers the driver offers, in any order, bytes arrive
    /// whole and in order; a device saved and loaded, or forked, in between makes no difference.
    #[test]
    fn bytes_arrive_whole_in_any_cuts(
        steps in proptest::collection::vec((any::<bool>(), 0..9000usize, any::<bool>()), 0..60),
    ) {
        let mut bench = Bench::new();
        let (mut given, mut arrived) = (Vec::new(), Vec::new());
        let drain: Vec<_> = (0..150).map(|_| (false, 4096, false)).collect();
        for (is_given, size, is_cut) in steps.into_iter().chain(drain) {
            if is_given {
                let piece: Vec<u8> = (given.len()..given.len() + size).map(|at| (at * 7 + at / 251) as u8).collect();
                prop_assert_eq!(bench.give(&piece), Some(Ok(())));
                given.extend(piece);
            } else {
                bench.offer(RECEIVE, (size as u32).min(4096), FLAG_WRITE);
            }
            arrived.extend(bench.received(RECEIVE).concat());
            if is_cut {
                let state = bench.device.save();
                bench.device = Box::new(VirtioMmio::new(Box::new(Console::default())));
                bench.device.load(&state).expect("its own state");
                bench.device = bench.device.fork();
                prop_assert_eq!(bench.device.save(), state);
            }
        }
        prop_assert_eq!(arrived, given);
    }

    /// The guest's bytes give the same events however they are cut.
    #[test]
    fn frames_arrive_whole_in_any_cuts(
        lens in proptest::collection::vec(0..9000usize, 0..8),
        cuts in proptest::collection::vec(1..4096usize, 1..8),
    ) {
        let mut bench = Bench::new();
        let Surroundings { serial, events, .. } = &mut bench.around;
        for byte in [1, 0, 0, 0, 0x16] {
            serial.transmit(CONTROL, byte, 0, events);
        }
        events.clear();
        let output = |len: usize| EventBody::ExecOutput {
            id: 5,
            stream: crate::event::OutputStream::Stdout,
            data: (0..len).map(|at| at as u8).collect(),
        };
        let mut bytes = Vec::new();
        for len in &lens {
            bytes.extend((len + 10).to_le_bytes()[..4].iter());
            bytes.extend([0x0c, 5, 0, 0, 0, 1]);
            bytes.extend(&len.to_le_bytes()[..4]);
            bytes.extend((0..*len).map(|at| at as u8));
        }
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            let (piece, later) = rest.split_at((*cut).min(rest.len()));
            bench.send(SEND, piece);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let expected: Vec<_> = lens.into_iter().map(output).collect();
        prop_assert_eq!(&bench.around.events, &expected);
    }

    /// Whatever a driver writes to rings and registers is survived.
    #[test]
    fn hostile_drivers_are_survived(
        rings in proptest::collection::vec(any::<u8>(), 0..0x5000),
        small in any::<bool>(),
        writes in proptest::collection::vec((0..0x110u64, 0..8u32), 0..60),
    ) {
        let mut bench = Bench::new();
        let rings: Vec<u8> = if small { rings.iter().map(|byte| byte & 3).collect() } else { rings };
        for queue in 0..4 {
            bench.put(ring(queue), &rings);
        }
        for (offset, value) in writes {
            bench.write(offset, value);
            bench.write(0x050, value);
            bench.give(&[1, 2, 3]);
        }
        let state = bench.device.save();
        let mut other = Bench::new().device;
        other.load(&state).expect("its own state");
        prop_assert_eq!(other.save(), state);
    }
}
