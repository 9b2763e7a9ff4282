//! Disks in snapshots: their entries in the header, and their reconstruction.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::encryption::disk_table;
use super::header::{DiskHeader, MachineFile, SourceHeader, read_file};
use super::image::Image;
use super::layer::{Layer, PagesFile};
use super::{RestoreError, SnapshotId};
use crate::disks::{Blocks, Disk, DiskParts, Disks, SourceFile, blocks_with_digest};
use crate::memory::{PAGE_BYTES, PagedMemory};

/// The present path of the file that a disk is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSource {
    /// The disk.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

/// The files of disk number `number`: pages, digests, blocks of its source.
pub(super) fn file_names(number: usize) -> [String; 3] {
    ["bin", "digests", "blocks"].map(|end| format!("disk-{number}.{end}"))
}

/// The layers of one disk in the snapshots of a chain, newest first.
pub(super) struct Layers {
    disk: DiskHeader,
    /// The directory of the newest, for the blocks of the disk's source.
    directory: PathBuf,
    pages: Vec<Arc<Layer>>,
    /// Whether the parents have no more of it.
    is_complete: bool,
}

impl Layers {
    /// Of the disks of the newest snapshot.
    pub(super) fn begin(directory: &Path, newest: &MachineFile) -> Result<Vec<Self>, RestoreError> {
        let mut all: Vec<_> = newest
            .header
            .disks
            .iter()
            .map(|disk| Self {
                disk: disk.clone(),
                directory: directory.to_owned(),
                pages: Vec::new(),
                is_complete: false,
            })
            .collect();
        Self::add(&mut all, directory, newest)?;
        Ok(all)
    }

    /// Adds the layer of the next older snapshot.
    pub(super) fn add(
        all: &mut [Self],
        directory: &Path,
        snapshot: &MachineFile,
    ) -> Result<(), RestoreError> {
        for layers in all.iter_mut().filter(|layers| !layers.is_complete) {
            let path = || directory.display().to_string();
            let of_number = |disk: &&DiskHeader| disk.number == layers.disk.number;
            let Some(disk) = snapshot.header.disks.iter().find(of_number) else {
                return Err(RestoreError::FileInvalid {
                    file: path(),
                    expected: format!("a disk {:?} that the delta continues", layers.disk.name),
                    found: "none".to_owned(),
                });
            };
            if (&disk.name, disk.size_bytes) != (&layers.disk.name, layers.disk.size_bytes) {
                return Err(RestoreError::FileInvalid {
                    file: path(),
                    expected: format!("disk {:?} of {}", layers.disk.name, layers.disk.size_bytes),
                    found: format!("disk {:?} of {}", disk.name, disk.size_bytes),
                });
            }
            layers.is_complete = disk.complete;
            if let Some(digests_digest) = &disk.digests_digest {
                let [name, digests_name, _] = file_names(disk.number as usize);
                let pages = PagesFile {
                    name: &name,
                    digests_name: &digests_name,
                    digests_digest,
                    bytes: disk.page_bytes(),
                    cipher: snapshot
                        .cipher()
                        .map(|cipher| cipher.of_table(disk_table(disk.number as usize))),
                };
                layers.pages.push(Layer::open(directory, snapshot.id, &pages)?);
            }
        }
        Ok(())
    }

    pub(super) fn pages(&self) -> impl Iterator<Item = &Arc<Layer>> {
        self.pages.iter()
    }

    /// Reads and checks the disk's source.
    pub(super) fn verify_source(&self) -> Result<(), RestoreError> {
        let Some(source) = &self.disk.source else { return Ok(()) };
        let table = self.table(source)?;
        let root = source.digest.parse::<SnapshotId>().map(|id| id.0).unwrap_or_default();
        match Blocks::decode(source.size_bytes, &table, root) {
            Some(_) => Ok(()),
            None => Err(self.table_corrupt(source)),
        }
    }

    fn table_path(&self) -> PathBuf {
        self.directory.join(&file_names(self.disk.number as usize)[2])
    }

    fn table(&self, source: &SourceHeader) -> Result<Vec<u8>, RestoreError> {
        read_file(&self.table_path(), Blocks::table_bytes(source.size_bytes))
    }

    fn table_corrupt(&self, source: &SourceHeader) -> RestoreError {
        RestoreError::FileCorrupt {
            file: self.table_path().display().to_string(),
            expected: source.digest.clone(),
            found: "digests of another file's blocks".to_owned(),
        }
    }

    /// The file that the disk is read from, here or where it is now.
    fn source(&self, now_at: Option<&Path>) -> Result<Option<SourceFile>, RestoreError> {
        let Some(source) = &self.disk.source else { return Ok(None) };
        let SourceHeader { path, size_bytes, digest } = source;
        let root = digest.parse::<SnapshotId>().map(|id| id.0).unwrap_or_default();
        let Some(blocks) = blocks_with_digest(*size_bytes, root, || self.table(source))? else {
            return Err(self.table_corrupt(source));
        };
        let opened = SourceFile::open_as(&self.disk.name, now_at.unwrap_or(path), blocks);
        let expected = digest.clone();
        opened.map(Some).map_err(|problem| RestoreError::DiskSource { problem, expected })
    }
}

/// The disks of a chain.
pub(super) fn open_disks(
    all: Vec<Layers>,
    headers: &[DiskHeader],
    sources: &[DiskSource],
) -> Result<Disks, RestoreError> {
    for DiskSource { name, path } in sources {
        match headers.iter().find(|disk| disk.name == *name) {
            Some(DiskHeader { source: Some(_), .. }) => {}
            Some(disk) => {
                return Err(RestoreError::DiskIsCopy {
                    name: name.clone(),
                    access: disk.access.name(),
                    found: path.display().to_string(),
                });
            }
            None => {
                let known = headers.iter().filter(|disk| disk.source.is_some());
                let known: Vec<_> = known.map(|disk| format!("{:?}", disk.name)).collect();
                return Err(RestoreError::DiskUnknown {
                    expected: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
                    found: name.chars().take(40).collect(),
                });
            }
        }
    }
    let mut disks = Disks::default();
    for layers in all {
        let given = sources.iter().find(|source| source.name == layers.disk.name);
        let base = layers.source(given.map(|source| source.path.as_path()))?;
        let Layers { disk, pages, .. } = layers;
        let page_bytes = disk.page_bytes();
        let own = if pages.is_empty() {
            PagedMemory::new(0, page_bytes)
        } else {
            let count = (page_bytes / PAGE_BYTES as u64) as usize;
            PagedMemory::restored(0, page_bytes, Image::of(pages, count, false))
        };
        let DiskHeader { number, name, access, size_bytes: bytes, .. } = disk;
        let parts = DiskParts { name, access, bytes, own, base };
        disks.put(number as usize, Disk::restored(parts));
    }
    Ok(disks)
}
