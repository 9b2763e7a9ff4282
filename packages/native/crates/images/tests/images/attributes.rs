//! Everything that a layer can say of a file stands in the image: read by the kernel, by `fsck.erofs`,
//! and as `umoci` unpacks the same image.

use crate::archive::Item;
use crate::layout::{Built, build};
use crate::tools::{check, mount};
use crate::unpacked::{Files, assert_same, read, unpacked_by_umoci};

/// Of every kind something, with the attributes that are hard to keep.
fn everything() -> Vec<Vec<Item>> {
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let long = "n".repeat(255);
    let deep: String = (0..20).map(|at| format!("{at}-{}/", "d".repeat(150))).collect();
    let lower = vec![
        Item { mode: 0o1777, mtime: "1600000000.987654321".to_owned(), ..Item::directory("./") },
        Item::directory("bin"),
        Item { mode: 0o4755, ..Item::file("bin/su", "setuid") },
        Item::file("bin/ping", "ping").xattr("security.capability", &capability),
        Item { uid: 4_000_000_000, gid: 3_000_000_000, ..Item::file("big-owner", "x") },
        Item { mtime: "-86400.25".to_owned(), ..Item::file("before-1970", "") },
        Item { mtime: "5000000000.5".to_owned(), ..Item::file("after-2106", "") },
        Item::symlink("lib", "usr/lib"),
        Item::directory("usr/lib"),
        Item::symlink("long-link", "x/".repeat(2000)),
        Item::file(&long, "name of 255 bytes"),
        Item::file(format!("{deep}file"), "deep"),
        Item::file(b"not-\xff-utf8", "bytes"),
        Item { device: (1, 3), mode: 0o666, ..Item::new(b'3', "null") },
        Item { device: (259, 70_000), mode: 0o660, ..Item::new(b'4', "block") },
        Item::new(b'6', "fifo"),
        Item::link("hard", "bin/su"),
        Item::file("empty", ""),
        Item::file("block-long", vec![7; 4096]),
        Item::file("nearly-a-block", vec![8; 4095]),
        Item::file("several", (0..300_000_u32).map(|at| at as u8).collect::<Vec<_>>()),
        Item::file("many-attributes", "x")
            .xattr("user.one", b"1")
            .xattr("user.two", &[0, 1, 2, 0xff])
            .xattr("trusted.three", b"y")
            .xattr("trusted.overlay.redirect", b"/bin")
            .xattr("user.large", &[b'v'; 3000]),
        Item::file("gone", "lower"),
        Item::file("opaque/gone", "lower"),
        Item::file("replaced/by-a-file", "lower"),
        Item::file("kept/lower", "lower"),
    ];
    let many = (0..3000)
        .map(|at| Item::file(format!("many/{at:05}-{}", "x".repeat(at % 60)), format!("{at}")));
    let upper = vec![
        Item::file(".wh.gone", ""),
        Item::file("opaque/new", "upper"),
        Item::file("opaque/.wh..wh..opq", ""),
        Item::file("replaced", "a file"),
        Item::file("lib/through-a-link", "upper"),
        Item::link("hard-of-lower", "bin/ping"),
        Item { mode: 0o700, uid: 7, ..Item::directory("kept") },
    ];
    vec![lower, many.collect(), upper]
}

fn mounted(built: &Built) -> Option<Files> {
    check(&built.file());
    mount(&built.file()).map(|mounted| read(&mounted.at))
}

