//! The description of a snapshot, readable by any build.

mod disk;
mod version_1;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::encryption::{EncryptionHeader, EncryptionKey, KeyRefused, SnapshotCipher};
use super::{CHUNK_BYTES, ENCRYPTED_VERSION, MACHINE_FILE, RestoreError, SnapshotId, WriteError};
use crate::machine::{MAX_MEMORY_BYTES, Origin};
use crate::memory::PAGE_BYTES;
use crate::state::{Sections, StateError, StateReader, StateWriter};
use crate::time::Nanos;

pub use disk::{DiskHeader, SourceHeader};

const MAGIC: &[u8; 8] = b"STILLPT\0";
const MAX_HEADER_BYTES: usize = 1 << 20;
const MAX_FILE_BYTES: u64 = 256 << 20;
const DIGEST_BYTES: usize = 32;

/// Whether a snapshot is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SnapshotKind {
    /// All of memory.
    Full,
    /// The changes since the parent.
    Delta,
}

/// The header of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotHeader {
    /// Version of the format.
    pub format: u32,
    /// The build that wrote it.
    pub producer: String,
    /// Whether it is full.
    pub kind: SnapshotKind,
    /// Identity of the parent of a delta, in hexadecimal digits.
    pub parent: Option<String>,
    /// Guest time of the capture.
    pub at_nanos: Nanos,
    /// The `seq` of the first event after the capture.
    pub next_seq: u64,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Bytes of memory that are verified together.
    pub chunk_bytes: u64,
    /// Pages of memory that it holds.
    pub pages: u64,
    /// BLAKE3 of `memory.digests`, in hexadecimal digits.
    pub digests_digest: String,
    /// How it is encrypted, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<EncryptionHeader>,
    /// Its disks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskHeader>,
    /// The origin of the machine.
    pub origin: Origin,
}

/// The content of `machine.bin`.
pub(super) struct MachineFile {
    pub(super) header: SnapshotHeader,
    pub(super) content: Content,
    pub(super) id: SnapshotId,
}

/// The states of a `machine.bin`.
pub(super) enum Content {
    Plain(Sections),
    /// Decrypted, with what decrypts the chunks.
    Opened(Sections, Box<SnapshotCipher>),
    /// Encrypted, and not decrypted.
    Sealed,
}

impl MachineFile {
    /// What decrypts the snapshot's chunks, if they are to be decrypted.
    pub(super) fn cipher(&self) -> Option<&SnapshotCipher> {
        match &self.content {
            Content::Opened(_, cipher) => Some(cipher),
            Content::Plain(_) | Content::Sealed => None,
        }
    }
}

/// What a snapshot is read for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Access<'a> {
    /// To check its files, for which no key is needed.
    Files,
    /// To restore it, with this key.
    Restore(Option<&'a EncryptionKey>),
}

/// The bytes of a `machine.bin`; `cipher` encrypts the state as the header says.
pub(super) fn encode(
    header: &SnapshotHeader,
    state: &Sections,
    cipher: Option<&SnapshotCipher>,
) -> Result<Vec<u8>, WriteError> {
    // It consists of texts and numbers.
    let text = serde_json::to_vec_pretty(header).unwrap_or_default();
    let mut file = StateWriter::new();
    file.array(MAGIC).u32(header.format).u32(text.len() as u32).array(&text);
    let mut bytes = match cipher {
        None => {
            state.encode(&mut file);
            file.finish()
        }
        Some(cipher) => {
            let mut plain = StateWriter::new();
            state.encode(&mut plain);
            let plain = Zeroizing::new(plain.finish());
            let mut bytes = file.finish();
            let sealed = cipher.sealed(&bytes, &plain);
            bytes.extend(sealed.ok_or_else(|| WriteError::WriteFailed {
                file: MACHINE_FILE.to_owned(),
                reason: format!("{} bytes of state are too many to encrypt", plain.len()),
            })?);
            bytes
        }
    };
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    Ok(bytes)
}

