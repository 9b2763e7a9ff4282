//! A file that an artifact's bytes land in, a run of blocks at a time.
//!
//! ```text
//! n blocks of 16 KiB │ index: the BLAKE3 of each │ the caller knows the BLAKE3 of the index
//! ```
//!
//! So a block is verified with no more of its piece than itself, and as little as a block can be fetched.
//! A registry that does not know ranges sends the piece, all of which is used.

use super::super::endpoint::Endpoint;
use super::super::{MOST_PIECE_BYTES, RegistrySource, verify};
use super::BLOCK_BYTES;
use crate::digest::Digest;
use crate::error::ImageError;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

const DIGEST_BYTES: u64 = 32;

/// The longest file: a byte of memory for each of its blocks.
const MOST_BYTES: u64 = 1 << 32;

/// Connections for one part that may break.
const MOST_BREAKS: u32 = 3;

/// A file of an artifact that arrives bit by bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrivingFile {
    /// Its path; it is created if it does not exist.
    pub path: PathBuf,
    /// Its length.
    pub size: u64,
    /// Its pieces, one behind the other: offset, length, digest. Elsewhere it is zero.
    pub pieces: Vec<(u64, u64, Digest)>,
    /// The BLAKE3 of the index at its end, in hexadecimal digits.
    pub index: String,
}

pub(super) struct Landing {
    path: PathBuf,
    file: File,
    size: u64,
    pieces: Vec<(Range<u64>, Digest)>,
    /// Its blocks without the index.
    slots: usize,
    index_digest: blake3::Hash,
    /// The index, once it is here.
    index: Mutex<Option<Arc<Vec<u8>>>>,
}

/// What came of a part of a file.
struct Came {
    bytes: Vec<u8>,
    /// Pieces that came whole, by their offsets.
    whole: Vec<(u64, Vec<u8>)>,
}

/// Blocks that were written, and the bytes that came for them.
#[derive(Default)]
pub(super) struct Landed {
    pub(super) blocks: Vec<Range<usize>>,
    pub(super) bytes: u64,
}

impl Landing {
    /// Opens or creates the file, and says which of its blocks are there: what an earlier transfer left is verified.
    pub(super) fn open(asked: ArrivingFile) -> Result<(Self, Vec<bool>), ImageError> {
        let ArrivingFile { path, pieces, index, size } = asked;
        let invalid = |found: String| ImageError::OptionInvalid {
            option: path.display().to_string(),
            expected: "blocks with an index, in pieces that follow each other",
            found,
        };
        let slots = size / (BLOCK_BYTES + DIGEST_BYTES);
        if size > MOST_BYTES || slots * (BLOCK_BYTES + DIGEST_BYTES) != size {
            return Err(invalid(format!("{size} bytes")));
        }
        let index_digest = blake3::Hash::from_hex(&index).map_err(|_| invalid(index))?;
        let mut spans: Vec<(Range<u64>, Digest)> = Vec::new();
        for (offset, bytes, digest) in pieces {
            let begins = spans.last().map_or(0, |(last, _)| last.end);
            let end = offset.checked_add(bytes).filter(|end| *end <= size);
            match end {
                Some(end) if offset >= begins && (1..=MOST_PIECE_BYTES).contains(&bytes) => {
                    spans.push((offset..end, digest));
                }
                _ => return Err(invalid(format!("{bytes} bytes at {offset} of {size}"))),
            }
        }
        let opened = prepare(&path, size);
        let (file, has_content) = opened.map_err(|error| ImageError::of_cache(&path, &error))?;
        let (slots, index) = (slots as usize, Mutex::new(None));
        let landing = Self { path, file, size, pieces: spans, slots, index_digest, index };
        let mut here = vec![true; size.div_ceil(BLOCK_BYTES) as usize];
        for (span, _) in &landing.pieces {
            here[blocks_of(span)].fill(false);
        }
        if has_content {
            let found = landing.find(&mut here);
            found.map_err(|error| ImageError::of_cache(&landing.path, &error))?;
        }
        Ok((landing, here))
    }

