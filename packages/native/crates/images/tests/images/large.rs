//! Large images, name by name what `umoci` unpacks of them: hundreds of MiB, a hundred thousand files, and the real ones of
//! `make images`. `STILLPOINT_SOFTWARE=all` (`make software`) has them at their full size; without it, a hundredth of it.

use crate::archive::{Item, archive};
use crate::layout::{build_archives, resolve, store};
use crate::tools::{check, mount};
use crate::unpacked::{assert_same, read, unpacked_by_umoci};
use std::path::{Path, PathBuf};
use std::time::Instant;
use stillpoint_images::limits::Limits;

fn is_full() -> bool {
    std::env::var("STILLPOINT_SOFTWARE").is_ok_and(|software| software == "all")
}

/// Numbers that look like chance, the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(count);
        bytes
    }
}

/// Compares the image of `reference` (`LAYOUT:TAG`) that was built with what umoci makes of it.
fn compare(file: &Path, reference: &str, folder: &Path, built_in: Instant) {
    let built_millis = built_in.elapsed().as_millis();
    check(file);
    let Some(mounted) = mount(file) else { return };
    let mut ours = read(&mounted.at);
    let Some(mut theirs) = unpacked_by_umoci(reference, folder) else { return };
    for files in [&mut ours, &mut theirs] {
        // Of a root that no layer describes, each has its own time.
        if let Some(root) = files.get_mut(&b""[..]) {
            root.mtime = (0, 0);
        }
    }
    assert_same(&ours, &theirs);
    let bytes: u64 = ours.values().map(|found| found.size).sum();
    let image_bytes = file.metadata().unwrap().len();
    println!(
        "{reference}: {} names, {bytes} bytes in files, {image_bytes} in the image, built in {built_millis} ms; umoci unpacks the same",
        ours.len()
    );
}

fn built_and_compared(layers: Vec<Vec<Item>>) {
    let layers: Vec<Vec<u8>> = layers.into_iter().map(|items| archive(&items)).collect();
    let started = Instant::now();
    let built = build_archives(&layers, Limits::default()).unwrap();
    compare(&built.file(), &built.reference(), built.folder.path(), started);
}

#[test]
fn a_large_image_of_many_files_is_as_umoci_unpacks_it() {
    let count = if is_full() { 100_000 } else { 1_000 };
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let folders: Vec<String> = (0..count / 50)
        .map(|at| format!("{}/{}-{at}", at % 7, "d".repeat(at as usize % 90)))
        .collect();
    let described = |path: &str, at: u64| Item {
        mode: [0o755, 0o2775, 0o1777, 0o700][at as usize % 4],
        uid: at % 1000,
        mtime: format!("{}.{:09}", 1_400_000_000 + at * 977, at * 7919 % 1_000_000_000),
        ..Item::directory(path)
    };
    let mut lower: Vec<Item> = (0..7).map(|at| described(&at.to_string(), at)).collect();
    lower.extend(folders.iter().zip(0..).map(|(path, at)| described(path, at)));
    let mut names = Vec::new();
    for at in 0..count {
        let folder = &folders[numbers.below(folders.len() as u64) as usize];
        let path = format!("{folder}/{at}{}", "n".repeat(numbers.below(60) as usize));
        let mut item = match at % 20 {
            17 => {
                Item::symlink(&path, format!("../{}", "t".repeat(numbers.below(200) as usize + 1)))
            }
            18 if !names.is_empty() => {
                Item::link(&path, &names[numbers.below(names.len() as u64) as usize])
            }
            19 => Item { device: (5, at as u32), ..Item::new(b'3', &path) },
            _ => {
                let size = numbers.below(if at % 50 == 0 { 40_000 } else { 3_000 }) as usize;
                names.push(path.clone());
                Item::file(&path, numbers.bytes(size))
            }
        };
        item.mode = [0o644, 0o4755, 0o600, 0o444, 0o2755][at as usize % 5];
        (item.uid, item.gid) = (numbers.below(70_000), numbers.below(70_000));
        item.mtime =
            format!("{}.{:09}", numbers.below(2_000_000_000), numbers.below(1_000_000_000));
        if item.kind == b'2' {
            item.mode = 0o777;
        }
        if item.kind == b'0' && at % 9 == 0 {
            item = item
                .xattr("user.note", &numbers.bytes(at as usize % 300 + 1))
                .xattr("user.of", b"x");
        }
        lower.push(item);
    }
    let mut upper = Vec::new();
    for (at, name) in names.iter().enumerate().step_by(13) {
        let (folder, file) = name.rsplit_once('/').unwrap();
        let parent = folders.iter().position(|path| path == folder).unwrap() as u64;
        upper.push(described(folder, parent + 3));
        upper.push(if at % 2 == 0 {
            Item::file(format!("{folder}/.wh.{file}"), "")
        } else {
            Item { mode: 0o640, uid: 9, ..Item::file(name, numbers.bytes(at % 5000)) }
        });
    }
    built_and_compared(vec![lower, upper]);
}

#[test]
fn a_large_image_of_large_files_is_as_umoci_unpacks_it() {
    let unit: usize = if is_full() { 1 << 20 } else { 10 << 10 };
    let mut numbers = Numbers(0xdead_beef_cafe_f00d);
    let mut large = |path: &str, units: usize, is_half_zeros: bool| {
        let mut bytes = numbers.bytes(units * unit + units * 37);
        if is_half_zeros {
            let middle = bytes.len() / 2;
            bytes[..middle].fill(0);
        }
        Item::file(path, bytes)
    };
    let lower = vec![
        Item::directory("lib"),
        large("lib/sixty-four", 64, false),
        large("lib/forty", 40, false),
        large("lib/half-zeros", 96, true),
        large("replaced", 20, false),
    ];
    let upper = vec![
        large("opt", 80, false),
        large("replaced", 24, false),
        Item::link("lib-of-forty", "lib/forty"),
        large("last", 30, false),
    ];
    built_and_compared(vec![lower, upper]);
}

#[test]
fn large_images_of_real_software_are_as_umoci_unpacks_them() {
    let layout =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../../.cache/test-images/layout");
    let Ok(index) = std::fs::read(layout.join("index.json")) else {
        println!("skipped: no test images in .cache/test-images (make images)");
        return;
    };
    if !is_full() {
        println!("skipped: the test images of real software, without STILLPOINT_SOFTWARE=all");
        return;
    }
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    for manifest in index["manifests"].as_array().unwrap() {
        let tag = manifest["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap();
        let reference = format!("{}:{tag}", layout.display());
        let folder = tempfile::tempdir().unwrap();
        let started = Instant::now();
        let resolved =
            resolve(&store(folder.path()), &format!("oci:{reference}"), Limits::default()).unwrap();
        compare(&resolved.held.file, &reference, folder.path(), started);
    }
}
