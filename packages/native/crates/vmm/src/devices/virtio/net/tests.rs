use super::*;
use crate::devices::surroundings::Surroundings;
use crate::devices::{Device, DeviceContext};
use proptest::prelude::*;

const BASE: u64 = 0x8000_0000;
const MEMORY_BYTES: u64 = 2 << 20;
const BUFFERS: u64 = BASE + 0x4_0000;
const ADDRESS: [u8; 6] = [2, 0, 0, 0, 0, 1];
const FEATURE_VERSION_1: u64 = 1 << 32;
const RINGS: [u64; 2] = [BASE, BASE + 0x1_0000];
const FLAG_NEXT: u16 = 1;
const FLAG_WRITE: u16 = 2;

struct Bench {
    around: Surroundings,
    device: Box<dyn Device>,
    offered: [u16; 2],
}

impl Bench {
    fn new(features: u64, mtu: u16) -> Self {
        let mut around = Surroundings::new(BASE, MEMORY_BYTES);
        around.network.set_linked(true);
        let mut bench = Self {
            around,
            device: Box::new(VirtioMmio::new(Box::new(Net::new(ADDRESS, mtu)))),
            offered: [0; 2],
        };
        bench.start(features);
        bench
    }

    fn at<R>(&mut self, act: impl FnOnce(&mut dyn Device, &mut DeviceContext<'_>) -> R) -> R {
        let mut context = self.around.context("network");
        act(self.device.as_mut(), &mut context)
    }

    fn write(&mut self, offset: u64, value: u32) {
        self.at(|device, context| device.write(context, offset, &value.to_le_bytes()));
    }

    fn read(&mut self, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        self.at(|device, context| device.read(context, offset, &mut bytes));
        u32::from_le_bytes(bytes)
    }

    fn start(&mut self, features: u64) {
        let features = features | FEATURE_VERSION_1;
        self.write(0x070, 0);
        self.write(0x070, 3);
        for (select, word) in [(0, features as u32), (1, (features >> 32) as u32)] {
            self.write(0x024, select);
            self.write(0x020, word);
        }
        self.write(0x070, 11);
        for (queue, ring) in (0..).zip(RINGS) {
            self.write(0x030, queue);
            self.write(0x038, u32::from(QUEUE_SIZE));
            self.write(0x080, ring as u32);
            self.write(0x090, ring as u32 + 0x2000);
            self.write(0x0a0, ring as u32 + 0x4000);
            self.write(0x044, 1);
        }
        self.write(0x070, 15);
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        self.around.memory.write(at, bytes).expect("in range");
    }

    fn descriptor(&mut self, queue: usize, index: u16, address: u64, len: u32, flags: u16) {
        let mut bytes = address.to_le_bytes().to_vec();
        bytes.extend(len.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend((index + 1).to_le_bytes());
        self.put(RINGS[queue] + u64::from(index) * 16, &bytes);
    }

    fn offer(&mut self, queue: usize, head: u16) {
        let at = self.offered[queue];
        let available = RINGS[queue] + 0x2000;
        self.put(available + 4 + 2 * u64::from(at % QUEUE_SIZE), &head.to_le_bytes());
        self.offered[queue] = at.wrapping_add(1);
        self.put(available + 2, &self.offered[queue].to_le_bytes());
    }

    fn used(&mut self, queue: usize) -> Vec<(u32, u32)> {
        let mut count = [0; 2];
        self.around.memory.read(RINGS[queue] + 0x4002, &mut count).expect("in range");
        (0..u64::from(u16::from_le_bytes(count)))
            .map(|entry| {
                let mut element = [0; 8];
                self.around
                    .memory
                    .read(RINGS[queue] + 0x4004 + entry * 8, &mut element)
                    .expect("there");
                let [a, b, c, d, e, f, g, h] = element;
                (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
            })
            .collect()
    }

    /// The guest sends a frame in two buffers.
    fn send(&mut self, header: [u8; HEADER_BYTES], frame: &[u8]) {
        self.put(BUFFERS, &header);
        self.put(BUFFERS + 0x100, frame);
        self.descriptor(SEND, 0, BUFFERS, HEADER_BYTES as u32, FLAG_NEXT);
        self.descriptor(SEND, 1, BUFFERS + 0x100, frame.len() as u32, 0);
        self.offer(SEND, 0);
        self.write(0x050, SEND as u32);
    }

    /// The guest offers buffers of these sizes.
    fn offer_buffers(&mut self, sizes: &[u32]) {
        for (index, size) in (0..).zip(sizes) {
            let address = BUFFERS + 0x10_0000 + u64::from(index) * 0x1000;
            self.descriptor(RECEIVE, index, address, *size, FLAG_WRITE);
            self.offer(RECEIVE, index);
        }
        self.write(0x050, RECEIVE as u32);
    }

    fn give(&mut self, frame: &[u8]) -> Option<Result<(), InputFull>> {
        self.at(|device, context| device.accept_frame(context, frame))
    }

    fn buffer(&mut self, index: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.around
            .memory
            .read(BUFFERS + 0x10_0000 + index * 0x1000, &mut bytes)
            .expect("in range");
        bytes
    }
}

#[test]
fn a_frame_that_the_guest_sends_arrives_as_it_is() {
    let mut bench = Bench::new(0, 1500);
    let frame: Vec<u8> = (0..60).collect();
    bench.send([0; HEADER_BYTES], &frame);
    assert!(bench.around.network.is_waiting());
    assert_eq!(bench.around.network.take(), [frame]);
    assert_eq!(bench.used(SEND), [(0, 0)]);
    assert!(bench.device.interrupt_asserted());
    assert_eq!(bench.around.events, [], "an interface tells of no work");
}

#[test]
fn the_configuration_says_address_and_mtu() {
    let mut bench = Bench::new(FEATURE_MTU | FEATURE_ADDRESS, 9000);
    assert_eq!(bench.read(0x008), 1);
    assert_eq!(bench.read(0x100), u32::from_le_bytes([2, 0, 0, 0]));
    assert_eq!(bench.read(0x104), u32::from_le_bytes([0, 1, 1, 0]));
    assert_eq!(bench.read(0x108), 1 | 9000 << 16);
    assert_eq!(bench.read(0x10c), 0);
}

#[test]
fn a_checksum_that_is_left_to_the_device_is_right() {
    let mut bench = Bench::new(FEATURE_CHECKSUM, 1500);
    let mut frame: Vec<u8> = (0..61).collect();
    frame[40..42].copy_from_slice(&[0, 9]);
    let mut header = [0; HEADER_BYTES];
    (header[0], header[6], header[8]) = (FLAG_NEEDS_CHECKSUM, 30, 10);
    bench.send(header, &frame);
    let sent = bench.around.network.take().remove(0);
    // A sum of all ones is right.
    let mut sum: u64 = sent[30..]
        .chunks(2)
        .map(|word| u64::from(word[0]) << 8 | word.get(1).map_or(0, |low| u64::from(*low)))
        .sum();
    // The pseudo header that a driver has added up is in the field that was overwritten.
    sum += 9;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    assert_eq!(sum, 0xffff);
    assert_eq!((&sent[..40], &sent[42..]), (&frame[..40], &frame[42..]));
}

#[test]
fn a_frame_is_spread_over_the_buffers_that_it_needs() {
    let mut bench = Bench::new(FEATURE_MERGED_BUFFERS | FEATURE_GUEST_CHECKSUM, 1500);
    let frame: Vec<u8> = (0..150).collect();
    assert_eq!(bench.give(&frame), Some(Err(InputFull { room: 0 })));
    bench.offer_buffers(&[64, 80, 100, 64]);
    assert!(bench.around.network.is_waiting(), "the link is told of room");
    assert_eq!(bench.give(&frame), Some(Ok(())));
    assert_eq!(bench.used(RECEIVE), [(0, 64), (1, 80), (2, 18)]);
    let whole = [bench.buffer(0, 64), bench.buffer(1, 80), bench.buffer(2, 18)].concat();
    assert_eq!(whole[..HEADER_BYTES], [FLAG_CHECKED, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0]);
    assert_eq!(whole[HEADER_BYTES..], frame);
    let fits = |bench: &Bench, bytes| bench.device.as_interface().map(|it| it.fits(bytes));
    assert_eq!((fits(&bench, 52), fits(&bench, 53)), (Some(true), Some(false)));
}

#[test]
fn what_does_not_fit_changes_nothing_and_what_is_too_large_is_lost() {
    let mut bench = Bench::new(FEATURE_MERGED_BUFFERS, 600);
    bench.offer_buffers(&[100, 100]);
    assert_eq!(bench.around.network.take().len(), 0);
    let before = bench.device.save();
    assert_eq!(bench.give(&[1; 400]), Some(Err(InputFull { room: 0 })));
    assert_eq!(bench.device.save(), before);
    bench.send([0; HEADER_BYTES], &[1; 615]);
    assert!(!bench.around.network.is_waiting());
    bench.send([0; HEADER_BYTES], &[1; 614]);
    assert_eq!(bench.around.network.take().len(), 1);
    let mut segmented = [0; HEADER_BYTES];
    segmented[1] = 1;
    bench.send(segmented, &[1; 64]);
    assert!(!bench.around.network.is_waiting());
    assert_eq!(bench.used(SEND).len(), 3, "every buffer is given back");
}

#[test]
fn a_driver_without_merged_buffers_has_one_for_each_frame() {
    let mut bench = Bench::new(0, 1500);
    bench.offer_buffers(&[40, 200]);
    assert_eq!(bench.give(&[7; 60]), Some(Ok(())), "lost: the buffer is too small");
    assert_eq!(bench.used(RECEIVE), []);
    assert_eq!(bench.give(&[7; 20]), Some(Ok(())));
    assert_eq!(bench.used(RECEIVE), [(0, 32)]);
    assert_eq!(bench.give(&[7; 60]), Some(Ok(())));
    assert_eq!(bench.used(RECEIVE), [(0, 32), (1, 72)]);
}

#[test]
fn buffers_of_a_queue_that_was_switched_off_are_not_touched() {
    let mut bench = Bench::new(FEATURE_MERGED_BUFFERS, 1500);
    bench.offer_buffers(&[100]);
    bench.write(0x030, RECEIVE as u32);
    bench.write(0x044, 0);
    assert_eq!(bench.give(&[7; 20]), Some(Err(InputFull { room: 0 })));
    assert_eq!(bench.buffer(0, 100), [0; 100]);
    // A driver that switches it on and off for ever does not make the device hold more and more.
    for _ in 0..3 {
        bench.write(0x070, 11);
        bench.offered[RECEIVE] = 0;
        bench.write(0x044, 1);
        bench.write(0x070, 15);
        bench.offer_buffers(&[100]);
        bench.write(0x044, 0);
    }
    let mut other = VirtioMmio::new(Box::new(Net::new(ADDRESS, 1500)));
    other.load(&bench.device.save()).expect("a state");
    assert_eq!(other.save(), bench.device.save());
    assert_eq!(bench.give(&[7; 20]), Some(Err(InputFull { room: 0 })));
}

#[test]
fn options_are_checked() {
    let made = |address: serde_json::Value, mtu: u32| {
        let description = crate::devices::DeviceDescription::new("network", "virtio-net", 0, 1)
            .with("address", address)
            .with("mtu", mtu);
        let making =
            crate::devices::Making { seed: crate::random::Seed::from_number(0), epoch_nanos: 0 };
        (KIND.make)(&description, &making).err()
    };
    assert_eq!(made(ADDRESS.to_vec().into(), 1500), None);
    assert!(made(vec![1, 0, 0, 0, 0, 1].into(), 1500).is_some_and(|it| it.contains("address")));
    assert!(made(vec![2, 0].into(), 1500).is_some());
    assert!(made(ADDRESS.to_vec().into(), 575).is_some_and(|it| it.contains("mtu")));
    assert!(made(ADDRESS.to_vec().into(), 65_536).is_some());
}

#[test]
fn a_state_of_an_earlier_version_is_brought_up() {
    let connection = |state: &mut crate::state::StateWriter| {
        state.u32(1).u32(0x0a00_020f).u16(80).u32(0x0a00_0202).u16(4000).u32(7);
    };
    let mut second = crate::state::StateWriter::new();
    second.bool(true).u32(0);
    connection(&mut second);
    second.u32(8).bool(false).bool(false).bool(true).bool(true).u64(1).u64(2).u64(3).u64(4);
    second.u64(5).u64(6);
    let mut first = crate::state::StateWriter::new();
    first.bool(true).u32(0);
    connection(&mut first);
    first.bool(false).bool(false);
    for (version, state, open) in [(1, first.finish(), 0), (2, second.finish(), 1)] {
        let mut net = Net::new(ADDRESS, 1500);
        let brought_up = net.state_versions().brought_up("network", version, &state);
        net.load(&brought_up.expect("known")).expect("a state");
        assert_eq!((net.connections.len(), net.connections.open()), (1, open), "{version}");
        assert!(net.is_merging && !net.has_version_6, "{version}");
        assert_eq!(net.connections.resets(ADDRESS, ADDRESS)[0][38..42], [0, 0, 0, 7]);
        assert!(net.state_versions().brought_up("network", version, &state[1..]).is_err());
    }
}

#[test]
fn a_guest_that_has_sent_a_packet_of_version_6_is_known_by_it() {
    let mut bench = Bench::new(FEATURE_MERGED_BUFFERS, 1500);
    let knows = |bench: &Bench| bench.device.as_interface().map(|it| it.has_version_6());
    let mut frame = vec![0; 60];
    frame[12..14].copy_from_slice(&[8, 0]);
    bench.send([0; HEADER_BYTES], &frame);
    assert_eq!(knows(&bench), Some(false));
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    bench.send([0; HEADER_BYTES], &frame);
    assert_eq!(knows(&bench), Some(true));
    let mut other = VirtioMmio::new(Box::new(Net::new(ADDRESS, 1500)));
    other.load(&bench.device.save()).expect("a state");
    assert_eq!(other.as_interface().map(|it| it.has_version_6()), Some(true));
    bench.start(FEATURE_MERGED_BUFFERS);
    assert_eq!(knows(&bench), Some(false), "whoever starts after a reset has sent nothing");
}

#[derive(Debug, Clone)]
enum Act {
    Put { at: u64, bytes: Vec<u8> },
    Descriptor { queue: usize, index: u16, address: u64, len: u32, flags: u16 },
    Offer { queue: usize, head: u16 },
    Register { offset: u64, value: u32 },
    Notify { queue: u32 },
    Give { len: usize },
    Restart { features: u64 },
    SaveAndLoad,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let address = prop_oneof![BASE..BASE + 0x8_0000, Just(0), Just(u64::MAX - 8), any::<u64>()];
    let act = prop_oneof![
        2 => (BASE..BASE + 0x2_0000, proptest::collection::vec(any::<u8>(), 1..64))
            .prop_map(|(at, bytes)| Act::Put { at, bytes }),
        6 => (0..2usize, 0..300u16, address, prop_oneof![0..2000u32, any::<u32>()], 0..8u16)
            .prop_map(|(queue, index, address, len, flags)| {
                Act::Descriptor { queue, index, address, len, flags }
            }),
        6 => (0..2usize, 0..300u16).prop_map(|(queue, head)| Act::Offer { queue, head }),
        2 => (0..0x120u64, any::<u32>()).prop_map(|(offset, value)| Act::Register { offset, value }),
        6 => (0..3u32).prop_map(|queue| Act::Notify { queue }),
        4 => (0..70_000usize).prop_map(|len| Act::Give { len }),
        2 => any::<u64>().prop_map(|features| Act::Restart { features }),
        1 => Just(Act::SaveAndLoad),
    ];
    proptest::collection::vec(act, 1..60)
}

proptest! {
    /// Whatever a driver does: no panic, nothing outside memory, no more held than queues have, and
    /// what is saved is the same device.
    #[test]
    fn any_driver_is_survived(acts in acts(), mtu in MIN_MTU..=MAX_MTU) {
        let mut bench = Bench::new(FEATURE_MERGED_BUFFERS, mtu);
        for act in acts {
            match act {
                Act::Put { at, bytes } => bench.put(at, &bytes),
                Act::Descriptor { queue, index, address, len, flags } => {
                    bench.descriptor(queue, index, address, len, flags);
                }
                Act::Offer { queue, head } => bench.offer(queue, head),
                Act::Register { offset, value } => bench.write(offset, value),
                Act::Notify { queue } => bench.write(0x050, queue),
                Act::Give { len } => {
                    let fits = bench.device.as_interface().is_some_and(|it| it.fits(len));
                    let before = bench.device.save();
                    let given = bench.give(&vec![7; len]);
                    prop_assert_eq!(given == Some(Ok(())), fits);
                    if !fits {
                        prop_assert_eq!(bench.device.save(), before);
                    }
                }
                Act::Restart { features } => {
                    bench.offered = [0; 2];
                    for ring in RINGS {
                        bench.put(ring + 0x2000, &[0; 4]);
                    }
                    bench.start(features & 0x3000_8023);
                }
                Act::SaveAndLoad => {
                    let saved = bench.device.save();
                    let mut other = VirtioMmio::new(Box::new(Net::new(ADDRESS, mtu)));
                    prop_assert_eq!(other.load(&saved), Ok(()));
                    prop_assert_eq!(other.save(), saved);
                    bench.device = Box::new(other);
                }
            }
            for frame in bench.around.network.take() {
                prop_assert!(frame.len() <= ETHERNET_HEADER_BYTES + usize::from(mtu));
            }
        }
    }

    /// Any bytes as a saved interface: refused, or saved again as the same bytes.
    #[test]
    fn any_state_is_refused_or_the_same(state in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut net = Net::new(ADDRESS, 1500);
        if net.load(&state).is_ok() {
            prop_assert_eq!(net.save(), state);
        }
    }
}
