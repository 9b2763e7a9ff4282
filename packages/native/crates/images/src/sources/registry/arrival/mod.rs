//! An artifact that arrives while it is read: what is needed first, and the rest in the background.
//!
//! ```text
//! demands   blocks that somebody waits for ──┐
//!                                            ├──▶ fetchers ──▶ verified, written, and only then here
//! ahead     blocks that will be needed ──────┘
//! ```
//!
//! Each fetcher is a thread with a connection of its own; who waits only waits. A block is fetched once,
//! however many wait for it. If that fails, after all attempts of the client, those that wait are told
//! why; who asks again has it tried again. What is here is known to this process alone: another
//! process, or a later one, verifies what it finds in the files.

mod landing;
mod state;

pub use landing::ArrivingFile;

use super::{Artifact, Registries};
use crate::error::ImageError;
use crate::watch::Watch;
use landing::{Landing, blocks_of};
use state::{Block, Run, State};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// What is fetched and verified together.
pub(super) const BLOCK_BYTES: u64 = 16 << 10;

/// Connections at once: most of a short request is waiting.
const FETCHERS: usize = 4;

/// How often the owner of a thread that waits is asked whether to go on.
const PATIENCE: Duration = Duration::from_millis(20);

/// How far an arrival is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrivalState {
    /// Bytes that are here, zeros included.
    pub here_bytes: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Bytes that came from the registry.
    pub fetched_bytes: u64,
}

struct Shared {
    landings: Vec<Landing>,
    state: Mutex<State>,
    /// Something came, or failed.
    changed: Condvar,
    /// There is something to fetch.
    asked: Condvar,
    watches: Vec<Arc<Watch>>,
}

/// Files of an artifact that arrive until this is closed or dropped.
pub struct Arrival {
    shared: Arc<Shared>,
    fetchers: Mutex<Vec<JoinHandle<()>>>,
}

/// One of the files, for those that read it.
#[derive(Clone)]
pub struct Arriving {
    shared: Arc<Shared>,
    file: usize,
}

impl Arriving {
    /// Waits until these bytes are in the file; `goes_on` is asked at the beginning of a wait, and now and then.
    ///
    /// # Errors
    /// Why they cannot be had; [`ImageError::Cancelled`] if the arrival was closed or the wait was ended.
    pub fn require(
        &self,
        offset: u64,
        len: u64,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<(), ImageError> {
        self.shared.require(self.file, &blocks_of(&(offset..offset.saturating_add(len))), goes_on)
    }
}

impl Arrival {
    /// Begins the arrival of files of an artifact. What is in the files already, from an earlier one, is verified first.
    ///
    /// # Errors
    /// For references that are not of a registry, options that cannot be, and files that cannot be written.
    pub fn open(
        registries: &Registries,
        reference: &str,
        files: Vec<ArrivingFile>,
    ) -> Result<Self, ImageError> {
        Artifact::new(registries, reference, &Watch::unwatched())?;
        let mut landings = Vec::with_capacity(files.len());
        let mut blocks = Vec::with_capacity(files.len());
        for file in files {
            let (landing, here) = Landing::open(file)?;
            landings.push(landing);
            let of = |here: bool| if here { Block::Here } else { Block::Absent };
            blocks.push(here.into_iter().map(of).collect::<Vec<_>>());
        }
        let shared = Arc::new(Shared {
            landings,
            state: Mutex::new(State::new(blocks)),
            changed: Condvar::new(),
            asked: Condvar::new(),
            watches: (0..FETCHERS).map(|_| Arc::new(Watch::unwatched())).collect(),
        });
        let arrival = Self { shared, fetchers: Mutex::new(Vec::new()) };
        for watch in &arrival.shared.watches {
            let (shared, watch) = (Arc::clone(&arrival.shared), Arc::clone(watch));
            let (registries, reference) = (registries.clone(), reference.to_owned());
            let fetcher = Builder::new()
                .name("stillpoint arrival".to_owned())
                .spawn(move || shared.fetch(&registries, &reference, &watch));
            let fetcher = fetcher.map_err(|error| ImageError::CacheUnusable {
                path: "a thread that fetches".to_owned(),
                reason: error.to_string(),
            })?;
            arrival.fetchers.lock().unwrap_or_else(PoisonError::into_inner).push(fetcher);
        }
        Ok(arrival)
    }

    /// One of its files.
    pub fn file(&self, file: usize) -> Arriving {
        Arriving { shared: Arc::clone(&self.shared), file }
    }

    /// Fetches these bytes in the background, in this order, after those that were named before.
    pub fn ahead(&self, parts: impl IntoIterator<Item = (usize, Range<u64>)>) {
        let mut state = self.shared.lock();
        for (file, bytes) in parts {
            let count = state.blocks.get(file).map_or(0, Vec::len);
            let blocks = blocks_of(&bytes);
            let blocks = blocks.start.min(count)..blocks.end.min(count);
            if !blocks.is_empty() {
                state.ahead.push_back(Run { file, blocks });
            }
        }
        state.ahead_failed = None;
        drop(state);
        self.shared.asked.notify_all();
    }

