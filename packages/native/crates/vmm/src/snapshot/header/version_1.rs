//! Snapshots of format version 1, which had fewer fields: converted to the present form.
//!
//! ```text
//! header    origin: engine, board, memoryBase, memoryBytes, … instead of a description
//! engine    bytes
//! platform  u64 now │ u64 next seq │ console line: bytes │ frame: bytes, u8, u64 │ randomness: 41
//!           bytes │ u32 devices │ devices × (name: bytes, state: bytes)
//! progress  bytes
//! ```
//! All its machines had the devices of the board `riscv` of then.

use serde::Deserialize;

use super::{SnapshotHeader, SnapshotKind};
use crate::devices::DeviceDescription;
use crate::machine::{ENGINE, MachineDescription, MemoryDescription, Origin, PROGRESS};
use crate::platform::persist::{PLATFORM, SERIAL_PORTS, section_of};
use crate::state::{Sections, StateError, StateReader, StateWriter};

const VERSION: u32 = 1;
const RANDOMNESS_BYTES: usize = 41;
const MAX_DEVICES: u32 = 64;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    producer: String,
    kind: SnapshotKind,
    parent: Option<String>,
    at_nanos: u64,
    next_seq: u64,
    page_bytes: u64,
    chunk_bytes: u64,
    pages: u64,
    digests_digest: String,
    origin: OldOrigin,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OldOrigin {
    engine: String,
    deterministic: bool,
    board: String,
    memory_base: u64,
    memory_bytes: u64,
    command_line: String,
    kernel_digest: String,
    initramfs_digest: Option<String>,
    epoch_nanos: u64,
}

fn devices() -> Vec<DeviceDescription> {
    let device = DeviceDescription::new;
    vec![
        device("serial0", "ns16550a", 0x1000_0000, 10).with("port", 0),
        device("serial1", "ns16550a", 0x1000_0100, 11).with("port", 1),
        device("rtc", "goldfish-rtc", 0x0010_1000, 13),
        device("entropy", "virtio-rng", 0x1000_1000, 1),
    ]
}

/// The present form of a version 1 header.
pub(super) fn header(text: &[u8]) -> Result<SnapshotHeader, serde_json::Error> {
    let old: Header = serde_json::from_slice(text)?;
    let origin = old.origin;
    Ok(SnapshotHeader {
        format: VERSION,
        producer: old.producer,
        kind: old.kind,
        parent: old.parent,
        at_nanos: old.at_nanos,
        next_seq: old.next_seq,
        page_bytes: old.page_bytes,
        chunk_bytes: old.chunk_bytes,
        pages: old.pages,
        digests_digest: old.digests_digest,
        encryption: None,
        disks: Vec::new(),
        origin: Origin {
            engine_choice: None,
            machine: MachineDescription {
                engine: origin.engine,
                board: origin.board,
                processors: 1,
                memory: MemoryDescription {
                    base: origin.memory_base,
                    size_bytes: origin.memory_bytes,
                },
                devices: devices(),
                seed: None,
                epoch_nanos: origin.epoch_nanos,
            },
            deterministic: origin.deterministic,
            command_line: origin.command_line,
            kernel_digest: origin.kernel_digest,
            initramfs_digest: origin.initramfs_digest,
        },
    })
}

/// The states that follow a version 1 header.
pub(super) fn sections(body: &mut StateReader<'_>) -> Result<Sections, StateError> {
    let mut sections = Sections::default();
    sections.push_version(ENGINE, VERSION, body.bytes(usize::MAX)?.to_vec());
    let platform = body.bytes(usize::MAX)?.to_vec();
    sections.push_version(PROGRESS, VERSION, body.bytes(usize::MAX)?.to_vec());

    let mut old = StateReader::new(PLATFORM, &platform);
    let clock = old.take(16)?;
    let mut serial = StateWriter::new();
    serial.bytes(old.bytes(usize::MAX)?).bytes(old.bytes(usize::MAX)?).array(old.take(9)?);
    let randomness = old.take(RANDOMNESS_BYTES)?;
    sections.push_version(PLATFORM, VERSION, [clock, randomness].concat());
    sections.push_version(SERIAL_PORTS, VERSION, serial.finish());
    let count = old.u32()?;
    if count > MAX_DEVICES {
        return Err(old.refuse(format!("at most {MAX_DEVICES} devices"), count.to_string()));
    }
    for _ in 0..count {
        let name = String::from_utf8_lossy(old.bytes(usize::MAX)?).into_owned();
        let state = old.bytes(usize::MAX)?.to_vec();
        sections.push_version(&section_of(&name), VERSION, state);
    }
    old.finish()?;
    Ok(sections)
}
