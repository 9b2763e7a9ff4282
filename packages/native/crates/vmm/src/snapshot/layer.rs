//! A file of pages of one snapshot, memory's or a disk's, read and verified a chunk at a time.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, UNIX_EPOCH};

use super::digests::Digests;
use super::header::{open_file, read_file};
use super::{CHUNK_BYTES, CHUNK_PAGES, RestoreError, SnapshotId};
use crate::memory::{MemoryError, PAGE_BYTES, Region, filled_page, limit_bytes};

/// More than the step of any file system's clock.
const SETTLED_AFTER: Duration = Duration::from_millis(100);

/// The file of a layer: the snapshot's identity, and the file's identity on the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LayerKey {
    id: SnapshotId,
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

/// A file of pages, as the snapshot that it belongs to describes it.
pub(super) struct PagesFile<'a> {
    pub(super) name: &'a str,
    pub(super) digests_name: &'a str,
    pub(super) digests_digest: &'a str,
    pub(super) bytes: u64,
}

impl PagesFile<'_> {
    pub(super) fn count(&self) -> usize {
        (self.bytes / PAGE_BYTES as u64) as usize
    }
}

/// Verified pages of one snapshot, shared by all machines of the process that use it.
pub(super) struct Layer {
    key: LayerKey,
    file: File,
    path: String,
    digests: Digests,
    bytes: u64,
    /// One bit per chunk, set when the chunk lies verified in `region`.
    verified: Vec<AtomicU64>,
    region: Region,
    filling: Mutex<()>,
}

static LAYERS: Mutex<Option<HashMap<LayerKey, Weak<Layer>>>> = Mutex::new(None);

