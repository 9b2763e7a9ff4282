//! Zeros that a layer writes out are holes in the image where that makes it smaller, and are read as zeros.

use crate::archive::Item;
use crate::layout::build;
use crate::tools::{check, has, mount, run};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

/// Pieces of a file: so many bytes, of zeros or of others.
fn file() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![
        0..9000_usize,
        (60 << 10..70_usize << 10),
        (0..40_usize).prop_map(|blocks| blocks * 4096),
        Just(300_000),
    ];
    proptest::collection::vec((length, any::<bool>()), 0..8).prop_map(|pieces| {
        pieces.iter().flat_map(|(length, is_zero)| vec![u8::from(!is_zero); *length]).collect()
    })
}

/// Blocks of a file that are not zeros, or are of a run of zeros that is shorter than 64 KiB.
fn blocks(content: &[u8]) -> u64 {
    let blocks: Vec<&[u8]> = content.chunks(4096).collect();
    let runs = blocks.chunk_by(|one, other| is_zero(one) == is_zero(other));
    runs.filter(|run| !is_zero(run[0]) || run.concat().len() < 64 << 10)
        .map(|run| run.len() as u64)
        .sum()
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Has the files of an image read by the kernel, or by `fsck.erofs`.
fn read(file: &Path, folder: &Path, look: impl Fn(PathBuf)) {
    if let Some(mounted) = mount(file) {
        return look(mounted.at.clone());
    }
    if has("fsck.erofs") {
        let to = folder.join("extracted");
        let output = run(
            "fsck.erofs",
            &[&format!("--extract={}", to.display()), &file.display().to_string()],
        );
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        look(to);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn runs_of_zeros_take_no_room_and_are_read_as_zeros(files in proptest::collection::vec(file(), 1..6)) {
        let items = files.iter().enumerate().map(|(at, content)| Item::file(at.to_string(), content));
        let built = build(&[items.collect()]).unwrap();
        check(&built.file());
        read(&built.file(), built.folder.path(), |root| {
            for (at, content) in files.iter().enumerate() {
                assert!(fs::read(root.join(at.to_string())).unwrap() == *content, "file {at} is another");
            }
        });
        // Superblock, metadata, root, and for each file its blocks and what its map of chunks may have more than these.
        let most: u64 = files.iter().map(|content| blocks(content) + 2).sum();
        let found = built.resolved.held.description.size_bytes / 4096;
        prop_assert!(found <= most + 4, "expected at most {} blocks, found {found}", most + 4);
        prop_assert_eq!(build_again(&files), built.resolved.held.description.digest.clone());
    }
}

fn build_again(files: &[Vec<u8>]) -> String {
    let items = files.iter().enumerate().map(|(at, content)| Item::file(at.to_string(), content));
    build(&[items.collect()]).unwrap().resolved.held.description.digest.clone()
}

#[test]
fn a_file_of_zeros_is_no_block_and_another_name_of_it_is_as_long() {
    let items = vec![
        Item::file("zeros", vec![0; 40 << 20]),
        Item::link("also", "zeros"),
        Item::file("short", vec![0; 60 << 10]),
    ];
    let built = build(&[items]).unwrap();
    check(&built.file());
    let size_bytes = built.resolved.held.description.size_bytes;
    // 10,240 chunks with four bytes each, and the short one in full.
    assert!((60 << 10..120 << 10).contains(&size_bytes), "{size_bytes}");
    read(&built.file(), built.folder.path(), |root| {
        for (name, length) in [("zeros", 40 << 20), ("also", 40 << 20), ("short", 60 << 10)] {
            let found = fs::read(root.join(name)).unwrap();
            assert!(found.len() == length && is_zero(&found), "{name}");
        }
    });
}
