//! Snapshots that are encrypted.

use super::*;
use std::sync::LazyLock;

static KEY: LazyLock<EncryptionKey> = LazyLock::new(|| EncryptionKey::new([7; 32]));
static OTHER: LazyLock<EncryptionKey> = LazyLock::new(|| EncryptionKey::new([8; 32]));

fn write(
    machine: &mut Machine,
    kind: CaptureKind,
    directory: &Path,
    key: Option<&EncryptionKey>,
) -> Result<CapturedFiles, WriteError> {
    let options = WriteOptions { encryption_key: key, ..WriteOptions::default() };
    machine.begin_capture(kind).expect("good").write_with(directory, options)
}

fn restore_with(
    directories: &[PathBuf],
    key: Option<&EncryptionKey>,
) -> Result<Machine, RestoreError> {
    let options = RestoreOptions { encryption_key: key.cloned(), ..RestoreOptions::default() };
    Machine::restore(directories, &Engines::only(Fake::boxed), &options)
}

fn name(refused: Result<Machine, RestoreError>) -> &'static str {
    refused.map(drop).expect_err("refused").name()
}

/// A full snapshot and a delta to it, with a key or without.
struct Chain {
    full: Directory,
    delta: Directory,
    machine: Machine,
}

impl Chain {
    fn new(key: Option<&EncryptionKey>) -> Self {
        let (full, delta) = (Directory::new("full"), Directory::new("delta"));
        let mut machine = machine();
        let parent = write(&mut machine, CaptureKind::Full, &full.0, key).expect("written").id;
        machine.run(&until(4000));
        write(&mut machine, CaptureKind::Delta { parent }, &delta.0, key).expect("written");
        Self { full, delta, machine }
    }

    fn directories(&self) -> [PathBuf; 2] {
        [self.delta.0.clone(), self.full.0.clone()]
    }
}

#[test]
fn an_encrypted_snapshot_is_the_machine_and_shows_nothing_of_its_memory() {
    let chain = Chain::new(Some(&KEY));
    let plain = Chain::new(None);
    for (directories, at) in [(&chain.directories()[1..], 2000), (&chain.directories(), 4000)] {
        let mut restored = restore_with(directories, Some(&KEY)).expect("restores");
        let mut original = machine();
        original.run(&until(at));
        assert_eq!(restored.digest(), original.digest());
        restored.run(&until(9000));
        original.run(&until(9000));
        assert_eq!(restored.digest(), original.digest());
        verify(directories).expect("files are checked without the key");
    }
    // Same files, of the same lengths; but nothing that a plain snapshot stores is in them.
    let mut compared = 0;
    for (encrypted, plain) in [(&chain.full, &plain.full), (&chain.delta, &plain.delta)] {
        let header = |directory: &Directory| read_header(&directory.0).expect("readable");
        assert_eq!(header(encrypted).pages, header(plain).pages);
        let stored = std::fs::read(object_in(&plain.0)).expect("there");
        let slots = stored.chunks(CHUNK_BYTES).filter(|slot| slot.len() == CHUNK_BYTES);
        let blocks: BTreeSet<&[u8]> = slots.flat_map(|slot| slot.chunks(16)).collect();
        let object = std::fs::read(object_in(&encrypted.0)).expect("there");
        assert_eq!(object.len(), stored.len());
        for block in object.chunks(16) {
            assert!(!blocks.contains(block), "a block of memory is stored as it is");
            compared += 1;
        }
    }
    assert!(compared > 1000);
}

#[test]
fn a_snapshot_without_a_key_is_what_it_was() {
    let directory = Directory::new("plain");
    let captured = write(&mut machine(), CaptureKind::Full, &directory.0, None).expect("written");
    assert_eq!(captured.encryption, None);
    let bytes = std::fs::read(directory.0.join(MACHINE_FILE)).expect("there");
    assert_eq!(bytes[8..12], FORMAT_VERSION.to_le_bytes());
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(!text.contains("encryption"));
}

#[test]
fn the_key_is_compared_on_every_restore_and_named() {
    let chain = Chain::new(Some(&KEY));
    let plain = Chain::new(None);
    let (encrypted, plain) = (chain.directories(), plain.directories());
    // A machine of it in this process does not spare the next restore its key.
    let _running = restore_with(&encrypted, Some(&KEY)).expect("restores");
    let refused = restore_with(&encrypted, None).map(drop).expect_err("refused");
    assert_eq!(refused.name(), "KeyMissing");
    assert!(refused.to_string().contains(KEY.id()), "{refused}");
    let refused = restore_with(&encrypted, Some(&OTHER)).map(drop).expect_err("refused");
    assert_eq!(refused.name(), "KeyWrong");
    assert!(refused.to_string().contains(KEY.id()), "{refused}");
    assert!(refused.to_string().contains(OTHER.id()), "{refused}");
    assert_eq!(name(restore_with(&plain, Some(&KEY))), "NotEncrypted");
    restore_with(&plain, None).expect("as ever");
    // Before anything else: the digest of the file is wrong, too.
    let path = encrypted[0].join(MACHINE_FILE);
    let mut bytes = std::fs::read(&path).expect("there");
    *bytes.last_mut().expect("some") ^= 1;
    std::fs::write(path, bytes).expect("room");
    std::fs::remove_file(encrypted[0].join(DIGESTS_FILE)).expect("there");
    assert_eq!(name(restore_with(&encrypted, None)), "KeyMissing");
    assert_eq!(name(restore_with(&encrypted, Some(&OTHER))), "KeyWrong");
    assert_eq!(name(restore_with(&encrypted, Some(&KEY))), "FileCorrupt");
}

