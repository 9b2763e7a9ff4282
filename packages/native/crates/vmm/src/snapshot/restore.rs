//! Taking a machine out of files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disks::{DiskSource, Layers, open_disks};
use super::encryption::{EncryptionKey, MEMORY_TABLE};
use super::header::{Access, Content, MachineFile, read_machine};
use super::image::{Image, MAX_LAYERS};
use super::layer::{Layer, PagesFile};
use super::{DIGESTS_FILE, MEMORY_FILE, RestoreError, SnapshotId};
use crate::engines::Engines;
use crate::machine::{Lineage, Machine, MemoryDescription, Restored};
use crate::memory::PAGE_BYTES;

/// Options of a restore.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// The present paths of files that disks are read from, if they have changed.
    pub disk_sources: Vec<DiskSource>,
    /// The snapshot that it must be.
    pub expected_id: Option<SnapshotId>,
    /// Bytes of events that the machine keeps; none: as usual.
    pub log_bytes: Option<usize>,
    /// The key that the snapshot and its parents are encrypted with. One that is not encrypted is
    /// refused with a key, as anyone can have written it.
    pub encryption_key: Option<EncryptionKey>,
}

fn memory_layer(directory: &Path, machine: &MachineFile) -> Result<Arc<Layer>, RestoreError> {
    let header = &machine.header;
    let pages = PagesFile {
        name: MEMORY_FILE,
        digests_name: DIGESTS_FILE,
        digests_digest: &header.digests_digest,
        bytes: header.origin.machine.memory.size_bytes,
        cipher: machine.cipher().map(|cipher| cipher.of_table(MEMORY_TABLE)),
    };
    Layer::open(directory, machine.id, &pages)
}

/// A snapshot and its parents, checked except for memory itself.
struct Chain {
    newest: MachineFile,
    layers: Vec<Arc<Layer>>,
    disks: Vec<Layers>,
}

impl Chain {
    fn open(
        directories: &[PathBuf],
        expected: Option<SnapshotId>,
        access: Access<'_>,
    ) -> Result<Self, RestoreError> {
        let Some((first, parents)) = directories.split_first() else {
            return Err(RestoreError::SnapshotMissing {
                path: String::new(),
                found: "no directory given".to_owned(),
            });
        };
        if directories.len() > MAX_LAYERS {
            return Err(RestoreError::FileInvalid {
                file: first.display().to_string(),
                expected: format!("at most {MAX_LAYERS} snapshots on each other: write a full one"),
                found: directories.len().to_string(),
            });
        }
        let newest = read_machine(first, access)?;
        if let Some(expected) = expected
            && newest.id != expected
        {
            return Err(RestoreError::IdMismatch {
                path: first.display().to_string(),
                expected: expected.to_string(),
                found: newest.id.to_string(),
            });
        }
        let mut layers = vec![memory_layer(first, &newest)?];
        let mut disks = Layers::begin(first, &newest)?;
        let mut wanted = newest.header.parent.clone();
        let mut child: &Path = first;
        for directory in parents {
            let path = directory.display().to_string();
            let Some(expected) = wanted else {
                return Err(RestoreError::ParentMismatch {
                    path,
                    expected: "no parent: the snapshot before it is full".to_owned(),
                    found: "a directory".to_owned(),
                });
            };
            let parent = read_machine(directory, access)?;
            let found = parent.id.to_string();
            if found != expected {
                return Err(RestoreError::ParentMismatch { path, expected, found });
            }
            let memory = |file: &MachineFile| file.header.origin.machine.memory.clone();
            if memory(&parent) != memory(&newest) {
                return Err(RestoreError::FileInvalid {
                    file: path,
                    expected: format!("memory {:?}", memory(&newest)),
                    found: format!("{:?}", memory(&parent)),
                });
            }
            layers.push(memory_layer(directory, &parent)?);
            Layers::add(&mut disks, directory, &parent)?;
            wanted = parent.header.parent;
            child = directory;
        }
        match wanted {
            Some(expected) => {
                Err(RestoreError::ParentMissing { path: child.display().to_string(), expected })
            }
            None => Ok(Self { newest, layers, disks }),
        }
    }
}

impl Machine {
    /// Restores the machine that was captured to the first of `directories`; the others are its
    /// parent, its parent's parent and so on, if it is a delta. Everything except memory is checked
    /// now, and each chunk of memory on its first touch. The cost depends on the state, not on
    /// memory; machines restored from the same snapshot share it. The snapshot describes the
    /// machine, and names its engine among `engines`.
    ///
    /// # Errors
    /// [`RestoreError`]; nothing has been executed then.
    pub fn restore(
        directories: &[PathBuf],
        engines: &Engines,
        options: &RestoreOptions,
    ) -> Result<Self, RestoreError> {
        let access = Access::Restore(options.encryption_key.as_ref());
        let Chain { newest, layers, disks } =
            Chain::open(directories, options.expected_id, access)?;
        let path = directories.first().map_or_else(String::new, |d| d.display().to_string());
        let (Content::Plain(state) | Content::Opened(state, _)) = newest.content else {
            // Only what is read for its files stays sealed.
            return Err(RestoreError::FileForged { file: path, expected: "none".to_owned() });
        };
        let origin = newest.header.origin;
        let described = &origin.machine;
        let found = format!("{} on board {}", described.engine, described.board);
        let mismatch = |expected| RestoreError::EngineMismatch {
            path: path.clone(),
            expected,
            found: found.clone(),
        };
        let engine = engines
            .make(&described.engine)
            .map_err(|refused| mismatch(engines.expected(&refused)))?;
        let board = engine.board();
        if described.engine != engine.name() || described.board != board.name() {
            return Err(mismatch(format!("{} on board {}", engine.name(), board.name())));
        }
        described.check(board)?;
        let pages = (described.memory.size_bytes / PAGE_BYTES as u64) as usize;
        let image = Image::of(layers, pages, true);
        let MemoryDescription { base, size_bytes } = described.memory;
        let memory = engine.restored_memory(base, size_bytes, image);
        let disks = open_disks(disks, &newest.header.disks, &options.disk_sources)?;
        let machine = Self::restored(Restored {
            engine,
            memory,
            disks,
            origin,
            state,
            lineage: Lineage::of(
                newest.id.0,
                options.encryption_key.as_ref().map(EncryptionKey::id),
            ),
            log_bytes: options.log_bytes,
        })?;
        if machine.now() != newest.header.at_nanos || machine.next_seq() != newest.header.next_seq {
            return Err(RestoreError::FileInvalid {
                file: path,
                expected: "a header that agrees with the state".to_owned(),
                found: "another time or event".to_owned(),
            });
        }
        Ok(machine)
    }
}

/// Reads every byte of the snapshot in the first of `directories` and of its parents, holes
/// included, and compares it with the captured data. That needs no key: what is compared is what was
/// stored. It does not show whether someone has adapted the digests too.
///
/// # Errors
/// [`RestoreError`] at the first byte that is not as captured.
pub fn verify(directories: &[PathBuf]) -> Result<(), RestoreError> {
    let Chain { layers, disks, .. } = Chain::open(directories, None, Access::Files)?;
    for layer in layers.iter().chain(disks.iter().flat_map(Layers::pages)) {
        layer.verify()?;
    }
    for disk in &disks {
        disk.verify_source()?;
    }
    Ok(())
}
