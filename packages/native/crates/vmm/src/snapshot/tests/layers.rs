//! Pages of one file, read by several machines at a time. Small, so that Miri reads them, too.

use std::sync::Arc;

use super::super::digests::Digests;
use super::super::layer::{Layer, PagesFile};
use super::super::objects::{Object, ObjectId, Place};
use super::*;
use crate::memory::{MemoryError, PAGE_BYTES};

/// A whole chunk, one that is in no file, and the beginning of a third.
const PAGES: usize = 2 * CHUNK_PAGES + 1;
const FILLED: usize = CHUNK_PAGES + 1;

fn content() -> Vec<u8> {
    let byte = |at: usize| (at / PAGE_BYTES * 7 + at % 251) as u8;
    let is_hole = |at: &usize| at / CHUNK_BYTES == 1;
    (0..PAGES * PAGE_BYTES).map(|at| if is_hole(&at) { 0 } else { byte(at) }).collect()
}

/// The digests of the chunks of [`content`], which are in `slots` of one object.
fn digests(slots: [u32; 2]) -> (Digests, Vec<u8>) {
    let mut digests = Digests::new(PAGES);
    let mut index = vec![0; 64];
    let content = content();
    let chunks = content.chunks(CHUNK_BYTES).enumerate().filter(|(at, _)| *at != 1);
    for ((chunk, bytes), slot) in chunks.zip(slots) {
        let first = chunk * CHUNK_PAGES;
        (first..first + bytes.len() / PAGE_BYTES).for_each(|page| digests.insert(page));
        let digest = *blake3::hash(&in_slot(bytes)).as_bytes();
        digests.set(chunk, digest, Place { object: 0, slot });
        if let Some(place) = index.chunks_mut(32).nth(slot as usize) {
            place.copy_from_slice(&digest);
        }
    }
    digests.fill(FILLED, 0xcc);
    (digests, index)
}

/// A chunk with the zeros that fill its slot.
fn in_slot(bytes: &[u8]) -> Vec<u8> {
    let mut slot = bytes.to_vec();
    slot.resize(CHUNK_BYTES, 0);
    slot
}

/// Writes the file `on_disk`, whose digests are those of [`content`]: its last chunk in the first slot.
fn layer(directory: &Directory, on_disk: &[u8]) -> Result<Arc<Layer>, RestoreError> {
    layer_of(directory, on_disk, [1, 0])
}

/// The same with a table that says so of the slots.
fn layer_of(
    directory: &Directory,
    on_disk: &[u8],
    said: [u32; 2],
) -> Result<Arc<Layer>, RestoreError> {
    let (_, index) = digests([1, 0]);
    let (digests, _) = digests(said);
    let id = ObjectId(*blake3::hash(&index).as_bytes());
    let slots = [in_slot(&on_disk[2 * CHUNK_BYTES..]), on_disk[..CHUNK_BYTES].to_vec(), index];
    std::fs::write(directory.0.join(id.to_string()), slots.concat()).expect("room");
    let digests = digests.encode(&[Object { id, slots: 2 }]);
    std::fs::write(directory.0.join(DIGESTS_FILE), &digests).expect("room");
    let digest = blake3::hash(&digests).to_hex();
    Layer::open(&directory.0, ID, &pages_file(digest.as_str()))
}

const ID: SnapshotId = SnapshotId([1; 32]);

fn pages_file(digests_digest: &str) -> PagesFile<'_> {
    PagesFile {
        name: MEMORY_FILE,
        digests_name: DIGESTS_FILE,
        digests_digest,
        bytes: (PAGES * PAGE_BYTES) as u64,
        cipher: None,
    }
}

fn bytes_of(layer: &Layer, page: usize) -> Result<Vec<u8>, MemoryError> {
    let start = layer.page(page)?;
    // SAFETY: `Layer::page` gives a verified page, which nobody writes to and which lives as long as
    // the layer.
    Ok(unsafe { std::slice::from_raw_parts(start.as_ptr(), PAGE_BYTES) }.to_vec())
}

#[test]
fn pages_are_what_the_file_holds_whoever_reads_them_first() {
    let directory = Directory::new("layer");
    let layer = layer(&directory, &content()).expect("good");
    let held: Vec<_> = (0..PAGES).filter(|page| layer.holds(*page)).collect();
    let expected: Vec<_> = (0..CHUNK_PAGES).chain([FILLED]).chain(2 * CHUNK_PAGES..PAGES).collect();
    assert_eq!(held, expected);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for page in held.iter().copied() {
                    let expected = if page == FILLED {
                        vec![0xcc; PAGE_BYTES]
                    } else {
                        content()[page * PAGE_BYTES..][..PAGE_BYTES].to_vec()
                    };
                    assert_eq!(bytes_of(&layer, page).expect("good"), expected, "page {page}");
                }
            });
        }
    });
}

