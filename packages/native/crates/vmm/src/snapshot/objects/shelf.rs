//! The objects of a store's other snapshots, in a folder of hard links, as a capture uses them.
//!
//! Nothing there is trusted: a chunk is used only if the object's bytes are the guest's, and an object
//! only if it is a private file of this user whose index gives its name.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{DIGEST_BYTES, Object, Place};
use crate::snapshot::CHUNK_BYTES;
use crate::snapshot::header::open_file;

/// Maximum number of objects in which a capture looks for its chunks, the newest ones first: some 16
/// GiB.
const MOST_OBJECTS: usize = 1024;

/// An object in the folder.
struct Shelved {
    object: Object,
    state: State,
}

enum State {
    /// Nothing of it has been used.
    Found { device: u64, inode: u64 },
    /// The capture has it, as this one of its objects.
    Linked { file: File, number: u32 },
    /// It is not what it claims, it vanished, or it cannot be linked.
    Unusable,
}

/// The folder.
pub(super) struct Shelf {
    folder: PathBuf,
    objects: Vec<Shelved>,
    /// Object and slot by the beginning of the slot's digest.
    slots: HashMap<u64, (u32, u32)>,
    /// How many more of the objects may be linked.
    room: usize,
}

/// A found chunk: in an object that the capture has, or in one that it has to link first.
pub(super) enum Found {
    Linked(Place),
    Unlinked { shelved: u32, slot: u32 },
}

fn prefix(digest: &[u8; DIGEST_BYTES]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

impl Shelf {
    /// Reads the indexes in `folder`, of which at most `room` objects may be used: an object costs each
    /// restore an open file, however little of it is used. A missing folder is empty.
    pub(super) fn open(folder: &Path, room: usize) -> Self {
        let mut found: Vec<_> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                let object = Object::of_file(entry.file_name().to_str()?, metadata.len())?;
                is_private(&metadata).then_some((object, metadata))
            })
            .collect();
        found.sort_by_key(|(object, metadata)| {
            (std::cmp::Reverse((metadata.mtime(), metadata.mtime_nsec())), object.id.0)
        });
        found.truncate(MOST_OBJECTS);
        let mut shelf =
            Self { folder: folder.to_owned(), objects: Vec::new(), slots: HashMap::new(), room };
        shelf.slots.reserve(found.iter().map(|(object, _)| object.slots as usize).sum());
        for (object, metadata) in found {
            let Some(index) = shelf
                .open_same(object, metadata.dev(), metadata.ino())
                .and_then(|file| read_index(&file, object))
            else {
                continue;
            };
            let number = shelf.objects.len() as u32;
            for (slot, digest) in index.as_chunks::<DIGEST_BYTES>().0.iter().enumerate() {
                shelf.slots.entry(prefix(digest)).or_insert((number, slot as u32));
            }
            let state = State::Found { device: metadata.dev(), inode: metadata.ino() };
            shelf.objects.push(Shelved { object, state });
        }
        shelf
    }

    fn path(&self, object: Object) -> PathBuf {
        self.folder.join(object.id.to_string())
    }

    /// Opens an object if it is the very file that was found, and is one to use.
    fn open_same(&self, object: Object, device: u64, inode: u64) -> Option<File> {
        let file = open_file(&self.path(object)).ok()?;
        let metadata = file.metadata().ok()?;
        let is_same = (metadata.dev(), metadata.ino()) == (device, inode);
        (is_same && is_private(&metadata) && metadata.len() == object.bytes()).then_some(file)
    }

    /// Where a chunk is, its bytes compared with those that are there.
    pub(super) fn find(
        &mut self,
        digest: &[u8; DIGEST_BYTES],
        bytes: &[u8],
        scratch: &mut [u8; CHUNK_BYTES],
    ) -> Option<Found> {
        let (shelved, slot) = *self.slots.get(&prefix(digest))?;
        let Shelved { object, state } = self.objects.get(shelved as usize)?;
        let is_there = |file: &File, scratch: &mut [u8; CHUNK_BYTES]| {
            let offset = u64::from(slot) * CHUNK_BYTES as u64;
            file.read_exact_at(scratch, offset).is_ok() && scratch == bytes
        };
        match state {
            State::Linked { file, number } => {
                is_there(file, scratch).then_some(Found::Linked(Place { object: *number, slot }))
            }
            State::Found { device, inode } if self.room > 0 => {
                let file = self.open_same(*object, *device, *inode)?;
                is_there(&file, scratch).then_some(Found::Unlinked { shelved, slot })
            }
            State::Found { .. } | State::Unusable => None,
        }
    }

    /// Links an object into a capture's directory, where it is object `number`; `None` if that cannot be
    /// done: the object is then not used at all.
    pub(super) fn link(&mut self, shelved: u32, directory: &Path, number: u32) -> Option<Object> {
        let Shelved { object, state } = self.objects.get(shelved as usize)?;
        let State::Found { device, inode } = *state else { return None };
        let object = *object;
        let linked = self.linked(object, device, inode, directory);
        let is_linked = linked.is_some();
        if let Some(shelved) = self.objects.get_mut(shelved as usize) {
            shelved.state = linked.map_or(State::Unusable, |file| State::Linked { file, number });
        }
        self.room -= usize::from(is_linked);
        is_linked.then_some(object)
    }

    fn linked(&self, object: Object, device: u64, inode: u64, directory: &Path) -> Option<File> {
        let file = self.open_same(object, device, inode)?;
        // The snapshot's own check would refuse it later.
        let index = read_index(&file, object)?;
        if *blake3::hash(&index).as_bytes() != object.id.0 {
            return None;
        }
        let target = directory.join(object.id.to_string());
        std::fs::hard_link(self.path(object), &target).ok()?;
        // The path may have come to mean another file.
        let metadata = std::fs::symlink_metadata(&target).ok();
        if metadata.is_none_or(|found| (found.dev(), found.ino()) != (device, inode)) {
            let _ = std::fs::remove_file(&target);
            return None;
        }
        Some(file)
    }
}

/// Whether a file belongs to this user alone.
fn is_private(metadata: &std::fs::Metadata) -> bool {
    // SAFETY: it takes no arguments and always succeeds.
    let user = unsafe { libc::geteuid() };
    metadata.is_file() && metadata.uid() == user && metadata.mode() & 0o077 == 0
}

fn read_index(file: &File, object: Object) -> Option<Vec<u8>> {
    let mut index = vec![0; object.slots as usize * DIGEST_BYTES];
    file.read_exact_at(&mut index, object.index_offset()).ok()?;
    Some(index)
}
