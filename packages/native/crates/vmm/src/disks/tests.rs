mod told;
mod whose;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::event::DiskFailure;
use crate::memory::PAGE_BYTES;
use proptest::prelude::*;

/// A folder that is removed with it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir()
            .join(format!("stillpoint-disk-{}-{name}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("temporary directory");
        Self(path)
    }

    /// A file of so many bytes, no two of its sectors the same.
    pub(crate) fn file(&self, name: &str, len: usize) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content(len)).expect("written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 512) as u8 ^ (at / 131_072) as u8 ^ 0x5a).collect()
}

pub(crate) fn spec(name: &str, access: Access, source: Option<&Path>) -> DiskSpec {
    let size_bytes = source.is_none().then_some(300 * 512);
    DiskSpec { name: name.to_owned(), source: source.map(Path::to_owned), access, size_bytes }
}

fn opened(access: Access, source: Option<&Path>) -> Disk {
    Disk::open(&spec("data", access, source)).expect("good")
}

fn all_of(disk: &mut Disk) -> Vec<u8> {
    let mut bytes = vec![0xee; disk.size_bytes() as usize];
    disk.read(0, &mut bytes).expect("on the disk");
    bytes
}

#[derive(Debug, Clone)]
enum Act {
    Write { at: u64, len: u64, byte: u8 },
    Zero { at: u64, len: u64 },
    Discard { at: u64, len: u64 },
    Fork,
    Switch(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let sectors = || (0..300u64, prop_oneof![0..8u64, 0..300u64]);
    let place = move || sectors().prop_map(|(at, len)| (at * 512, len.min(300 - at) * 512));
    let act = prop_oneof![
        6 => (place(), 1..255u8).prop_map(|((at, len), byte)| Act::Write { at, len, byte }),
        2 => place().prop_map(|(at, len)| Act::Zero { at, len }),
        2 => place().prop_map(|(at, len)| Act::Discard { at, len }),
        2 => Just(Act::Fork),
        2 => any::<usize>().prop_map(Act::Switch),
    ];
    proptest::collection::vec(act, 1..40)
}

/// The result of a discard: whole pages are zero, the rest is unchanged.
fn discarded(model: &mut [u8], at: u64, len: u64, is_volume: bool) {
    let (first, end) = (at as usize, (at + len) as usize);
    let behind = if end == model.len() { end } else { end / 4096 * 4096 };
    let whole = if is_volume { first..end } else { first.next_multiple_of(4096)..behind };
    if !whole.is_empty() {
        model[whole].fill(0);
    }
}

proptest! {
    #![proptest_config(crate::generated::cases(150))]

    /// Whatever is written to a disk and to its forks, in whatever order: each is what a plain array
    /// of bytes is to which the same was done, and a source is as it was.
    #[test]
    fn a_disk_is_an_array_of_bytes_and_forks_are_apart(kind in 0..4usize, acts in acts()) {
        let folder = Folder::new("array");
        let len = if kind == 3 { 300 * 512 } else { 299 * 512 + 77 };
        let source = folder.file("source", len);
        let disk = match kind {
            0 => opened(Access::Scratch, None),
            1 => opened(Access::CopyOnWrite, Some(&source)),
            2 => {
                let spec = DiskSpec { size_bytes: Some(300 * 512), ..spec("data", Access::CopyOnWrite, Some(&folder.file("short", 5000))) };
                Disk::open(&spec).expect("longer than its file")
            }
            _ => opened(Access::Volume, Some(&source)),
        };
        let mut model = match kind { 0 => Vec::new(), 2 => content(5000), _ => content(len) };
        model.resize(300 * 512, 0);
        let mut disks = vec![(disk, model)];
        let mut current = 0;
        for act in acts {
            let count = disks.len();
            let (disk, model) = &mut disks[current];
            // The first is the volume; what was forked from it is not.
            let is_volume = kind == 3 && current == 0;
            match act {
                Act::Write { at, len, byte } => {
                    let bytes: Vec<u8> = (0..len).map(|at| byte.wrapping_add((at / 512) as u8)).collect();
                    disk.write(at, &bytes).expect("on the disk");
                    model[at as usize..(at + len) as usize].copy_from_slice(&bytes);
                }
                Act::Zero { at, len } => {
                    disk.zero(at, len, false).expect("on the disk");
                    model[at as usize..(at + len) as usize].fill(0);
                }
                Act::Discard { at, len } => {
                    disk.zero(at, len, true).expect("on the disk");
                    discarded(model, at, len, is_volume);
                }
                Act::Fork if count < 6 => {
                    let fork = (disk.fork(), model.clone());
                    disks.push(fork);
                }
                Act::Fork => {}
                Act::Switch(to) => current = to % count,
            }
        }
        for (disk, model) in &mut disks {
            prop_assert!(all_of(disk) == *model);
        }
        let on_file = std::fs::read(&source).expect("there");
        let expected = if kind == 3 { disks[0].1.clone() } else { content(len) };
        prop_assert!(on_file == expected);
    }
}

#[test]
fn a_source_that_changes_or_shrinks_is_an_error_of_what_is_read_there() {
    let folder = Folder::new("changes");
    let source = folder.file("source", 1 << 20);
    let mut disk = opened(Access::Read, Some(&source));
    let mut bytes = [0; 4096];
    disk.read(0, &mut bytes).expect("as it was");
    let mut other = content(1 << 20);
    other[700_000] ^= 1;
    other[100] ^= 1;
    std::fs::write(&source, &other).expect("written");
    let changed = disk.read(0, &mut bytes).expect_err("seen before");
    assert_eq!(changed.name(), "DiskChanged");
    assert!(changed.to_string().contains("source"), "{changed}");
    disk.read(1 << 16, &mut bytes).expect("as it was");
    std::fs::File::options().write(true).open(&source).expect("there").set_len(5).expect("cut");
    let cut = disk.read(1 << 16, &mut bytes).expect_err("cut");
    assert_eq!(cut.name(), "DiskUnreadable");
    assert!(cut.to_string().contains("shorter"), "{cut}");
}

#[test]
fn what_one_machine_has_seen_of_a_file_is_not_read_again_for_its_digest() {
    let folder = Folder::new("seen");
    let source = folder.file("source", 200_000);
    // Settled: last changed long ago.
    let file = std::fs::File::options().write(true).open(&source).expect("there");
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1)).expect("set");
    let one = opened(Access::Read, Some(&source));
    let (_, digest) = one.source().expect("a file").whole().expect("readable");
    assert_eq!(digest, *blake3::hash(&content(200_000)).as_bytes());
    drop(one);
    let two = opened(Access::CopyOnWrite, Some(&source));
    assert!((0..13).all(|block| two.source().expect("a file").knows(block)));
}

