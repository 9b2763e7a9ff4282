//! A file that disks are read from and never written to.
//!
//! It is read, not mapped: truncating or editing it while it is in use does not kill the process,
//! and changed data does not reach a guest, since every block is compared with its earlier digest.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocks::{BLOCK_BYTES, BlockChanged, Blocks, Hash};
use super::files::{Opened, Sharing, fault, lock, open};
use super::known::blocks_of;
use super::told::told_blocks;
use super::{DiskError, DiskFault};
use crate::file_key::{FileId, FileKey};

/// Blocks that are read with one call.
const READ_TOGETHER: usize = 16;

/// A file and its blocks, from the table beside it or from the first read.
pub(crate) struct SourceFile {
    opened: Opened,
    blocks: Arc<Blocks>,
}

impl SourceFile {
    /// The file of the disk called `name`.
    pub(super) fn open(name: &str, path: &Path) -> Result<Self, DiskError> {
        let mut opened = open(name, path, Sharing::Readers, None)?;
        lock(name, &mut opened, Sharing::Readers)?;
        let blocks = blocks_of(&opened.key, || {
            let told = told_blocks(name, &opened.path, opened.bytes)?;
            Ok(told.unwrap_or_else(|| Arc::new(Blocks::new(opened.bytes))))
        })?;
        Ok(Self { opened, blocks })
    }

    /// The file, which is to have these blocks.
    pub(crate) fn open_as(name: &str, path: &Path, blocks: Arc<Blocks>) -> Result<Self, DiskError> {
        let mut opened = open(name, path, Sharing::Readers, None)?;
        lock(name, &mut opened, Sharing::Readers)?;
        if opened.bytes != blocks.bytes() {
            return Err(DiskError::DiskSizeWrong {
                name: name.to_owned(),
                path: opened.path.display().to_string(),
                expected: format!("the {} bytes that it had", blocks.bytes()),
                found: opened.bytes,
            });
        }
        Ok(Self { opened, blocks })
    }

    /// Whether any disk has read a block already.
    #[cfg(test)]
    pub(super) fn knows(&self, block: usize) -> bool {
        self.blocks.is_known(block)
    }

    /// The identity of the file.
    pub(super) fn file(&self) -> FileId {
        self.opened.key.file()
    }

    pub(crate) fn path(&self) -> &PathBuf {
        &self.opened.path
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.opened.bytes
    }

    /// Reads from `offset` on; behind the file's end there are zeros.
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskFault> {
        let there = self.bytes().saturating_sub(offset).min(into.len() as u64) as usize;
        let (mut into, behind) = into.split_at_mut(there);
        behind.fill(0);
        let (mut at, mut buffer) = (offset, Vec::new());
        while !into.is_empty() {
            let first = (at / BLOCK_BYTES as u64) as usize;
            let last = ((at + into.len() as u64 - 1) / BLOCK_BYTES as u64) as usize;
            self.read_blocks(first, (last - first + 1).min(READ_TOGETHER), &mut buffer)?;
            let skip = (at - first as u64 * BLOCK_BYTES as u64) as usize;
            let take = into.len().min(buffer.len() - skip);
            let (head, tail) = into.split_at_mut(take);
            head.copy_from_slice(&buffer[skip..skip + take]);
            into = tail;
            at += take as u64;
        }
        Ok(())
    }

    /// Reads consecutive blocks, and compares them with their digests.
    fn read_blocks(
        &self,
        first: usize,
        count: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), DiskFault> {
        let (offset, _) = self.blocks.range(first);
        let (last, last_len) = self.blocks.range(first + count - 1);
        let len = (last - offset) as usize + last_len;
        buffer.resize(len, 0);
        let path = &self.opened.path;
        let read = self.opened.file.read_exact_at(buffer, offset);
        read.map_err(|error| fault(path, offset, len, &error))?;
        for (block, content) in (first..).zip(buffer.chunks(BLOCK_BYTES)) {
            self.blocks.check(block, content).map_err(|BlockChanged { expected, found }| {
                let hex = |hash: Hash| blake3::Hash::from_bytes(hash).to_hex().to_string();
                DiskFault::DiskChanged {
                    path: path.display().to_string(),
                    offset: self.blocks.range(block).0,
                    len: content.len() as u64,
                    expected: hex(expected),
                    found: hex(found),
                }
            })?;
        }
        Ok(())
    }

    /// The file's blocks, all of them known, and its digest. Reads the blocks that no disk has read
    /// yet, and the whole file if it was changed in any way since it was opened.
    pub(crate) fn whole(&self) -> Result<(&Blocks, Hash), DiskFault> {
        let metadata = self.opened.file.metadata();
        let is_same = metadata.is_ok_and(|now| FileKey::of(&now) == self.opened.key);
        let is_to_read = |block: &usize| !is_same || !self.blocks.is_known(*block);
        let mut buffer = Vec::new();
        let mut next = 0;
        while next < self.blocks.count() {
            if !is_to_read(&next) {
                next += 1;
                continue;
            }
            let unknown = (next..self.blocks.count()).take(READ_TOGETHER);
            let count = unknown.take_while(is_to_read).count();
            self.read_blocks(next, count.max(1), &mut buffer)?;
            next += count;
        }
        let root = self.blocks.root().unwrap_or_default();
        Ok((&self.blocks, root))
    }
}
