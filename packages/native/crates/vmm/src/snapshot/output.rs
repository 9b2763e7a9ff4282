//! The files of a capture in progress.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::{Builder, JoinHandle};

use super::WriteError;

/// Guest memory is full of secrets: its files are their owner's alone.
const PRIVATE: u32 = 0o600;

/// Maximum number of files that are flushed at a time. A disk takes several together in the time of
/// one, and meanwhile further chunks are hashed.
const MOST_FLUSHES: usize = 4;

/// A file of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedFile {
    /// Its name in the directory.
    pub name: Cow<'static, str>,
    /// Its length.
    pub size_bytes: u64,
    /// Bytes that it takes on the disk, those included that it shares with other snapshots.
    pub stored_bytes: u64,
    /// For an object: the file that holds the digests of its chunks, which are checked when first
    /// touched; the first one, if several do.
    pub chunk_table: Option<Cow<'static, str>>,
    /// For the table of memory: the guest-physical address of its first chunk.
    pub guest_address: Option<u64>,
}

/// A complete file, and the thread that flushes it.
struct Flushing {
    file: CapturedFile,
    flush: JoinHandle<std::io::Result<File>>,
}

/// The files of a capture in progress: removed again unless it succeeds.
pub(super) struct Output<'a> {
    directory: &'a Path,
    created: Vec<PathBuf>,
    flushing: VecDeque<Flushing>,
    files: Vec<CapturedFile>,
    failure: Option<WriteError>,
}

impl<'a> Output<'a> {
    pub(super) fn new(directory: &'a Path) -> Self {
        let (created, files) = (Vec::new(), Vec::new());
        Self { directory, created, flushing: VecDeque::new(), files, failure: None }
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory
    }

    pub(super) fn failed(&self, name: &str, error: &Error, expected: u64) -> WriteError {
        let file = self.directory.join(name).display().to_string();
        let reason = error.to_string();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                WriteError::DiskFull { file, expected, reason }
            }
            ErrorKind::AlreadyExists => WriteError::FileExists { file },
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                WriteError::DirectoryUnusable { path: self.directory.display().to_string(), reason }
            }
            _ => WriteError::WriteFailed { file, reason },
        }
    }

    pub(super) fn create(&mut self, name: &str) -> Result<File, WriteError> {
        let path = self.directory.join(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(PRIVATE)
            .open(&path)
            .map_err(|error| self.failed(name, &error, 0))?;
        self.created.push(path);
        // Regardless of the umask; a file system without modes has none to set.
        match file.set_permissions(Permissions::from_mode(PRIVATE)) {
            Err(error) if error.kind() != ErrorKind::PermissionDenied && !is_lacking(&error) => {
                Err(self.failed(name, &error, 0))
            }
            _ => Ok(file),
        }
    }

    /// Gives a file that was created here its name.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), WriteError> {
        let (from, path) = (self.directory.join(from), self.directory.join(to));
        // A rename would replace it, and a failure remove it.
        if std::fs::symlink_metadata(&path).is_ok() {
            return Err(self.failed(to, &ErrorKind::AlreadyExists.into(), 0));
        }
        std::fs::rename(&from, &path).map_err(|error| self.failed(to, &error, 0))?;
        self.created.retain(|created| *created != from);
        self.created.push(path);
        Ok(())
    }

    /// Adds a file that was linked into the directory, and is durable.
    pub(super) fn linked(
        &mut self,
        name: Cow<'static, str>,
        chunk_table: &str,
    ) -> Result<(), WriteError> {
        let path = self.directory.join(&*name);
        let found = std::fs::symlink_metadata(&path);
        self.created.push(path);
        let found = found.map_err(|error| self.failed(&name, &error, 0))?;
        self.files.push(CapturedFile {
            name,
            size_bytes: found.len(),
            stored_bytes: found.blocks() * 512,
            chunk_table: Some(Cow::Owned(chunk_table.to_owned())),
            guest_address: None,
        });
        Ok(())
    }

    /// Begins to flush a complete file.
    pub(super) fn finish(
        &mut self,
        name: Cow<'static, str>,
        file: File,
        chunk_table: Option<Cow<'static, str>>,
        guest_address: Option<u64>,
    ) {
        if self.flushing.len() >= MOST_FLUSHES {
            self.settle_one();
        }
        let captured =
            CapturedFile { name, size_bytes: 0, stored_bytes: 0, chunk_table, guest_address };
        let copy = file.try_clone();
        let spawned = copy.and_then(|copy| {
            let named = Builder::new().name("stillpoint-flush".to_owned());
            named.spawn(move || copy.sync_all().map(|()| copy))
        });
        match spawned {
            Ok(flush) => self.flushing.push_back(Flushing { file: captured, flush }),
            // No thread is to be had, or no descriptor.
            Err(_) => self.settled(captured, file.sync_all().map(|()| file)),
        }
    }

    fn settle_one(&mut self) {
        let Some(Flushing { file, flush }) = self.flushing.pop_front() else { return };
        let flushed =
            flush.join().unwrap_or_else(|_| Err(Error::other("the thread that flushes panicked")));
        self.settled(file, flushed);
    }

    fn settled(&mut self, mut captured: CapturedFile, flushed: std::io::Result<File>) {
        match flushed.and_then(|file| file.metadata()) {
            Ok(metadata) => {
                captured.size_bytes = metadata.len();
                captured.stored_bytes = metadata.blocks() * 512;
                self.files.push(captured);
            }
            Err(error) => {
                let failure = self.failed(&captured.name, &error, 0);
                self.failure.get_or_insert(failure);
            }
        }
    }

    pub(super) fn write_whole(
        &mut self,
        name: Cow<'static, str>,
        bytes: &[u8],
        guest_address: Option<u64>,
    ) -> Result<(), WriteError> {
        let file = self.create(&name)?;
        let len = bytes.len() as u64;
        file.write_all_at(bytes, 0).map_err(|error| self.failed(&name, &error, len))?;
        self.finish(name, file, None, guest_address);
        Ok(())
    }

    /// Waits until all files are durable, and makes their names so.
    pub(super) fn flush(&mut self) -> Result<(), WriteError> {
        while !self.flushing.is_empty() {
            self.settle_one();
        }
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let flush = || File::open(self.directory)?.sync_all();
        match flush() {
            Err(error) if !is_lacking(&error) => Err(WriteError::DirectoryUnusable {
                path: self.directory.display().to_string(),
                reason: error.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// The files, in the order in which they were complete.
    pub(super) fn into_files(self) -> Vec<CapturedFile> {
        self.files
    }

    /// Removes all files.
    pub(super) fn discard(mut self) {
        while !self.flushing.is_empty() {
            self.settle_one();
        }
        for path in &self.created {
            // The first error is the one to report.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Whether the file system lacks the operation; some network file systems do not flush directories.
fn is_lacking(error: &Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTSUP | libc::ENOSYS))
}