#[test]
fn a_check_of_the_files_lends_its_chunks_to_no_restore() {
    let mut chain = Chain::new(Some(&KEY));
    let directories = chain.directories();
    let mut restored = restore_with(&directories, Some(&KEY)).expect("restores");
    verify(&directories).expect("intact");
    let mut again = restore_with(&directories, Some(&KEY)).expect("restores");
    assert_eq!(restored.digest(), again.digest());
    assert_eq!(restored.digest(), chain.machine.digest());
}

#[test]
fn a_delta_is_encrypted_as_its_parent_is() {
    for (parents, others) in [
        (Some(&*KEY), [(None, "KeyMissing"), (Some(&*OTHER), "KeyWrong")]),
        (None, [(Some(&*KEY), "NotEncrypted"), (Some(&*OTHER), "NotEncrypted")]),
    ] {
        let (full, delta) = (Directory::new("full"), Directory::new("delta"));
        let mut machine = machine();
        let parent = write(&mut machine, CaptureKind::Full, &full.0, parents).expect("written").id;
        let mut restored = restore_with(std::slice::from_ref(&full.0), parents).expect("restores");
        let mut fork = machine.fork().expect("forks");
        for machine in [&mut machine, &mut restored, &mut fork] {
            for (key, expected) in others {
                let kind = CaptureKind::Delta { parent };
                let refused = write(machine, kind, &delta.0, key).expect_err("refused");
                assert_eq!(refused.name(), expected);
                assert_eq!(std::fs::read_dir(&delta.0).expect("there").count(), 0);
            }
        }
        write(&mut fork, CaptureKind::Delta { parent }, &delta.0, parents).expect("written");
        restore_with(&[delta.0.clone(), full.0.clone()], parents).expect("restores");
    }
}

#[test]
fn encrypted_snapshots_of_one_moment_have_nothing_in_common() {
    let (first, second) = (Directory::new("first"), Directory::new("second"));
    let mut machine = machine();
    let capture = machine.begin_capture(CaptureKind::Full).expect("good");
    let all = [&first, &second].map(|directory| {
        // A folder with everything that could be shared.
        let options = WriteOptions { encryption_key: Some(&KEY), shared: Some(first.0.as_path()) };
        let captured = capture.write_with(&directory.0, options).expect("written");
        captured.encryption.expect("encrypted")
    });
    assert_eq!(all[0].key_id, all[1].key_id);
    assert_ne!(all[0].salt, all[1].salt);
    let blocks = |directory: &Directory| -> BTreeSet<Vec<u8>> {
        let object = std::fs::read(object_in(&directory.0)).expect("there");
        object.chunks(16).map(<[u8]>::to_vec).collect()
    };
    assert_eq!(blocks(&first).intersection(&blocks(&second)).count(), 0);
}

/// Who can write the files of a snapshot, and knows how all digests are computed, but has no key.
struct Forger<'a>(&'a Path);

impl Forger<'_> {
    fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.0.join(file)).expect("there")
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        std::fs::write(self.0.join(file), bytes).expect("room");
    }

    /// Changes `machine.bin` and adapts its digest.
    fn change_machine(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.read(MACHINE_FILE);
        bytes.truncate(bytes.len() - 32);
        change(&mut bytes);
        let digest = *blake3::hash(&bytes).as_bytes();
        bytes.extend(digest);
        self.write(MACHINE_FILE, &bytes);
    }

    /// Replaces texts in the header, by others of the same length.
    fn change_header(&self, from: &str, to: &str) {
        self.change_machine(|bytes| {
            let at = bytes.windows(from.len()).position(|found| found == from.as_bytes());
            let at = at.expect("in the header");
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        });
    }

    fn change_table(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.read(DIGESTS_FILE);
        let digest = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
        let before = digest(&bytes);
        change(&mut bytes);
        self.write(DIGESTS_FILE, &bytes);
        self.change_header(&before, &digest(&bytes));
    }

    /// Changes a stored byte of memory, and all digests up to that of `machine.bin`.
    fn change_memory(&self, at: usize, by: u8) {
        let path = object_in(self.0);
        let mut object = std::fs::read(&path).expect("there");
        let slots = object.len() / (CHUNK_BYTES + 32);
        let at = at % (slots * CHUNK_BYTES);
        object[at] ^= by;
        let slot = at / CHUNK_BYTES;
        let digest = *blake3::hash(&object[slot * CHUNK_BYTES..][..CHUNK_BYTES]).as_bytes();
        let index = slots * CHUNK_BYTES;
        let before: [u8; 32] = object[index + slot * 32..][..32].try_into().expect("32 bytes");
        object[index + slot * 32..][..32].copy_from_slice(&digest);
        let id = blake3::hash(&object[index..]);
        let old = blake3::Hash::from_hex(path.file_name().expect("named").as_encoded_bytes())
            .expect("an object");
        std::fs::remove_file(path).expect("there");
        self.write(id.to_hex().as_str(), &object);
        self.change_table(|table| {
            for (from, to) in [(&before, &digest), (old.as_bytes(), id.as_bytes())] {
                let at = table.windows(32).position(|found| found == from).expect("in the table");
                table[at..at + 32].copy_from_slice(to);
            }
        });
    }
}

