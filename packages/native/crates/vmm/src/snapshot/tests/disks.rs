//! Disks in snapshots and forks, with a driver that is the test: what it knows is in guest memory.

mod failures;
mod marks;

use super::*;
use crate::conformance::fake::DISKS;
use crate::disks::tests::{Folder, content, spec};
use crate::disks::{Access, DiskSpec};
use crate::event::EventKind;
use crate::machine::ReplayError;

/// Requests that a driver has room for.
const ROOM: u64 = 16;
const SECTORS: u64 = 300;
/// Where a disk's driver has its rings and buffers.
fn region(disk: u64) -> u64 {
    BASE + 0x4_0000 + disk * 0x2_0000
}

/// A guest that does nothing, for ever, with a disk of each kind and a slot.
fn machine_with_disks(folder: &Folder) -> Machine {
    let program = [op(Op::Set, 3, 0, 1), op(Op::JumpIfNot, 3, 0, 0)];
    let (image, volume) = (folder.0.join("image"), folder.0.join("volume"));
    if !image.exists() {
        std::fs::write(&image, content(299 * 512 + 7)).expect("written");
    }
    std::fs::write(&volume, content(SECTORS as usize * 512)).expect("written");
    let config = MachineConfig {
        memory_bytes: 1 << 20,
        disks: vec![
            spec("scratch", Access::Scratch, None),
            spec("image", Access::CopyOnWrite, Some(&image)),
            spec("volume", Access::Volume, Some(&volume)),
        ],
        disk_slots: 1,
        ..MachineConfig::new(Source::Bytes(program.concat().into()))
    };
    let mut machine = Machine::new(&config, Fake::boxed()).expect("good");
    (0..4).for_each(|disk| start(&mut machine, disk));
    machine
}

fn register(machine: &mut Machine, disk: u64, offset: u64, value: u32) {
    let at = DISKS + disk * 0x1000 + offset;
    machine.platform_mut().mmio_write(at, &value.to_le_bytes()).expect("a device");
}

fn start(machine: &mut Machine, disk: u64) {
    let at = region(disk) as u32;
    for (offset, value) in [(0x070, 3), (0x024, 1), (0x020, 1), (0x070, 11), (0x038, 64)] {
        register(machine, disk, offset, value);
    }
    for (offset, value) in [(0x080, at), (0x090, at + 0x1000), (0x0a0, at + 0x2000), (0x044, 1)] {
        register(machine, disk, offset, value);
    }
    register(machine, disk, 0x070, 15);
}

fn word(machine: &mut Machine, at: u64) -> u16 {
    let mut bytes = [0; 2];
    machine.read_memory(at, &mut bytes).expect("in range");
    u16::from_le_bytes(bytes)
}

/// Asks for something, if there is room for it; whether there was.
fn ask(machine: &mut Machine, disk: u64, kind: u32, sector: u64, len: u32, byte: u8) -> bool {
    let at = region(disk);
    let (asked, done) = (word(machine, at + 0x1002), word(machine, at + 0x2002));
    if u64::from(asked.wrapping_sub(done)) >= ROOM {
        return false;
    }
    let slot = u64::from(asked) % ROOM;
    let (head, status, data) =
        (at + 0x3000 + slot * 16, at + 0x3800 + slot, at + 0x8000 + slot * 0x1000);
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[8..].copy_from_slice(&sector.to_le_bytes());
    let mut put = |at: u64, bytes: &[u8]| machine.write_memory(at, bytes).expect("in range");
    put(head, &bytes);
    put(status, &[0xff]);
    let flags = if kind == 0 { 3 } else { 1 };
    let (len, content) = match kind {
        11 | 13 => (16, (u128::from(sector) | u128::from(len / 512) << 64).to_le_bytes().to_vec()),
        _ => (len, vec![byte; len as usize]),
    };
    put(data, &content);
    let first = slot * 3;
    let mut describe = |index: u64, address: u64, len: u32, flags: u16, next: u64| {
        let rest = u128::from(len) | u128::from(flags) << 32 | u128::from(next) << 48;
        put(at + index * 16, &(u128::from(address) | rest << 64).to_le_bytes());
    };
    describe(first, head, 16, 1, first + 1);
    describe(first + 1, data, len, flags, first + 2);
    describe(first + 2, status, 1, 2, 0);
    put(at + 0x1004 + 2 * (u64::from(asked) % 64), &(first as u16).to_le_bytes());
    put(at + 0x1002, &asked.wrapping_add(1).to_le_bytes());
    register(machine, disk, 0x050, 0);
    true
}

