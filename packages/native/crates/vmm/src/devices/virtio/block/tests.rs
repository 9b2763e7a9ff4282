use super::*;
use crate::devices::surroundings::Surroundings;
use crate::devices::{Device, DeviceContext};
use crate::disks::Disk;
use crate::disks::tests::{Folder, content, spec};
use crate::event::{DiskFailure, DiskOperation, EventBody};
use proptest::prelude::*;

const BASE: u64 = 0x8000_0000;
const AVAILABLE: u64 = BASE + 0x1000;
const USED: u64 = BASE + 0x2000;
const HEADS: u64 = BASE + 0x4000;
const STATUSES: u64 = BASE + 0x5000;
const DATA: u64 = BASE + 0x1_0000;
/// A request takes its head, up to 4 KiB of data and a status.
const SLOTS: u16 = 16;

struct Bench {
    around: Surroundings,
    device: VirtioMmio,
    asked: u16,
}

impl Bench {
    fn new(disk: Option<Disk>) -> Self {
        let attached = disk.as_ref().map(facts);
        let mut around = Surroundings::new(BASE, 1 << 20);
        if let Some(disk) = disk {
            around.disks.put(0, disk);
        }
        let mut bench =
            Self { around, device: VirtioMmio::new(Box::new(Block::new(0, attached))), asked: 0 };
        bench.start(0);
        bench
    }