fn copied(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("there").flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

/// A change by who has no key: whether it passes every check that anyone can make, and the name of the
/// refusal with the key; `None` if the snapshot is as it was.
fn forged(
    original: &Path,
    key: Option<&EncryptionKey>,
    change: impl FnOnce(Forger<'_>),
) -> (bool, Option<&'static str>) {
    let copy = Directory::new("forged");
    copied(original, &copy.0);
    change(Forger(&copy.0));
    let directories = std::slice::from_ref(&copy.0);
    let passes = verify(directories).is_ok();
    let refused = match restore_with(directories, key) {
        Err(refused) => Some(refused.name()),
        // Touches everything.
        Ok(mut machine) => {
            machine.read_memory(BASE, &mut vec![0; 1 << 20]).err().map(|refused| refused.name())
        }
    };
    (passes, refused)
}

#[test]
fn without_the_key_no_byte_can_be_changed_unnoticed() {
    use proptest::test_runner::{Config, TestRunner};
    use std::cell::Cell;
    let (encrypted, plain) = (Directory::new("encrypted"), Directory::new("plain"));
    write(&mut machine(), CaptureKind::Full, &encrypted.0, Some(&KEY)).expect("written");
    write(&mut machine(), CaptureKind::Full, &plain.0, None).expect("written");
    // Changes that pass all checks without a key; and of them, those that a snapshot without
    // encryption would have been restored with.
    let (passed, accepted) = (Cell::new(0), Cell::new(0));
    let change = |forger: Forger<'_>, file: u8, at: usize, by: u8| match file {
        0 => forger.change_memory(at, by),
        1 => forger.change_table(|bytes| {
            let at = at % bytes.len();
            bytes[at] ^= by;
        }),
        _ => forger.change_machine(|bytes| {
            let at = at % bytes.len();
            bytes[at] ^= by;
        }),
    };
    let config = Config { cases: 200, ..Config::default() };
    TestRunner::new(config)
        .run(&(0..3_u8, 0..1_usize << 24, 1..=255_u8), |(file, at, by)| {
            let (passes, refused) =
                forged(&encrypted.0, Some(&KEY), |forger| change(forger, file, at, by));
            prop_assert!(refused.is_some(), "restored with a changed byte");
            if passes {
                passed.set(passed.get() + 1);
                let names = ["FileForged", "KeyWrong", "NotEncrypted"];
                prop_assert!(refused.is_some_and(|name| names.contains(&name)), "{:?}", refused);
            }
            let (passes, refused) = forged(&plain.0, None, |forger| change(forger, file, at, by));
            if passes && refused.is_none() {
                accepted.set(accepted.get() + 1);
            }
            Ok(())
        })
        .expect("every change is refused");
    assert!(passed.get() > 50, "{} passed", passed.get());
    assert!(accepted.get() > 20, "{} accepted without encryption", accepted.get());
}

#[test]
fn parts_of_other_snapshots_with_the_same_key_are_refused() {
    let (first, second) = (Directory::new("first"), Directory::new("second"));
    let mut machine = machine();
    write(&mut machine, CaptureKind::Full, &first.0, Some(&KEY)).expect("written");
    machine.run(&until(4000));
    write(&mut machine, CaptureKind::Full, &second.0, Some(&KEY)).expect("written");
    let header = |directory: &Directory| read_header(&directory.0).expect("readable");
    // The memory of the one with the state of the other.
    let (passes, refused) = forged(&first.0, Some(&KEY), |forger| {
        std::fs::remove_file(object_in(forger.0)).expect("there");
        let object = object_in(&second.0);
        std::fs::copy(&object, forger.0.join(object.file_name().expect("named"))).expect("copied");
        std::fs::copy(second.0.join(DIGESTS_FILE), forger.0.join(DIGESTS_FILE)).expect("copied");
        forger.change_header(&header(&first).digests_digest, &header(&second).digests_digest);
    });
    assert_eq!((passes, refused), (true, Some("FileForged")));
    // The salt of the other.
    let salt = |directory| header(directory).encryption.expect("encrypted").salt;
    let (passes, refused) = forged(&first.0, Some(&KEY), |forger| {
        forger.change_header(&salt(&first), &salt(&second));
    });
    assert_eq!((passes, refused), (true, Some("FileForged")));
}