    /// Fetches everything else in the background.
    pub fn rest(&self) {
        let all = self.shared.landings.iter().enumerate();
        let all: Vec<_> = all.map(|(file, landing)| (file, 0..landing.size())).collect();
        self.ahead(all);
    }

    /// Waits until everything that was named for the background is here.
    ///
    /// # Errors
    /// The first failure, which ends the fetching in the background; [`ImageError::Cancelled`] if it was closed.
    pub fn settle(&self) -> Result<(), ImageError> {
        let mut state = self.shared.lock();
        loop {
            if let Some(error) = state.ahead_failed.clone() {
                return Err(error);
            }
            if state.left == 0 || (state.ahead.is_empty() && state.ahead_coming == 0) {
                return Ok(());
            }
            if state.is_closed {
                return Err(ImageError::Cancelled);
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How far it is.
    pub fn state(&self) -> ArrivalState {
        let state = self.shared.lock();
        let total_bytes = self.shared.landings.iter().map(Landing::size).sum();
        let left = state.left as u64 * BLOCK_BYTES;
        let here_bytes = u64::saturating_sub(total_bytes, left);
        ArrivalState { here_bytes, total_bytes, fetched_bytes: state.fetched_bytes }
    }

    /// Ends it: those that wait are told, and nothing is written any more when this returns.
    pub fn close(&self) {
        self.shared.lock().is_closed = true;
        self.shared.asked.notify_all();
        self.shared.changed.notify_all();
        for watch in &self.shared.watches {
            watch.cancel();
        }
        let fetchers =
            std::mem::take(&mut *self.fetchers.lock().unwrap_or_else(PoisonError::into_inner));
        for fetcher in fetchers {
            // One that panicked has told those that wait for it nothing; they end with the closing.
            let _ = fetcher.join();
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn require(
        &self,
        file: usize,
        blocks: &Range<usize>,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<(), ImageError> {
        let mut state = self.lock();
        let before = state.failed;
        // Whether the owner of this thread was asked whether to go on.
        let mut is_asked = false;
        loop {
            let count = state.blocks.get(file).map_or(0, Vec::len);
            let blocks = blocks.start.min(count)..blocks.end.min(count);
            if state.blocks[file][blocks.clone()].iter().all(|block| *block == Block::Here) {
                return Ok(());
            }
            if let Some(error) = state.failure_of(file, &blocks, before) {
                return Err(error);
            }
            if state.is_closed {
                return Err(ImageError::Cancelled);
            }
            if is_asked {
                if state.demand(file, &blocks) {
                    self.asked.notify_all();
                }
                let waited = self.changed.wait_timeout(state, PATIENCE);
                let (guard, patience) = waited.unwrap_or_else(PoisonError::into_inner);
                (state, is_asked) = (guard, !patience.timed_out());
                continue;
            }
            // Not under the lock: the owner of this thread has locks of its own.
            drop(state);
            if !goes_on() {
                return Err(ImageError::Cancelled);
            }
            (state, is_asked) = (self.lock(), true);
        }
    }

    /// The life of a fetcher.
    fn fetch(&self, registries: &Registries, reference: &str, watch: &Watch) {
        let source = Artifact::new(registries, reference, watch);
        loop {
            let mut state = self.lock();
            let (run, is_ahead) = loop {
                if state.is_closed || state.left == 0 {
                    return;
                }
                if let Some(found) = state.next() {
                    break found;
                }
                // What was ahead may have turned out to be here.
                self.changed.notify_all();
                state = self.asked.wait(state).unwrap_or_else(PoisonError::into_inner);
            };
            drop(state);
            let fetched = match (&source, self.landings.get(run.file)) {
                (Ok(Artifact(source)), Some(landing)) => {
                    let fetch = AssertUnwindSafe(|| landing.fetch(source, &run.blocks));
                    catch_unwind(fetch).unwrap_or_else(|_| {
                        Err(ImageError::Panicked { message: "a fetcher panicked".to_owned() })
                    })
                }
                (Err(error), _) => Err(error.clone()),
                (_, None) => Err(ImageError::Cancelled),
            };
            let mut state = self.lock();
            state.ahead_coming -= usize::from(is_ahead);
            match fetched {
                Ok(landed) => {
                    state.fetched_bytes += landed.bytes;
                    for blocks in landed.blocks {
                        state.land(&Run { file: run.file, blocks });
                    }
                }
                Err(error) => state.fail(run, error, is_ahead),
            }
            let is_over = state.left == 0;
            drop(state);
            self.changed.notify_all();
            if is_over {
                self.asked.notify_all();
            }
        }
    }
}
