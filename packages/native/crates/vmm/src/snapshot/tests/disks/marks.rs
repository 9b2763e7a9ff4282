//! What is counted as written since a snapshot: all of it, and nothing else.

use super::*;

/// How many pages of each disk a delta to `parent` holds.
fn pages_since(machine: &mut Machine, parent: SnapshotId, directory: PathBuf) -> Vec<u64> {
    std::fs::create_dir(&directory).expect("made");
    capture(machine, CaptureKind::Delta { parent }, &directory);
    let header = read_header(&directory).expect("good");
    assert!(header.disks.iter().all(|disk| !disk.complete), "{:?}", header.disks);
    header.disks.iter().map(|disk| disk.pages).collect()
}

#[test]
fn a_delta_holds_the_pages_of_each_disk_that_were_written_since_and_no_other() {
    let folder = Folder::new("marks");
    let at = |name: &str| folder.0.join(name);
    let (mut machine, _, files) = captured(&folder);
    assert_eq!(pages_since(&mut machine, files.id, at("nothing")), [0, 0, 0]);
    for (sector, disk) in [(8, 0), (40, 0), (40, 1), (80, 1), (200, 1), (290, 2)] {
        assert_eq!(done(&mut machine, disk, 1, sector, 3).0, 0);
    }
    // What a digest counts is counted apart.
    machine.digest().expect("in memory");
    let mut fork = machine.fork().expect("good");
    assert_eq!(pages_since(&mut machine, files.id, at("some")), [2, 3, 1]);
    assert_eq!(pages_since(&mut fork, files.id, at("of-the-fork")), [2, 3, 1]);
    assert_eq!(done(&mut fork, 2, 1, 0, 3).0, 0);
    assert_eq!(pages_since(&mut fork, files.id, at("more")), [2, 3, 2]);
    assert_eq!(pages_since(&mut machine, files.id, at("as-before")), [2, 3, 1]);
}

#[test]
fn a_page_that_has_become_zero_is_zero_in_a_delta() {
    let folder = Folder::new("zeros");
    let (mut machine, directory, files) = captured(&folder);
    for disk in 0..3 {
        assert!(ask(&mut machine, disk, 13, 8, 4096, 0));
    }
    machine.run(&until(machine.now() + 200_000));
    let delta = folder.0.join("delta");
    pages_since(&mut machine, files.id, delta.clone());
    let mut restored = restore(&[delta, directory]).expect("good");
    let expected = contents(&mut machine);
    assert!(expected.iter().all(|bytes| bytes[4096..8192] == [0; 4096]));
    assert!(contents(&mut restored) == expected);
}
