//! A layer of an image: whatever bytes it is, it is refused or applied, and what was applied can be written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillpoint_images::erofs::{Plan, write};
use stillpoint_images::layers::apply::Applier;
use stillpoint_images::layers::archive::Archive;
use stillpoint_images::limits::Limits;
use stillpoint_images::spool::Spool;

// The headers' checksums are set right, or hardly anything would get past them: a block that says `ustar`
// where headers do is taken for one.
fn seal(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    seal(&mut bytes);
    let folder = tempfile::tempdir().expect("a folder");
    let limits = Limits {
        entries: 1000,
        unpacked_bytes: 4 << 20,
        metadata_bytes: 1 << 20,
        ..Limits::default()
    };
    let mut applier = Applier::new(Spool::new(folder.path()).expect("a spool"), limits);
    // In two layers, so that whiteouts have something to hide.
    let (lower, upper) = bytes.split_at(bytes.len() / 1024 * 512);
    for (at, layer) in [lower, upper].into_iter().enumerate() {
        if applier.apply(at, &mut Archive::new(layer, at), &|| Ok(())).is_err() {
            return;
        }
    }
    let Applier { tree, spool, .. } = applier;
    let contents = spool.finish().expect("a spool");
    let plan = Plan::new(&tree).expect("a plan of what was applied");
    let path = folder.path().join("image");
    let written = write(&tree, &contents, &plan, [0; 16], std::io::sink(), &path, &|_| Ok(()));
    assert_eq!(written.expect("an image of what was applied").size_bytes, plan.size_bytes());
});
