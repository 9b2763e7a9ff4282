//! Files that machines read before all of them is there: a snapshot that comes from elsewhere while
//! its clones already run.
//!
//! Who fetches such a file announces it. A layer of a snapshot that opens it then asks the file's
//! [`Source`] for bytes before it reads them, and waits until they have come. What has come is
//! verified as anything else that is read from a snapshot.
//!
//! A wait lasts as long as the source tries. The thread that waits may belong to a machine: whoever
//! lends it ([`attended`]) is told that it waits, and ends the wait when the machine is closed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Brings the bytes of one file.
pub trait Source: Send + Sync {
    /// Has these bytes in the file; waits for them, and asks `goes_on` now and then whether to go on.
    ///
    /// # Errors
    /// Why they cannot be had, in words; or that the wait was ended.
    fn require(&self, offset: u64, len: u64, goes_on: &dyn Fn() -> bool) -> Result<(), String>;
}

/// A file on the host, by device and inode.
type Key = (u64, u64);

static SOURCES: Mutex<Option<HashMap<Key, Arrival>>> = Mutex::new(None);
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// A file whose bytes are still coming.
#[derive(Clone)]
pub(crate) struct Arrival {
    source: Arc<dyn Source>,
    /// No two announcements of this process have the same number.
    pub(crate) number: u64,
}

impl Arrival {
    /// The arrival of an open file; `None` if all of it is there.
    pub(crate) fn of(metadata: &Metadata) -> Option<Self> {
        let sources = SOURCES.lock().unwrap_or_else(PoisonError::into_inner);
        sources.as_ref()?.get(&key(metadata)).cloned()
    }

    /// Waits until these bytes are in the file.
    pub(crate) fn require(&self, offset: u64, len: u64) -> io::Result<()> {
        let attendant = ATTENDANT.with_borrow(Clone::clone);
        let goes_on = || attendant.as_ref().is_none_or(|goes_on| goes_on());
        self.source.require(offset, len, &goes_on).map_err(io::Error::other)
    }
}

/// Holds an announcement; files that were opened meanwhile keep their source.
pub struct Announced {
    key: Key,
    number: u64,
}

impl Drop for Announced {
    fn drop(&mut self) {
        let mut sources = SOURCES.lock().unwrap_or_else(PoisonError::into_inner);
        let sources = sources.get_or_insert_default();
        // The file may have been announced again.
        if sources.get(&self.key).is_some_and(|arrival| arrival.number == self.number) {
            sources.remove(&self.key);
        }
    }
}

/// Announces that the bytes of a file come from `source`.
///
/// # Errors
/// If the file cannot be inspected.
pub fn announce(file: &File, source: Arc<dyn Source>) -> io::Result<Announced> {
    let key = key(&file.metadata()?);
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let mut sources = SOURCES.lock().unwrap_or_else(PoisonError::into_inner);
    sources.get_or_insert_default().insert(key, Arrival { source, number });
    Ok(Announced { key, number })
}

/// Announces the file at a path, which is not followed if it is a link.
///
/// # Errors
/// If it cannot be opened.
pub fn announce_path(path: &Path, source: Arc<dyn Source>) -> io::Result<Announced> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    announce(&File::options().read(true).custom_flags(flags).open(path)?, source)
}

fn key(metadata: &Metadata) -> Key {
    (metadata.dev(), metadata.ino())
}

type Attendant = Rc<dyn Fn() -> bool>;

thread_local! {
    static ATTENDANT: RefCell<Option<Attendant>> = const { RefCell::new(None) };
}

/// Restores the attendant that there was before, also after a panic.
struct Before(Option<Attendant>);

impl Drop for Before {
    fn drop(&mut self) {
        ATTENDANT.set(self.0.take());
    }
}

/// Does `work` on this thread; whenever it waits for bytes of a file, `goes_on` is called now and then
/// and says whether to go on waiting.
pub fn attended<R>(goes_on: impl Fn() -> bool + 'static, work: impl FnOnce() -> R) -> R {
    let _before = Before(ATTENDANT.replace(Some(Rc::new(goes_on))));
    work()
}
