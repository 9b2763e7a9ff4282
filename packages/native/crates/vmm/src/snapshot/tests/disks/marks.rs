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