    /// Looks for what an earlier transfer left.
    fn find(&self, here: &mut [bool]) -> io::Result<()> {
        let mut index = vec![0; self.slots * DIGEST_BYTES as usize];
        self.file.read_exact_at(&mut index, self.slots as u64 * BLOCK_BYTES)?;
        if blake3::hash(&index) != self.index_digest {
            return Ok(());
        }
        here[self.slots..].fill(true);
        let mut bytes = vec![0; BLOCK_BYTES as usize];
        for (slot, digest) in index.chunks_exact(DIGEST_BYTES as usize).enumerate() {
            if !here[slot] {
                self.file.read_exact_at(&mut bytes, slot as u64 * BLOCK_BYTES)?;
                // Holes need not be digested.
                here[slot] = bytes.iter().any(|byte| *byte != 0)
                    && blake3::hash(&bytes).as_bytes() == digest;
            }
        }
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(index));
        Ok(())
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Fetches blocks, verifies them, and writes them.
    pub(super) fn fetch(
        &self,
        source: &RegistrySource<'_>,
        blocks: &Range<usize>,
    ) -> Result<Landed, ImageError> {
        let mut landed = Landed::default();
        let index = self.index(source, &mut landed)?;
        let data = blocks.start..blocks.end.min(self.slots);
        if data.is_empty() {
            return Ok(landed);
        }
        let wanted = data.start as u64 * BLOCK_BYTES..data.end as u64 * BLOCK_BYTES;
        let verified = source.first(|endpoint| {
            let Came { bytes, whole } = self.part(source, endpoint, &wanted, &mut 0)?;
            let mut all = vec![(data.clone(), bytes)];
            for (offset, bytes) in whole {
                let end = ((offset + bytes.len() as u64) / BLOCK_BYTES) as usize;
                let inside = offset.div_ceil(BLOCK_BYTES) as usize..end.min(self.slots);
                if !inside.is_empty() {
                    let begin = (inside.start as u64 * BLOCK_BYTES - offset) as usize;
                    let len = inside.len() * BLOCK_BYTES as usize;
                    all.push((inside, bytes[begin..begin + len].to_vec()));
                }
            }
            for (blocks, bytes) in &all {
                check(&index, blocks.start, bytes)?;
            }
            Ok(all)
        })?;
        for (blocks, bytes) in verified {
            self.write(&bytes, blocks.start as u64 * BLOCK_BYTES)?;
            landed.bytes += bytes.len() as u64;
            landed.blocks.push(blocks);
        }
        Ok(landed)
    }

    /// The index, fetched the first time.
    fn index(
        &self,
        source: &RegistrySource<'_>,
        landed: &mut Landed,
    ) -> Result<Arc<Vec<u8>>, ImageError> {
        let blocks = self.slots..self.size.div_ceil(BLOCK_BYTES) as usize;
        let mut known = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        // Also if it was here: what fetched it may have failed afterwards.
        landed.blocks.push(blocks);
        if let Some(index) = &*known {
            return Ok(Arc::clone(index));
        }
        let at = self.slots as u64 * BLOCK_BYTES;
        let bytes = source.first(|endpoint| {
            let Came { bytes, .. } = self.part(source, endpoint, &(at..self.size), &mut 0)?;
            let found = blake3::hash(&bytes);
            if found == self.index_digest {
                Ok(bytes)
            } else {
                Err(wrong(&self.index_digest, &found))
            }
        })?;
        self.write(&bytes, at)?;
        landed.bytes += bytes.len() as u64;
        Ok(Arc::clone(known.insert(Arc::new(bytes))))
    }