    fn at<R>(&mut self, act: impl FnOnce(&mut VirtioMmio, &mut DeviceContext<'_>) -> R) -> R {
        let mut context = self.around.context("disk:data");
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

    fn start(&mut self, features: u64) {
        self.write(0x070, 0);
        self.around.memory.write(BASE, &[0; 0x4000]).expect("in range");
        self.asked = 0;
        self.write(0x070, 3);
        for (select, word) in [(0, features as u32), (1, 1)] {
            self.write(0x024, select);
            self.write(0x020, word);
        }
        self.write(0x070, 11);
        self.write(0x038, 64);
        self.write(0x080, BASE as u32);
        self.write(0x090, AVAILABLE as u32);
        self.write(0x0a0, USED as u32);
        self.write(0x044, 1);
        self.write(0x070, 15);
    }

    fn descriptor(&mut self, index: u16, address: u64, len: u32, flags: u16, next: u16) {
        let rest = u128::from(len) | u128::from(flags) << 32 | u128::from(next) << 48;
        let bytes = (u128::from(address) | rest << 64).to_le_bytes();
        self.around.memory.write(BASE + u64::from(index) * 16, &bytes).expect("in range");
    }

    /// Asks for something, and says so; the request's slot.
    fn ask(&mut self, kind: u32, sector: u64, data: &[u8], is_read: bool) -> u16 {
        let slot = self.asked % SLOTS;
        let (head, status) = (HEADS + u64::from(slot) * 16, STATUSES + u64::from(slot));
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[8..].copy_from_slice(&sector.to_le_bytes());
        self.around.memory.write(head, &bytes).expect("in range");
        self.around.memory.write(status, &[0xff]).expect("in range");
        let place = DATA + u64::from(slot) * 4096;
        self.around.memory.write(place, data).expect("in range");
        let first = slot * 3;
        let flags = if is_read { 3 } else { 1 };
        self.descriptor(first + 1, place, data.len() as u32, flags, first + 2);
        self.descriptor(first + 2, status, 1, 2, 0);
        let after_head = if data.is_empty() { first + 2 } else { first + 1 };
        self.descriptor(first, head, 16, 1, after_head);
        let entry = AVAILABLE + 4 + 2 * u64::from(self.asked % 64);
        self.around.memory.write(entry, &first.to_le_bytes()).expect("in range");
        self.asked += 1;
        self.around.memory.write(AVAILABLE + 2, &self.asked.to_le_bytes()).expect("in range");
        self.write(0x050, 0);
        slot
    }

    /// Lets time pass until nothing is in flight.
    fn settle(&mut self) {
        while let Some(at) = self.device.deadline() {
            self.run_to(at);
        }
    }

    fn run_to(&mut self, at: Nanos) {
        self.around.now = self.around.now.max(at);
        self.at(|device, context| device.tick(context));
    }

    fn status(&mut self, slot: u16) -> u8 {
        let mut status = [0];
        self.around.memory.read(STATUSES + u64::from(slot), &mut status).expect("in range");
        status[0]
    }

    fn data(&mut self, slot: u16, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.around.memory.read(DATA + u64::from(slot) * 4096, &mut bytes).expect("in range");
        bytes
    }

    /// Asks and waits: the status, and what is in the buffer.
    fn done(&mut self, kind: u32, sector: u64, data: &[u8], is_read: bool) -> (u8, Vec<u8>) {
        let slot = self.ask(kind, sector, data, is_read);
        self.settle();
        (self.status(slot), self.data(slot, data.len()))
    }

    fn stretch(&mut self, kind: u32, sector: u64, sectors: u32, flags: u32) -> u8 {
        let stretch = u128::from(sector) | u128::from(sectors) << 64 | u128::from(flags) << 96;
        self.done(kind, 0, &stretch.to_le_bytes(), false).0
    }

    fn kinds(&mut self) -> Vec<&'static str> {
        self.around.events.drain(..).map(|event| event.kind().name()).collect()
    }
}

fn facts(disk: &Disk) -> Attached {
    let (name, access, size_bytes) = (disk.name().to_owned(), disk.access(), disk.size_bytes());
    Attached { name, access, size_bytes }
}

fn scratch() -> Disk {
    Disk::open(&spec("data", Access::Scratch, None)).expect("good")
}

#[test]
fn a_driver_reads_writes_zeroes_and_asks_who_it_is() {
    let mut bench = Bench::new(Some(scratch()));
    assert_eq!((bench.read(0x008), bench.read(0x100), bench.read(0x104)), (2, 300, 0));
    assert_eq!((bench.read(0x108), bench.read(0x10c)), (65536, 126));
    assert_eq!(bench.done(1, 7, &[5; 1024], false).0, 0);
    assert_eq!(
        bench.done(0, 6, &[9; 2048], true),
        (0, [[0; 512], [5; 512], [5; 512], [0; 512]].concat())
    );
    assert_eq!(bench.done(4, 0, &[], false).0, 0);
    assert_eq!(
        bench.done(8, 0, &[1; 20], true),
        (0, b"data\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec())
    );
    assert_eq!(bench.stretch(13, 8, 1, 1), 0);
    assert_eq!(bench.done(0, 7, &[9; 1024], true), (0, [[5; 512], [0; 512]].concat()));
    // Whole pages go, the rest may stay.
    assert_eq!(bench.done(1, 15, &[6; 1024], false).0, 0);
    assert_eq!(bench.stretch(11, 16, 8, 0), 0);
    assert_eq!(bench.done(0, 15, &[9; 1024], true), (0, [[6; 512], [0; 512]].concat()));
    assert_eq!(bench.kinds()[..4], ["IoStarted", "IoSettled", "IoStarted", "IoSettled"]);
}

#[test]
fn what_is_not_there_or_not_known_is_refused_and_harms_nothing() {
    let mut bench = Bench::new(Some(scratch()));
    for (kind, sector, len) in
        [(0, 300, 512), (0, 299, 1024), (0, u64::MAX, 512), (1, 1 << 55, 512), (0, 0, 100)]
    {
        assert_eq!(
            bench.done(kind, sector, &vec![0; len], kind == 0).0,
            1,
            "{kind} {sector} {len}"
        );
    }
    assert_eq!(bench.done(2, 0, &[0; 512], true).0, 2);
    assert_eq!(bench.stretch(11, 0, 8, 1), 2);
    assert_eq!(bench.stretch(13, 0, 8, 2), 2);
    assert_eq!(bench.stretch(13, 299, 2, 0), 1);
    assert_eq!(bench.stretch(13, u64::MAX, 2, 0), 1);
    assert_eq!(bench.done(13, 0, &[0; 17], false).0, 1);
    // No room for a status; no whole head.
    bench.descriptor(60, HEADS, 16, 0, 0);
    bench
        .around
        .memory
        .write(AVAILABLE + 4 + 2 * u64::from(bench.asked), &60u16.to_le_bytes())
        .expect("in range");
    bench.asked += 1;
    let asked = bench.asked.to_le_bytes();
    bench.around.memory.write(AVAILABLE + 2, &asked).expect("in range");
    bench.write(0x050, 0);
    bench.settle();
    assert_eq!(bench.done(0, 0, &[1; 512], true), (0, vec![0; 512]));
}

#[test]
#[cfg_attr(miri, ignore = "a disk is a file of the host's")]
fn a_read_only_disk_says_so_and_is_not_written() {
    let folder = Folder::new("read-only");
    let source = folder.file("source", 8192);
    let disk = Disk::open(&spec("root", Access::Read, Some(&source))).expect("good");
    let mut bench = Bench::new(Some(disk));
    bench.write(0x014, 0);
    assert_ne!(bench.read(0x010) & FEATURE_READ_ONLY as u32, 0);
    assert_eq!(bench.read(0x010) & FEATURE_DISCARD as u32, 0);
    assert_eq!(bench.done(1, 0, &[1; 512], false).0, 1);
    assert_eq!(bench.stretch(13, 0, 8, 0), 1);
    assert_eq!(bench.done(0, 1, &[9; 512], true), (0, content(8192)[512..1024].to_vec()));
    std::fs::write(&source, [0; 8192]).expect("written");
    assert_eq!(bench.done(0, 1, &[9; 512], true).0, 1, "another file");
}

#[test]
fn requests_in_flight_come_back_at_times_that_are_known() {
    let mut bench = Bench::new(Some(scratch()));
    let bytes = |len: u64| (16 + len + 1) / BYTES_PER_NANO;
    let one = bench.ask(1, 0, &[1; 4096], false);
    bench.around.now = 40;
    let two = bench.ask(0, 0, &[9; 512], true);
    let first = REQUEST_NANOS + bytes(4096);
    // The second waits for the bytes of the first.
    let second = first + bytes(512);
    assert_eq!(bench.device.deadline(), Some(first));
    let mut other = Bench::new(Some(scratch()));
    other.device.load(&bench.device.save()).expect("saved by this build");
    assert_eq!(other.device.save(), bench.device.save());
    bench.run_to(first - 1);
    assert_eq!((bench.status(one), bench.read(0x060)), (0xff, 0));
    bench.run_to(first);
    assert_eq!((bench.status(one), bench.status(two), bench.read(0x060)), (0, 0xff, 1));
    assert_eq!(bench.device.deadline(), Some(second));
    bench.run_to(second);
    assert_eq!((bench.status(two), bench.data(two, 512)), (0, vec![1; 512]));
    assert_eq!((bench.device.deadline(), bench.kinds()), (None, vec!["IoStarted", "IoSettled"]));
}

#[test]
fn a_slot_is_empty_until_a_disk_is_put_into_it() {
    let mut bench = Bench::new(None);
    assert_eq!(bench.read(0x100), 0);
    assert_eq!(bench.done(0, 0, &[1; 512], true).0, 1);
    assert_eq!(bench.done(4, 0, &[], false).0, 1);
    assert_eq!(bench.done(8, 0, &[1; 20], true), (0, vec![0; 20]));
    let generation = bench.read(0x0fc);
    bench.write(0x064, 3);
    let disk = scratch();
    let told = facts(&disk);
    bench.around.disks.put(0, disk);
    assert!(!bench.at(|device, context| device.attach_disk(context, 1, &told)));
    assert!(bench.at(|device, context| device.attach_disk(context, 0, &told)));
    assert!(!bench.at(|device, context| device.attach_disk(context, 0, &told)), "not empty");
    assert_eq!((bench.read(0x100), bench.read(0x0fc), bench.read(0x060)), (300, generation + 1, 2));
    assert_eq!(bench.done(1, 3, &[5; 512], false).0, 0);
    assert_eq!(bench.done(8, 0, &[1; 20], true).1[..5], *b"data\0");
    // A slot that was filled is restored into an empty one of the same machine.
    let mut other = Bench::new(None);
    other.device.load(&bench.device.save()).expect("saved by this build");
    assert_eq!((other.device.save(), other.read(0x100)), (bench.device.save(), 300));
    // Nobody is interrupted before the driver has started.
    let mut cold = Bench::new(None);
    cold.write(0x070, 0);
    assert!(cold.at(|device, context| device.attach_disk(context, 0, &told)));
    assert_eq!(cold.read(0x060), 0);
}

#[test]
#[cfg_attr(miri, ignore = "a disk is a file of the host's")]
fn a_driver_that_does_not_flush_has_what_it_wrote_on_the_disk() {
    let folder = Folder::new("through");
    let source = folder.file("volume", 8192);
    let disk = Disk::open(&spec("data", Access::Volume, Some(&source))).expect("good");
    let mut bench = Bench::new(Some(disk));
    for features in [0, FEATURE_FLUSH] {
        bench.start(features);
        assert_eq!(bench.done(1, 2, &[7 + features as u8; 512], false).0, 0);
        assert_eq!(bench.done(4, 0, &[], false).0, 0);
        assert_eq!(std::fs::read(&source).expect("there")[1024..1536], [7 + features as u8; 512]);
    }
}

/// The events of the disk's failures.
fn failures(bench: &Bench) -> Vec<(DiskOperation, u64, u64, DiskFailure, Option<u32>)> {
    let failed = bench.around.events.iter().filter_map(|event| match event {
        EventBody::DiskFailed { disk, operation, offset, bytes, reason, errno, message } => {
            assert_eq!(disk, "data");
            assert!(message.contains("source") || message.contains("volume"), "{message}");
            Some((*operation, *offset, *bytes, *reason, *errno))
        }
        _ => None,
    });
    failed.collect()
}

#[test]
#[cfg_attr(miri, ignore = "a disk is a file of the host's")]
fn what_a_disk_does_not_do_is_told_and_what_a_driver_asks_wrongly_is_not() {
    let folder = Folder::new("told");
    let source = folder.file("source", 1 << 20);
    let disk = Disk::open(&spec("data", Access::CopyOnWrite, Some(&source))).expect("good");
    let mut bench = Bench::new(Some(disk));
    assert_eq!(bench.done(0, 1 << 30, &[0; 512], true).0, 1, "behind the end");
    assert_eq!(bench.done(99, 0, &[], false).0, 2, "no such request");
    assert_eq!(bench.done(0, 8, &[0; 512], true).0, 0);
    assert_eq!(failures(&bench), []);
    let mut other = content(1 << 20);
    other[4200] ^= 1;
    std::fs::write(&source, &other).expect("written");
    assert_eq!(bench.done(0, 8, &[0; 512], true).0, 1);
    // Half a page is written: the other half is to be had first.
    assert_eq!(bench.done(1, 9, &[0; 512], false).0, 1);
    std::fs::File::options().write(true).open(&source).expect("there").set_len(512).expect("cut");
    assert_eq!(bench.done(0, 1000, &[0; 1024], true).0, 1);
    let changed = DiskFailure::Changed;
    let expected = [
        (DiskOperation::Read, 4096, 512, changed, None),
        (DiskOperation::Write, 4608, 512, changed, None),
        (DiskOperation::Read, 512_000, 1024, DiskFailure::Shortened, None),
    ];
    assert_eq!(failures(&bench), expected);
    let kinds = bench.kinds();
    assert_eq!(kinds[..3], ["IoStarted", "IoSettled", "IoStarted"]);
    assert!(kinds.ends_with(&["IoStarted", "DiskFailed", "IoSettled"]), "{kinds:?}");
}

#[derive(Debug, Clone)]
enum Act {
    Ask { kind: u32, sector: u64, len: usize, is_read: bool },
    Register { offset: u64, value: u32 },
    Rings { at: u64, bytes: Vec<u8> },
    Pass { nanos: u64 },
    Restart { features: u64 },
    Copy,
}

fn acts() -> impl Strategy<Value = Act> {
    let kinds =
        prop_oneof![Just(0u32), Just(1), Just(4), Just(8), Just(11), Just(13), any::<u32>()];
    let sectors = prop_oneof![0..310u64, any::<u64>()];
    prop_oneof![
        8 => (kinds, sectors, 0..4097usize, any::<bool>())
            .prop_map(|(kind, sector, len, is_read)| Act::Ask { kind, sector, len: len & !1, is_read }),
        1 => (0..0x140u64, prop_oneof![0..16u32, any::<u32>()])
            .prop_map(|(offset, value)| Act::Register { offset, value }),
        2 => (0..0x6000u64, proptest::collection::vec(0..8u8, 1..24))
            .prop_map(|(at, bytes)| Act::Rings { at, bytes }),
        3 => (0..30_000u64).prop_map(|nanos| Act::Pass { nanos }),
        1 => prop_oneof![Just(FEATURE_INDIRECT | FEATURE_EVENT_INDEX), Just(FEATURE_FLUSH), any::<u64>()]
            .prop_map(|features| Act::Restart { features }),
        1 => Just(Act::Copy),
    ]
}

proptest! {
    #![proptest_config(crate::generated::hostile_cases(600))]

    /// Whatever a driver does: no panic, no end of time, and after a reset a disk that works.
    #[test]
    fn any_driver_is_survived_and_can_begin_anew(
        is_slot in any::<bool>(),
        acts in proptest::collection::vec(acts(), 1..40),
    ) {
        let mut bench = Bench::new((!is_slot).then(scratch));
        for act in acts {
            match act {
                Act::Ask { kind, sector, len, is_read } => {
                    bench.ask(kind, sector, &vec![3; len], is_read);
                }
                Act::Register { offset, value } => bench.write(offset, value),
                Act::Rings { at, bytes } => bench.around.memory.write(BASE + at, &bytes).expect("in range"),
                Act::Pass { nanos } => bench.run_to(bench.around.now + nanos),
                Act::Restart { features } => bench.start(features),
                Act::Copy => {
                    let attached = bench.around.disks.get(0).map(facts);
                    let mut copy = VirtioMmio::new(Box::new(Block::new(0, attached)));
                    copy.load(&bench.device.save()).expect("saved by this build");
                    prop_assert_eq!(copy.save(), bench.device.save());
                    bench.device = copy;
                }
            }
        }
        bench.settle();
        bench.start(0);
        if is_slot {
            prop_assert_eq!(bench.done(0, 0, &[1; 512], true).0, 1);
        } else {
            prop_assert_eq!(bench.done(1, 5, &[7; 512], false).0, 0);
            prop_assert_eq!(bench.done(0, 5, &[1; 512], true), (0, vec![7; 512]));
        }
    }

    /// A state that was not saved by this device is refused or harmless.
    #[test]
    fn any_state_is_survived(at in 0..200usize, byte in any::<u8>(), cut in 0..400usize) {
        let mut bench = Bench::new(Some(scratch()));
        bench.ask(0, 3, &[0; 512], true);
        let mut state = bench.device.save();
        if let Some(there) = state.get_mut(at) {
            *there = byte;
        }
        state.truncate(cut.max(at + 1));
        let mut other = Bench::new(Some(scratch()));
        if other.device.load(&state).is_ok() {
            other.write(0x050, 0);
            other.settle();
        }
    }
}
