//! The result of a capture.

use crate::event_batch::seq;
use napi_derive::napi;
use std::borrow::Cow;
use stillpoint_host::hosted::{Captured, Facts};

/// One file that a capture wrote.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct CapturedFile {
    /// Its name in the snapshot's directory.
    pub name: String,
    /// Its length.
    pub size_bytes: f64,
    /// Bytes that it takes on disk.
    pub stored_bytes: f64,
    /// The file that holds the digests of its chunks, if those are checked when first touched.
    pub chunk_table: Option<String>,
    /// Guest-physical address of its first byte, if it is memory.
    pub guest_address: Option<f64>,
}

/// How a capture is encrypted.
#[napi(object, object_from_js = false)]
pub struct CaptureEncryption {
    /// Id of the key.
    pub key_id: String,
    /// Random bytes of the capture, in hexadecimal digits.
    pub salt: String,
}

/// The files of a capture, and its cost.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct CapturedFiles {
    /// The snapshot's identity, by which deltas to it name it.
    pub identity: String,
    /// Identity of the snapshot that it is a delta to.
    pub parent: Option<String>,
    /// Guest time of the capture.
    pub at_nanos: f64,
    /// Sequence number that the next event will have.
    pub seq: f64,
    /// Host nanoseconds during which the guest could not run.
    pub pause_nanos: f64,
    /// The files.
    pub files: Vec<CapturedFile>,
    /// Name of the engine.
    pub engine: String,
    /// Guest memory in MiB.
    pub memory_mib: u32,
    /// How it is encrypted, if it is.
    pub encryption: Option<CaptureEncryption>,
}

impl CapturedFiles {
    pub(crate) fn new(captured: Captured, facts: Facts) -> Self {
        let files = captured.files.files.into_iter().map(|file| CapturedFile {
            name: file.name.into_owned(),
            size_bytes: seq(file.size_bytes),
            stored_bytes: seq(file.stored_bytes),
            chunk_table: file.chunk_table.map(Cow::into_owned),
            guest_address: file.guest_address.map(seq),
        });
        Self {
            identity: captured.files.id.to_string(),
            parent: captured.files.parent.map(|parent| parent.to_string()),
            at_nanos: seq(captured.at_nanos),
            seq: seq(captured.next_seq),
            pause_nanos: captured.pause.as_nanos() as f64,
            files: files.collect(),
            engine: facts.engine,
            memory_mib: facts.memory_mib,
            encryption: captured.files.encryption.map(|encryption| CaptureEncryption {
                key_id: encryption.key_id,
                salt: encryption.salt,
            }),
        }
    }
}
