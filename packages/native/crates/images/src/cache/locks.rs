//! Locks on files, which the kernel releases when the process that has them ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Whether others may have the lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Others who share it.
    Shared,
    /// No others.
    Exclusive,
}

/// A file whose lock is held while this lives.
///
/// The lock is given back, not left to the last descriptor: between a fork and its exec a child has them all,
/// and this process starts children.
#[derive(Debug)]
pub(super) struct Locked(File);

impl Locked {
    /// Locks a file if its lock is to be had now; if not, the file as it was.
    pub(super) fn try_new(file: File, mode: Mode) -> io::Result<Result<Self, File>> {
        loop {
            let tried = match mode {
                Mode::Shared => file.try_lock_shared(),
                Mode::Exclusive => file.try_lock(),
            };
            match tried {
                Ok(()) => return Ok(Ok(Self(file))),
                Err(TryLockError::WouldBlock) => return Ok(Err(file)),
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // A lock that cannot be released ends a moment later, when the file is closed.
        let _ = self.0.unlock();
    }
}

/// Whether the open file is the one that has that name now.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((own.dev(), own.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The lock of that name, created if missing, if it is free now.
pub(super) fn lock_path(path: &Path) -> io::Result<Option<Locked>> {
    loop {
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let Ok(file) = Locked::try_new(file, Mode::Exclusive)? else { return Ok(None) };
        // The earlier holder may have removed it meanwhile, and the next one created another.
        if is_at(&file, path)? {
            return Ok(Some(file));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child that is being started has what its parent had open: a second descriptor of the same opening.
    #[test]
    fn what_is_let_go_is_free_while_a_child_that_starts_still_has_it_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        for mode in [Mode::Shared, Mode::Exclusive] {
            let file = File::create(&path).expect("made");
            let of_the_child = file.try_clone().expect("a second descriptor");
            let locked = Locked::try_new(file, mode).expect("locked").expect("nobody has it");
            assert!(lock_path(&path).expect("looked at").is_none(), "{mode:?}");
            drop(locked);
            assert!(lock_path(&path).expect("looked at").is_some(), "{mode:?}");
            drop(of_the_child);
        }
    }
}