/// Sends a request, and runs the guest until there is a status.
fn done(machine: &mut Machine, disk: u64, kind: u32, sector: u64, byte: u8) -> (u8, Vec<u8>) {
    let slot = u64::from(word(machine, region(disk) + 0x1002)) % ROOM;
    assert!(ask(machine, disk, kind, sector, 512, byte));
    machine.run(&until(machine.now() + 200_000));
    let (mut status, mut data) = ([0], vec![0; 512]);
    machine.read_memory(region(disk) + 0x3800 + slot, &mut status).expect("in range");
    machine.read_memory(region(disk) + 0x8000 + slot * 0x1000, &mut data).expect("in range");
    (status[0], data)
}

/// The content of each disk.
fn contents(machine: &mut Machine) -> Vec<Vec<u8>> {
    let numbers: Vec<_> = machine.disks().iter().map(|(number, _)| number).collect();
    let disks = &mut machine.platform_mut().disks;
    let read = |number| {
        let disk = disks.get_mut(number).expect("there");
        let mut bytes = vec![0; disk.size_bytes() as usize];
        disk.read(0, &mut bytes).expect("on the disk");
        bytes
    };
    numbers.into_iter().map(read).collect()
}

#[derive(Debug, Clone)]
enum Act {
    Ask { machine: usize, disk: u64, kind: u32, sector: u64, len: u32, byte: u8 },
    Run { machine: usize, nanos: u64 },
    Attach { machine: usize },
    Fork { machine: usize },
    Close { machine: usize },
    Full { machine: usize },
    Delta { machine: usize, parent: usize },
    Restore { snapshot: usize },
}

fn asks() -> impl Strategy<Value = Act> {
    let kind = prop_oneof![2 => Just(0u32), 5 => Just(1), 1 => Just(13)];
    (0..6usize, 0..4u64, kind, 0..SECTORS, 1..9u32, 1..255u8).prop_map(
        |(machine, disk, kind, sector, sectors, byte)| {
            let len = sectors.min((SECTORS - sector) as u32) * 512;
            Act::Ask { machine, disk, kind, sector, len, byte }
        },
    )
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let machine = || 0..6usize;
    let act = prop_oneof![
        8 => asks(),
        4 => (machine(), 1..40_000u64).prop_map(|(machine, nanos)| Act::Run { machine, nanos }),
        1 => machine().prop_map(|machine| Act::Attach { machine }),
        3 => machine().prop_map(|machine| Act::Fork { machine }),
        1 => machine().prop_map(|machine| Act::Close { machine }),
        1 => machine().prop_map(|machine| Act::Full { machine }),
        5 => (machine(), 0..16usize).prop_map(|(machine, parent)| Act::Delta { machine, parent }),
        2 => (0..16usize).prop_map(|snapshot| Act::Restore { snapshot }),
    ];
    proptest::collection::vec(act, 1..40)
}

/// A snapshot, its parents behind it, and what it must give.
struct Taken {
    id: SnapshotId,
    chain: Vec<PathBuf>,
    digest: [u8; 32],
    contents: Vec<Vec<u8>>,
}

struct Story {
    folder: Folder,
    machines: Vec<Machine>,
    taken: Vec<Taken>,
}

