//! Pages of one file, read by several machines at a time. Small, so that Miri reads them, too.

use std::sync::Arc;

use super::super::digests::Digests;
use super::super::layer::{Layer, PagesFile};
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

/// Writes the file `on_disk`, whose digests are those of [`content`].
fn layer(directory: &Directory, on_disk: &[u8]) -> Result<Arc<Layer>, RestoreError> {
    let mut digests = Digests::new(PAGES);
    for (chunk, bytes) in content().chunks(CHUNK_BYTES).enumerate().filter(|(at, _)| *at != 1) {
        let first = chunk * CHUNK_PAGES;
        (first..first + bytes.len() / PAGE_BYTES).for_each(|page| digests.insert(page));
        digests.set(chunk, *blake3::hash(bytes).as_bytes());
    }
    digests.fill(FILLED, 0xcc);
    let digests = digests.encode();
    std::fs::write(directory.0.join(MEMORY_FILE), on_disk).expect("room");
    std::fs::write(directory.0.join(DIGESTS_FILE), &digests).expect("room");
    let digest = blake3::hash(&digests).to_hex();
    let pages = PagesFile {
        name: MEMORY_FILE,
        digests_name: DIGESTS_FILE,
        digests_digest: digest.as_str(),
        bytes: on_disk.len() as u64,
    };
    Layer::open(&directory.0, SnapshotId([1; 32]), &pages)
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
        assert!(matches!(refused, MemoryError::CorruptChunk { chunk: 0, .. }), "{refused}");
    }
    bytes_of(&layer, 2 * CHUNK_PAGES).expect("the other chunk is as it was");
}

#[test]
#[should_panic(expected = "page 9 of 9")]
fn a_page_that_the_file_does_not_have_is_nobodys() {
    let directory = Directory::new("short-layer");
    let layer = layer(&directory, &content()).expect("good");
    let _ = layer.page(PAGES);
}
