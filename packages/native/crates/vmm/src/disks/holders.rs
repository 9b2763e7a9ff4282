//! The files that this process has open as disks, for the error that one of them is in use: the
//! kernel refuses a lock without naming its holder.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::file_key::FileId;

/// Number of uses of each.
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

/// The holder of a file that cannot be locked, with the remedy, for an error message.
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
