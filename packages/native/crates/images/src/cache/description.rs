//! The description of an image in the cache.

use crate::block_digests::{beside, bytes_beside};
use crate::error::ImageError;
use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

const FORMAT_VERSION: u32 = 2;

/// The description of an image in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Description {
    format_version: u32,
    /// BLAKE3 of its file, in hexadecimal digits.
    pub digest: String,
    /// BLAKE3 of what lies beside its file: the digests of the file's blocks.
    blocks: String,
    /// Its length.
    pub size_bytes: u64,
    /// Files, directories, links, devices and pipes in it.
    pub inodes: u64,
    /// Digests of what its layers unpack to, the lowest first.
    pub layers: Vec<String>,
    /// Names of extended attributes that were left out, since no file system of Linux holds them.
    pub ignored_xattrs: Vec<String>,
    /// Its file as it was put there.
    #[serde(default)]
    seal: Option<Seal>,
}

/// Metadata that changes with every change to a file: if it is the same, the file was not written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Seal {
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Seal {
    fn of(file: &Metadata) -> Self {
        Self {
            inode: file.ino(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// Opens a file that should be regular, without blocking: a pipe in its place counts as empty.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path)
}

/// The digest of a file that is as long as it should be; of another, nothing is read.
fn digest_of(path: &Path, len: u64) -> io::Result<Option<String>> {
    let file = open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.len() != len {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(Some(hasher.finalize().to_string()))
}

impl Description {
    /// The description of an image.
    pub fn new(
        digest: String,
        blocks: String,
        size_bytes: u64,
        inodes: u64,
        layers: Vec<String>,
        ignored_xattrs: Vec<String>,
    ) -> Self {
        let format_version = FORMAT_VERSION;
        Self {
            format_version,
            digest,
            blocks,
            size_bytes,
            inodes,
            layers,
            ignored_xattrs,
            seal: None,
        }
    }

    /// Bytes that an image of that length takes in the cache, with the digests of its blocks.
    pub(super) fn stored_bytes_of(size_bytes: u64) -> u64 {
        size_bytes + bytes_beside(size_bytes)
    }

    /// Bytes that it takes in the cache.
    pub fn stored_bytes(&self) -> u64 {
        Self::stored_bytes_of(self.size_bytes)
    }

    /// The same for an image that is complete.
    pub(super) fn sealed(self, root: &Path) -> io::Result<Self> {
        Ok(Self { seal: Some(Seal::of(&root.metadata()?)), ..self })
    }

    /// Whether the file is this image. A file that was touched since it was added is read and digested.
    /// Damage that leaves the metadata unchanged is found by readers, who compare the digests of its blocks
    /// each time.
    pub(super) fn is_of(&self, root: &Path) -> io::Result<bool> {
        let found = root.metadata()?;
        let is_as_long = found.is_file() && found.len() == self.size_bytes;
        let blocks = digest_of(&beside(root), bytes_beside(self.size_bytes))?;
        if !is_as_long || blocks.as_ref() != Some(&self.blocks) {
            return Ok(false);
        }
        if self.seal.as_ref() == Some(&Seal::of(&found)) {
            return Ok(true);
        }
        Ok(digest_of(root, self.size_bytes)?.as_ref() == Some(&self.digest))
    }

    /// The content of the file; `None` if it is not a description.
    pub(super) fn read(file: &File) -> Option<Self> {
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(1 << 20).read_to_end(&mut bytes).ok()?;
        let found: Self = serde_json::from_slice(&bytes).ok()?;
        (found.format_version == FORMAT_VERSION).then_some(found)
    }

    /// Writes it to a file, flushed.
    pub(super) fn write(&self, path: &Path) -> Result<(), ImageError> {
        let written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(
                |mut file| {
                    file.write_all(&serde_json::to_vec(self)?)?;
                    file.sync_all()
                },
            );
        written.map_err(|error| ImageError::of_cache(path, &error))
    }
}