#[test]
fn the_kernel_reads_what_the_layers_say() {
    let built = build(&everything()).unwrap();
    let Some(files) = mounted(&built) else { return };
    let of =
        |name: &str| files.get(name.as_bytes()).unwrap_or_else(|| panic!("{name} is not there"));
    assert_eq!((of("").mode & 0o7777, of("").mtime), (0o1777, (1_600_000_000, 987_654_321)));
    assert_eq!(of("bin/su").mode, 0o104_755);
    assert_eq!(of("hard").first_name, b"bin/su");
    assert_eq!((of("bin/su").links, of("bin/ping").links), (2, 2));
    assert_eq!(of("bin/ping").xattrs["security.capability"].0, 20);
    assert_eq!(of("big-owner").owner, (4_000_000_000, 3_000_000_000));
    assert_eq!(of("before-1970").mtime, (-86_401, 750_000_000));
    assert_eq!(of("after-2106").mtime, (5_000_000_000, 500_000_000));
    assert_eq!(of("long-link").size, 4000);
    assert_eq!(of("null").device, libc::makedev(1, 3));
    assert_eq!(of("block").device, libc::makedev(259, 70_000));
    assert_eq!(of("many-attributes").xattrs.len(), 4);
    assert_eq!(built.resolved.held.description.ignored_xattrs, ["trusted.overlay.redirect"]);
    assert_eq!(of("usr/lib/through-a-link").size, 5);
    assert_eq!(
        of("several").content,
        Some(blake3::hash(&(0..300_000_u32).map(|at| at as u8).collect::<Vec<_>>()))
    );
    assert_eq!((of("kept").owner.0, of("kept/lower").size), (7, 5));
    for gone in ["gone", ".wh.gone", "opaque/gone", "opaque/.wh..wh..opq", "replaced/by-a-file"] {
        assert!(!files.contains_key(gone.as_bytes()), "{gone}");
    }
    assert_eq!(files.keys().filter(|name| name.starts_with(b"many/")).count(), 3000);
}

#[test]
fn umoci_unpacks_the_same() {
    // umoci unpacks times before 1970 as 1970, so these are left out.
    let layers: Vec<Vec<Item>> = everything()
        .into_iter()
        .map(|layer| layer.into_iter().filter(|item| !item.mtime.starts_with('-')).collect())
        .collect();
    let built = build(&layers).unwrap();
    let Some(ours) = mounted(&built) else { return };
    let Some(mut theirs) = unpacked_by_umoci(&built.reference(), built.folder.path()) else {
        return;
    };
    let mut ours = ours;
    for files in [&mut ours, &mut theirs] {
        for (name, found) in files.iter_mut() {
            // A directory that no layer describes, or that a later one adds to, has the time of the
            // unpacking.
            let is_implied = ["", "usr", "usr/lib", "opaque", "replaced", "many"]
                .iter()
                .any(|implied| name == implied.as_bytes())
                || name.starts_with(b"0-");
            if is_implied && found.mode & libc::S_IFMT == libc::S_IFDIR {
                found.mtime = (0, 0);
            }
        }
    }
    assert_same(&ours, &theirs);
}

#[test]
fn directories_of_many_names_and_files_with_holes_are_whole() {
    let names = (0..20_000).map(|at| Item::new(b'6', format!("names/{at}")));
    let hole = {
        let map = "1\n1048576\n5\n";
        let mut data = map.as_bytes().to_vec();
        data.resize(512, 0);
        data.extend(b"after");
        let mut item = Item::file("sparse-1.0", data);
        for (key, value) in
            [("major", "1"), ("minor", "0"), ("name", "sparse"), ("realsize", "3145728")]
        {
            item.pax.push((format!("GNU.sparse.{key}").into_bytes(), value.into()));
        }
        item
    };
    let mut small = Item::file("sparse-0.1", b"ab");
    for (key, value) in [("map", "1,1,3,1"), ("size", "5"), ("numblocks", "2")] {
        small.pax.push((format!("GNU.sparse.{key}").into_bytes(), value.into()));
    }
    let built = build(&[names.collect(), vec![hole, small]]).unwrap();
    assert!(built.resolved.held.description.size_bytes < 3 << 20);
    let Some(files) = mounted(&built) else { return };
    assert_eq!(files.keys().filter(|name| name.starts_with(b"names/")).count(), 20_000);
    let mut expected = vec![0; 3 << 20];
    expected[1 << 20..(1 << 20) + 5].copy_from_slice(b"after");
    assert_eq!(files[&b"sparse"[..]].content, Some(blake3::hash(&expected)));
    assert_eq!(files[&b"sparse-0.1"[..]].content, Some(blake3::hash(b"\0a\0b\0")));
}
