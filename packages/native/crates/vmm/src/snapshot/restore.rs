//! Taking a machine out of files.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::header::{MachineFile, read_machine};
use super::image::{Image, MAX_LAYERS};
use super::layer::Layer;
use super::{RestoreError, SnapshotId};
use crate::engine::Engine;
use crate::machine::{Lineage, Machine, Restored};
use crate::memory::{GuestMemory, PAGE_BYTES};

/// How a machine is restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// The snapshot that it must be.
    pub expected_id: Option<SnapshotId>,
    /// Bytes of events that the machine keeps; none: as usual.
    pub log_bytes: Option<usize>,
}

/// A snapshot and its parents, checked except for memory itself.
struct Chain {
    newest: MachineFile,
    layers: Vec<std::sync::Arc<Layer>>,
}

impl Chain {
    fn open(directories: &[PathBuf], expected: Option<SnapshotId>) -> Result<Self, RestoreError> {
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
        let newest = read_machine(first)?;
        if let Some(expected) = expected
            && newest.id != expected
        {
            return Err(RestoreError::IdMismatch {
                path: first.display().to_string(),
                expected: expected.to_string(),
                found: newest.id.to_string(),
            });
        }
        let mut layers = vec![Layer::open(first, &newest)?];
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
            let parent = read_machine(directory)?;
            let found = parent.id.to_string();
            if found != expected {
                return Err(RestoreError::ParentMismatch { path, expected, found });
            }
            let memory = |file: &MachineFile| {
                (file.header.origin.memory_base, file.header.origin.memory_bytes)
            };
            if memory(&parent) != memory(&newest) {
                return Err(RestoreError::FileInvalid {
                    file: path,
                    expected: format!("memory {:?}", memory(&newest)),
                    found: format!("{:?}", memory(&parent)),
                });
            }
            layers.push(Layer::open(directory, &parent)?);
            wanted = parent.header.parent;
            child = directory;
        }
        match wanted {
            Some(expected) => {
                Err(RestoreError::ParentMissing { path: child.display().to_string(), expected })
            }
            None => Ok(Self { newest, layers }),
        }
    }
}

impl Machine {
    /// The machine that was captured to the first of `directories`; the others are its parent,
    /// its parent's parent and so on, if it is a delta. Everything but memory is checked now, each
    /// chunk of memory when the guest first touches it. Costs the state and not the memory;
    /// machines restored from the same snapshot share it.
    ///
    /// # Errors
    /// [`RestoreError`]; nothing has been executed then.
    pub fn restore(
        directories: &[PathBuf],
        mut engine: Box<dyn Engine>,
        options: &RestoreOptions,
    ) -> Result<Self, RestoreError> {
        let Chain { newest, layers } = Chain::open(directories, options.expected_id)?;
        let path = directories.first().map_or_else(String::new, |d| d.display().to_string());
        let origin = newest.header.origin;
        let board = engine.board();
        let (expected, found) =
            ((engine.name(), board.name()), (origin.engine.as_str(), origin.board.as_str()));
        if expected != found || origin.memory_base != board.layout().memory_base {
            return Err(RestoreError::EngineMismatch {
                path,
                expected: format!("{} on board {}", expected.0, expected.1),
                found: format!("{} on board {}", found.0, found.1),
            });
        }
        let loaded = catch_unwind(AssertUnwindSafe(|| engine.load(&newest.engine)));
        loaded.map_err(|_| RestoreError::EngineFailed)??;
        let pages = (origin.memory_bytes / PAGE_BYTES as u64) as usize;
        let image = Image::of(layers, pages);
        let memory = GuestMemory::restored(origin.memory_base, pages, image.leaves(), image);
        let machine = Self::restored(Restored {
            engine,
            memory,
            origin,
            platform: newest.platform,
            progress: newest.progress,
            lineage: Lineage::of(newest.id.0),
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
/// included, and compares it with what was captured.
///
/// # Errors
/// [`RestoreError`] at the first byte that is not as captured.
pub fn verify(directories: &[PathBuf]) -> Result<(), RestoreError> {
    for layer in Chain::open(directories, None)?.layers {
        layer.verify()?;
    }
    Ok(())
}
