//! What an image of the cache is.

use crate::error::ImageError;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FORMAT_VERSION: u32 = 1;

/// What an image of the cache is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Description {
    format_version: u32,
    /// BLAKE3 of its file, in hexadecimal digits.
    pub digest: String,
    /// Its length.
    pub size_bytes: u64,
    /// Files, directories, links, devices and pipes in it.
    pub inodes: u64,
    /// Digests of what its layers unpack to, the lowest first.
    pub layers: Vec<String>,
    /// Names of extended attributes that were left out, since no file system of Linux holds them.
    pub ignored_xattrs: Vec<String>,
}

impl Description {
    /// That of an image.
    pub fn new(
        digest: String,
        size_bytes: u64,
        inodes: u64,
        layers: Vec<String>,
        ignored_xattrs: Vec<String>,
    ) -> Self {
        Self { format_version: FORMAT_VERSION, digest, size_bytes, inodes, layers, ignored_xattrs }
    }

    /// What the file says; `None` if it says nothing of the kind.
    pub(super) fn read(file: &File) -> Option<Self> {
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
