use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;
use crate::conformance::fake::{BASE, Fake, Op, op};
use crate::engines::Engines;
use crate::loaders::Source;
use crate::machine::{Machine, MachineConfig, RunUntil, Stop};
use proptest::prelude::*;

mod chains;
mod disks;
mod encryption;
mod engines;
mod layers;
mod sharing;

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir()
            .join(format!("stillpoint-snapshot-{}-{name}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("temporary directory");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A guest that writes and reads all over its memory, for ever.
fn config() -> MachineConfig {
    let program = [
        op(Op::Store, 0, 0, 0x10000),
        op(Op::Load, 0, 1, 0x8000),
        op(Op::Add, 0, 0, 0x1238),
        op(Op::Emit, 0, 0, 0),
        op(Op::Set, 3, 0, 1),
        op(Op::JumpIfNot, 3, 0, 0),
    ];
    MachineConfig {
        memory_bytes: 1 << 20,
        sample_step_nanos: 10_000,
        ..MachineConfig::new(Source::Bytes(program.concat().into()))
    }
}

fn machine() -> Machine {
    let mut machine = Machine::new(&config(), Fake::boxed()).expect("good");
    machine.run(&until(2000));
    machine
}

fn until(at: u64) -> RunUntil {
    RunUntil { at_nanos: Some(at), ..RunUntil::default() }
}

fn capture(machine: &mut Machine, kind: CaptureKind, directory: &Path) -> CapturedFiles {
    machine.begin_capture(kind).expect("good").write(directory).expect("written")
}

/// The objects in a directory, the largest one first.
fn objects_in(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("there").flatten();
    let name = |path: &Path| path.file_name().expect("named").to_string_lossy().into_owned();
    let mut found: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| name(path).len() == 64).collect();
    let bytes = |path: &PathBuf| std::fs::metadata(path).expect("there").len();
    found.sort_by_key(|path| (std::cmp::Reverse(bytes(path)), path.clone()));
    found
}

/// The only object in a directory.
fn object_in(directory: &Path) -> PathBuf {
    let [object] = &objects_in(directory)[..] else { panic!("one object") };
    object.clone()
}

/// One of the files of a snapshot: an object, the table, the machine.
fn file_in(directory: &Path, file: usize) -> PathBuf {
    match file {
        0 => objects_in(directory).first().cloned().unwrap_or_else(|| directory.join(DIGESTS_FILE)),
        1 => directory.join(DIGESTS_FILE),
        _ => directory.join(MACHINE_FILE),
    }
}

fn restore(directories: &[PathBuf]) -> Result<Machine, RestoreError> {
    Machine::restore(directories, &Engines::only(Fake::boxed), &RestoreOptions::default())
}

#[test]
fn pages_that_no_sample_will_count_are_not_in_the_state() {
    let directories = ["few-pages", "many-pages"].map(Directory::new);
    let mut config = config();
    config.sample_step_nanos = 0;
    let mut machine = Machine::new(&config, Fake::boxed()).expect("good");
    let [few, many] = [(20, &directories[0]), (2000, &directories[1])].map(|(at, directory)| {
        machine.run(&until(at));
        let captured = capture(&mut machine, CaptureKind::Full, &directory.0);
        let bytes = std::fs::metadata(directory.0.join(MACHINE_FILE)).expect("there").len();
        (captured.pages, bytes)
    });
    assert!(many.0 > few.0 + 50, "{} and {} pages", few.0, many.0);
    // A few digits of the header.
    assert!(many.1 < few.1 + 100, "{} and {} bytes", few.1, many.1);
}

#[test]
fn a_snapshot_says_what_it_is_and_its_identity_covers_its_files() {
    let directory = Directory::new("files");
    let mut machine = machine();
    let captured = capture(&mut machine, CaptureKind::Full, &directory.0);
    let names: BTreeSet<_> = captured.files.iter().map(|file| file.name.to_string()).collect();
    let object = object_in(&directory.0).file_name().expect("named").to_string_lossy().into_owned();
    assert_eq!(names, [&object, DIGESTS_FILE, MACHINE_FILE].map(str::to_owned).into());
    for file in &captured.files {
        let metadata = std::fs::metadata(directory.0.join(file.name.as_ref())).expect("there");
        assert_eq!(metadata.len(), file.size_bytes);
    }
    let digest = |name| {
        let bytes = std::fs::read(directory.0.join(name)).expect("there");
        blake3::hash(&bytes).to_hex().to_string()
    };
    assert_eq!(captured.id.to_string(), digest(MACHINE_FILE));
    let header = read_header(&directory.0).expect("good");
    assert_eq!((header.at_nanos, header.next_seq), (machine.now(), machine.next_seq()));
    assert_eq!(header.origin.machine.engine, "fake");
    assert_eq!(header.pages, captured.pages);
    assert_eq!(header.digests_digest, digest(DIGESTS_FILE));
    verify(std::slice::from_ref(&directory.0)).expect("as captured");
}

#[test]
fn pages_of_one_byte_are_restored_and_not_stored() {
    let (full, delta, whole) =
        (Directory::new("filled"), Directory::new("refilled"), Directory::new("whole"));
    let mut machine = machine();
    let stored = |captured: &CapturedFiles| {
        let objects = captured.files.iter().filter(|file| file.chunk_table.is_some());
        objects.map(|file| file.stored_bytes).sum::<u64>()
    };
    // Freed and poisoned by a kernel: half a mebibyte, and single pages among others.
    machine.write_memory(BASE + 0x8_0000, &[0xcc; 0x8_0000]).expect("in range");
    machine.write_memory(BASE + 0x6_2000, &[0xff; 0x1000]).expect("in range");
    machine.write_memory(BASE + 0x6_3000, &[0xfe; 0xfff]).expect("in range");
    let one = capture(&mut machine, CaptureKind::Full, &full.0);
    assert!(stored(&one) <= 0x8_0000, "{}", stored(&one));
    machine.write_memory(BASE + 0x8_1000, &[0; 0x1000]).expect("in range");
    machine.write_memory(BASE + 0x8_3000, &[0xcd; 0x2000]).expect("in range");
    machine.write_memory(BASE + 0x6_3000, &[0xfe; 0x1000]).expect("in range");
    let parent = one.id;
    let two = capture(&mut machine, CaptureKind::Delta { parent }, &delta.0);
    assert_eq!((two.pages, stored(&two)), (0, 0));
    capture(&mut machine, CaptureKind::Full, &whole.0);
    let expected = machine.digest().expect("in memory");
    let chain = [delta.0.clone(), full.0.clone()];
    for directories in [&chain[..], std::slice::from_ref(&whole.0)] {
        verify(directories).expect("as captured");
        let mut restored = restore(directories).expect("good");
        assert_eq!(restored.digest(), Ok(expected));
        let mut bytes = [0; 3];
        restored.read_memory(BASE + 0x8_2fff, &mut bytes).expect("in range");
        assert_eq!(bytes, [0xcc, 0xcd, 0xcd]);
        // Pages that everybody shares are copied before they are written.
        restored.write_memory(BASE + 0x8_2fff, &[1]).expect("in range");
        let mut again = restore(directories).expect("good");
        again.read_memory(BASE + 0x8_2fff, &mut bytes).expect("in range");
        assert_eq!(bytes, [0xcc, 0xcd, 0xcd]);
    }
}

#[test]
fn one_image_serves_every_machine_restored_from_it() {
    let directory = Directory::new("shared");
    let mut machine = machine();
    capture(&mut machine, CaptureKind::Full, &directory.0);
    let directories = [directory.0.clone()];
    let mut clones: Vec<_> = (0..20).map(|_| restore(&directories).expect("good")).collect();
    let digests: Vec<_> = clones
        .iter_mut()
        .map(|clone| {
            assert!(clone.own_bytes() < 16 << 10, "{} bytes", clone.own_bytes());
            clone.run(&until(5000));
            clone.digest().expect("good")
        })
        .collect();
    machine.run(&until(5000));
    let expected = machine.digest().expect("good");
    assert!(digests.iter().all(|digest| *digest == expected));
}

#[test]
fn a_file_that_changed_after_its_last_machine_ended_is_read_anew() {
    let directory = Directory::new("changed");
    capture(&mut machine(), CaptureKind::Full, &directory.0);
    let path = object_in(&directory.0);
    let file = std::fs::File::options().read(true).write(true).open(&path).expect("there");
    // Old enough for its image to stay when its machine is gone.
    let captured = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    file.set_modified(captured).expect("set");
    let directories = [directory.0.clone()];
    restore(&directories).expect("good").digest().expect("as captured");
    let mut bytes = std::fs::read(&path).expect("there");
    for byte in bytes.iter_mut().filter(|byte| **byte != 0) {
        *byte ^= 1;
    }
    std::fs::write(&path, bytes).expect("written");
    let refused = restore(&directories).expect("the state is as captured").digest();
    assert!(refused.is_err(), "{refused:?}");
}

#[test]
fn clones_on_many_threads_read_one_image_at_once() {
    let directory = Directory::new("threads");
    let mut machine = machine();
    capture(&mut machine, CaptureKind::Full, &directory.0);
    machine.run(&until(50_000));
    let expected = machine.digest().expect("good");
    let directories = [directory.0.clone()];
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut clone = restore(&directories).expect("good");
                    clone.run(&until(50_000));
                    clone.digest().expect("good")
                })
            })
            .collect();
        for run in runs {
            assert_eq!(run.join().expect("no panic"), expected);
        }
    });
}