#[test]
fn a_volume_has_one_writer_whoever_asks_and_its_forks_none() {
    let folder = Folder::new("writer");
    let path = folder.file("volume", 8192);
    let volume = spec("data", Access::Volume, Some(&path));
    let mut first = Disk::open(&volume).expect("nobody has it");
    let in_use =
        |access| Disk::open(&spec("x", access, Some(&path))).map(|_| ()).expect_err("in use");
    assert_eq!(in_use(Access::Volume).name(), "DiskInUse");
    assert_eq!(in_use(Access::Read).name(), "DiskInUse");
    let mut fork = first.fork();
    fork.write(0, b"of the fork").expect("its own");
    first.write(0, b"of the first").expect("its own");
    drop(first);
    assert_eq!(&std::fs::read(&path).expect("there")[..12], b"of the first");
    // The fork holds the file still: for this process there may be another writer.
    let mut next = Disk::open(&volume).expect("no writer");
    next.write(4096, &[9; 4096]).expect("its own");
    assert_eq!(Disk::open(&volume).map(|_| ()).expect_err("in use").name(), "DiskInUse");
    assert_eq!(all_of(&mut fork)[4096..], content(8192)[4096..]);
    assert_eq!(&all_of(&mut fork)[..11], b"of the fork");
    drop((next, fork));
    Disk::open(&spec("x", Access::Read, Some(&path))).expect("nobody writes");
}

/// A child that is being started has what its parent had open: a second descriptor of the same opening.
#[test]
fn a_file_that_is_let_go_is_free_while_a_child_that_starts_still_has_it_open() {
    let folder = Folder::new("let-go");
    let path = folder.file("data", 512);
    for sharing in [files::Sharing::Readers, files::Sharing::OneWriter] {
        let mut opened = files::open("data", &path, sharing, None).expect("opened");
        files::lock("data", &mut opened, sharing).expect("nobody has it");
        let of_the_child = opened.file.try_clone().expect("a second descriptor");
        let writer = || Disk::open(&spec("data", Access::Volume, Some(&path))).map(|_| ());
        assert_eq!(writer().expect_err("in use").name(), "DiskInUse");
        drop(opened);
        writer().expect("nobody has it");
        drop(of_the_child);
    }
}

