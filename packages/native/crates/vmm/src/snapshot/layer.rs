//! Stored pages of one snapshot, memory's or a disk's, read and verified a chunk at a time.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::digests::Digests;
use super::encryption::ChunkCipher;
use super::header::{open_file, read_file};
use super::objects::{DIGEST_BYTES, Object, ObjectId};
use super::{CHUNK_BYTES, CHUNK_PAGES, RestoreError, SnapshotId};
use crate::arriving::Arrival;
use crate::file_key::FileKey;
use crate::memory::{MemoryError, PAGE_BYTES, Region, filled_page, limit_bytes};

/// Chunks that are read together where everything is verified.
const VERIFIED_CHUNKS: usize = 64;

/// The source of a layer: the snapshot's identity, the table, and the files on the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LayerKey {
    id: SnapshotId,
    table: String,
    files: Vec<FileKey>,
    /// Whether its chunks are decrypted. The identity covers the key.
    is_decrypted: bool,
}

/// A file that chunks are read from.
struct ChunkFile {
    file: File,
    path: String,
    arrival: Option<Arrival>,
}

impl ChunkFile {
    /// Waits for bytes that are still to come.
    fn require(&self, offset: u64, len: usize) -> io::Result<()> {
        self.arrival.as_ref().map_or(Ok(()), |arrival| arrival.require(offset, len as u64))
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.require(offset, bytes.len())?;
        self.file.read_exact_at(bytes, offset)
    }
}

/// Stored pages, as the snapshot that they belong to describes them.
pub(super) struct PagesFile<'a> {
    /// The file of the pages in versions without objects.
    pub(super) name: &'a str,
    pub(super) digests_name: &'a str,
    pub(super) digests_digest: &'a str,
    pub(super) bytes: u64,
    /// What decrypts its chunks; without it, they are only checked.
    pub(super) cipher: Option<ChunkCipher>,
}

impl PagesFile<'_> {
    pub(super) fn count(&self) -> usize {
        (self.bytes / PAGE_BYTES as u64) as usize
    }
}

/// Verified pages of one snapshot, shared by all machines of the process that use it.
pub(super) struct Layer {
    key: LayerKey,
    files: Vec<ChunkFile>,
    /// The objects that the files are; `None` for a version without objects, where one file has every
    /// chunk at the chunk's offset.
    objects: Option<Vec<Object>>,
    digests: Digests,
    cipher: Option<ChunkCipher>,
    bytes: u64,
    /// One bit per chunk, set when the chunk lies verified in `region`.
    verified: Vec<AtomicU64>,
    region: Region,
    filling: Mutex<()>,
    /// The file of digests that it was made of; `None` if that could change and keep its key.
    digests_file: Option<FileKey>,
}

static LAYERS: Mutex<Option<HashMap<LayerKey, Weak<Layer>>>> = Mutex::new(None);

/// Opens a file of exactly so many bytes.
fn open_sized(path: &Path, bytes: u64) -> Result<(ChunkFile, FileKey), RestoreError> {
    let name = path.display().to_string();
    let file = open_file(path)?;
    let metadata = file.metadata().map_err(|error| RestoreError::FileUnreadable {
        file: name.clone(),
        reason: error.to_string(),
    })?;
    if metadata.len() != bytes {
        return Err(RestoreError::FileSizeWrong {
            file: name,
            expected: bytes,
            found: metadata.len(),
        });
    }
    let arrival = Arrival::of(&metadata);
    let key = FileKey::of_linked(&metadata, arrival.as_ref().map(|arrival| arrival.number));
    Ok((ChunkFile { file, path: name, arrival }, key))
}

/// The key of a file whose further change would give it another.
fn settled_key(path: &Path) -> Option<FileKey> {
    let key = FileKey::of(&std::fs::symlink_metadata(path).ok()?);
    key.is_settled().then_some(key)
}