#[test]
fn deltas_hold_what_changed_and_need_their_parents() {
    let directories: Vec<_> = (0..4).map(|_| Directory::new("delta")).collect();
    let paths: Vec<_> = directories.iter().rev().map(|d| d.0.clone()).collect();
    let mut machine = machine();
    let full = capture(&mut machine, CaptureKind::Full, &directories[0].0);
    let mut parent = full.id;
    for directory in &directories[1..] {
        // A page that becomes zero again must hide the parent's.
        machine.write_memory(BASE + 0x20000, &[0; 4096]).expect("in range");
        machine.run(&until(machine.now() + 30));
        let delta = capture(&mut machine, CaptureKind::Delta { parent }, &directory.0);
        assert_eq!(delta.parent, Some(parent));
        assert!(delta.pages < full.pages, "{} of {}", delta.pages, full.pages);
        parent = delta.id;
    }
    let expected = machine.digest().expect("good");
    let mut restored = restore(&paths).expect("good");
    assert_eq!(restored.digest().expect("good"), expected);
    // Compaction: the whole chain as one.
    let compact = Directory::new("compact");
    capture(&mut restored, CaptureKind::Full, &compact.0);
    let mut compacted = restore(std::slice::from_ref(&compact.0)).expect("good");
    assert_eq!(compacted.digest().expect("good"), expected);

    assert_eq!(restore(&paths[..2]).map(|_| ()).expect_err("cut").name(), "ParentMissing");
    let skipped = [paths[0].clone(), paths[2].clone()];
    assert_eq!(restore(&skipped).map(|_| ()).expect_err("other").name(), "ParentMismatch");
    let more = [paths[3].clone(), paths[2].clone()];
    assert_eq!(restore(&more).map(|_| ()).expect_err("full").name(), "ParentMismatch");
    let stranger = CaptureKind::Delta { parent: SnapshotId([7; 32]) };
    assert!(matches!(
        machine.begin_capture(stranger),
        Err(BeginCaptureError::ParentUnknown { .. })
    ));
}