impl Story {
    fn act(&mut self, act: &Act) {
        let (machines, snapshots) = (self.machines.len(), self.taken.len());
        match *act {
            Act::Ask { machine, disk, kind, sector, len, byte } => {
                ask(&mut self.machines[machine % machines], disk, kind, sector, len, byte);
            }
            Act::Run { machine, nanos } => {
                let machine = &mut self.machines[machine % machines];
                machine.run(&until(machine.now() + nanos));
            }
            Act::Attach { machine } => {
                let image = self.folder.0.join("image");
                let spec = DiskSpec {
                    size_bytes: Some(SECTORS * 512),
                    ..spec("late", Access::CopyOnWrite, Some(&image))
                };
                // Refused where one is in the slot.
                let _ = self.machines[machine % machines].attach_disk(None, &spec);
            }
            Act::Fork { machine } if machines < 6 => {
                let fork = self.machines[machine % machines].fork().expect("good");
                self.machines.push(fork);
            }
            Act::Close { machine } if machines > 1 => {
                self.machines.swap_remove(machine % machines);
            }
            Act::Full { machine } => self.take(machine % machines, None),
            Act::Delta { machine, parent } => {
                self.take(machine % machines, Some(parent % snapshots))
            }
            Act::Restore { snapshot } if machines < 6 => {
                let chain = &self.taken[snapshot % snapshots].chain;
                self.machines.push(restore(chain).expect("good"));
            }
            Act::Fork { .. } | Act::Close { .. } | Act::Restore { .. } => {}
        }
    }

    fn take(&mut self, machine: usize, parent: Option<usize>) {
        let directory = self.folder.0.join(self.taken.len().to_string());
        let machine = &mut self.machines[machine];
        let mut chain = vec![directory.clone()];
        let kind = match parent {
            None => CaptureKind::Full,
            Some(parent) => {
                chain.extend(self.taken[parent].chain.iter().cloned());
                CaptureKind::Delta { parent: self.taken[parent].id }
            }
        };
        let Ok(capture) = machine.begin_capture(kind) else { return };
        let (digest, contents) = (machine.digest().expect("in memory"), contents(machine));
        // The guest continues while its capture is written.
        for disk in 0..4 {
            ask(machine, disk, 1, 17, 4096, 0xab);
        }
        machine.run(&until(machine.now() + 30_000));
        std::fs::create_dir(&directory).expect("made");
        let id = capture.write(&directory).expect("written").id;
        self.taken.push(Taken { id, chain, digest, contents });
    }
}

