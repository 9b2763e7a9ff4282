//! The digest of memory, kept up to date page by page.
//!
//! A page's hash is the BLAKE3 of its bytes, a leaf's that of its pages' hashes, memory's that of
//! its leaves' hashes. Equal contents give equal digests, however they are held.

use std::sync::{Arc, OnceLock};

use super::{LEAF_PAGES, Leaf, Mark, MemoryError, PAGE_BYTES, PagedMemory};

type Hash = [u8; 32];

#[derive(Clone)]
struct LeafHashes {
    pages: [Hash; LEAF_PAGES],
    leaf: Hash,
}

/// Hashes as of a mark. Shared between forks until one of them changes.
#[derive(Clone, Default)]
pub(super) struct HashCache {
    mark: Option<Mark>,
    leaves: Vec<Option<Arc<LeafHashes>>>,
}

fn zero_hash() -> &'static Hash {
    static HASH: OnceLock<Hash> = OnceLock::new();
    HASH.get_or_init(|| *blake3::hash(&[0; PAGE_BYTES]).as_bytes())
}

/// Pages whose hashes are hashed together.
pub(super) const PAGES_HASHED_TOGETHER: usize = LEAF_PAGES;

/// The hash of a page's bytes; `None`: all zero.
pub(super) fn hash_of_page(bytes: Option<&[u8; PAGE_BYTES]>) -> Hash {
    bytes.map_or(*zero_hash(), |bytes| *blake3::hash(bytes).as_bytes())
}

/// The hash of pages that are hashed together.
pub(super) fn hash_of_pages(pages: &[Hash; PAGES_HASHED_TOGETHER]) -> Hash {
    leaf_hash(pages)
}

/// The hash of as many pages that are all zero.
pub(super) fn zero_pages_hash() -> &'static Hash {
    zero_leaf_hash()
}

fn leaf_hash(pages: &[Hash; LEAF_PAGES]) -> Hash {
    *blake3::hash(pages.as_flattened()).as_bytes()
}

fn zero_leaf_hash() -> &'static Hash {
    static HASH: OnceLock<Hash> = OnceLock::new();
    HASH.get_or_init(|| leaf_hash(&[*zero_hash(); LEAF_PAGES]))
}

impl PagedMemory {
    /// The BLAKE3 of the whole content. The cost depends on the writes since the last call. Begins
    /// a new generation.
    ///
    /// # Errors
    /// [`MemoryError`] if the snapshot that the memory was restored from can no longer be read.
    pub fn digest(&mut self) -> Result<Hash, MemoryError> {
        let digest = self.rehash()?;
        self.hashes.mark = Some(self.mark());
        Ok(digest)
    }

    /// The same, and counts later writes as written since `mark`.
    pub(crate) fn digest_at(&mut self, mark: Mark) -> Result<Hash, MemoryError> {
        let digest = self.rehash()?;
        self.follow(mark);
        self.hashes.mark = Some(mark);
        Ok(digest)
    }

    fn rehash(&mut self) -> Result<Hash, MemoryError> {
        let mut cache = std::mem::take(&mut self.hashes);
        cache.leaves.resize(self.leaves.len(), None);
        for (number, entry) in cache.leaves.iter_mut().enumerate() {
            let Some(leaf) = self.leaves[number].clone() else { continue };
            let since = entry.is_some().then_some(cache.mark).flatten();
            if since.is_some_and(|mark| leaf.last_written < mark.0) {
                continue;
            }
            let hashes = match entry {
                Some(hashes) => Arc::make_mut(hashes),
                None => Arc::make_mut(entry.insert(Arc::new(LeafHashes {
                    pages: [*zero_hash(); LEAF_PAGES],
                    leaf: *zero_leaf_hash(),
                }))),
            };
            self.rehash_leaf(number, &leaf, since, hashes)?;
        }
        let mut hasher = blake3::Hasher::new();
        for entry in &cache.leaves {
            hasher.update(entry.as_ref().map_or(zero_leaf_hash(), |hashes| &hashes.leaf));
        }
        self.hashes = cache;
        Ok(*hasher.finalize().as_bytes())
    }

    fn rehash_leaf(
        &self,
        number: usize,
        leaf: &Leaf,
        since: Option<Mark>,
        hashes: &mut LeafHashes,
    ) -> Result<(), MemoryError> {
        for (index, hash) in hashes.pages.iter_mut().enumerate() {
            if since.is_none_or(|mark| leaf.written[index] >= mark.0) {
                *hash = match self.page_bytes(number * LEAF_PAGES + index)? {
                    Some(bytes) => *blake3::hash(bytes).as_bytes(),
                    None => *zero_hash(),
                };
            }
        }
        hashes.leaf = leaf_hash(&hashes.pages);
        Ok(())
    }
}
