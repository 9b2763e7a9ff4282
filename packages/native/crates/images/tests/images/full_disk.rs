//! A full disk is reported, and has nothing of the image on it afterwards.

use crate::archive::Item;
use crate::layout::{resolve, store, write_layout};
use crate::tools::run;
use std::fs;
use stillpoint_images::limits::Limits;

#[test]
fn a_full_disk_is_said_to_be_full() {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");
    write_layout(
        &layout,
        &[(0..600).map(|at| Item::file(format!("{at}"), vec![at as u8; 4096])).collect()],
    );
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).unwrap();
    let at = cache.display().to_string();
    let reference = format!("oci:{}", layout.display());
    // Full at the spool, and full at the file beside it.
    for size in ["size=1m", "size=4m"] {
        let mounted = run("mount", &["-t", "tmpfs", "-o", size, "none", &at]);
        if !mounted.status.success() {
            println!("skipped: this user may not mount a small disk");
            return;
        }
        let found = resolve(&store(folder.path()), &reference, Limits::default());
        let left = fs::read_dir(cache.join("building")).unwrap().count();
        run("umount", &["-l", &at]);
        assert_eq!(found.map(|_| ()).map_err(|error| error.name()), Err("DiskFull"), "{size}");
        assert_eq!(left, 0, "{size}");
    }
    assert!(resolve(&store(folder.path()), &reference, Limits::default()).is_ok());
}
