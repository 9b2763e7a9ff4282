//! The file contents, until it is known which of them stay: one unnamed file that is only appended
//! to, and that ends with the process.

use crate::error::ImageError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file, as long as it grows.
pub struct Spool {
    path: PathBuf,
    writer: BufWriter<File>,
    length: u64,
}

/// The file, once it has all there is.
pub struct Spooled {
    path: PathBuf,
    file: File,
}

impl Spool {
    /// An empty one in a folder of the caller's own.
    ///
    /// # Errors
    /// The system's error.
    pub fn new(folder: &Path) -> Result<Self, ImageError> {
        let path = folder.join("contents");
        let open =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = open.map_err(|error| ImageError::of_cache(&path, &error))?;
        fs::remove_file(&path).map_err(|error| ImageError::of_cache(&path, &error))?;
        Ok(Self { path, writer: BufWriter::with_capacity(256 << 10, file), length: 0 })
    }

    /// The place of the next bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends.
    ///
    /// # Errors
    /// The system's error.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let written = self.writer.write_all(bytes);
        written.map_err(|error| ImageError::of_cache(&self.path, &error))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Nothing more comes.
    ///
    /// # Errors
    /// The system's error.
    pub fn finish(self) -> Result<Spooled, ImageError> {
        let Self { path, writer, .. } = self;
        match writer.into_inner() {
            Ok(file) => Ok(Spooled { path, file }),
            Err(error) => Err(ImageError::of_cache(&path, error.error())),
        }
    }
}

impl Spooled {
    /// Reads the bytes appended at a place.
    ///
    /// # Errors
    /// The system's error.
    pub fn read(&self, buffer: &mut [u8], at: u64) -> Result<(), ImageError> {
        let read: io::Result<()> = self.file.read_exact_at(buffer, at);
        read.map_err(|error| ImageError::of_cache(&self.path, &error))
    }
}