#[test]
fn a_capture_is_written_as_it_was_while_the_guest_goes_on() {
    let directory = Directory::new("instant");
    let mut machine = machine();
    let capture = machine.begin_capture(CaptureKind::Full).expect("good");
    let expected = machine.fork().expect("good").digest().expect("good");
    let written = std::thread::scope(|scope| {
        let written = scope.spawn(|| capture.write(&directory.0));
        machine.run(&until(400_000));
        written.join().expect("no panic")
    });
    written.expect("written");
    let mut restored = restore(std::slice::from_ref(&directory.0)).expect("good");
    assert_eq!(restored.digest().expect("good"), expected);
}

#[test]
fn writes_that_fail_are_typed_and_leave_nothing() {
    let mut machine = machine();
    let capture = machine.begin_capture(CaptureKind::Full).expect("good");
    let missing = capture.write(Path::new("/nowhere/at/all")).expect_err("missing");
    assert_eq!(missing.name(), "DirectoryUnusable");
    let directory = Directory::new("exists");
    std::fs::write(directory.0.join(DIGESTS_FILE), b"mine").expect("written");
    assert_eq!(capture.write(&directory.0).expect_err("exists").name(), "FileExists");
    let left: Vec<_> = std::fs::read_dir(&directory.0).expect("there").flatten().collect();
    assert_eq!(left.len(), 1, "what was there stays, what was written goes");
    if Path::new("/dev/full").exists() {
        let full = Directory::new("full");
        std::os::unix::fs::symlink("/dev/full", full.0.join(MACHINE_FILE)).expect("linked");
        assert_eq!(capture.write(&full.0).expect_err("a link").name(), "FileExists");
    }
    let good = Directory::new("good");
    capture.write(&good.0).expect("a failed write can be repeated elsewhere");
}