fn file_error(file: &Path, error: &std::io::Error) -> RestoreError {
    let name = file.display().to_string();
    if error.kind() == std::io::ErrorKind::NotFound {
        return RestoreError::FileMissing { file: name };
    }
    RestoreError::FileUnreadable { file: name, reason: error.to_string() }
}

/// Reads a file of at most `most` bytes.
pub(super) fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, RestoreError> {
    let file = open_file(path)?;
    let found = file.metadata().map_err(|error| file_error(path, &error))?.len();
    let too_large = |found| RestoreError::FileSizeWrong {
        file: path.display().to_string(),
        expected: most,
        found,
    };
    if found > most {
        return Err(too_large(found));
    }
    let mut bytes = Vec::with_capacity(found as usize);
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| file_error(path, &error))?;
    if bytes.len() as u64 > most {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

/// Opens a regular file: does not follow a link, and does not block on anything else.
pub(super) fn open_file(path: &Path) -> Result<File, RestoreError> {
    let invalid = |found: &str| RestoreError::FileInvalid {
        file: path.display().to_string(),
        expected: "a regular file".to_owned(),
        found: found.to_owned(),
    };
    // Miri knows no O_NONBLOCK.
    let unwaited = if cfg!(miri) { 0 } else { libc::O_NONBLOCK };
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | unwaited)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => invalid("a link"),
        Some(libc::ENXIO) => invalid("a socket or a device"),
        _ => file_error(path, &error),
    })?;
    // The metadata of the opened file, not of the one at the path now.
    let metadata = file.metadata().map_err(|error| file_error(path, &error))?;
    if metadata.is_file() { Ok(file) } else { Err(invalid("something else")) }
}

/// Refuses anything but a directory.
pub(super) fn check_directory(directory: &Path) -> Result<(), RestoreError> {
    let found = match std::fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => "a file".to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "nothing".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(RestoreError::SnapshotMissing { path: directory.display().to_string(), found })
}

/// Reads and checks a snapshot's `machine.bin`; the key first.
pub(super) fn read_machine(
    directory: &Path,
    access: Access<'_>,
) -> Result<MachineFile, RestoreError> {
    check_directory(directory)?;
    let path = directory.join(MACHINE_FILE);
    let bytes = read_file(&path, MAX_FILE_BYTES)?;
    let file = path.display().to_string();
    let (header, rest) = decode_header(&file, &bytes)?;
    if let Access::Restore(key) = access {
        let snapshot = || format!("snapshot {}", directory.display());
        let needed = header.encryption.as_ref().map(|encryption| &*encryption.key_id);
        KeyRefused::check(snapshot, needed, key)?;
    }
    let found = blake3::hash(&bytes[..bytes.len() - DIGEST_BYTES]);
    let expected = &bytes[bytes.len() - DIGEST_BYTES..];
    if found.as_bytes() != expected {
        return Err(RestoreError::FileCorrupt {
            file,
            expected: blake3::Hash::from_slice(expected)
                .map_or_else(|_| String::new(), |hash| hash.to_hex().to_string()),
            found: found.to_hex().to_string(),
        });
    }
    check_header(&file, &header)?;
    let body = &rest[..rest.len() - DIGEST_BYTES];
    let content = match (&header.encryption, access) {
        (None, _) => Content::Plain(sections(header.format, body)?),
        (Some(encryption), Access::Restore(Some(key))) => {
            let cipher = SnapshotCipher::new(key, encryption);
            let before = &bytes[..bytes.len() - rest.len()];
            let forged = || RestoreError::FileForged { file, expected: key.id().to_owned() };
            let opened = cipher.opened(before, body).ok_or_else(forged)?;
            Content::Opened(sections(header.format, &opened)?, Box::new(cipher))
        }
        (Some(_), Access::Restore(None) | Access::Files) => Content::Sealed,
    };
    let id = SnapshotId(*blake3::hash(&bytes).as_bytes());
    Ok(MachineFile { header, content, id })
}

