//! Hostile layers are refused by name, or bounded; they leave nothing behind, and cause no panic and no
//! hang.

use crate::archive::{Item, archive, header, record, seal};
use crate::layout::{build, build_archives, resolve, store, write_archives};
use proptest::prelude::*;
use std::fs;
use stillpoint_images::error::ImageError;
use stillpoint_images::layers::apply::Applier;
use stillpoint_images::layers::archive::Archive;
use stillpoint_images::limits::Limits;
use stillpoint_images::spool::Spool;

fn refusal(items: Vec<Item>) -> &'static str {
    match build(&[items]) {
        Ok(_) => "accepted",
        Err(error) => error.name(),
    }
}

#[test]
fn nothing_reaches_out_of_the_root() {
    for path in ["../x", "a/../../x", "/../x", "a/.."] {
        assert_eq!(refusal(vec![Item::file(path, "x")]), "EntryRefused", "{path}");
    }
    assert_eq!(
        refusal(vec![Item::file("a", ""), Item::link("b", "../../etc/passwd")]),
        "EntryRefused"
    );
    assert_eq!(refusal(vec![Item::link("b", "missing")]), "EntryRefused");
    assert_eq!(refusal(vec![Item::directory("a"), Item::link("b", "a")]), "EntryRefused");
    assert_eq!(refusal(vec![Item::link("b", "")]), "EntryRefused");
    assert_eq!(refusal(vec![Item::file(".wh...", "")]), "EntryRefused");
    assert_eq!(refusal(vec![Item::file("a/.wh.", "")]), "EntryRefused");
    assert_eq!(refusal(vec![Item::file("./", "")]), "accepted");
}

#[test]
fn links_lead_inside_the_root_only() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().display().to_string();
    let up = format!("{}{target}", "../".repeat(30));
    for link in [target.as_str(), &up] {
        let built =
            build(&[vec![Item::symlink("link", link), Item::file("link/written", "x")]]).unwrap();
        // The guest's root has that folder now, and the host's has nothing of it.
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(built.resolved.held.description.inodes >= 3);
    }
    let circle = vec![Item::symlink("a", "b"), Item::symlink("b", "a"), Item::file("a/x", "")];
    assert_eq!(refusal(circle), "EntryRefused");
    assert_eq!(refusal(vec![Item::file("a", ""), Item::file("a/b", "")]), "EntryRefused");
}

#[test]
fn names_and_attributes_are_bounded() {
    assert_eq!(refusal(vec![Item::file("n".repeat(256), "")]), "EntryRefused");
    assert_eq!(refusal(vec![Item::file("d/".repeat(2100), "")]), "EntryRefused");
    assert_eq!(refusal(vec![Item::symlink("l", "t".repeat(5000))]), "EntryRefused");
    assert_eq!(refusal(vec![Item::symlink("l", "")]), "EntryRefused");
    assert_eq!(refusal(vec![Item::file("x", "").xattr("user.x", &[0; 70_000])]), "EntryRefused");
    let mut nul = Item::file("x", "");
    nul.pax.push((b"path".to_vec(), b"a\0b".to_vec()));
    assert_eq!(refusal(vec![nul]), "EntryRefused");
    assert_eq!(refusal(vec![Item { uid: 1 << 32, ..Item::file("x", "") }]), "LayerCorrupt");
    let deep: Vec<Item> =
        (0..9).map(|at| Item::directory(format!("{}x", "s/".repeat(at * 64)))).collect();
    assert_eq!(refusal(deep), "EntryRefused");
    // Names that no file system here holds are left out, and said.
    let built = build(&[vec![Item::file("x", "").xattr("com.apple.provenance", b"1")]]).unwrap();
    assert_eq!(built.resolved.held.description.ignored_xattrs, ["com.apple.provenance"]);
}

#[test]
fn bombs_are_bounded() {
    let limited = |layer: Vec<u8>, limits: Limits| match build_archives(&[layer], limits) {
        Ok(_) => "accepted".to_owned(),
        Err(ImageError::LimitExceeded { limit, .. }) => limit.to_owned(),
        Err(error) => error.to_string(),
    };
    let usual = Limits::default();
    let entries = archive(&(0..1000).map(|at| Item::file(format!("{at}"), "")).collect::<Vec<_>>());
    assert_eq!(limited(entries.clone(), Limits { entries: 999, ..usual }), "entries");
    assert_eq!(limited(entries, Limits { metadata_bytes: 1000, ..usual }), "metadataBytes");
    let mut huge = Item::file("sparse", "");
    for (key, value) in [("map", ""), ("size", "9000000000000000000")] {
        huge.pax.push((format!("GNU.sparse.{key}").into_bytes(), value.into()));
    }
    assert_eq!(limited(archive(&[huge]), usual), "unpackedBytes");
    let claimed = Item { size: Some(0o77_777_777_777), ..Item::file("short", "") };
    assert_eq!(
        limited(
            archive(std::slice::from_ref(&claimed)),
            Limits { unpacked_bytes: 1 << 20, ..usual }
        ),
        "unpackedBytes"
    );
    assert!(limited(archive(&[claimed]), usual).contains("whole archive"));
    let zeros = archive(&[Item::file("zeros", vec![0; 4 << 20])]);
    assert_eq!(limited(zeros, Limits { ratio: 50, ratio_free_bytes: 1 << 20, ..usual }), "ratio");
    let zeros = archive(&[Item::file("zeros", vec![0; 4 << 20])]);
    assert_eq!(limited(zeros, Limits { ratio: 50, ..usual }), "accepted");
    let layers = vec![archive(&[]); 3];
    let few = Limits { layers: 2, ..usual };
    assert_eq!(
        build_archives(&layers, few).map(|_| ()).map_err(|error| error.name()),
        Err("LimitExceeded")
    );
}

