//! Processes that are killed at any moment leave nothing that is taken for whole, and nothing for good.

use crate::archive::Item;
use crate::layout::{resolve, store, write_layout};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use stillpoint_images::cache::Cache;
use stillpoint_images::limits::Limits;
use stillpoint_images::watch::Watch;

const FOLDER: &str = "STILLPOINT_KILLED_IN";

/// The process that is killed: it builds, throws away, and builds again.
#[test]
fn a_process_that_builds() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let reference = format!("oci:{}", folder.join("layout").display());
    loop {
        let built = resolve(&store(folder), &reference, Limits::default()).unwrap();
        drop(built);
        store(folder).prune(0, &Watch::unwatched()).unwrap();
    }
}

#[test]
fn killed_at_any_moment_nothing_half_made_stays() {
    let folder = tempfile::tempdir().unwrap();
    let files = (0..400).map(|at| Item::file(format!("file-{at}"), vec![at as u8; 5000]));
    write_layout(&folder.path().join("layout"), &[files.collect()]);
    let kills =
        std::env::var("STILLPOINT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(25);
    let reference = format!("oci:{}", folder.path().join("layout").display());
    let mut expected = None;
    for round in 0..kills {
        let mut children: Vec<_> = (0..2)
            .map(|_| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "killed::a_process_that_builds"])
                    .env(FOLDER, folder.path())
                    .stdout(Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        // Not what is waited for, but when it is struck: some are struck early, some late.
        thread::sleep(Duration::from_millis(5 + round * 7 % 160));
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let cache = Cache::open(&folder.path().join("cache"), 1 << 30).unwrap();
        for cached in cache.list(&Watch::unwatched()).unwrap() {
            assert!(!cached.is_in_use, "who used it is dead");
            let file = folder.path().join("cache/images").join(&cached.key).join("root.erofs");
            assert_eq!(
                blake3::hash(&fs::read(file).unwrap()).to_string(),
                cached.description.digest
            );
        }
        let built = resolve(&store(folder.path()), &reference, Limits::default()).unwrap();
        let digest = built.held.description.digest.clone();
        assert_eq!(expected.get_or_insert_with(|| digest.clone()), &digest);
        drop(built);
        store(folder.path()).prune(0, &Watch::unwatched()).unwrap();
        for part in ["images", "building", "keys"] {
            let left = fs::read_dir(folder.path().join("cache").join(part))
                .unwrap()
                .map(|entry| entry.unwrap().path());
            // The lock of a killed builder is empty, and taken over by the next one of that image.
            let left: Vec<_> =
                left.filter(|path| path.extension().is_none_or(|end| end != "lock")).collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}
