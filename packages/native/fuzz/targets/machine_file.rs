//! The file of a snapshot that says what the machine is, with a right digest behind random
//! bytes: refused, or restored and run for a moment.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::LazyLock;
use stillpoint_engines::engines;
use stillpoint_soft::Soft;
use stillpoint_vmm::board::PayloadForm;
use stillpoint_vmm::loaders::Source;
use stillpoint_vmm::machine::{Machine, MachineConfig, RunUntil};
use stillpoint_vmm::snapshot::{CaptureKind, RestoreOptions};
use tempfile::TempDir;

/// `j .`
const SPINNING: [u8; 4] = 0x0000_006f_u32.to_le_bytes();
const DIGEST_BYTES: usize = 32;

static SNAPSHOT: LazyLock<(TempDir, Vec<u8>)> = LazyLock::new(|| {
    let folder = TempDir::new().expect("a folder for the snapshot");
    let config = MachineConfig {
        form: PayloadForm::Flat { address: 0x8000_0000 },
        memory_bytes: 1 << 20,
        ..MachineConfig::new(Source::Bytes(SPINNING.into()))
    };
    let mut machine = Machine::new(&config, Box::new(Soft::new())).expect("the guest boots");
    let capture = machine.begin_capture(CaptureKind::Full).expect("it is captured");
    capture.write(folder.path()).expect("it is written");
    let file = std::fs::read(folder.path().join("machine.bin")).expect("it is read");
    (folder, file)
});

fn restore(folder: &Path) {
    let directories = [folder.to_owned()];
    let restored = Machine::restore(&directories, engines(), &RestoreOptions::default());
    if let Ok(mut machine) = restored {
        machine.run_into(&RunUntil { budget_nanos: Some(1_000), ..RunUntil::default() }, &mut |_| ());
    }
}

// Each four bytes change one of the file: a place, and what it is changed by.
fuzz_target!(|changes: &[u8]| {
    let (folder, file) = &*SNAPSHOT;
    let mut bytes = file[..file.len() - DIGEST_BYTES].to_vec();
    for change in changes.as_chunks::<4>().0 {
        let place = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize % bytes.len();
        bytes[place] ^= change[3];
    }
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    std::fs::write(folder.path().join("machine.bin"), bytes).expect("the file is written");
    restore(folder.path());
});
