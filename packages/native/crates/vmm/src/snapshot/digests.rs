//! `memory.digests`: the stored pages with the digests and the places of their chunks, and the pages
//! that are not stored because they consist of one repeated byte.

use std::collections::{HashMap, HashSet};

use super::objects::{DIGEST_BYTES, MOST_SLOTS, Object, ObjectId, Place, Places};
use super::{CHUNK_BYTES, CHUNK_PAGES, FORMAT_VERSION, RestoreError};
use crate::state::{StateError, StateReader, StateWriter};

const MAGIC: &[u8; 8] = b"STILLDIG";
const HEADER_BYTES: u64 = 24;
const OBJECT_BYTES: u64 = 36;
const RUN_BYTES: u64 = 12;
const FILLING_BYTES: u64 = 9;

/// The first version with objects.
const WITH_OBJECTS: u32 = 3;

/// Chunks without any page in the file have no digest.
pub(super) const NONE: u32 = u32::MAX;

/// The stored pages of a memory, and the digests and the places of their chunks.
pub(super) struct Digests {
    pages: usize,
    /// One bit per page.
    present: Vec<u8>,
    /// By chunk: where its digest is, or [`NONE`].
    index: Vec<u32>,
    digests: Vec<[u8; 32]>,
    /// By digest: in which of some objects its chunk is; none in versions without objects.
    places: Places,
    /// Pages that are all one byte and not stored; ascending, apart.
    fillings: Vec<Filling>,
}

/// The beginning of a file of digests.
struct Beginning {
    version: u32,
    /// The objects that its chunks are in; none in a version without objects.
    objects: Vec<Object>,
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
            places: Places::default(),
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

    /// Records the digest and the place of the next chunk.
    pub(super) fn set(&mut self, chunk: usize, digest: [u8; 32], place: Place) {
        self.set_digest(chunk, digest);
        self.places.push(place);
    }

    fn set_digest(&mut self, chunk: usize, digest: [u8; 32]) {
        self.index[chunk] = self.digests.len() as u32;
        self.digests.push(digest);
    }

    /// The digest of a chunk that holds a page.
    pub(super) fn get(&self, chunk: usize) -> Option<&[u8; 32]> {
        self.digests.get(*self.index.get(chunk)? as usize)
    }

    /// The place of a chunk that holds a page.
    pub(super) fn place(&self, chunk: usize) -> Option<Place> {
        self.places.get(*self.index.get(chunk)? as usize)
    }

    /// All places in runs: the digests of chunks that follow each other, and the place of the first.
    pub(super) fn runs(&self) -> impl Iterator<Item = (Place, &[[u8; 32]])> {
        self.places.runs().map(|(first, place, length)| {
            (place, self.digests.get(first..first + length as usize).unwrap_or_default())
        })
    }

    /// The file; places are in `objects`, of which it names those that it needs.
    pub(super) fn encode(&self, objects: &[Object]) -> Vec<u8> {
        let mut numbers = HashMap::new();
        let mut needed = Vec::new();
        let mut runs = StateWriter::new();
        let mut count = 0_u32;
        for (_, place, length) in self.places.runs() {
            let number = *numbers.entry(place.object).or_insert_with(|| {
                needed.extend(objects.get(place.object as usize));
                needed.len() as u32 - 1
            });
            runs.u32(number).u32(place.slot).u32(length);
            count += 1;
        }
        let mut state = StateWriter::new();
        state
            .array(MAGIC)
            .u32(FORMAT_VERSION)
            .u32(CHUNK_BYTES as u32)
            .u64(self.pages as u64)
            .u32(needed.len() as u32);
        for Object { id, slots } in needed {
            state.array(&id.0).u32(slots);
        }
        state
            .u32(count)
            .array(&runs.finish())
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
        let chunks = pages.div_ceil(CHUNK_PAGES) as u64;
        let of_chunk = DIGEST_BYTES as u64 + OBJECT_BYTES + RUN_BYTES;
        let fillings = 4 + FILLING_BYTES * pages as u64;
        HEADER_BYTES + 8 + of_chunk * chunks + pages.div_ceil(8) as u64 + fillings
    }

