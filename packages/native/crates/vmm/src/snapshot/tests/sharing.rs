//! Captures that share objects through a folder of links.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::*;

/// Links the objects of a snapshot into a folder, as a store does.
fn shelve(snapshot: &Path, folder: &Path) {
    for object in objects_in(snapshot) {
        let _ = std::fs::hard_link(&object, folder.join(object.file_name().expect("named")));
    }
}

fn capture_sharing(machine: &mut Machine, directory: &Path, folder: &Path) -> CapturedFiles {
    let capture = machine.begin_capture(CaptureKind::Full).expect("good");
    capture.write_with(directory, sharing(folder)).expect("written")
}

fn sharing(folder: &Path) -> WriteOptions<'_> {
    WriteOptions { shared: Some(folder), ..WriteOptions::default() }
}

fn links(path: &Path) -> u64 {
    std::fs::metadata(path).expect("there").nlink()
}

/// A machine with 2 MiB of chunks that differ.
fn filled_machine() -> Machine {
    let config = MachineConfig {
        memory_bytes: 4 << 20,
        ..MachineConfig::new(Source::Bytes([op(Op::Set, 3, 0, 1)].concat().into()))
    };
    let mut machine = Machine::new(&config, Fake::boxed()).expect("good");
    for page in 0..512_u64 {
        let byte = |at: u64| (page * 31 + at * 7) as u8;
        let content: Vec<_> = (0..64).map(byte).chain(page.to_le_bytes()).collect();
        machine.write_memory(BASE + (1 << 20) + page * 4096, &content).expect("in range");
    }
    machine
}

/// A store with the snapshot of a machine, and room for another one.
struct Store {
    folder: Directory,
    first: Directory,
    second: Directory,
    machine: Machine,
}

impl Store {
    fn new(name: &str) -> Self {
        let [folder, first, second] =
            ["folder", "first", "second"].map(|of| Directory::new(&format!("{name}-{of}")));
        let mut machine = filled_machine();
        capture_sharing(&mut machine, &first.0, &folder.0);
        shelve(&first.0, &folder.0);
        // One chunk becomes another one.
        machine.write_memory(BASE + (2 << 20), b"changed").expect("in range");
        Self { folder, first, second, machine }
    }

    /// The path in the folder of the first snapshot's only object.
    fn shelved(&self) -> PathBuf {
        self.folder.0.join(object_in(&self.first.0).file_name().expect("named"))
    }

    /// Captures again; the second snapshot is the machine, whatever the folder has. Returns whether it
    /// shares.
    fn shares(&mut self) -> bool {
        capture_sharing(&mut self.machine, &self.second.0, &self.folder.0);
        let directories = [self.second.0.clone()];
        verify(&directories).expect("as captured");
        let expected = self.machine.digest().expect("in memory");
        assert_eq!(restore(&directories).expect("good").digest(), Ok(expected));
        objects_in(&self.second.0).iter().any(|object| links(object) > 1)
    }
}

#[test]
fn a_later_capture_writes_the_chunks_that_no_object_has_and_links_the_others() {
    let mut store = Store::new("later");
    assert!(store.shares());
    let [shared, own] = &objects_in(&store.second.0)[..] else { panic!("two objects") };
    assert_eq!((links(shared), links(own)), (3, 1));
    assert_eq!(std::fs::metadata(own).expect("there").len(), (CHUNK_BYTES + 32) as u64);
    // With the first snapshot and the folder gone, the second one is still whole.
    let mut restored = restore(std::slice::from_ref(&store.second.0)).expect("good");
    for directory in [&store.first.0, &store.folder.0] {
        std::fs::remove_dir_all(directory).expect("removed");
    }
    verify(std::slice::from_ref(&store.second.0)).expect("whole");
    // And so is a machine whose snapshot is removed before it has read anything.
    std::fs::remove_dir_all(&store.second.0).expect("removed");
    assert_eq!(restored.digest(), store.machine.digest());
}

#[test]
fn an_object_whose_bytes_are_others_is_not_used_whatever_its_name() {
    let mut store = Store::new("damaged");
    let path = store.shelved();
    let mut bytes = std::fs::read(&path).expect("there");
    let slots = bytes.len() / (CHUNK_BYTES + 32);
    for slot in 0..slots {
        bytes[slot * CHUNK_BYTES + 100] ^= 1;
    }
    std::fs::remove_file(&path).expect("there");
    std::fs::write(&path, bytes).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
    assert!(!store.shares());
}

