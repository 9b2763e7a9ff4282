//! The caller's view of an operation: its progress, and the means to interrupt it.

use crate::error::ImageError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The progress of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The image's documents are read.
    Resolving,
    /// Another process, or another call of this one, builds the same image.
    Waiting,
    /// A layer is fetched and unpacked.
    Layer {
        /// Its number; the lowest is 0.
        index: usize,
        /// The number of layers.
        count: usize,
        /// Bytes of it, compressed, that have been read.
        done_bytes: u64,
        /// Its length, compressed.
        total_bytes: u64,
    },
    /// The file is written.
    Writing {
        /// Bytes written.
        done_bytes: u64,
        /// The file's length.
        total_bytes: u64,
    },
}

type OnCancel = Box<dyn FnOnce() + Send>;

struct Told {
    last: Option<Instant>,
    on_cancel: Option<OnCancel>,
}

/// Minimum time between reports of progress; the first of a step always comes.
const INTERVAL: Duration = Duration::from_millis(100);

/// The caller's hand on one operation.
pub struct Watch {
    cancelled: AtomicBool,
    told: Mutex<Told>,
    changed: Condvar,
    on_progress: Box<dyn Fn(Progress) + Send + Sync>,
}

impl Watch {
    /// One whose operation tells `on_progress`.
    pub fn new(on_progress: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self {
            cancelled: AtomicBool::new(false),
            told: Mutex::new(Told { last: None, on_cancel: None }),
            changed: Condvar::new(),
            on_progress: Box::new(on_progress),
        }
    }

    /// A watch without an observer.
    pub fn unwatched() -> Self {
        Self::new(|_| ())
    }

    /// Gives the operation up: it ends with [`ImageError::Cancelled`] soon.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        let on_cancel = self.told.lock().unwrap_or_else(PoisonError::into_inner).on_cancel.take();
        self.changed.notify_all();
        if let Some(on_cancel) = on_cancel {
            on_cancel();
        }
    }

    /// Has `on_cancel` called, once, when the operation is given up.
    pub(crate) fn on_cancel(&self, on_cancel: impl FnOnce() + Send + 'static) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).on_cancel =
            Some(Box::new(on_cancel));
        if self.cancelled.load(Ordering::SeqCst) {
            self.cancel();
        }
    }

    /// Fails if the operation was interrupted.
    ///
    /// # Errors
    /// [`ImageError::Cancelled`] if so.
    pub(crate) fn check(&self) -> Result<(), ImageError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(ImageError::Cancelled) } else { Ok(()) }
    }

    /// Waits for so long, or until it is given up.
    ///
    /// # Errors
    /// [`ImageError::Cancelled`].
    pub(crate) fn pause(&self, duration: Duration) -> Result<(), ImageError> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted = |_: &mut Told| !self.cancelled.load(Ordering::SeqCst);
        drop(self.changed.wait_timeout_while(told, duration, is_wanted));
        self.check()
    }

    /// Reports progress, unless there was a report a moment ago.
    pub(crate) fn tell(&self, progress: Progress) {
        let is_first = match &progress {
            Progress::Layer { done_bytes, .. } | Progress::Writing { done_bytes, .. } => {
                *done_bytes == 0
            }
            Progress::Resolving | Progress::Waiting => true,
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if is_first || told.last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            told.last = Some(Instant::now());
            drop(told);
            (self.on_progress)(progress);
        }
    }
}