#[test]
fn what_is_no_archive_is_said_with_its_place() {
    let corrupt = |layer: Vec<u8>| match build_archives(&[layer], Limits::default()) {
        Err(ImageError::LayerCorrupt { offset, .. }) => Some(offset),
        Err(error) => panic!("{error}"),
        Ok(_) => None,
    };
    let whole = archive(&[Item::file("a", "x"), Item::file("b", vec![1; 1000])]);
    assert_eq!(corrupt(whole[..1300].to_vec()), Some(1024));
    // An archive of `umoci insert` ends behind the last file's data.
    assert_eq!(corrupt(whole[..1024 + 512 + 1000].to_vec()), None);
    assert_eq!(corrupt(whole[..2535].to_vec()).map(|offset| offset >= 1536), Some(true));
    let mut flipped = whole.clone();
    flipped[1030] ^= 1;
    assert_eq!(corrupt(flipped), Some(1536));
    let unknown = Item::new(b'M', "volume");
    assert!(corrupt(archive(&[unknown])).is_some());
    let mut pax = header(&Item::new(b'x', "x"), b"x", b"", 30).to_vec();
    pax.extend(b"999 path=too-long\n");
    pax.resize(2048, 0);
    assert!(corrupt(pax).is_some());
    let mut long_name = header(&Item::new(b'L', "x"), b"x", b"", 0);
    long_name[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0]);
    seal(&mut long_name);
    assert!(corrupt(long_name.to_vec()).is_some());
    let alone = header(&Item::new(b'x', "x"), b"x", b"", 0).to_vec();
    assert!(corrupt(alone).is_some());
}

#[test]
fn nothing_stays_of_what_was_refused() {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");
    write_archives(
        &layout,
        &[archive(&[Item::file("ok", vec![3; 10_000]), Item::file("../x", "")])],
    );
    let store = store(folder.path());
    assert!(resolve(&store, &format!("oci:{}", layout.display()), Limits::default()).is_err());
    for part in ["images", "building", "keys"] {
        assert_eq!(
            fs::read_dir(folder.path().join("cache").join(part)).unwrap().count(),
            0,
            "{part}"
        );
    }
}

/// Blocks that are likely to mean something, and spoiled ones.
fn blocks() -> impl Strategy<Value = Vec<u8>> {
    let item = (
        prop::sample::select(&b"0123456xgLKSVM7\0"[..]),
        prop::sample::select(
            &["a", "a/b", "../a", "a/.wh.b", ".wh..wh..opq", "", "/", "a/", ".wh.a"][..],
        ),
        prop::sample::select(&["", "a", "a/b", "/", "..", "a/b/c"][..]),
        prop::collection::vec(any::<u8>(), 0..1200),
        prop::option::of(0..5000_u64),
        prop::sample::select(
            &[
                "",
                "path",
                "size",
                "GNU.sparse.map",
                "GNU.sparse.major",
                "mtime",
                "SCHILY.xattr.user.x",
            ][..],
        ),
        prop::sample::select(&["", "1", "0,1,5,2", "-5.5", "99999999999999999999", "a/../.."][..]),
    );
    let one = item.prop_map(|(kind, path, link, data, size, key, value)| {
        let mut item = Item::new(kind, path);
        item.link = link.into();
        item.size = size;
        let is_meta = b"xg".contains(&kind);
        item.data = if is_meta { record(key.as_bytes(), value.as_bytes()) } else { data };
        if !key.is_empty() && !is_meta {
            item.pax.push((key.into(), value.into()));
        }
        let mut bytes = archive(&[item]);
        bytes.truncate(bytes.len() - 1024);
        bytes
    });
    let spoil = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop::collection::vec(one, 0..6), spoil).prop_map(|(all, spoil)| {
        let mut bytes = all.concat();
        for (at, byte) in spoil {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    })
}

fn cases() -> u32 {
    std::env::var("STILLPOINT_HOSTILE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(600)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(layers in prop::collection::vec(blocks(), 1..3)) {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { entries: 100, unpacked_bytes: 1 << 20, ..Limits::default() };
        let mut applier = Applier::new(Spool::new(folder.path()).unwrap(), limits);
        for (at, bytes) in layers.iter().enumerate() {
            if applier.apply(at, &mut Archive::new(bytes.as_slice(), at), &|| Ok(())).is_err() {
                return Ok(());
            }
        }
        // An accepted tree can be written.
        let Applier { tree, spool, .. } = applier;
        let contents = spool.finish().unwrap();
        let plan = stillpoint_images::erofs::Plan::new(&tree).unwrap();
        let mut out = Vec::new();
        let path = folder.path().join("x");
        let written = stillpoint_images::erofs::write(&tree, &contents, &plan, [0; 16], &mut out, &path, &|_| Ok(()));
        prop_assert_eq!(written.unwrap().size_bytes, plan.size_bytes());
    }
}