    /// The objects that the file of a memory of `pages` pages names; `None` if its version has none.
    pub(super) fn objects(
        file: &str,
        bytes: &[u8],
        pages: usize,
    ) -> Result<Option<Vec<Object>>, RestoreError> {
        let Beginning { objects, version } = Self::decode_beginning(file, bytes, pages)?.0;
        Ok((version >= WITH_OBJECTS).then_some(objects))
    }

    fn decode_beginning<'a>(
        file: &str,
        bytes: &'a [u8],
        pages: usize,
    ) -> Result<(Beginning, StateReader<'a>), RestoreError> {
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
            return Err(RestoreError::FileInvalid {
                file: file.to_owned(),
                expected: format!("{pages} pages in chunks of {CHUNK_BYTES} bytes"),
                found: format!("{found} pages in chunks of {chunk_bytes} bytes"),
            });
        }
        let mut objects = Vec::new();
        if version >= WITH_OBJECTS {
            let mut ids = HashSet::new();
            for _ in 0..state.u32()? {
                let object = Object { id: ObjectId(state.array()?), slots: state.u32()? };
                let is_sized = (1..=MOST_SLOTS as u32).contains(&object.slots);
                if !is_sized || !ids.insert(object.id) {
                    let expected = format!("objects of 1 to {MOST_SLOTS} slots, each once");
                    let found = format!("{} of {}", object.id, object.slots);
                    return Err(state.refuse(expected, found).into());
                }
                objects.push(object);
            }
        }
        Ok((Beginning { version, objects }, state))
    }

    /// Reads the file of a memory of `pages` pages.
    pub(super) fn decode(file: &str, bytes: &[u8], pages: usize) -> Result<Self, RestoreError> {
        let (Beginning { version, objects }, mut state) =
            Self::decode_beginning(file, bytes, pages)?;
        let mut digests = Self::new(pages);
        if version >= WITH_OBJECTS {
            digests.decode_places(&mut state, &objects)?;
        }
        digests.present.copy_from_slice(state.take(pages.div_ceil(8))?);
        if !pages.is_multiple_of(8)
            && digests.present.last().is_some_and(|last| last >> (pages % 8) != 0)
        {
            return Err(RestoreError::FileInvalid {
                file: file.to_owned(),
                expected: "no page beyond memory".to_owned(),
                found: "some".to_owned(),
            });
        }
        for chunk in 0..digests.index.len() {
            let mut inside = chunk * CHUNK_PAGES..((chunk + 1) * CHUNK_PAGES).min(pages);
            if inside.any(|page| digests.holds(page)) {
                digests.set_digest(chunk, state.array()?);
            }
        }
        let (stored, placed) = (digests.digests.len(), digests.places.len());
        if version >= WITH_OBJECTS && stored != placed {
            let expected = format!("a place for each of {stored} chunks");
            return Err(state.refuse(expected, placed.to_string()).into());
        }
        if version > 1 {
            digests.decode_fillings(&mut state)?;
        }
        state.finish()?;
        Ok(digests)
    }

    fn decode_places(
        &mut self,
        state: &mut StateReader<'_>,
        objects: &[Object],
    ) -> Result<(), StateError> {
        let most = self.index.len();
        let mut is_needed = vec![false; objects.len()];
        for _ in 0..state.u32()? {
            let place = Place { object: state.u32()?, slot: state.u32()? };
            let length = state.u32()?;
            let end = u64::from(place.slot) + u64::from(length);
            let object = objects.get(place.object as usize);
            let is_inside = object.is_some_and(|object| end <= u64::from(object.slots));
            if length == 0 || !is_inside || self.places.len() + length as usize > most {
                let expected = format!("runs of at most {most} chunks, each inside an object");
                let found = format!("{length} from slot {} of object {}", place.slot, place.object);
                return Err(state.refuse(expected, found));
            }
            is_needed[place.object as usize] = true;
            self.places.push_run(place, length);
        }
        match is_needed.iter().position(|is_needed| !is_needed) {
            Some(unneeded) => {
                Err(state.refuse("objects that have a chunk", format!("none in object {unneeded}")))
            }
            None => Ok(()),
        }
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