impl Layer {
    /// The layer of a snapshot's pages in `directory`: an existing one that is in use, or a fresh one.
    pub(super) fn open(
        directory: &Path,
        id: SnapshotId,
        pages: &PagesFile<'_>,
    ) -> Result<Arc<Self>, RestoreError> {
        let path = directory.join(pages.name);
        let name = path.display().to_string();
        let file = open_file(&path)?;
        let metadata = file.metadata().map_err(|error| RestoreError::FileUnreadable {
            file: name.clone(),
            reason: error.to_string(),
        })?;
        let bytes = pages.bytes;
        if metadata.len() != bytes {
            return Err(RestoreError::FileSizeWrong {
                file: name,
                expected: bytes,
                found: metadata.len(),
            });
        }
        let key = LayerKey {
            id,
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        };
        // Checked every time: an existing layer does not show what is in the directory now.
        let digests = read_digests(directory, pages)?;
        let mut layers = LAYERS.lock().unwrap_or_else(PoisonError::into_inner);
        let layers = layers.get_or_insert_default();
        if let Some(layer) = layers.get(&key).and_then(Weak::upgrade) {
            return Ok(layer);
        }
        let digests_file = directory.join(pages.digests_name).display().to_string();
        let digests = Digests::decode(&digests_file, &digests, pages.count())?;
        let exhausted = MemoryError::Exhausted { limit_bytes: limit_bytes() };
        let len = usize::try_from(bytes).map_err(|_| exhausted.clone())?;
        let region = Region::new(len).ok_or(exhausted)?;
        let chunks = len.div_ceil(CHUNK_BYTES);
        let layer = Arc::new(Self {
            key: key.clone(),
            file,
            path: name,
            digests,
            bytes,
            verified: (0..chunks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            region,
            filling: Mutex::new(()),
        });
        layers.retain(|_, layer| layer.strong_count() > 0);
        layers.insert(key, Arc::downgrade(&layer));
        Ok(layer)
    }

    pub(super) fn key(&self) -> &LayerKey {
        &self.key
    }

    /// Whether the last modification is so old that a further change has another time, and so another key.
    pub(super) fn is_settled(&self) -> bool {
        let (seconds, nanos) = self.key.modified;
        let since = u64::try_from(seconds).ok().zip(u32::try_from(nanos).ok());
        since
            .and_then(|(seconds, nanos)| UNIX_EPOCH.checked_add(Duration::new(seconds, nanos)))
            .and_then(|modified| modified.elapsed().ok())
            .is_some_and(|elapsed| elapsed >= SETTLED_AFTER)
    }

    #[inline]
    pub(super) fn holds(&self, page: usize) -> bool {
        self.digests.holds(page) || self.digests.filling(page).is_some()
    }

    /// The verified bytes of a page that this layer has, in its file or as a filling.
    pub(super) fn page(&self, page: usize) -> Result<NonNull<u8>, MemoryError> {
        if let Some(byte) = self.digests.filling(page) {
            return filled_page(byte)
                .ok_or_else(|| MemoryError::Exhausted { limit_bytes: limit_bytes() });
        }
        let count = self.bytes as usize / PAGE_BYTES;
        assert!(page < count, "page {page} of {count}");
        let chunk = page / CHUNK_PAGES;
        if self.verified[chunk / 64].load(Ordering::Acquire) >> (chunk % 64) & 1 == 0 {
            self.fill(chunk)?;
        }
        // SAFETY: the page is one of the file, as was just checked, and `open` made the region as long.
        Ok(unsafe { self.region.start().add(page * PAGE_BYTES) })
    }

    /// Reads and verifies a chunk.
    fn fill(&self, chunk: usize) -> Result<(), MemoryError> {
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if self.verified[chunk / 64].load(Ordering::Acquire) >> (chunk % 64) & 1 == 1 {
            return Ok(());
        }
        let offset = chunk as u64 * CHUNK_BYTES as u64;
        let len = (self.bytes - offset).min(CHUNK_BYTES as u64);
        // SAFETY: `page`, the only caller, has checked that the chunk begins in the file, which `len` does
        // not exceed, and `open` made the region as long. No other code touches the range: `page` gives out
        // pointers into a chunk once its bit is set, and `filling` excludes other fillers.
        let bytes = unsafe {
            let start = self.region.start().as_ptr().add(chunk * CHUNK_BYTES);
            std::slice::from_raw_parts_mut(start, len as usize)
        };
        let file = || self.path.clone();
        self.file.read_exact_at(bytes, offset).map_err(|error| MemoryError::UnreadableChunk {
            file: file(),
            chunk: chunk as u64,
            offset,
            len,
            reason: error.to_string(),
        })?;
        let found = blake3::hash(bytes);
        let expected = self.digests.get(chunk);
        if expected != Some(found.as_bytes()) {
            return Err(MemoryError::CorruptChunk {
                file: file(),
                chunk: chunk as u64,
                offset,
                len,
                expected: expected.map_or_else(
                    || "none".to_owned(),
                    |digest| blake3::Hash::from_bytes(*digest).to_hex().to_string(),
                ),
                found: found.to_hex().to_string(),
            });
        }
        self.verified[chunk / 64].fetch_or(1 << (chunk % 64), Ordering::Release);
        Ok(())
    }

    /// Reads and verifies everything, holes included, from the file and not from memory.
    pub(super) fn verify(&self) -> Result<(), MemoryError> {
        let mut bytes = vec![0; CHUNK_BYTES];
        let zero = blake3::hash(&bytes);
        for chunk in 0..(self.bytes as usize).div_ceil(CHUNK_BYTES) {
            let offset = chunk as u64 * CHUNK_BYTES as u64;
            let len = (self.bytes - offset).min(CHUNK_BYTES as u64);
            let part = &mut bytes[..len as usize];
            self.file.read_exact_at(part, offset).map_err(|error| {
                MemoryError::UnreadableChunk {
                    file: self.path.clone(),
                    chunk: chunk as u64,
                    offset,
                    len,
                    reason: error.to_string(),
                }
            })?;
            let is_right = match self.digests.get(chunk) {
                Some(digest) => blake3::hash(part).as_bytes() == digest,
                None => part.iter().all(|byte| *byte == 0),
            };
            if !is_right {
                let expected =
                    self.digests.get(chunk).map_or(zero, |d| blake3::Hash::from_bytes(*d));
                return Err(MemoryError::CorruptChunk {
                    file: self.path.clone(),
                    chunk: chunk as u64,
                    offset,
                    len,
                    expected: expected.to_hex().to_string(),
                    found: blake3::hash(part).to_hex().to_string(),
                });
            }
        }
        Ok(())
    }
}

/// The bytes of a file of digests, which are those that `machine.bin` means.
fn read_digests(directory: &Path, pages: &PagesFile<'_>) -> Result<Vec<u8>, RestoreError> {
    let path = directory.join(pages.digests_name);
    let file = path.display().to_string();
    let bytes = read_file(&path, Digests::most_bytes(pages.count()))?;
    let found = blake3::hash(&bytes).to_hex().to_string();
    if found != pages.digests_digest {
        let expected = pages.digests_digest.to_owned();
        return Err(RestoreError::FileCorrupt { file, expected, found });
    }
    Ok(bytes)
}