fn sections(version: u32, body: &[u8]) -> Result<Sections, StateError> {
    let mut body = StateReader::new("machine.bin", body);
    let sections = match version {
        1 => version_1::sections(&mut body)?,
        _ => Sections::decode(&mut body)?,
    };
    body.finish()?;
    Ok(sections)
}

/// Takes the header off a `machine.bin`; what follows it has at least a digest's length.
fn decode_header<'a>(
    file: &str,
    bytes: &'a [u8],
) -> Result<(SnapshotHeader, &'a [u8]), RestoreError> {
    let short = |expected: usize| RestoreError::FileSizeWrong {
        file: file.to_owned(),
        expected: expected as u64,
        found: bytes.len() as u64,
    };
    if !bytes.starts_with(MAGIC) {
        return Err(RestoreError::NotASnapshot { file: file.to_owned() });
    }
    let (Some(version), Some(len)) = (word(bytes, 8), word(bytes, 12)) else {
        return Err(short(16 + DIGEST_BYTES));
    };
    if version == 0 || version > ENCRYPTED_VERSION {
        return Err(RestoreError::VersionUnsupported {
            file: file.to_owned(),
            expected: ENCRYPTED_VERSION,
            found: version,
        });
    }
    let len = len as usize;
    if len > MAX_HEADER_BYTES || bytes.len() < 16 + len + DIGEST_BYTES {
        return Err(short(16 + len + DIGEST_BYTES));
    }
    let (text, rest) = bytes[16..].split_at(len);
    let read = match version {
        1 => version_1::header(text),
        _ => serde_json::from_slice(text),
    };
    let mut header: SnapshotHeader = read.map_err(|error| RestoreError::FileInvalid {
        file: file.to_owned(),
        expected: "a header of this version".to_owned(),
        found: error.to_string(),
    })?;
    header.format = version;
    Ok((header, rest))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
}

fn check_header(file: &str, header: &SnapshotHeader) -> Result<(), RestoreError> {
    let invalid = |expected: String, found: String| RestoreError::FileInvalid {
        file: file.to_owned(),
        expected,
        found,
    };
    let geometry = (header.page_bytes, header.chunk_bytes);
    if geometry != (PAGE_BYTES as u64, CHUNK_BYTES as u64) {
        return Err(invalid(
            format!("pages of {PAGE_BYTES} bytes in chunks of {CHUNK_BYTES}"),
            format!("{} and {}", geometry.0, geometry.1),
        ));
    }
    let memory = header.origin.machine.memory.size_bytes;
    if memory == 0 || memory > MAX_MEMORY_BYTES || !memory.is_multiple_of(PAGE_BYTES as u64) {
        return Err(invalid(
            format!("memory of whole pages up to {MAX_MEMORY_BYTES} bytes"),
            format!("{memory} bytes"),
        ));
    }
    if header.parent.is_some() != (header.kind == SnapshotKind::Delta) {
        return Err(invalid("a parent for a delta only".to_owned(), format!("{:?}", header.kind)));
    }
    let is_valid = match &header.encryption {
        None => header.format < ENCRYPTED_VERSION,
        Some(encryption) => header.format == ENCRYPTED_VERSION && encryption.is_valid(),
    };
    if !is_valid {
        return Err(invalid(
            format!("an encryption in version {ENCRYPTED_VERSION} only"),
            format!("version {} with {:?}", header.format, header.encryption),
        ));
    }
    let mut numbers = BTreeSet::new();
    for disk in &header.disks {
        disk.check(&mut numbers).map_err(|(expected, found)| invalid(expected, found))?;
    }
    Ok(())
}

/// Reads the header of the snapshot in `directory`, without its state or memory. Its digest is not
/// checked: suitable for display, not for trust.
///
/// # Errors
/// [`RestoreError`] if there is no header that this build can read.
pub fn read_header(directory: &Path) -> Result<SnapshotHeader, RestoreError> {
    check_directory(directory)?;
    let path = directory.join(MACHINE_FILE);
    let bytes = read_file(&path, MAX_FILE_BYTES)?;
    Ok(decode_header(&path.display().to_string(), &bytes)?.0)
}