#[test]
fn a_volume_that_is_not_there_is_made_whole() {
    let folder = Folder::new("made");
    let path = folder.0.join("volume");
    let absent = Disk::open(&spec("data", Access::Volume, Some(&path))).map(|_| ());
    assert_eq!(absent.expect_err("no size").name(), "DiskUnreadable");
    let sized = DiskSpec { size_bytes: Some(1 << 20), ..spec("data", Access::Volume, Some(&path)) };
    let disk = Disk::open(&sized).expect("made");
    assert_eq!((disk.size_bytes(), disk.pages().iter().count()), (1 << 20, 0));
    drop(disk);
    let others: Vec<_> = std::fs::read_dir(&folder.0).expect("there").collect();
    assert_eq!(others.len(), 1, "{others:?}");
    let longer = DiskSpec { size_bytes: Some(1 << 21), ..sized };
    let wrong = Disk::open(&longer).map(|_| ()).expect_err("shorter");
    assert_eq!(wrong.name(), "DiskSizeWrong");
    assert!(
        wrong.to_string().contains("2097152") && wrong.to_string().contains("1048576"),
        "{wrong}"
    );
}

#[test]
fn what_is_no_disk_is_refused_with_everything_that_is_wrong() {
    let folder = Folder::new("bad");
    let path = folder.file("file", 1000);
    let bad = DiskSpec {
        name: "no name at all, and long".to_owned(),
        source: None,
        access: Access::Read,
        size_bytes: Some(5),
    };
    let DiskError::DiskInvalid { problems, .. } = bad.check().expect_err("three problems") else {
        panic!("another error");
    };
    assert_eq!(problems.len(), 3, "{problems:?}");
    let named = |spec: &DiskSpec| Disk::open(spec).map(|_| ()).expect_err("bad").name();
    let read = spec("a", Access::Read, Some(&path));
    assert_eq!(named(&DiskSpec { size_bytes: Some(1024), ..read.clone() }), "DiskSizeWrong");
    assert_eq!(named(&spec("a", Access::Volume, Some(&path))), "DiskSizeWrong");
    let shorter = DiskSpec { size_bytes: Some(512), ..spec("a", Access::CopyOnWrite, Some(&path)) };
    assert_eq!(named(&shorter), "DiskSizeWrong");
    assert_eq!(named(&spec("a", Access::Read, Some(&folder.0))), "DiskUnreadable");
    assert_eq!(named(&spec("a", Access::Read, Some(&folder.0.join("none")))), "DiskUnreadable");
    let twice = Disks::open(&[read.clone(), read.clone()], 0).map(|_| ()).expect_err("twice");
    assert_eq!(twice.name(), "DiskNameTaken");
    let many = Disks::open(&[read], MAX_DISKS).map(|_| ()).expect_err("too many");
    assert_eq!(many.name(), "TooManyDisks");
    // A length that is no multiple of a sector: the rest of the last one is zeros.
    let mut odd = opened(Access::Read, Some(&path));
    assert_eq!((odd.size_bytes(), &all_of(&mut odd)[1000..]), (1024, &[0; 24][..]));
}

#[test]
fn a_disk_of_another_engine_is_refused_by_its_format_and_stays_what_it_is() {
    let folder = Folder::new("foreign");
    for (at, magic, format) in [
        (0, &b"QFI\xfb\0\0\0\x03"[..], "qcow2"),
        (0, b"KDMV\x01", "vmdk"),
        (0, b"vhdxfile", "vhdx"),
        (0, b"conectix", "vpc"),
        (64, b"\x7f\x10\xda\xbe", "vdi"),
    ] {
        let path = folder.file(format, 1 << 20);
        let mut bytes = std::fs::read(&path).expect("there");
        bytes[at..at + magic.len()].copy_from_slice(magic);
        std::fs::write(&path, &bytes).expect("written");
        for access in [Access::Read, Access::CopyOnWrite, Access::Volume] {
            let refused = Disk::open(&spec("data", access, Some(&path))).map(|_| ());
            let refused = refused.expect_err("of another engine");
            assert_eq!(refused.name(), "DiskUnreadable");
            let said =
                format!("expected the bytes of a disk as they are, found the format {format}");
            assert!(refused.to_string().contains(&said), "{refused}");
        }
        assert_eq!(std::fs::read(&path).expect("there"), bytes);
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).expect("written");
        Disk::open(&spec("data", Access::Volume, Some(&path))).map(|_| ()).expect("a disk");
    }
}

