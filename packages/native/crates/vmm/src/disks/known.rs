//! The blocks of files that any disk of this process has read.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::blocks::{Blocks, Hash};
use crate::file_key::FileKey;

/// Maximum number of files whose blocks are remembered while no disk uses them, so that a file that
/// was read to its end is not digested again.
const MOST_REMEMBERED: usize = 16;

#[derive(Default)]
struct Known {
    in_use: HashMap<FileKey, Weak<Blocks>>,
    latest: VecDeque<(FileKey, Arc<Blocks>)>,
    /// Of snapshots: by length and digest of the file.
    by_digest: HashMap<(u64, Hash), Weak<Blocks>>,
}

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

/// The blocks of a file, as others have seen them, or as `made`.
pub(super) fn blocks_of<E>(
    key: &FileKey,
    made: impl FnOnce() -> Result<Arc<Blocks>, E>,
) -> Result<Arc<Blocks>, E> {
    if !key.is_settled() {
        return made();
    }
    let known = || {
        let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().and_then(|known| known.in_use.get(key).and_then(Weak::upgrade))
    };
    if let Some(blocks) = known() {
        return Ok(blocks);
    }
    let made = made()?;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    // Another thread may have been faster.
    if let Some(blocks) = known.in_use.get(key).and_then(Weak::upgrade) {
        return Ok(blocks);
    }
    known.in_use.retain(|_, blocks| blocks.strong_count() > 0);
    known.in_use.insert(key.clone(), Arc::downgrade(&made));
    if known.latest.len() >= MOST_REMEMBERED {
        known.latest.pop_front();
    }
    known.latest.push_back((key.clone(), Arc::clone(&made)));
    Ok(made)
}

/// The blocks of a file with that length and digest: those that are in use already, or those of the
/// table that `read` gives. `None`: the table is another's.
pub(crate) fn blocks_with_digest<E>(
    bytes: u64,
    digest: Hash,
    read: impl FnOnce() -> Result<Vec<u8>, E>,
) -> Result<Option<Arc<Blocks>>, E> {
    let key = (bytes, digest);
    let known = || {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert_default().by_digest.get(&key).and_then(Weak::upgrade)
    };
    if let Some(blocks) = known() {
        return Ok(Some(blocks));
    }
    let Some(blocks) = Blocks::decode(bytes, &read()?, digest).map(Arc::new) else {
        return Ok(None);
    };
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let by_digest = &mut known.get_or_insert_default().by_digest;
    by_digest.retain(|_, blocks| blocks.strong_count() > 0);
    by_digest.insert(key, Arc::downgrade(&blocks));
    Ok(Some(blocks))
}