#[test]
fn no_page_of_a_chunk_that_was_changed_is_given() {
    let directory = Directory::new("changed-layer");
    let mut changed = content();
    changed[3] ^= 1;
    let layer = layer(&directory, &changed).expect("its digests are good");
    for page in 0..CHUNK_PAGES {
        let refused = bytes_of(&layer, page).expect_err("changed");
        assert!(matches!(refused, MemoryError::CorruptChunk { chunk: 1, .. }), "{refused}");
    }
    bytes_of(&layer, 2 * CHUNK_PAGES).expect("the other chunk is as it was");
}

#[test]
fn a_chunk_of_another_slot_is_not_given() {
    let directory = Directory::new("slot-layer");
    let layer = layer_of(&directory, &content(), [0, 1]).expect("both slots are there");
    for page in [0, 2 * CHUNK_PAGES] {
        let refused = bytes_of(&layer, page).expect_err("another slot");
        assert!(matches!(refused, MemoryError::CorruptChunk { .. }), "{refused}");
    }
    let refused = layer_of(&directory, &content(), [1, 2]).map(|_| ()).expect_err("no such slot");
    assert!(refused.to_string().contains("2 from slot 1 of object 0"), "{refused}");
}

#[test]
#[should_panic(expected = "page 9 of 9")]
fn a_page_that_the_file_does_not_have_is_nobodys() {
    let directory = Directory::new("short-layer");
    let layer = layer(&directory, &content()).expect("good");
    let _ = layer.page(PAGES);
}

/// What can happen to a file of a snapshot.
#[derive(Debug, Clone, Copy)]
enum Change {
    Flipped,
    Touched,
    Cut,
    Replaced,
    Linked,
    Removed,
}

fn long_ago(path: &Path, seconds: u64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    let file = std::fs::File::options().write(true).open(path).expect("there");
    file.set_modified(time).expect("ours");
}

fn change(path: &Path, change: Change) {
    let bytes = std::fs::read(path).expect("there");
    match change {
        Change::Flipped => {
            let mut flipped = bytes;
            flipped[9] ^= 1;
            std::fs::write(path, flipped).expect("room");
        }
        Change::Touched => long_ago(path, 2),
        Change::Cut => std::fs::write(path, &bytes[..bytes.len() - 1]).expect("room"),
        Change::Replaced | Change::Linked => {
            let other = path.with_extension("other");
            std::fs::write(&other, bytes).expect("room");
            long_ago(&other, 1);
            if matches!(change, Change::Replaced) {
                std::fs::rename(other, path).expect("there");
            } else {
                std::fs::remove_file(path).expect("there");
                std::os::unix::fs::symlink(other, path).expect("room");
            }
        }
        Change::Removed => std::fs::remove_file(path).expect("there"),
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri sets no times of files")]
fn a_known_layer_is_that_of_a_directory_only_while_all_its_files_stand() {
    use Change::{Cut, Flipped, Linked, Removed, Replaced, Touched};
    for what in [Flipped, Touched, Cut, Replaced, Linked, Removed] {
        for is_table in [false, true] {
            let directory = Directory::new("known-layer");
            drop(layer(&directory, &content()).expect("good"));
            let digests = std::fs::read(directory.0.join(DIGESTS_FILE)).expect("there");
            let digest = blake3::hash(&digests).to_hex();
            let pages = pages_file(digest.as_str());
            let known = || Layer::known(&directory.0, ID, &pages);
            let fresh = Layer::open(&directory.0, ID, &pages).expect("good");
            assert!(known().is_none(), "files that could change within a tick of their clock");
            drop(fresh);
            let object = object_in(&directory.0);
            let table = directory.0.join(DIGESTS_FILE);
            [&object, &table].into_iter().for_each(|path| long_ago(path, 1));
            let opened = Layer::open(&directory.0, ID, &pages).expect("good");
            assert!(known().is_some_and(|known| Arc::ptr_eq(&known, &opened)), "as they were");
            assert!(Layer::known(&directory.0, SnapshotId([2; 32]), &pages).is_none());
            change(if is_table { &table } else { &object }, what);
            assert!(known().is_none(), "{what:?}, table: {is_table}");
            let again = Layer::open(&directory.0, ID, &pages).map(|_| ());
            // What an object holds is checked when it is read.
            let is_same =
                matches!(what, Touched | Replaced) || !is_table && matches!(what, Flipped);
            assert_eq!(again.is_ok(), is_same, "{what:?}, table: {is_table}: {again:?}");
        }
    }
}
