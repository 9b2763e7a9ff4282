//! The layers of an image: archives of entries that archivers write and attackers do, in any order and somewhat damaged. They
//! are refused or applied, and what was applied can be written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillpoint_images::erofs::{Plan, write};
use stillpoint_images::layers::apply::Applier;
use stillpoint_images::layers::archive::Archive;
use stillpoint_images::limits::Limits;
use stillpoint_images::spool::Spool;

const NAMES: [&str; 16] = [
    "a",
    "a/b",
    "a/b/c",
    "./a",
    "/a",
    "../a",
    "a/../b",
    "b",
    "l",
    "l/x",
    "a/.wh.b",
    ".wh.a",
    "a/.wh..wh..opq",
    ".wh.",
    "a/",
    "",
];
const TARGETS: [&str; 8] = ["a", "/a/b", "../..", "l", "b", ".", "a/b/c", ""];
const KINDS: &[u8] = b"000\x005512346xgL0";
const KEYS: [&str; 12] = [
    "path",
    "linkpath",
    "size",
    "mtime",
    "uid",
    "gid",
    "SCHILY.xattr.user.a",
    "SCHILY.xattr.trusted.overlay.opaque",
    "GNU.sparse.major",
    "GNU.sparse.name",
    "GNU.sparse.realsize",
    "GNU.sparse.map",
];

/// Takes what the fuzzer chose, and nothing once that is used up.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

fn pax(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut records = Vec::new();
    for _ in 0..choices.byte() % 4 {
        let (key, name) = (choices.of(&KEYS), choices.of(&NAMES));
        let length = usize::from(choices.byte() % 24);
        let value = if choices.byte() % 2 == 0 { name.as_bytes() } else { choices.bytes(length) };
        let rest = key.len() + value.len() + 3;
        let digits = if rest + 2 > 99 { 3 } else { 2 };
        records.extend(format!("{} {key}=", rest + digits).bytes());
        records.extend(value);
        records.push(b'\n');
    }
    records
}

/// One entry: a header as archivers write it, some of it damaged now and then before it is summed up, and its content.
fn entry(choices: &mut Choices<'_>, archive: &mut Vec<u8>) {
    let mut header = [0; 512];
    let kind = choices.of(KINDS);
    let content = match kind {
        b'x' | b'g' => pax(choices),
        b'L' => choices.of(&NAMES).bytes().chain([0]).collect(),
        b'0' | 0 => {
            let length = usize::from(choices.byte()) * 3;
            choices.bytes(length).to_vec()
        }
        _ => Vec::new(),
    };
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, choices.of(&NAMES).as_bytes());
    put(100, format!("{:07o}", u32::from(choices.byte()) * 17).as_bytes());
    put(108, format!("{:07o}", choices.byte()).as_bytes());
    put(116, format!("{:07o}", choices.byte()).as_bytes());
    put(124, format!("{:011o}", content.len()).as_bytes());
    put(136, format!("{:011o}", u32::from(choices.byte()) << 20).as_bytes());
    put(156, &[kind]);
    put(157, choices.of(&TARGETS).as_bytes());
    put(257, if choices.byte() % 4 == 0 { b"ustar  \0" } else { b"ustar\x0000" });
    put(329, format!("{:07o}", choices.byte()).as_bytes());
    if choices.byte() % 8 == 0 {
        header[usize::from(choices.byte()) * 2 % 512] = choices.byte();
    }
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive.extend(header);
    archive.extend(&content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

fn archive(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut archive = Vec::new();
    for _ in 0..choices.byte() % 32 {
        entry(choices, &mut archive);
    }
    // Without its end, which readers do not need, or cut anywhere.
    if choices.byte() % 8 == 0 {
        archive.truncate(usize::from(choices.byte()) * 64);
    }
    archive
}

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    // In two layers, so that whiteouts have something to hide.
    let layers = [archive(&mut choices), archive(&mut choices)];
    let folder = tempfile::tempdir().expect("a folder");
    let limits = Limits {
        entries: 1000,
        unpacked_bytes: 4 << 20,
        metadata_bytes: 1 << 20,
        ..Limits::default()
    };
    let mut applier = Applier::new(Spool::new(folder.path()).expect("a spool"), limits);
    for (at, layer) in layers.iter().enumerate() {
        if applier.apply(at, &mut Archive::new(layer.as_slice(), at), &|| Ok(())).is_err() {
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
