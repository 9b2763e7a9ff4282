//! The objects of a capture: those that it writes, and those that it shares.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::shelf::{Found, Shelf};
use super::{DIGEST_BYTES, MOST_SLOTS, Object, ObjectId, Place};
use crate::snapshot::output::Output;
use crate::snapshot::{CHUNK_BYTES, WriteError};

/// An object that is being written; its name is known when it is complete.
pub(in crate::snapshot) const PARTIAL_FILE: &str = "object.partial";

/// Bytes written with one call.
const RUN_BYTES: usize = 1 << 20;

/// Objects that a capture may use of a store's others, beside as many as its chunks would fill. Each
/// one costs every restore an open file, so small parts of many objects are written again instead.
const ROOM: usize = 32;

/// An object of the capture.
struct Used {
    /// `None` while it is being written.
    object: Option<Object>,
    /// The first table that refers to it.
    table: Cow<'static, str>,
}

struct Open {
    file: File,
    number: u32,
    index: Vec<u8>,
    written: u64,
    waiting: Vec<u8>,
}

/// The objects of a capture.
pub(in crate::snapshot) struct Objects {
    shelf: Option<Shelf>,
    used: Vec<Used>,
    own: HashMap<[u8; DIGEST_BYTES], Place>,
    open: Option<Open>,
    scratch: Box<[u8; CHUNK_BYTES]>,
}

impl Objects {
    /// Of a capture of at most `chunks` chunks, which may use the objects in the folder `shared`.
    pub(in crate::snapshot) fn new(shared: Option<&Path>, chunks: usize) -> Self {
        Self {
            shelf: shared.map(|folder| Shelf::open(folder, ROOM + chunks / MOST_SLOTS)),
            used: Vec::new(),
            own: HashMap::new(),
            open: None,
            scratch: Box::new([0; CHUNK_BYTES]),
        }
    }

    /// Puts a chunk into an object, unless one has it; returns its place.
    pub(in crate::snapshot) fn put(
        &mut self,
        output: &mut Output<'_>,
        table: &str,
        digest: [u8; DIGEST_BYTES],
        bytes: &[u8],
    ) -> Result<Place, WriteError> {
        if let Some(place) = self.own.get(&digest) {
            return Ok(*place);
        }
        let place = match self.shared(output, table, &digest, bytes)? {
            Some(place) => return Ok(place),
            None => self.write(output, table, digest, bytes)?,
        };
        self.own.insert(digest, place);
        Ok(place)
    }

    /// The place of a chunk in an object of the store's others.
    fn shared(
        &mut self,
        output: &mut Output<'_>,
        table: &str,
        digest: &[u8; DIGEST_BYTES],
        bytes: &[u8],
    ) -> Result<Option<Place>, WriteError> {
        let Some(shelf) = &mut self.shelf else { return Ok(None) };
        let (shelved, slot) = match shelf.find(digest, bytes, &mut self.scratch) {
            None => return Ok(None),
            Some(Found::Linked(place)) => return Ok(Some(place)),
            Some(Found::Unlinked { shelved, slot }) => (shelved, slot),
        };
        let number = self.used.len() as u32;
        let Some(object) = shelf.link(shelved, output.directory(), number) else { return Ok(None) };
        output.linked(object.id.to_string().into(), table)?;
        self.used.push(Used { object: Some(object), table: Cow::Owned(table.to_owned()) });
        Ok(Some(Place { object: number, slot }))
    }

    fn write(
        &mut self,
        output: &mut Output<'_>,
        table: &str,
        digest: [u8; DIGEST_BYTES],
        bytes: &[u8],
    ) -> Result<Place, WriteError> {
        if self.open.as_ref().is_some_and(|open| open.index.len() == MOST_SLOTS * DIGEST_BYTES) {
            self.complete(output)?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let number = self.used.len() as u32;
                let file = output.create(PARTIAL_FILE)?;
                self.used.push(Used { object: None, table: Cow::Owned(table.to_owned()) });
                let waiting = Vec::with_capacity(RUN_BYTES);
                none.insert(Open { file, number, index: Vec::new(), written: 0, waiting })
            }
        };
        let slot = (open.index.len() / DIGEST_BYTES) as u32;
        open.index.extend_from_slice(&digest);
        open.waiting.extend_from_slice(bytes);
        if open.waiting.len() >= RUN_BYTES {
            open.flush(output)?;
        }
        Ok(Place { object: open.number, slot })
    }

    /// Completes the object that is being written, and begins to make it durable.
    fn complete(&mut self, output: &mut Output<'_>) -> Result<(), WriteError> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let id = ObjectId(*blake3::hash(&open.index).as_bytes());
        open.waiting.extend_from_slice(&open.index);
        open.flush(output)?;
        let slots = (open.index.len() / DIGEST_BYTES) as u32;
        let name = Cow::Owned(id.to_string());
        output.rename(PARTIAL_FILE, &name)?;
        if let Some(used) = self.used.get_mut(open.number as usize) {
            used.object = Some(Object { id, slots });
            output.finish(name, open.file, Some(used.table.clone()), None);
        }
        Ok(())
    }

    /// Completes the last object; returns all of them, by the numbers in the places.
    pub(in crate::snapshot) fn finish(
        mut self,
        output: &mut Output<'_>,
    ) -> Result<Vec<Object>, WriteError> {
        self.complete(output)?;
        Ok(self.used.into_iter().filter_map(|used| used.object).collect())
    }
}

impl Open {
    fn flush(&mut self, output: &Output<'_>) -> Result<(), WriteError> {
        self.file.write_all_at(&self.waiting, self.written).map_err(|error| {
            output.failed(PARTIAL_FILE, &error, self.written + self.waiting.len() as u64)
        })?;
        self.written += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }
}