    fn overlapping<'a>(
        &'a self,
        wanted: &'a Range<u64>,
    ) -> impl Iterator<Item = &'a (Range<u64>, Digest)> {
        self.pieces.iter().filter(|(span, _)| span.start < wanted.end && wanted.start < span.end)
    }

    /// Some bytes of the file from one endpoint, unverified but for pieces that come whole.
    fn part(
        &self,
        source: &RegistrySource<'_>,
        endpoint: &Endpoint,
        wanted: &Range<u64>,
        breaks: &mut u32,
    ) -> Result<Came, ImageError> {
        let mut came =
            Came { bytes: vec![0; (wanted.end - wanted.start) as usize], whole: Vec::new() };
        for (span, digest) in self.overlapping(wanted) {
            let size = span.end - span.start;
            let part = wanted.start.max(span.start)..wanted.end.min(span.end);
            let inside = part.start - span.start..part.end - span.start;
            let (held, bytes) = ranged(source, endpoint, digest, size, &inside, breaks)?;
            let from = (inside.start - held.start) as usize;
            let into = (part.start - wanted.start) as usize;
            let len = (part.end - part.start) as usize;
            came.bytes[into..into + len].copy_from_slice(&bytes[from..from + len]);
            if held == (0..size) {
                verify(digest, &bytes)?;
                came.whole.push((span.start, bytes));
            }
        }
        Ok(came)
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<(), ImageError> {
        let written = self.file.write_all_at(bytes, at);
        written.map_err(|error| ImageError::of_cache(&self.path, &error))
    }
}

/// A range of a piece, or all of it: where it stands in the piece, and its bytes.
fn ranged(
    source: &RegistrySource<'_>,
    endpoint: &Endpoint,
    digest: &Digest,
    size: u64,
    wanted: &Range<u64>,
    breaks: &mut u32,
) -> Result<(Range<u64>, Vec<u8>), ImageError> {
    loop {
        let (body, held) = source.open_at(endpoint, digest, size, wanted)?;
        let expected = held.end - held.start;
        let mut bytes = Vec::with_capacity(expected as usize);
        // One byte more is too many, and is seen.
        let read = body.take(expected + 1).read_to_end(&mut bytes);
        source.watch.check()?;
        let cause = match read {
            Ok(_) if bytes.len() as u64 == expected => return Ok((held, bytes)),
            Ok(count) => {
                let found =
                    if count as u64 > expected { "more".to_owned() } else { count.to_string() };
                ImageError::BlobSizeWrong { digest: digest.to_string(), expected, found }
            }
            Err(error) => {
                let url = source.blob_url(endpoint, digest);
                source.client.failed(&url, &ureq::Error::from(error))
            }
        };
        *breaks += 1;
        // A second wait for a registry that hangs would take too long.
        if *breaks > MOST_BREAKS || matches!(cause, ImageError::TimedOut { .. }) {
            return Err(cause);
        }
    }
}

/// The file and whether it has content already: one of another length is begun anew.
fn prepare(path: &std::path::Path, size: u64) -> io::Result<(File, bool)> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let file = options.open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("expected a regular file, found something else"));
    }
    file.set_permissions(Permissions::from_mode(0o600))?;
    if found.len() == size {
        return Ok((file, true));
    }
    file.set_len(0)?;
    file.set_len(size)?;
    Ok((file, false))
}

pub(super) fn blocks_of(bytes: &Range<u64>) -> Range<usize> {
    (bytes.start / BLOCK_BYTES) as usize..bytes.end.div_ceil(BLOCK_BYTES) as usize
}

fn check(index: &[u8], first: usize, bytes: &[u8]) -> Result<(), ImageError> {
    let digests = index.chunks_exact(DIGEST_BYTES as usize).skip(first);
    for (block, expected) in bytes.chunks(BLOCK_BYTES as usize).zip(digests) {
        let found = blake3::hash(block);
        if found.as_bytes() != expected {
            let expected = blake3::Hash::from_slice(expected).unwrap_or(found);
            return Err(wrong(&expected, &found));
        }
    }
    Ok(())
}

fn wrong(expected: &blake3::Hash, found: &blake3::Hash) -> ImageError {
    ImageError::BlobDigestWrong {
        expected: format!("blake3:{expected}"),
        found: format!("blake3:{found}"),
    }
}
