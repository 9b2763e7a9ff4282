//! Digests of a file's blocks, stored beside it: a reader of a part can check whether the part is unchanged.
//!
//! ```text
//! FILE.blocks   "SPBLOCK1" │ BLAKE3 of the file, 32 │ block 0, 32 │ block 1, 32 │ …     16 KiB of the file each
//! ```
//! A block's digest is what BLAKE3 has for it inside the file, so the table proves itself against the file's digest. Disks
//! of machines read it (`crates/vmm/src/disks/told.rs`).

use blake3::hazmat::HasherExt;
use blake3::{Hash, Hasher};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const MAGIC: &[u8] = b"SPBLOCK1";
const BLOCK_BYTES: u64 = 16 * 1024;

/// The path of the digests of a file's blocks.
pub fn beside(file: &Path) -> PathBuf {
    let mut path = OsString::from(file);
    path.push(".blocks");
    path.into()
}

/// Bytes of what lies beside a file of that length.
pub(crate) fn bytes_beside(file_bytes: u64) -> u64 {
    (MAGIC.len() + blake3::OUT_LEN) as u64
        + file_bytes.div_ceil(BLOCK_BYTES) * blake3::OUT_LEN as u64
}

/// The digests in the making, while the file is written from its first byte on.
#[derive(Default)]
pub(crate) struct BlockDigests {
    whole: Hasher,
    block: Hasher,
    at: u64,
    table: Vec<u8>,
}

impl BlockDigests {
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        self.whole.update(bytes);
        while !bytes.is_empty() {
            let inside = self.at % BLOCK_BYTES;
            if inside == 0 && self.at > 0 {
                self.table.extend(self.block.finalize_non_root());
                self.block = Hasher::new();
                self.block.set_input_offset(self.at);
            }
            let (head, rest) = bytes.split_at(bytes.len().min((BLOCK_BYTES - inside) as usize));
            self.block.update(head);
            self.at += head.len() as u64;
            bytes = rest;
        }
    }

    /// The digest of the file, and the content of the file beside it.
    pub(crate) fn finish(mut self) -> (Hash, Vec<u8>) {
        let whole = self.whole.finalize();
        if self.at > BLOCK_BYTES {
            self.table.extend(self.block.finalize_non_root());
        } else if self.at > 0 {
            // The only block is the file.
            self.table.extend(whole.as_bytes());
        }
        (whole, [MAGIC, whole.as_bytes().as_slice(), self.table.as_slice()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blake3::hazmat::{Mode, merge_subtrees_non_root, merge_subtrees_root};
    use proptest::prelude::*;

    /// The digest of a file of which these are the blocks.
    fn root(blocks: &[[u8; 32]]) -> [u8; 32] {
        fn subtree(blocks: &[[u8; 32]]) -> [u8; 32] {
            if let [only] = blocks {
                return *only;
            }
            let (left, right) = blocks.split_at(1 << (blocks.len() - 1).ilog2());
            merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
        if let [only] = blocks {
            return *only;
        }
        let (left, right) = blocks.split_at(1 << (blocks.len() - 1).ilog2());
        *merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash).as_bytes()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn the_blocks_of_a_file_make_its_digest_in_whatever_parts_it_was_written(
            len in prop_oneof![1..100_000_usize, (1..6_usize).prop_map(|blocks| blocks * 16 * 1024)],
            parts in proptest::collection::vec(1..40_000_usize, 1..8),
        ) {
            let content: Vec<u8> = (0..len).map(|at| (at / 311) as u8).collect();
            let (mut digests, mut rest) = (BlockDigests::default(), content.as_slice());
            for part in parts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (head, tail) = rest.split_at(rest.len().min(*part));
                digests.update(head);
                rest = tail;
            }
            let (whole, beside) = digests.finish();
            prop_assert_eq!(whole, blake3::hash(&content));
            prop_assert_eq!(&beside[..8], MAGIC);
            prop_assert_eq!(&beside[8..40], whole.as_bytes());
            let (table, rest) = beside[40..].as_chunks::<32>();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(table.len(), len.div_ceil(16 * 1024));
            prop_assert_eq!(bytes_beside(len as u64), beside.len() as u64);
            prop_assert_eq!(root(table), *whole.as_bytes());
        }
    }
}
