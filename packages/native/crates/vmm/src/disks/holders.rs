//! Which files this process has as disks, for the error that one of them is in use: the kernel, which
//! refuses a lock, does not say who has it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A file, by device and inode.
pub(super) type FileId = (u64, u64);

/// How often each is had.
static HELD: Mutex<Option<HashMap<FileId, usize>>> = Mutex::new(None);

/// That this process has a file as a disk, for as long as it lives.
pub(super) struct Hold(FileId);

impl Hold {
    pub(super) fn new(file: FileId) -> Self {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        *held.get_or_insert_default().entry(file).or_default() += 1;
        Self(file)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.get_or_insert_default();
        if let Some(count) = held.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.0);
            }
        }
    }
}

/// Who has a file that cannot be locked, as an error says it, and what to do about it.
pub(super) fn holder_of(file: FileId) -> String {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let is_here = held.as_ref().is_some_and(|held| held.contains_key(&file));
    let holder = if is_here {
        "another machine of this process, or a clone of one: close that first"
    } else {
        "another process: end that first"
    };
    format!("{holder}, or take a copy of the file")
}
