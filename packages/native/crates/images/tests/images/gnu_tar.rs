//! GNU tar's archives, in every form that it has, are read alike.

use crate::layout::build_archives;
use crate::tools::{check, has, mount, run_well};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use stillpoint_images::limits::Limits;

fn fill(tree: &Path) {
    let deep = tree.join("a-rather-long-name-of-a-directory/".repeat(4));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("n".repeat(120)), "deep").unwrap();
    std::os::unix::fs::symlink("t".repeat(150), tree.join("long-link")).unwrap();
    fs::hard_link(deep.join("n".repeat(120)), tree.join("hard")).unwrap();
    let sparse = File::create(tree.join("sparse")).unwrap();
    sparse.set_len(40 << 20).unwrap();
    // More pieces than one header of GNU's has room for.
    for at in 0..30_u64 {
        sparse.write_all_at(&[at as u8; 8192], at << 20).unwrap();
    }
}

fn tar(tree: &Path, options: &[&str]) -> Vec<u8> {
    let archive = tree.with_extension("tar");
    let (archive, tree) = (archive.display().to_string(), tree.display().to_string());
    let usual = [
        "--sort=name",
        "--mtime=@1700000000",
        "--owner=0",
        "--group=0",
        "-C",
        &tree,
        "-cf",
        &archive,
        ".",
    ];
    run_well("tar", &[options, &usual].concat());
    fs::read(archive).unwrap()
}

#[test]
fn every_form_of_gnu_tar_means_the_same() {
    if !has("tar") {
        println!("skipped: tar is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fill(&tree);
    let forms: [&[&str]; 6] = [
        &["--format=gnu"],
        &["--format=pax"],
        &["--format=gnu", "--sparse"],
        &["--format=pax", "--sparse", "--sparse-version=0.0"],
        &["--format=pax", "--sparse", "--sparse-version=0.1"],
        &["--format=pax", "--sparse", "--sparse-version=1.0"],
    ];
    let built = forms.map(|form| {
        let built = build_archives(&[tar(&tree, form)], Limits::default()).unwrap();
        check(&built.file());
        built
    });
    // The first block says which archive it was built of; the rest is the files.
    let digests =
        built.each_ref().map(|built| blake3::hash(&fs::read(built.file()).unwrap()[4096..]));
    // GNU tar takes the zeros that were written for data, and says so; of those that it writes out, an image has none.
    assert_eq!(digests[0], digests[1]);
    assert!(digests[2..].iter().all(|digest| *digest == digests[2]), "{digests:?}");
    assert!(built.iter().all(|built| built.resolved.held.description.size_bytes < 1 << 20));
    for built in [&built[0], &built[2]] {
        let Some(mounted) = mount(&built.file()) else { return };
        assert_eq!(
            fs::read(mounted.at.join("sparse")).unwrap(),
            fs::read(tree.join("sparse")).unwrap()
        );
        assert_eq!(fs::read_link(mounted.at.join("long-link")).unwrap().as_os_str().len(), 150);
        assert_eq!(fs::read(mounted.at.join("hard")).unwrap(), b"deep");
    }
}

#[test]
fn a_file_of_gibibytes_with_holes_is_a_few_blocks() {
    let mut item = crate::archive::Item::file("sparse", b"here");
    let at = (5_u64 << 30) + 12_345;
    let map = format!("{at},4");
    for (key, value) in [("map", map.as_str()), ("size", "6442450944")] {
        item.pax.push((format!("GNU.sparse.{key}").into_bytes(), value.into()));
    }
    let attributes = crate::archive::Item::file("attributes", "x")
        .xattr("user.one", &[b'1'; 30_000])
        .xattr("user.two", &[b'2'; 20_000]);
    let built =
        build_archives(&[crate::archive::archive(&[item, attributes])], Limits::default()).unwrap();
    assert!(built.resolved.held.description.size_bytes < 2 << 20);
    check(&built.file());
    let Some(mounted) = mount(&built.file()) else { return };
    let file = File::open(mounted.at.join("sparse")).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 6 << 30);
    let mut found = [1; 8];
    file.read_exact_at(&mut found, at - 2).unwrap();
    assert_eq!(&found, b"\0\0here\0\0");
    file.read_exact_at(&mut found, 1 << 30).unwrap();
    assert_eq!(found, [0; 8]);
    let files = crate::unpacked::read_attributes(&mounted.at.join("attributes"));
    assert_eq!(files["user.one"], (30_000, blake3::hash(&[b'1'; 30_000])));
    assert_eq!(files["user.two"], (20_000, blake3::hash(&[b'2'; 20_000])));
}