#[test]
fn the_chunks_of_an_object_that_are_damaged_are_written_again() {
    let mut store = Store::new("partly-damaged");
    let path = store.shelved();
    let mut bytes = std::fs::read(&path).expect("there");
    bytes[10 * CHUNK_BYTES + 100] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    capture_sharing(&mut store.machine, &store.second.0, &store.folder.0);
    let [_, own] = &objects_in(&store.second.0)[..] else { panic!("two objects") };
    assert_eq!(std::fs::metadata(own).expect("there").len(), 2 * (CHUNK_BYTES + 32) as u64);
    verify(std::slice::from_ref(&store.second.0)).expect("as captured");
}

#[test]
fn objects_that_are_none_are_not_linked() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 5] = [
        ("index", |path| {
            let mut bytes = std::fs::read(path).expect("there");
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            std::fs::write(path, bytes).expect("written");
        }),
        ("readable by all", |path| {
            let mode = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(path, mode).expect("set");
        }),
        ("cut", |path| {
            let file = std::fs::File::options().write(true).open(path).expect("there");
            file.set_len(CHUNK_BYTES as u64 * 3 + 1).expect("cut");
        }),
        ("a link", |path| {
            let moved = path.with_extension("moved");
            std::fs::rename(path, &moved).expect("moved");
            std::os::unix::fs::symlink(&moved, path).expect("linked");
        }),
        ("another name", |path| {
            std::fs::rename(path, path.with_file_name("0".repeat(64))).expect("moved");
        }),
    ];
    let mut used = Vec::new();
    for (name, change) in changes {
        let mut store = Store::new("none");
        // Only the folder's file changes: the first snapshot keeps its own.
        let (path, copy) = (store.shelved(), store.folder.0.join("copy"));
        std::fs::copy(&path, &copy).expect("copied");
        std::fs::rename(&copy, &path).expect("moved");
        change(&path);
        if store.shares() {
            used.push(name);
        }
    }
    assert_eq!(used, Vec::<&str>::new());
}

#[test]
fn a_folder_that_is_missing_or_nothing_of_the_kind_is_as_an_empty_one() {
    for folder in ["/nowhere/at/all", "/etc/passwd", "/proc"] {
        let directory = Directory::new("no-folder");
        let mut machine = filled_machine();
        capture_sharing(&mut machine, &directory.0, Path::new(folder));
        verify(std::slice::from_ref(&directory.0)).expect("as captured");
    }
}

#[test]
fn a_name_that_is_taken_in_the_directory_is_no_object_of_the_capture() {
    let mut store = Store::new("taken");
    // As where links cannot be made at all.
    let name = store.shelved().file_name().expect("named").to_owned();
    std::fs::create_dir(store.second.0.join(&name)).expect("made");
    let capture = store.machine.begin_capture(CaptureKind::Full).expect("good");
    capture.write_with(&store.second.0, sharing(&store.folder.0)).expect("written");
    verify(std::slice::from_ref(&store.second.0)).expect("as captured");
}

#[test]
fn a_capture_that_fails_leaves_no_link() {
    let mut store = Store::new("failing");
    let object = object_in(&store.first.0);
    let before = links(&object);
    // It begins with a chunk of its own.
    store.machine.write_memory(BASE + 0x3000, b"own").expect("in range");
    std::fs::write(store.second.0.join(MACHINE_FILE), b"mine").expect("written");
    let capture = store.machine.begin_capture(CaptureKind::Full).expect("good");
    let refused = capture.write_with(&store.second.0, sharing(&store.folder.0));
    assert_eq!(refused.expect_err("there already").name(), "FileExists");
    assert_eq!(std::fs::read_dir(&store.second.0).expect("there").count(), 1);
    assert_eq!(links(&object), before);
}

#[test]
fn a_capture_to_where_the_same_one_is_fails_and_that_one_stays() {
    let store = Store::new("again");
    let mut again = filled_machine();
    let capture = again.begin_capture(CaptureKind::Full).expect("good");
    assert_eq!(capture.write(&store.first.0).expect_err("there already").name(), "FileExists");
    verify(std::slice::from_ref(&store.first.0)).expect("whole");
}

