//! Files that disks are made from: opened, locked, told apart.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::foreign::foreign_format;
use super::holders::{Hold, holder_of};
use super::{DiskError, DiskFault};
use crate::event::DiskFailure;
use crate::file_key::FileKey;

/// The lock of a disk on its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// It is read, by others too, and cannot be written as a disk.
    Readers,
    /// It is written, by this one alone.
    OneWriter,
}

/// A disk's file, opened.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) key: FileKey,
    /// Once it is locked.
    hold: Option<Hold>,
}

impl Opened {
    /// The file's length now.
    pub(super) fn len(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }
}

impl Drop for Opened {
    /// Gives the lock back, which closing leaves to the last descriptor: between a fork and its exec a child
    /// of this process has them all, and would keep the file in use.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// Opens the file of the disk called `name`; creates a missing file with the given number of bytes, sparse.
pub(super) fn open(
    name: &str,
    path: &Path,
    sharing: Sharing,
    made: Option<u64>,
) -> Result<Opened, DiskError> {
    let unreadable = |reason: String| DiskError::DiskUnreadable {
        name: name.to_owned(),
        path: path.display().to_string(),
        reason,
    };
    let failed = |error: io::Error| unreadable(error.to_string());
    let mut options = OpenOptions::new();
    // Opening anything but a regular file must not block.
    options.read(true).write(sharing == Sharing::OneWriter).custom_flags(libc::O_NONBLOCK);
    let file = match (options.open(path), made) {
        (Err(error), Some(bytes)) if error.kind() == ErrorKind::NotFound => {
            make(path, bytes).map_err(failed)?;
            options.open(path).map_err(failed)?
        }
        (opened, _) => opened.map_err(failed)?,
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(unreadable("expected a regular file, found something else".to_owned()));
    }
    if let Some(format) = foreign_format(&file).map_err(failed)? {
        return Err(unreadable(format!(
            "expected the bytes of a disk as they are, found the format {format} of another engine: \
             convert it (qemu-img convert -f {format} -O raw)"
        )));
    }
    Ok(Opened {
        path: std::path::absolute(path).map_err(failed)?,
        bytes: metadata.len(),
        key: FileKey::of(&metadata),
        file,
        hold: None,
    })
}

/// Creates a file of the given size, completely or not at all: no other process finds it shorter.
fn make(path: &Path, bytes: u64) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(format!(".{}-{number}-making", std::process::id()));
    let made = (|| {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.set_len(bytes)?;
        file.sync_all()?;
        // A link, not a rename: if another process was faster, its file stays.
        match std::fs::hard_link(&fresh, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    })();
    let _ = std::fs::remove_file(&fresh);
    made?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Takes the kernel's lock on the file, which is released when the file is closed.
pub(super) fn lock(name: &str, opened: &mut Opened, sharing: Sharing) -> Result<(), DiskError> {
    try_lock(name, opened, sharing)?;
    opened.hold = Some(Hold::new(opened.key.file()));
    Ok(())
}

fn try_lock(name: &str, opened: &Opened, sharing: Sharing) -> Result<(), DiskError> {
    let path = || opened.path.display().to_string();
    loop {
        let (tried, expected) = match sharing {
            Sharing::Readers => (opened.file.try_lock_shared(), "a file that is not being written"),
            Sharing::OneWriter => (opened.file.try_lock(), "a file that is not in use as a disk"),
        };
        match tried {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {
                let found = holder_of(opened.key.file());
                let name = name.to_owned();
                return Err(DiskError::DiskInUse { name, path: path(), expected, found });
            }
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => {}
            // Some network file systems have no shared locks: the data is verified when read.
            Err(TryLockError::Error(_)) if sharing == Sharing::Readers => return Ok(()),
            Err(TryLockError::Error(error)) => {
                let reason = format!("it cannot be locked: {error}");
                return Err(DiskError::DiskUnreadable {
                    name: name.to_owned(),
                    path: path(),
                    reason,
                });
            }
        }
    }
}

/// A failed access to so many bytes of a file.
pub(super) fn fault(path: &Path, offset: u64, len: usize, error: &io::Error) -> DiskFault {
    let (reason, failure) = match error.kind() {
        ErrorKind::UnexpectedEof => {
            ("the file ends before: it has become shorter".to_owned(), DiskFailure::Shortened)
        }
        _ => (error.to_string(), DiskFailure::Refused),
    };
    DiskFault::DiskUnreadable {
        path: path.display().to_string(),
        offset,
        len: len as u64,
        reason,
        failure,
        errno: error.raw_os_error().and_then(|errno| u32::try_from(errno).ok()),
    }
}
