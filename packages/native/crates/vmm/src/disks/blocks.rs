//! Digests of a file's blocks, which together are the digest of the file.
//!
//! ```text
//! file     │ block 0 │ block 1 │ block 2 │ … │ last, perhaps short │      16 KiB each
//! table    │   32    │   32    │   32    │ … │         32          │      BLAKE3 chaining values
//!               └────┬────┘         └── … ──┬──┘
//!                    └──────────┬───────────┘
//!                    BLAKE3 of the whole file
//! ```
//! A block's digest is its node in the BLAKE3 tree of the file, so a table can be verified against
//! the file's plain digest. Until a digest is known, the first content that was read counts.

use std::sync::OnceLock;

use blake3::Hasher;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// Bytes that are verified together.
pub(crate) const BLOCK_BYTES: usize = 16 * 1024;
/// Blocks whose places are made together.
const TOGETHER: usize = 256;

pub(super) type Hash = [u8; 32];

type Places = Box<[OnceLock<Hash>]>;

/// The blocks of a file of so many bytes.
pub(crate) struct Blocks {
    bytes: u64,
    places: Box<[OnceLock<Places>]>,
}

/// A block has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BlockChanged {
    pub(super) expected: Hash,
    pub(super) found: Hash,
}

impl Blocks {
    /// None of them seen yet.
    pub(crate) fn new(bytes: u64) -> Self {
        let count = count_of(bytes).div_ceil(TOGETHER);
        Self { bytes, places: (0..count).map(|_| OnceLock::new()).collect() }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn count(&self) -> usize {
        count_of(self.bytes)
    }

    /// The bytes of block number `block`: its first and their number.
    pub(super) fn range(&self, block: usize) -> (u64, usize) {
        let offset = block as u64 * BLOCK_BYTES as u64;
        (offset, (self.bytes - offset).min(BLOCK_BYTES as u64) as usize)
    }

    fn place(&self, block: usize) -> &OnceLock<Hash> {
        let places = &self.places[block / TOGETHER];
        let made = places.get_or_init(|| (0..TOGETHER).map(|_| OnceLock::new()).collect());
        &made[block % TOGETHER]
    }

    pub(super) fn is_known(&self, block: usize) -> bool {
        self.place(block).get().is_some()
    }

    /// Compares a block with its known or first content.
    pub(super) fn check(&self, block: usize, content: &[u8]) -> Result<(), BlockChanged> {
        let found = self.hash(block, content);
        let expected = *self.place(block).get_or_init(|| found);
        if expected == found { Ok(()) } else { Err(BlockChanged { expected, found }) }
    }

    fn hash(&self, block: usize, content: &[u8]) -> Hash {
        if self.count() == 1 {
            return *blake3::hash(content).as_bytes();
        }
        let mut hasher = Hasher::new();
        hasher.set_input_offset(self.range(block).0);
        hasher.update(content);
        hasher.finalize_non_root()
    }

    /// The digest of the file; `None` while a block has not been seen.
    pub(crate) fn root(&self) -> Option<Hash> {
        match self.count() {
            0 => Some(*blake3::hash(&[]).as_bytes()),
            1 => self.place(0).get().copied(),
            count => {
                let left = left_of(count);
                let (left, right) = (self.subtree(0, left)?, self.subtree(left, count - left)?);
                Some(*merge_subtrees_root(&left, &right, Mode::Hash).as_bytes())
            }
        }
    }

    fn subtree(&self, first: usize, count: usize) -> Option<Hash> {
        if count == 1 {
            return self.place(first).get().copied();
        }
        let left = left_of(count);
        let (one, two) = (self.subtree(first, left)?, self.subtree(first + left, count - left)?);
        Some(merge_subtrees_non_root(&one, &two, Mode::Hash))
    }

    /// The table; blocks that were not read are zero.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let known = |block| self.place(block).get().copied().unwrap_or_default();
        (0..self.count()).flat_map(known).collect()
    }

    /// The table of a file of so many bytes whose digest is `root`; `None` if it is another.
    pub(crate) fn decode(bytes: u64, table: &[u8], root: Hash) -> Option<Self> {
        let blocks = Self::new(bytes);
        let (hashes, rest) = table.as_chunks::<32>();
        if hashes.len() != blocks.count() || !rest.is_empty() {
            return None;
        }
        for (block, hash) in hashes.iter().enumerate() {
            // Nothing was there before.
            let _ = blocks.place(block).set(*hash);
        }
        (blocks.root() == Some(root)).then_some(blocks)
    }

    /// Bytes of the table.
    pub(crate) fn table_bytes(bytes: u64) -> u64 {
        count_of(bytes) as u64 * 32
    }
}

fn count_of(bytes: u64) -> usize {
    bytes.div_ceil(BLOCK_BYTES as u64) as usize
}

/// Blocks in the left half of the tree over so many, at least two.
fn left_of(count: usize) -> usize {
    1 << (count - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(crate::generated::cases(60))]

        /// However long a file is, its blocks make its plain digest, in any order, and prove it.
        #[test]
        fn blocks_make_the_digest_of_the_file(
            len in prop_oneof![
                0..5 * BLOCK_BYTES,
                (0..40usize, 0..3usize).prop_map(|(n, more)| (n * BLOCK_BYTES + more).saturating_sub(1)),
            ],
            seed in any::<u8>(),
        ) {
            let content: Vec<u8> = (0..len).map(|at| (at / 977) as u8 ^ seed).collect();
            let blocks = Blocks::new(len as u64);
            prop_assert_eq!(blocks.root().is_some(), len == 0);
            for block in (0..blocks.count()).rev() {
                let (offset, len) = blocks.range(block);
                let part = &content[offset as usize..][..len];
                prop_assert_eq!(blocks.check(block, part), Ok(()));
                let mut other = part.to_vec();
                other[len / 2] ^= 1;
                prop_assert!(blocks.check(block, &other).is_err());
            }
            let root = *blake3::hash(&content).as_bytes();
            prop_assert_eq!(blocks.root(), Some(root));
            let table = blocks.encode();
            prop_assert_eq!(table.len() as u64, Blocks::table_bytes(len as u64));
            prop_assert!(Blocks::decode(len as u64, &table, root).is_some());
            for at in [0, table.len() / 2, table.len().saturating_sub(1)] {
                let mut other = table.clone();
                if let Some(byte) = other.get_mut(at) {
                    *byte ^= 0x40;
                    prop_assert!(Blocks::decode(len as u64, &other, root).is_none());
                }
            }
        }
    }
}
