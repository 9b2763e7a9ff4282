//! Snapshots of earlier versions, kept under `tests/snapshots`: each restores in this build and
//! continues as it did in the build that wrote it.
//!
//! ```text
//! snapshots/version-N/full, delta    as captured; memory and objects compressed with gzip; encrypted
//!                                    with `KEY` in version 4
//! snapshots/version-N/continued.txt  every event after `full`: seq, nanoseconds, kind, content
//! ```

#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use stillpoint_soft::Soft;
use stillpoint_vmm::engines::Engines;
use stillpoint_vmm::event::{Event, EventBody};
use stillpoint_vmm::machine::{Machine, RunUntil};
use stillpoint_vmm::snapshot::{EncryptionKey, RestoreOptions, WriteOptions, verify};

const KEPT: [&str; 4] = ["version-1", "version-2", "version-3", "version-4"];

/// The key of the snapshots in version 4.
const KEY: [u8; 32] = *b"the key of the kept snapshots...";

fn key_of(version: &str) -> Option<EncryptionKey> {
    (version == "version-4").then(|| EncryptionKey::new(KEY))
}

fn options_of(version: &str) -> RestoreOptions {
    RestoreOptions { encryption_key: key_of(version), ..RestoreOptions::default() }
}

fn kept(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(version)
}

/// Copies of the snapshots of a version, with memory as it was captured; removed with it.
struct Unpacked(PathBuf);

impl Unpacked {
    fn new(version: &str, test: &str) -> Self {
        let name = format!("stillpoint-kept-{version}-{test}-{}", std::process::id());
        let unpacked = Self(std::env::temp_dir().join(name));
        for kind in ["full", "delta"] {
            let (from, to) = (kept(version).join(kind), unpacked.0.join(kind));
            fs::create_dir_all(&to).expect("a directory");
            for entry in fs::read_dir(from).expect("kept").flatten() {
                let mut to = to.join(entry.file_name());
                if to.extension().is_none_or(|end| end != "gz") {
                    fs::copy(entry.path(), to).expect("kept");
                    continue;
                }
                // Without its last extension.
                to.set_extension("");
                let mut packed = GzDecoder::new(File::open(entry.path()).expect("kept"));
                io::copy(&mut packed, &mut File::create(to).expect("a file")).expect("unpacked");
            }
        }
        unpacked
    }

    /// The directories that a restore of `kind` needs.
    fn chain(&self, kind: &str) -> Vec<PathBuf> {
        let kinds: &[&str] = if kind == "delta" { &["delta", "full"] } else { &["full"] };
        kinds.iter().map(|kind| self.0.join(kind)).collect()
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn engines() -> Engines {
    Engines::only(|| Box::new(Soft::new()))
}

fn line(event: &Event) -> String {
    let content = match &event.body {
        EventBody::SerialLine { text, .. } => format!(" {text}"),
        EventBody::PagesDirtied { count } => format!(" {count}"),
        _ => String::new(),
    };
    format!("{} {} {}{content}", event.seq, event.at_nanos, event.body.kind().name())
}

#[test]
fn a_kept_snapshot_goes_on_as_in_the_build_that_wrote_it() {
    for version in KEPT {
        let unpacked = Unpacked::new(version, "goes-on");
        let continued = fs::read_to_string(kept(version).join("continued.txt")).expect("kept");
        for kind in ["full", "delta"] {
            let chain = unpacked.chain(kind);
            verify(&chain).expect("intact");
            let mut machine =
                Machine::restore(&chain, &engines(), &options_of(version)).expect("restores");
            let first = machine.next_seq();
            let until = RunUntil { at_nanos: Some(200_003), ..RunUntil::default() };
            machine.run(&until);
            let events = machine.events(first, usize::MAX).expect("all kept");
            let found: Vec<String> = events.iter().map(line).collect();
            let expected: Vec<&str> = continued
                .lines()
                .filter(|line| {
                    let seq = line.split(' ').next().and_then(|seq| seq.parse::<u64>().ok());
                    seq.is_some_and(|seq| seq >= first)
                })
                .collect();
            assert!(expected.len() > 10, "{version} {kind}");
            assert_eq!(found, expected, "{version} {kind}");
        }
    }
}

#[test]
fn a_kept_snapshot_can_be_captured_anew_and_is_then_the_same_machine() {
    for version in KEPT {
        let unpacked = Unpacked::new(version, "anew");
        let restore = |directories: &[PathBuf]| {
            Machine::restore(directories, &engines(), &options_of(version)).expect("restores")
        };
        let mut old = restore(&unpacked.chain("delta"));
        let again = unpacked.0.join("again");
        fs::create_dir(&again).expect("a directory");
        let capture = old.begin_capture(stillpoint_vmm::snapshot::CaptureKind::Full).expect("good");
        let key = key_of(version);
        let options = WriteOptions { encryption_key: key.as_ref(), ..WriteOptions::default() };
        capture.write_with(&again, options).expect("written");
        let mut anew = restore(&[again]);
        let budget = RunUntil { budget_nanos: Some(30_000), ..RunUntil::default() };
        for _ in 0..3 {
            assert_eq!(old.digest(), anew.digest());
            old.run(&budget);
            anew.run(&budget);
        }
    }
}
