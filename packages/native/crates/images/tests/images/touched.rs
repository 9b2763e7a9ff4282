//! Images in the cache that were touched since they were added.

use crate::archive::Item;
use crate::layout::{Built, build, resolve, store, write_layout};
use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use stillpoint_images::error::ImageError;
use stillpoint_images::limits::Limits;
use stillpoint_images::resolve::Store;
use stillpoint_images::watch::Watch;

fn reference(folder: &Path, name: &str) -> String {
    let layout = folder.join(name);
    if !layout.exists() {
        let contents = name.repeat(20_000).into_bytes();
        write_layout(&layout, &[vec![Item::file("contents", contents)]]);
    }
    format!("oci:{}", layout.display())
}

#[test]
fn an_image_that_was_changed_is_built_anew_and_one_that_was_moved_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let image = reference(folder.path(), "one");
    let again = |cache: &str| {
        let held = resolve(&store(&folder.path().join(cache)), &image, Limits::default()).unwrap();
        let found = blake3::hash(&fs::read(&held.held.file).unwrap()).to_string();
        assert_eq!(found, held.held.description.digest);
        (held.was_cached, held.held.file.clone())
    };
    let (was_cached, file) = again("here");
    assert!(!was_cached);
    assert!(again("here").0);
    // One bit, and as long as before.
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    assert!(again("here").0, "the file is what it was");
    let bytes = fs::read(&file).unwrap();
    let at = bytes.windows(6).position(|window| window == b"oneone").unwrap() as u64;
    OpenOptions::new().write(true).open(&file).unwrap().write_all_at(b"x", at).unwrap();
    assert!(!again("here").0);
    assert!(again("here").0);
    // The file with the digests of its blocks.
    let blocks = stillpoint_images::block_digests::beside(&file);
    fs::set_permissions(&blocks, Permissions::from_mode(0o600)).unwrap();
    assert!(again("here").0, "the file is what it was");
    OpenOptions::new().write(true).open(&blocks).unwrap().write_all_at(b"x", 50).unwrap();
    assert!(!again("here").0);
    fs::remove_file(&blocks).unwrap();
    assert!(!again("here").0);
    assert!(again("here").0);
    // Another place, other times, the same file.
    fs::create_dir(folder.path().join("there")).unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([folder.path().join("here/cache"), folder.path().join("there/cache")])
        .status();
    assert!(copied.unwrap().success());
    assert!(again("there").0);
}

#[test]
fn what_says_nothing_of_itself_does_not_stay() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| reference(folder.path(), name));
    let held = resolve(&store(folder.path()), &one, Limits::default()).unwrap();
    let place = held.held.file.parent().unwrap().to_owned();
    drop(held);
    fs::write(place.join("image.json"), "{").unwrap();
    resolve(&store(folder.path()), &two, Limits::default()).unwrap();
    assert!(!place.exists(), "nobody would count it");
}

#[test]
fn what_is_no_file_any_more_is_built_anew_and_waited_for_by_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let image = reference(folder.path(), "one");
    let again = || resolve(&store(folder.path()), &image, Limits::default()).unwrap();
    let place = again().held.file.parent().unwrap().to_owned();
    let entries: Vec<_> =
        fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 3, "{entries:?}");
    for path in entries {
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(!again().was_cached, "{}", path.display());
        assert!(again().was_cached);
    }
}

#[test]
fn the_bound_counts_what_lies_beside_an_image_too() {
    let Built { folder, resolved } = build(&[vec![Item::file("a", vec![1; 300_000])]]).unwrap();
    let file = resolved.held.file.clone();
    drop(resolved);
    let bytes = [file.clone(), stillpoint_images::block_digests::beside(&file)]
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum::<u64>();
    let prune = |most| store(folder.path()).prune(most, &Watch::unwatched()).unwrap().len();
    assert_eq!([prune(bytes), prune(bytes - 1)], [0, 1]);
    // One that is as long as the bound does not fit: its digests do not.
    let layout = format!("oci:{}", folder.path().join("layout").display());
    let bounded = |most_bytes| Store { most_bytes, ..store(folder.path()) };
    let full = resolve(&bounded(bytes - 1), &layout, Limits::default()).unwrap_err();
    assert_eq!(
        full.to_string(),
        ImageError::CacheFull { most: bytes - 1, needed: bytes, held: 0 }.to_string()
    );
    resolve(&bounded(bytes), &layout, Limits::default()).unwrap();
}