#[test]
fn what_is_no_snapshot_is_refused_by_name() {
    let name = |directories: &[PathBuf]| restore(directories).map(|_| ()).expect_err("bad").name();
    assert_eq!(name(&[]), "SnapshotMissing");
    assert_eq!(name(&["/nowhere".into()]), "SnapshotMissing");
    assert_eq!(name(&["/etc/passwd".into()]), "SnapshotMissing");
    let empty = Directory::new("empty");
    assert_eq!(name(std::slice::from_ref(&empty.0)), "FileMissing");
    for (content, expected) in [
        (&b""[..], "NotASnapshot"),
        (b"STILLPT\0", "FileSizeWrong"),
        (b"STILLPT\0\x00\0\0\0\0\0\0\0", "VersionUnsupported"),
        (b"STILLPT\0\x05\0\0\0\0\0\0\0", "VersionUnsupported"),
        (b"STILLPT\0\x01\0\0\0\xff\xff\xff\xff", "FileSizeWrong"),
    ] {
        std::fs::write(empty.0.join(MACHINE_FILE), content).expect("written");
        assert_eq!(name(std::slice::from_ref(&empty.0)), expected);
    }
}

#[test]
fn what_this_build_does_not_know_is_refused_by_name() {
    let directory = Directory::new("unknown");
    capture(&mut machine(), CaptureKind::Full, &directory.0);
    let path = directory.0.join(MACHINE_FILE);
    let good = std::fs::read(&path).expect("there");
    // Texts of one length, so that every count in the file still holds.
    let cases: [(&[u8], &[u8], &str, &str); 4] = [
        (b"\"virtio-rng\"", b"\"virtio-gpu\"", "MachineInvalid", "devices[3].kind"),
        (b"\"processors\": 1", b"\"processors\": 7", "MachineInvalid", "processors"),
        (b"\"engine\": \"fake\"", b"\"engine\": \"kvm9\"", "EngineMismatch", "kvm9"),
        (b"device rtc\x01\0\0\0", b"device rtc\x02\0\0\0", "StateInvalid", "device rtc"),
    ];
    for (found, other, name, says) in cases {
        let mut bytes = good[..good.len() - 32].to_vec();
        let mut windows = bytes.windows(found.len());
        let at = windows.position(|window| window == found).expect("in the file");
        bytes[at..at + other.len()].copy_from_slice(other);
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        std::fs::write(&path, &bytes).expect("written");
        let error = restore(std::slice::from_ref(&directory.0)).map(|_| ()).expect_err(name);
        assert_eq!(error.name(), name, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn files_of_another_snapshot_are_refused() {
    let (a, b) = (Directory::new("a"), Directory::new("b"));
    let mut machine = machine();
    let first = capture(&mut machine, CaptureKind::Full, &a.0);
    machine.run(&until(9000));
    capture(&mut machine, CaptureKind::Full, &b.0);
    let options = RestoreOptions { expected_id: Some(first.id), ..RestoreOptions::default() };
    let other = Machine::restore(std::slice::from_ref(&b.0), &Engines::only(Fake::boxed), &options);
    assert_eq!(other.map(|_| ()).expect_err("other").name(), "IdMismatch");

    std::fs::copy(b.0.join(DIGESTS_FILE), a.0.join(DIGESTS_FILE)).expect("copied");
    let swapped = restore(std::slice::from_ref(&a.0)).map(|_| ()).expect_err("swapped");
    assert!(swapped.to_string().contains(DIGESTS_FILE), "{swapped}");
    assert_eq!(swapped.name(), "FileCorrupt");
}

#[test]
fn memory_of_another_snapshot_is_refused_when_touched() {
    let (a, b) = (Directory::new("a"), Directory::new("b"));
    let mut machine = machine();
    capture(&mut machine, CaptureKind::Full, &a.0);
    machine.write_memory(BASE, &[0xff; 64]).expect("in range");
    capture(&mut machine, CaptureKind::Full, &b.0);
    let object = object_in(&a.0);
    std::fs::copy(object_in(&b.0), &object).expect("copied");
    let mut swapped = restore(std::slice::from_ref(&a.0)).expect("memory is checked later");
    let before = swapped.now();
    let stop = swapped.run(&RunUntil::default());
    let Stop::Fault { message } = stop else { panic!("{stop:?}") };
    assert!(message.contains(&object.display().to_string()), "{message}");
    assert!(message.contains("chunk 0 "), "{message}");
    assert_eq!(swapped.now(), before, "not one instruction was executed");
    assert_eq!(verify(std::slice::from_ref(&a.0)).expect_err("swapped").name(), "FileCorrupt");
}

#[test]
fn a_file_cut_after_the_restore_is_an_error_and_no_crash() {
    let directory = Directory::new("cut");
    let mut machine = machine();
    capture(&mut machine, CaptureKind::Full, &directory.0);
    let mut restored = restore(std::slice::from_ref(&directory.0)).expect("good");
    let file = std::fs::OpenOptions::new().write(true).open(object_in(&directory.0));
    file.expect("there").set_len(0).expect("cut");
    assert!(matches!(restored.run(&RunUntil::default()), Stop::Fault { .. }));
}

#[test]
fn pages_touched_after_a_restore_are_recorded_and_can_be_prefetched() {
    let directory = Directory::new("touched");
    let mut machine = machine();
    capture(&mut machine, CaptureKind::Full, &directory.0);
    let mut restored = restore(std::slice::from_ref(&directory.0)).expect("good");
    restored.record_touched_pages();
    restored.run(&until(restored.now() + 12));
    let touched = restored.take_touched_pages();
    assert!(touched.contains(&BASE), "the program is there");
    assert!(touched.len() < 8, "{touched:?}");
    restore(std::slice::from_ref(&directory.0)).expect("good").prefetch(&touched).expect("good");
}

/// How a file is damaged.
#[derive(Debug, Clone)]
enum Damage {
    Flip { at: usize, bit: u8 },
    Truncate { to: usize },
    Extend { by: Vec<u8> },
    Remove,
}

impl Damage {
    fn apply(&self, path: &Path) {
        let mut bytes = std::fs::read(path).expect("there");
        let len = bytes.len();
        match self {
            Self::Flip { at, bit } => bytes[at % len] ^= 1 << bit,
            Self::Truncate { to } => bytes.truncate(to % len),
            Self::Extend { by } => bytes.extend(by),
            Self::Remove => return std::fs::remove_file(path).expect("there"),
        }
        std::fs::write(path, &bytes).expect("written");
    }
}

fn damages() -> impl Strategy<Value = (usize, Damage)> {
    let damage = prop_oneof![
        8 => (any::<prop::sample::Index>(), 0..8u8)
            .prop_map(|(at, bit)| Damage::Flip { at: at.index(1 << 20), bit }),
        2 => any::<prop::sample::Index>().prop_map(|to| Damage::Truncate { to: to.index(1 << 20) }),
        1 => proptest::collection::vec(any::<u8>(), 1..100).prop_map(|by| Damage::Extend { by }),
        1 => Just(Damage::Remove),
    ];
    (0..3usize, damage)
}

proptest! {
    #![proptest_config(crate::generated::cases(200))]

    /// A snapshot with any byte of any file flipped, cut off or added is refused, or continues
    /// exactly as captured because the guest never reaches that byte: it is never executed wrong.
    #[test]
    fn damaged_snapshots_are_refused_or_harmless((file, damage) in damages()) {
        let directory = Directory::new("damage");
        let mut machine = machine();
        capture(&mut machine, CaptureKind::Full, &directory.0);
        machine.run(&until(6000));
        let path = file_in(&directory.0, file);
        let name = path.file_name().expect("named").to_string_lossy().into_owned();
        damage.apply(&path);
        let directories = [directory.0.clone()];
        prop_assert!(verify(&directories).is_err(), "damage goes unnoticed");
        match restore(&directories) {
            Err(error) => prop_assert!(
                error.to_string().contains(&name),
                "the error does not name the file: {error}"
            ),
            Ok(mut restored) => {
                prop_assert_eq!(file, 0, "only memory is checked later");
                match restored.run(&until(6000)) {
                    Stop::Time => {
                        prop_assert_eq!(restored.next_seq(), machine.next_seq());
                        prop_assert_eq!(restored.registers(), machine.registers());
                    }
                    Stop::Fault { message } => prop_assert!(message.contains(&name)),
                    stop => prop_assert!(false, "{stop:?}"),
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(crate::generated::cases(300))]

    /// A saved state of any content, its digest made to fit, is refused or gives a machine that
    /// can be run: no panic, no hang.
    #[test]
    fn forged_states_are_survived(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let directory = Directory::new("forged");
        let mut machine = machine();
        machine.send_serial(0, b"some input that waits").expect("fits");
        capture(&mut machine, CaptureKind::Full, &directory.0);
        let path = directory.0.join(MACHINE_FILE);
        let mut bytes = std::fs::read(&path).expect("there");
        bytes.truncate(bytes.len() - 32);
        let header = 16 + u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]) as usize;
        let state = bytes.len() - header;
        for (at, byte) in changes {
            bytes[header + at.index(state)] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(header + cut.index(state));
        }
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        std::fs::write(&path, &bytes).expect("written");
        if let Ok(mut forged) = restore(std::slice::from_ref(&directory.0)) {
            let budget = RunUntil { budget_nanos: Some(50_000), ..RunUntil::default() };
            forged.run(&budget);
            forged.send_serial(0, b"more").ok();
            forged.run(&budget);
            forged.digest().expect("memory is as captured");
        }
    }
}
