//! `memory.digests`: which pages `memory.bin` holds, and what they must be.

use super::{CHUNK_BYTES, CHUNK_PAGES, FORMAT_VERSION, RestoreError};
use crate::state::{StateReader, StateWriter};

const MAGIC: &[u8; 8] = b"STILLDIG";
const HEADER_BYTES: u64 = 24;

/// Chunks without any page in the file have no digest.
pub(super) const NONE: u32 = u32::MAX;

/// The pages in a memory file and the digests of their chunks.
pub(super) struct Digests {
    pages: usize,
    /// One bit per page.
    present: Vec<u8>,
    /// By chunk: where its digest is, or [`NONE`].
    index: Vec<u32>,
    digests: Vec<[u8; 32]>,
}

impl Digests {
    pub(super) fn new(pages: usize) -> Self {
        Self {
            pages,
            present: vec![0; pages.div_ceil(8)],
            index: vec![NONE; pages.div_ceil(CHUNK_PAGES)],
            digests: Vec::new(),
        }
    }

    pub(super) fn page_count(&self) -> u64 {
        self.present.iter().map(|byte| u64::from(byte.count_ones())).sum()
    }

    #[inline]
    pub(super) fn holds(&self, page: usize) -> bool {
        self.present.get(page / 8).is_some_and(|byte| byte >> (page % 8) & 1 == 1)
    }

    pub(super) fn insert(&mut self, page: usize) {
        self.present[page / 8] |= 1 << (page % 8);
    }

    /// Records the digest of the next chunk.
    pub(super) fn set(&mut self, chunk: usize, digest: [u8; 32]) {
        self.index[chunk] = self.digests.len() as u32;
        self.digests.push(digest);
    }

    /// The digest of a chunk that holds a page.
    pub(super) fn get(&self, chunk: usize) -> Option<&[u8; 32]> {
        self.digests.get(*self.index.get(chunk)? as usize)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        StateWriter::new()
            .array(MAGIC)
            .u32(FORMAT_VERSION)
            .u32(CHUNK_BYTES as u32)
            .u64(self.pages as u64)
            .array(&self.present)
            .array(self.digests.as_flattened())
            .finish()
    }

    /// Most bytes of the file for a memory of so many pages.
    pub(super) fn most_bytes(pages: usize) -> u64 {
        HEADER_BYTES + pages.div_ceil(8) as u64 + 32 * pages.div_ceil(CHUNK_PAGES) as u64
    }

    /// Reads the file of a memory of `pages` pages.
    pub(super) fn decode(file: &str, bytes: &[u8], pages: usize) -> Result<Self, RestoreError> {
        let invalid = |expected: String, found: String| RestoreError::FileInvalid {
            file: file.to_owned(),
            expected,
            found,
        };
        if !bytes.starts_with(MAGIC) {
            return Err(RestoreError::NotASnapshot { file: file.to_owned() });
        }
        let mut state = StateReader::new("memory.digests", &bytes[MAGIC.len()..]);
        let version = state.u32()?;
        if version != FORMAT_VERSION {
            return Err(RestoreError::VersionUnsupported {
                file: file.to_owned(),
                expected: FORMAT_VERSION,
                found: version,
            });
        }
        let (chunk_bytes, found) = (state.u32()?, state.u64()?);
        if chunk_bytes as usize != CHUNK_BYTES || found != pages as u64 {
            return Err(invalid(
                format!("{pages} pages in chunks of {CHUNK_BYTES} bytes"),
                format!("{found} pages in chunks of {chunk_bytes} bytes"),
            ));
        }
        let mut digests = Self::new(pages);
        digests.present.copy_from_slice(state.take(pages.div_ceil(8))?);
        if !pages.is_multiple_of(8)
            && digests.present.last().is_some_and(|last| last >> (pages % 8) != 0)
        {
            return Err(invalid("no page beyond memory".to_owned(), "some".to_owned()));
        }
        for chunk in 0..digests.index.len() {
            let mut inside = chunk * CHUNK_PAGES..((chunk + 1) * CHUNK_PAGES).min(pages);
            if inside.any(|page| digests.holds(page)) {
                digests.set(chunk, state.array()?);
            }
        }
        state.finish()?;
        Ok(digests)
    }
}