proptest! {
    #![proptest_config(crate::generated::cases(40))]

    /// Machines with disks that write, are forked, captured in full or as what changed since any
    /// snapshot that they know, and restored, in whatever order and with requests in flight: every
    /// snapshot gives the machine that it was taken of, its memory and its disks of that instant.
    #[test]
    fn memory_and_disks_of_a_snapshot_are_one_instant(acts in acts()) {
        let folder = Folder::new("story");
        let machines = vec![machine_with_disks(&folder)];
        let mut story = Story { folder, machines, taken: Vec::new() };
        story.take(0, None);
        acts.iter().for_each(|act| story.act(act));
        let image = std::fs::read(story.folder.0.join("image")).expect("there");
        prop_assert!(image == content(299 * 512 + 7), "a source is never written to");
        // Whatever becomes of those that were captured.
        story.machines.clear();
        std::fs::write(story.folder.0.join("volume"), b"gone").expect("written");
        for Taken { chain, digest, contents: expected, .. } in &story.taken {
            verify(chain).expect("as captured");
            let mut restored = restore(chain).expect("good");
            prop_assert!(contents(&mut restored) == *expected);
            prop_assert_eq!(restored.digest(), Ok(*digest));
        }
    }

    /// Capturing, restoring and forking a machine at any instant changes nothing of what it does.
    #[test]
    fn a_machine_that_is_copied_at_every_turn_is_the_same(
        acts in proptest::collection::vec((asks(), 0..30_000u64, 0..4usize), 1..25),
    ) {
        let folders = [Folder::new("plain"), Folder::new("copied")];
        let mut plain = machine_with_disks(&folders[0]);
        let mut copied = machine_with_disks(&folders[1]);
        let mut chain: Vec<PathBuf> = Vec::new();
        let mut parent = None;
        for (number, (act, nanos, how)) in acts.iter().enumerate() {
            let Act::Ask { disk, kind, sector, len, byte, .. } = *act else { continue };
            for machine in [&mut plain, &mut copied] {
                ask(machine, disk, kind, sector, len, byte);
                machine.run(&until(machine.now() + nanos));
            }
            if *how == 1 {
                copied = copied.fork().expect("good");
            } else if *how > 1 {
                let directory = folders[1].0.join(number.to_string());
                std::fs::create_dir(&directory).expect("made");
                let kind = match parent {
                    Some(parent) if *how == 3 => CaptureKind::Delta { parent },
                    _ => {
                        chain.clear();
                        CaptureKind::Full
                    }
                };
                parent = Some(capture(&mut copied, kind, &directory).id);
                chain.insert(0, directory);
                copied = restore(&chain).expect("good");
            }
            prop_assert_eq!(copied.digest(), plain.digest());
            prop_assert!(contents(&mut copied) == contents(&mut plain));
            let (ours, theirs) = (copied.events(0, 9999), plain.events(0, 9999));
            if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}

fn captured(folder: &Folder) -> (Machine, PathBuf, CapturedFiles) {
    let mut machine = machine_with_disks(folder);
    for disk in 0..3 {
        assert_eq!(done(&mut machine, disk, 1, 8, 7).0, 0);
    }
    let directory = folder.0.join("snapshot");
    std::fs::create_dir(&directory).expect("made");
    let files = capture(&mut machine, CaptureKind::Full, &directory);
    (machine, directory, files)
}

fn restore_with(directory: &Path, name: &str, path: &Path) -> Result<Machine, RestoreError> {
    let source = DiskSource { name: name.to_owned(), path: path.to_owned() };
    let options = RestoreOptions { disk_sources: vec![source], ..RestoreOptions::default() };
    Machine::restore(&[directory.to_owned()], &Engines::only(Fake::boxed), &options)
}

#[test]
fn a_source_is_found_again_by_what_it_is() {
    let folder = Folder::new("found");
    let (machine, directory, files) = captured(&folder);
    drop(machine);
    let names: Vec<_> = files.files.iter().map(|file| file.name.as_ref()).collect();
    // Memory and disks are in one object.
    assert_eq!(names.len(), 1 + 2 + 1 + 2 + 1, "{names:?}");
    let header = read_header(&directory).expect("good");
    let source = header.disks[1].source.clone().expect("a file");
    assert_eq!(source.digest, blake3::hash(&content(299 * 512 + 7)).to_hex().to_string());
    let (image, moved) = (folder.0.join("image"), folder.0.join("moved"));
    std::fs::rename(&image, &moved).expect("moved");
    let refused = |result: Result<Machine, RestoreError>| result.map(|_| ()).expect_err("refused");
    let missing = refused(restore(std::slice::from_ref(&directory)));
    assert_eq!(missing.name(), "DiskUnreadable");
    assert!(missing.to_string().contains(&source.digest), "{missing}");
    let mut found = restore_with(&directory, "image", &moved).expect("said where");
    assert_eq!(done(&mut found, 1, 0, 9, 0), (0, content(4609 + 512)[4608..5120].to_vec()));
    assert_eq!(refused(restore_with(&directory, "none", &moved)).name(), "DiskUnknown");
    let original = refused(restore_with(&directory, "volume", &folder.0.join("volume")));
    assert_eq!(original.name(), "DiskIsCopy");
    assert!(original.to_string().contains("copy-on-write view"), "{original}");
    drop(found);
    std::fs::write(&image, [1; 99]).expect("written");
    assert_eq!(refused(restore_with(&directory, "image", &image)).name(), "DiskSizeWrong");
    // As long and not the same: whatever is read of it is an error in the guest, and no byte of it
    // gets there.
    std::fs::write(&image, vec![1; 299 * 512 + 7]).expect("written");
    let mut other = restore_with(&directory, "image", &image).expect("as long");
    assert_eq!(done(&mut other, 1, 0, 200, 3), (1, vec![3; 512]));
    assert_eq!(done(&mut other, 1, 0, 8, 3), (0, vec![7; 512]), "its own");
}

#[test]
fn a_source_that_changed_keeps_a_capture_from_being_one() {
    let folder = Folder::new("changed");
    let mut machine = machine_with_disks(&folder);
    assert_eq!(done(&mut machine, 1, 0, 8, 0).0, 0);
    let mut other = content(299 * 512 + 7);
    other[4200] ^= 1;
    std::fs::write(folder.0.join("image"), other).expect("written");
    let directory = folder.0.join("snapshot");
    std::fs::create_dir(&directory).expect("made");
    let capture = machine.begin_capture(CaptureKind::Full).expect("good");
    assert_eq!(capture.write(&directory).expect_err("changed").name(), "DiskChanged");
    assert_eq!(std::fs::read_dir(&directory).expect("there").count(), 0, "nothing is left");
}

#[test]
fn a_disk_file_that_was_changed_is_named() {
    let folder = Folder::new("damaged");
    let (machine, directory, files) = captured(&folder);
    drop(machine);
    for file in files.files.iter().filter(|file| file.name.starts_with("disk-")) {
        let path = directory.join(file.name.as_ref());
        let whole = std::fs::read(&path).expect("there");
        let mut bytes = whole.clone();
        let at = bytes.iter().position(|byte| *byte != 0).expect("something");
        bytes[at] ^= 0x10;
        for damaged in [bytes, whole[..whole.len() - 1].to_vec()] {
            std::fs::write(&path, &damaged).expect("written");
            let found = verify(std::slice::from_ref(&directory)).map_err(|error| error.to_string());
            let refused = found.and_then(|()| {
                restore(std::slice::from_ref(&directory))
                    .map(|_| ())
                    .map_err(|error| error.to_string())
            });
            assert!(refused.expect_err("damaged").contains(file.name.as_ref()));
        }
        std::fs::write(&path, &whole).expect("written");
    }
    verify(std::slice::from_ref(&directory)).expect("as it was");
}

#[test]
fn a_slot_takes_one_disk_and_says_why_not_another() {
    let folder = Folder::new("slot");
    let mut machine = machine_with_disks(&folder);
    let attach = |machine: &mut Machine, slot, name: &str| {
        machine.attach_disk(slot, &spec(name, Access::Scratch, None))
    };
    let name =
        |result: Result<(), crate::machine::AttachError>| result.expect_err("refused").name();
    assert_eq!(name(attach(&mut machine, Some(1), "late")), "SlotUnknown");
    assert_eq!(name(attach(&mut machine, None, "image")), "DiskNameTaken");
    assert_eq!(name(attach(&mut machine, None, "")), "DiskInvalid");
    assert_eq!(done(&mut machine, 3, 0, 0, 0).0, 1);
    attach(&mut machine, None, "late").expect("empty");
    assert_eq!(done(&mut machine, 3, 1, 5, 9).0, 0);
    assert_eq!(name(attach(&mut machine, None, "later")), "SlotTaken");
    let mut fork = machine.fork().expect("good");
    assert_eq!(done(&mut fork, 3, 0, 5, 0), (0, vec![9; 512]));
    assert_eq!(name(attach(&mut fork, Some(0), "later")), "SlotTaken");
}

#[test]
fn a_delta_to_what_a_fork_wrote_over_a_file_is_the_machine() {
    let folder = Folder::new("over-a-file");
    let mut machine = machine_with_disks(&folder);
    let mut chain = Vec::new();
    let mut take = |machine: &mut Machine, parent: Option<SnapshotId>| {
        let directory = folder.0.join(chain.len().to_string());
        std::fs::create_dir(&directory).expect("made");
        let kind = parent.map_or(CaptureKind::Full, |parent| CaptureKind::Delta { parent });
        let files = capture(machine, kind, &directory);
        chain.insert(0, directory);
        (files.id, restore(&chain).expect("good").digest())
    };
    let (whole, _) = take(&mut machine, None);
    let mut fork = machine.fork().expect("good");
    assert_eq!(done(&mut fork, 1, 1, 5, 7).0, 0);
    let (of_the_fork, restored) = take(&mut fork, Some(whole));
    assert_eq!(restored, fork.digest());
    let (_, restored) = take(&mut machine, Some(of_the_fork));
    assert_eq!(restored, machine.digest());
}

#[test]
fn a_run_to_which_disks_came_late_is_repeated_from_its_recording() {
    let folder = Folder::new("late");
    let file = folder.file("file", 100 * 512 + 7);
    let slots = || {
        let program = [op(Op::Set, 3, 0, 1), op(Op::JumpIfNot, 3, 0, 0)];
        let config = MachineConfig {
            memory_bytes: 1 << 20,
            disk_slots: 3,
            ..MachineConfig::new(Source::Bytes(program.concat().into()))
        };
        Machine::new(&config, Fake::boxed()).expect("good")
    };
    let pass = |machine: &mut Machine, budget_nanos| {
        machine.run(&RunUntil { budget_nanos: Some(budget_nanos), ..RunUntil::default() });
    };
    let mut machine = slots();
    pass(&mut machine, 700);
    machine.attach_disk(Some(2), &spec("read", Access::Read, Some(&file))).expect("empty");
    machine.attach_disk(None, &spec("scratch", Access::Scratch, None)).expect("empty");
    pass(&mut machine, 900);
    machine.attach_disk(None, &spec("cow", Access::CopyOnWrite, Some(&file))).expect("empty");
    pass(&mut machine, 300);
    let recorded = machine.events(0, usize::MAX).expect("kept");
    let attached = recorded.iter().filter(|event| event.body.kind() == EventKind::DiskAttached);
    assert_eq!(attached.map(|event| event.at_nanos).collect::<Vec<_>>(), [700, 700, 1600]);
    let mut again = slots();
    again.replay(&recorded).expect("the same machine");
    again.run(&RunUntil { at_nanos: Some(machine.now()), ..RunUntil::default() });
    assert_eq!(again.events(0, usize::MAX).expect("kept"), recorded);
    assert_eq!(again.digest(), machine.digest());
    // A volume, and a file that is not there as it was, are refused.
    std::fs::write(&file, [1; 512]).expect("written");
    let other = slots().replay(&recorded).expect_err("another file");
    assert!(matches!(&other, ReplayError::DiskOther { disk, .. } if disk == "read"), "{other}");
    let mut late = slots();
    let volume = folder.file("volume", 4096);
    late.attach_disk(None, &spec("data", Access::Volume, Some(&volume))).expect("empty");
    let recorded = late.events(0, usize::MAX).expect("kept");
    drop(late);
    let refused = slots().replay(&recorded).expect_err("a volume").to_string();
    assert!(refused.contains("volume"), "{refused}");
}

#[test]
fn a_machine_without_disks_says_nothing_of_them() {
    let directory = Directory::new("no-disks");
    capture(&mut machine(), CaptureKind::Full, &directory.0);
    let file = std::fs::read(directory.0.join(MACHINE_FILE)).expect("there");
    assert!(!String::from_utf8_lossy(&file).contains("\"disks\""));
}