impl Layer {
    /// The layer of a snapshot's pages in `directory`: an existing one that is in use, or a fresh one.
    pub(super) fn open(
        directory: &Path,
        id: SnapshotId,
        pages: &PagesFile<'_>,
    ) -> Result<Arc<Self>, RestoreError> {
        if let Some(known) = Self::known(directory, id, pages) {
            return Ok(known);
        }
        // Checked every time: an existing layer does not show what is in the directory now.
        let digests_path = directory.join(pages.digests_name);
        let digests_file = settled_key(&digests_path);
        let digests = read_digests(directory, pages)?;
        let digests_name = digests_path.display().to_string();
        let objects = Digests::objects(&digests_name, &digests, pages.count())?;
        let opened: Result<Vec<_>, _> = match &objects {
            None => {
                vec![open_sized(&directory.join(pages.name), pages.bytes)].into_iter().collect()
            }
            Some(objects) => objects
                .iter()
                .map(|object| open_sized(&directory.join(object.id.to_string()), object.bytes()))
                .collect(),
        };
        let (files, keys) = opened?.into_iter().unzip();
        let table = pages.digests_digest.to_owned();
        let key = LayerKey { id, table, files: keys, is_decrypted: pages.cipher.is_some() };
        let mut layers = LAYERS.lock().unwrap_or_else(PoisonError::into_inner);
        let layers = layers.get_or_insert_default();
        if let Some(layer) = layers.get(&key).and_then(Weak::upgrade) {
            return Ok(layer);
        }
        let digests = Digests::decode(&digests_name, &digests, pages.count())?;
        let exhausted = MemoryError::Exhausted { limit_bytes: limit_bytes() };
        let len = usize::try_from(pages.bytes).map_err(|_| exhausted.clone())?;
        let region = Region::new(len.next_multiple_of(CHUNK_BYTES)).ok_or(exhausted)?;
        let chunks = len.div_ceil(CHUNK_BYTES);
        let layer = Arc::new(Self {
            key: key.clone(),
            files,
            objects,
            digests,
            cipher: pages.cipher.clone(),
            bytes: pages.bytes,
            verified: (0..chunks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            region,
            filling: Mutex::new(()),
            digests_file,
        });
        layers.retain(|_, layer| layer.strong_count() > 0);
        layers.insert(key, Arc::downgrade(&layer));
        Ok(layer)
    }

    /// An existing layer whose files stand in `directory` as they did: none of them is opened.
    pub(super) fn known(
        directory: &Path,
        id: SnapshotId,
        pages: &PagesFile<'_>,
    ) -> Option<Arc<Self>> {
        let candidates: Vec<_> = {
            let layers = LAYERS.lock().unwrap_or_else(PoisonError::into_inner);
            let live = layers.iter().flat_map(HashMap::values).filter_map(Weak::upgrade);
            live.filter(|layer| {
                layer.key.id == id
                    && layer.key.table == pages.digests_digest
                    && layer.key.is_decrypted == pages.cipher.is_some()
            })
            .collect()
        };
        candidates.into_iter().find(|layer| layer.is_at(directory, pages))
    }

    fn is_at(&self, directory: &Path, pages: &PagesFile<'_>) -> bool {
        let stands = |name: &str, key: &FileKey, of: fn(&Metadata) -> FileKey| {
            let found = std::fs::symlink_metadata(directory.join(name));
            found.is_ok_and(|found| found.is_file() && of(&found) == *key)
        };
        let of_linked = |found: &Metadata| FileKey::of_linked(found, None);
        let digests = self.digests_file.as_ref();
        digests.is_some_and(|key| stands(pages.digests_name, key, FileKey::of))
            && self.is_settled()
            && match &self.objects {
                None => self.key.files.iter().all(|key| stands(pages.name, key, of_linked)),
                Some(objects) => objects
                    .iter()
                    .zip(&self.key.files)
                    .all(|(object, key)| stands(&object.id.to_string(), key, of_linked)),
            }
    }

    pub(super) fn key(&self) -> &LayerKey {
        &self.key
    }

    /// Whether a further change of any file would give another key.
    pub(super) fn is_settled(&self) -> bool {
        self.key.files.iter().all(FileKey::is_settled)
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

    /// The part of a file that a stored chunk is read from.
    fn part(&self, chunk: usize) -> Option<Part<'_>> {
        if self.objects.is_some() {
            let place = self.digests.place(chunk)?;
            return Some(Part {
                file: self.files.get(place.object as usize)?,
                number: u64::from(place.slot),
                len: CHUNK_BYTES,
            });
        }
        let left = self.bytes.saturating_sub(chunk as u64 * CHUNK_BYTES as u64);
        let len = left.min(CHUNK_BYTES as u64) as usize;
        Some(Part { file: self.files.first()?, number: chunk as u64, len })
    }

    /// Reads and verifies a chunk.
    fn fill(&self, chunk: usize) -> Result<(), MemoryError> {
        // Before the lock: machines whose chunks are here do not wait for those of others.
        if let Some(part) = self.part(chunk) {
            part.require()?;
        }
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if self.verified[chunk / 64].load(Ordering::Acquire) >> (chunk % 64) & 1 == 1 {
            return Ok(());
        }
        // Every chunk that holds a page has a digest and a part.
        let (Some(part), Some(digest)) = (self.part(chunk), self.digests.get(chunk)) else {
            return Err(MemoryError::UnreadableChunk {
                file: self.key.table.clone(),
                chunk: chunk as u64,
                offset: 0,
                len: CHUNK_BYTES as u64,
                reason: "it is not stored".to_owned(),
            });
        };
        // SAFETY: `page`, the only caller, has checked that the chunk begins in memory, and `open` made the
        // region as long as all chunks; a part is at most one. No other code touches the range: `page`
        // gives out pointers into a chunk once its bit is set, and `filling` excludes other fillers.
        let bytes = unsafe {
            let start = self.region.start().as_ptr().add(chunk * CHUNK_BYTES);
            std::slice::from_raw_parts_mut(start, part.len)
        };
        part.read(bytes)?;
        part.check(bytes, digest)?;
        if let Some(cipher) = &self.cipher {
            cipher.apply(chunk, bytes);
        }
        self.verified[chunk / 64].fetch_or(1 << (chunk % 64), Ordering::Release);
        Ok(())
    }

    /// Reads and verifies everything, holes included, from the files and not from memory.
    pub(super) fn verify(&self) -> Result<(), RestoreError> {
        match &self.objects {
            None => Ok(self.verify_file()?),
            Some(objects) => self.verify_objects(objects),
        }
    }

    fn verify_file(&self) -> Result<(), MemoryError> {
        let mut bytes = vec![0; CHUNK_BYTES];
        for chunk in 0..(self.bytes as usize).div_ceil(CHUNK_BYTES) {
            let Some(part) = self.part(chunk) else { continue };
            let bytes = &mut bytes[..part.len];
            part.read(bytes)?;
            match self.digests.get(chunk) {
                Some(digest) => part.check(bytes, digest)?,
                None if bytes.iter().all(|byte| *byte == 0) => {}
                None => part.check(bytes, blake3::hash(&vec![0; part.len]).as_bytes())?,
            }
        }
        Ok(())
    }

    fn verify_objects(&self, objects: &[Object]) -> Result<(), RestoreError> {
        for (object, file) in objects.iter().zip(&self.files) {
            let path = &file.path;
            let mut index = vec![0; object.slots as usize * DIGEST_BYTES];
            file.read_exact_at(&mut index, object.index_offset()).map_err(|error| {
                RestoreError::FileUnreadable { file: path.clone(), reason: error.to_string() }
            })?;
            let found = ObjectId(*blake3::hash(&index).as_bytes());
            if found != object.id {
                let (expected, found) = (object.id.to_string(), found.to_string());
                return Err(RestoreError::FileCorrupt { file: path.clone(), expected, found });
            }
        }
        let mut bytes = vec![0; VERIFIED_CHUNKS * CHUNK_BYTES];
        for (place, digests) in self.digests.runs() {
            let Some(file) = self.files.get(place.object as usize) else { continue };
            let mut number = u64::from(place.slot);
            for digests in digests.chunks(VERIFIED_CHUNKS) {
                let bytes = &mut bytes[..digests.len() * CHUNK_BYTES];
                Part { file, number, len: bytes.len() }.read(bytes)?;
                for (digest, bytes) in digests.iter().zip(bytes.chunks(CHUNK_BYTES)) {
                    Part { file, number, len: CHUNK_BYTES }.check(bytes, digest)?;
                    number += 1;
                }
            }
        }
        Ok(())
    }
}

/// A part of a file: so many bytes from the begin of a slot or chunk.
struct Part<'a> {
    file: &'a ChunkFile,
    number: u64,
    len: usize,
}

impl Part<'_> {
    fn offset(&self) -> u64 {
        self.number * CHUNK_BYTES as u64
    }

    fn require(&self) -> Result<(), MemoryError> {
        self.file.require(self.offset(), self.len).map_err(|error| self.unreadable(&error))
    }

    fn read(&self, bytes: &mut [u8]) -> Result<(), MemoryError> {
        let read = self.file.read_exact_at(bytes, self.offset());
        read.map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &io::Error) -> MemoryError {
        MemoryError::UnreadableChunk {
            file: self.file.path.clone(),
            chunk: self.number,
            offset: self.offset(),
            len: self.len as u64,
            reason: error.to_string(),
        }
    }

    fn check(&self, bytes: &[u8], digest: &[u8; DIGEST_BYTES]) -> Result<(), MemoryError> {
        let found = blake3::hash(bytes);
        if found.as_bytes() == digest {
            return Ok(());
        }
        Err(MemoryError::CorruptChunk {
            file: self.file.path.clone(),
            chunk: self.number,
            offset: self.offset(),
            len: self.len as u64,
            expected: blake3::Hash::from_bytes(*digest).to_hex().to_string(),
            found: found.to_hex().to_string(),
        })
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