#[test]
fn what_is_cut_off_a_volume_is_no_hole() {
    let folder = Folder::new("cut");
    let path = folder.file("volume", 1 << 20);
    let mut disk = opened(Access::Volume, Some(&path));
    let mut view = disk.fork();
    std::fs::File::options().write(true).open(&path).expect("there").set_len(8192).expect("cut");
    let mut page = [0; PAGE_BYTES];
    assert_eq!(view.pages().iter().count(), 256);
    view.page(1, &mut page).expect("there");
    for disk in [&mut view, &mut disk] {
        let cut = disk.page(2, &mut page).expect_err("cut");
        assert_eq!(cut.cause(), (DiskFailure::Shortened, None));
    }
    drop(view);
    let longer = disk.write(500_000, &[1; 512]).expect_err("what was cut off would be zeros");
    assert_eq!(longer.fault.cause(), (DiskFailure::Shortened, None));
    disk.zero(4096, 4096, false).expect_err("nor this");
    assert_eq!(std::fs::metadata(&path).expect("there").len(), 8192);
}

#[test]
fn what_a_view_holds_is_among_its_pages_when_its_writer_has_made_a_hole_there() {
    let folder = Folder::new("hole");
    let mut disk = opened(Access::Volume, Some(&folder.file("volume", 1 << 20)));
    let mut view = disk.fork();
    disk.zero(0, 1 << 20, false).expect("its own");
    assert_eq!(view.pages().iter().count(), 256);
    assert_eq!(all_of(&mut view), content(1 << 20));
}

#[test]
fn after_a_flush_that_failed_no_flush_of_that_volume_succeeds() {
    let folder = Folder::new("lost");
    let path = folder.file("volume", 8192);
    let mut disk = opened(Access::Volume, Some(&path));
    disk.flush().expect("flushed");
    let mut fork = disk.fork();
    disk.fail_flush(libc::EIO);
    for _ in 0..2 {
        let lost = disk.flush().expect_err("the first may have lost something");
        assert_eq!(lost.cause(), (DiskFailure::Broken, Some(libc::EIO as u32)));
    }
    // A failed flush also affects the next writer, as long as the file has a user.
    drop(disk);
    opened(Access::Volume, Some(&path)).flush().expect_err("still");
    fork.flush().expect("nothing of a view goes to the file");
    drop(fork);
    opened(Access::Volume, Some(&path)).flush().expect("another opening");
}

#[test]
fn a_volume_on_a_full_host_disk_fails_what_does_not_fit_and_keeps_the_rest() {
    let folder = Folder::new("full");
    let at = folder.0.display().to_string();
    let run = |program: &str, arguments: &[&str]| {
        std::process::Command::new(program)
            .args(arguments)
            .output()
            .is_ok_and(|o| o.status.success())
    };
    if !run("mount", &["-t", "tmpfs", "-o", "size=256k", "none", &at]) {
        println!("skipped: this user may not mount a small disk");
        return;
    }
    let path = folder.0.join("volume");
    let sized = DiskSpec { size_bytes: Some(4 << 20), ..spec("data", Access::Volume, Some(&path)) };
    let mut disk = Disk::open(&sized).expect("made");
    disk.write(0, &[7; 65536]).expect("room");
    disk.flush().expect("flushed");
    let full = disk.write(1 << 20, &[8; 1 << 20]).expect_err("no room");
    disk.write(4096, &[9; 4096]).expect("room that it has");
    let mut bytes = [0; 8192];
    disk.read(0, &mut bytes).expect("there");
    let punched = disk.zero(1 << 20, 1 << 20, true);
    let again = disk.write(3 << 20, &[5; 65536]);
    run("umount", &["-l", &at]);
    assert!(full.to_string().contains("No space"), "{full}");
    assert!(bytes[..4096] == [7; 4096] && bytes[4096..] == [9; 4096]);
    assert_eq!((punched, again), (Ok(()), Ok(())), "what is discarded is room again");
}
