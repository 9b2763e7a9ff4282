//! `memory.digests`: the pages in `memory.bin` with their digests, and the pages that are not
//! stored because they consist of one repeated byte.

use super::{CHUNK_BYTES, CHUNK_PAGES, FORMAT_VERSION, RestoreError};
use crate::state::{StateError, StateReader, StateWriter};

const MAGIC: &[u8; 8] = b"STILLDIG";
const HEADER_BYTES: u64 = 24;
const FILLING_BYTES: u64 = 9;

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
    /// Pages that are all one byte and not in the file; ascending, apart.
    fillings: Vec<Filling>,
}

/// Pages that follow each other and are all one byte.
#[derive(Clone, Copy)]
struct Filling {
    first: u32,
    pages: u32,
    byte: u8,
}

impl Filling {
    fn end(self) -> u64 {
        u64::from(self.first) + u64::from(self.pages)
    }
}

impl Digests {
    pub(super) fn new(pages: usize) -> Self {
        Self {
            pages,
            present: vec![0; pages.div_ceil(8)],
            index: vec![NONE; pages.div_ceil(CHUNK_PAGES)],
            digests: Vec::new(),
            fillings: Vec::new(),
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

    /// Records that a page, behind all that were so recorded, is all `byte`.
    pub(super) fn fill(&mut self, page: usize, byte: u8) {
        match self.fillings.last_mut() {
            Some(last) if last.end() == page as u64 && last.byte == byte => last.pages += 1,
            _ => self.fillings.push(Filling { first: page as u32, pages: 1, byte }),
        }
    }

    /// The byte that all of a page is, if it is not in the file.
    #[inline]
    pub(super) fn filling(&self, page: usize) -> Option<u8> {
        let behind = self.fillings.partition_point(|filling| filling.first as usize <= page);
        let filling = self.fillings.get(behind.checked_sub(1)?)?;
        ((page as u64) < filling.end()).then_some(filling.byte)
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
            .array(&self.encode_fillings())
            .finish()
    }

    fn encode_fillings(&self) -> Vec<u8> {
        let mut state = StateWriter::new();
        state.u32(self.fillings.len() as u32);
        for Filling { first, pages, byte } in &self.fillings {
            state.u32(*first).u32(*pages).u8(*byte);
        }
        state.finish()
    }

    /// Maximum bytes of the file for a memory of so many pages.
    pub(super) fn most_bytes(pages: usize) -> u64 {
        let digests = 32 * pages.div_ceil(CHUNK_PAGES) as u64;
        HEADER_BYTES + pages.div_ceil(8) as u64 + digests + 4 + FILLING_BYTES * pages as u64
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
        if version == 0 || version > FORMAT_VERSION {
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
        if version > 1 {
            digests.decode_fillings(&mut state)?;
        }
        state.finish()?;
        Ok(digests)
    }

    fn decode_fillings(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        let expected = "runs of pages that are not in the file, ascending and apart";
        for _ in 0..state.u32()? {
            let filling = Filling { first: state.u32()?, pages: state.u32()?, byte: state.u8()? };
            let is_behind = self.fillings.last().is_none_or(|last| {
                let first = u64::from(filling.first);
                first > last.end() || first == last.end() && filling.byte != last.byte
            });
            let is_inside = filling.pages > 0 && filling.end() <= self.pages as u64;
            let mut pages = filling.first as usize..filling.end() as usize;
            if !is_inside || !is_behind || pages.any(|page| self.holds(page)) {
                let found = format!("{} pages from {}", filling.pages, filling.first);
                return Err(state.refuse(expected, found));
            }
            self.fillings.push(filling);
        }
        Ok(())
    }
}