#[test]
fn captures_into_one_folder_at_once_are_each_whole() {
    let folder = Directory::new("at-once");
    let directories: Vec<_> = (0..12).map(|_| Directory::new("at-once")).collect();
    std::thread::scope(|scope| {
        for (number, own) in directories.chunks(3).enumerate() {
            let folder = &folder.0;
            scope.spawn(move || {
                let mut machine = filled_machine();
                for (round, directory) in own.iter().enumerate() {
                    let at = BASE + (1 << 20) + (number * 3 + round) as u64 * 0x8000;
                    machine.write_memory(at, &[number as u8 + 1; 9]).expect("in range");
                    capture_sharing(&mut machine, &directory.0, folder);
                    shelve(&directory.0, folder);
                    // What others do when they remove a snapshot.
                    let names = std::fs::read_dir(folder).expect("there").flatten();
                    if let Some(entry) = names.map(|entry| entry.path()).nth(round) {
                        let _ = std::fs::remove_file(entry);
                    }
                    let mut restored = restore(std::slice::from_ref(&directory.0)).expect("good");
                    assert_eq!(restored.digest(), machine.digest());
                }
            });
        }
    });
}

#[test]
fn a_capture_links_no_more_objects_than_it_has_room_for() {
    let folder = Directory::new("many");
    let mut machine = filled_machine();
    let mut latest = None;
    for round in 0..60_u64 {
        let at = BASE + (1 << 20) + round * 0x8000;
        machine.write_memory(at, &round.to_le_bytes()).expect("in range");
        let directory = Directory::new("many");
        capture_sharing(&mut machine, &directory.0, &folder.0);
        shelve(&directory.0, &folder.0);
        latest = Some(directory);
    }
    let latest = latest.expect("some");
    let count = objects_in(&latest.0).len();
    assert!((2..=34).contains(&count), "{count} objects");
    verify(std::slice::from_ref(&latest.0)).expect("as captured");
}

/// Where the process that is killed captures to, and the folder of objects.
const KILLED: [&str; 2] = ["STILLPOINT_TEST_KILLED_CAPTURE", "STILLPOINT_TEST_KILLED_FOLDER"];

/// Captures where the environment says, and is killed when it writes the first byte of a file; the test
/// below starts it in a process of its own.
#[test]
fn killed_between_its_links_and_its_table() {
    let [Some(directory), Some(folder)] = KILLED.map(std::env::var_os) else { return };
    let mut machine = filled_machine();
    let nothing = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    for limit in [libc::RLIMIT_CORE, libc::RLIMIT_FSIZE] {
        // SAFETY: it reads the structure, which lives as long as the call.
        assert_eq!(unsafe { libc::setrlimit(limit, &raw const nothing) }, 0);
    }
    capture_sharing(&mut machine, Path::new(&directory), Path::new(&folder));
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn a_capture_killed_between_its_links_and_its_table_leaves_links_and_no_snapshot() {
    let [folder, first, killed] = ["killed-folder", "killed-first", "killed"].map(Directory::new);
    let mut machine = filled_machine();
    let expected = machine.digest().expect("in memory");
    let id = capture_sharing(&mut machine, &first.0, &folder.0).id;
    shelve(&first.0, &folder.0);
    let object = object_in(&first.0);
    let status = Command::new(std::env::current_exe().expect("running"))
        .args(["--exact", "snapshot::tests::sharing::killed_between_its_links_and_its_table"])
        .envs(KILLED.into_iter().zip([&killed.0, &folder.0]))
        .stdout(std::process::Stdio::null())
        .status()
        .expect("a process");
    assert_eq!(status.signal(), Some(libc::SIGXFSZ), "{status}");
    // It had linked the object, and begun its table.
    assert_eq!(links(&object), 3);
    assert_eq!(std::fs::metadata(killed.0.join(DIGESTS_FILE)).expect("begun").len(), 0);
    let refused = restore(std::slice::from_ref(&killed.0)).map(|_| ()).expect_err("no snapshot");
    assert!(matches!(refused, RestoreError::FileMissing { .. }), "{refused}");
    assert!(refused.to_string().contains(MACHINE_FILE), "{refused}");
    // What it left is removed as it is; the snapshot and the next capture have the object.
    drop(killed);
    assert_eq!(links(&object), 2);
    let next = Directory::new("killed-next");
    assert_eq!(capture_sharing(&mut machine, &next.0, &folder.0).id, id);
    assert_eq!(links(&object), 3);
    for directory in [first.0.clone(), next.0.clone()] {
        assert_eq!(restore(&[directory]).expect("whole").digest(), Ok(expected));
    }
}
