//! Digests that lie beside a file.

use super::*;

#[test]
fn what_is_told_beside_a_source_counts_before_anybody_has_read_it() {
    let folder = Folder::new("told");
    let source = folder.file("image", 200_000);
    let honest = opened(Access::Read, Some(&source));
    let (blocks, digest) = honest.source().expect("a file").whole().expect("readable");
    let told = [b"SPBLOCK1".as_slice(), &digest, &blocks.encode()].concat();
    drop(honest);
    let beside = folder.0.join("image.blocks");
    std::fs::write(&beside, &told).expect("written");
    let mut rotten = content(200_000);
    rotten[100_000] ^= 1;
    std::fs::write(&source, &rotten).expect("written");
    let mut disk = opened(Access::CopyOnWrite, Some(&source));
    let mut bytes = [0; 4096];
    disk.read(0, &mut bytes).expect("as it was");
    assert_eq!(disk.read(98_304, &mut bytes).expect_err("rotten").name(), "DiskChanged");
    drop(disk);
    // Digests of another file, and a user's own file of that name.
    let refused = |content: &[u8]| {
        std::fs::write(&source, &rotten).expect("written");
        std::fs::write(&beside, content).expect("written");
        Disk::open(&spec("data", Access::Read, Some(&source))).map(|_| ())
    };
    for wrong in [&told[..told.len() - 1], &told[..50], &[&told, &told[..]].concat()] {
        let error = refused(wrong).expect_err("not of this file");
        assert!(error.name() == "DiskUnreadable" && error.to_string().contains("image.blocks"));
    }
    refused(b"blocks of wood").expect("nothing is told");
}
