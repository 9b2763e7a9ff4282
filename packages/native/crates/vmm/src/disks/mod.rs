//! The disks of a machine.
//!
//! ```text
//!  virtio/block ──read, write, zero, flush──▶ Disk
//!                                              │ own pages: written or cleared, copy-on-write,
//!                                              │ shared with forks, counted since marks
//!                                              ▼ else
//!                 ┌────────────┬───────────────────────┬─────────────────────────────┐
//!              zeros      SourceFile                 Writer                        View
//!            (scratch)    read only, every block    a volume: written through,    what a volume
//!                         verified when it is read  locked by the kernel          was at a fork
//! ```
//! Disks belong to a machine as its memory does: a device names one by its number, forks share
//! pages until either writes, and captures hold what memory and disks were at one instant. A file
//! that fails, or has become another, is an error of the one request that needed it.

mod attached;
mod blocks;
mod disk;
mod error;
mod files;
mod foreign;
mod holders;
mod known;
mod recorded;
mod source;
mod spec;
mod told;
mod volume;

pub use attached::Attached;
pub(crate) use blocks::Blocks;
pub use disk::Disk;
pub(crate) use disk::DiskParts;
pub use error::{DiskError, DiskFault, Unfinished};
pub(crate) use known::blocks_with_digest;
pub(crate) use recorded::RecordedFailure;
pub(crate) use source::SourceFile;
pub(crate) use spec::is_name;
pub use spec::{Access, DiskSpec};

use std::collections::VecDeque;
use std::path::Path;

use crate::event::DiskOperation;
use crate::file_key::FileKey;
use crate::memory::{Mark, MemoryError, PageSet};
use crate::state::StateWriter;
use crate::time::Nanos;

/// Bytes that disks are addressed in.
pub const SECTOR_BYTES: u64 = 512;
/// Largest disk.
pub const MAX_DISK_BYTES: u64 = 256 << 30;
/// Longest name of a disk, which is its serial number in the guest.
pub const MAX_NAME_BYTES: usize = 20;
/// Maximum number of disks and slots of a machine.
pub const MAX_DISKS: usize = 24;

/// The disks of one machine, by number; a slot may be empty.
#[derive(Default)]
pub struct Disks {
    disks: Vec<Option<Disk>>,
    /// Recorded failures that will be repeated, in order.
    recorded: VecDeque<RecordedFailure>,
}

impl Disks {
    /// Opens the described disks in order, followed by `slots` empty ones.
    ///
    /// # Errors
    /// [`DiskError`] for the first that cannot be had.
    pub(crate) fn open(specs: &[DiskSpec], slots: usize) -> Result<Self, DiskError> {
        let found = specs.len().saturating_add(slots);
        if found > MAX_DISKS {
            return Err(DiskError::TooManyDisks { expected: MAX_DISKS, found });
        }
        let mut disks = Self::default();
        for spec in specs {
            let disk = disks.open_beside(spec)?;
            disks.disks.push(Some(disk));
        }
        disks.disks.resize_with(found, || None);
        Ok(disks)
    }

    /// Opens a disk that is to stand beside these: none of them has its name, or a file that either writes to.
    ///
    /// # Errors
    /// [`DiskError`] if it cannot be had.
    pub(crate) fn open_beside(&self, spec: &DiskSpec) -> Result<Disk, DiskError> {
        if self.iter().any(|(_, disk)| disk.name() == spec.name) {
            return Err(DiskError::DiskNameTaken { name: spec.name.clone() });
        }
        Disk::open(spec).map_err(|error| match error {
            DiskError::DiskInUse { name, path, expected, found } => {
                let found = self.having(Path::new(&path)).unwrap_or(found);
                DiskError::DiskInUse { name, path, expected, found }
            }
            other => other,
        })
    }

    /// The disk of these that has the file, as an error says it.
    fn having(&self, path: &Path) -> Option<String> {
        let file = FileKey::of(&path.metadata().ok()?).file();
        let (_, disk) = self.iter().find(|(_, disk)| disk.file() == Some(file))?;
        let name = disk.name();
        Some(format!(
            "the disk {name:?} of the same machine: name the file once, or take a copy of it"
        ))
    }

    /// Puts a disk at a number.
    pub(crate) fn put(&mut self, number: usize, disk: Disk) {
        if number >= self.disks.len() {
            self.disks.resize_with(number + 1, || None);
        }
        self.disks[number] = Some(disk);
    }

    /// The disk of that number.
    pub fn get(&self, number: usize) -> Option<&Disk> {
        self.disks.get(number)?.as_ref()
    }

    /// The disk of that number.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut Disk> {
        self.disks.get_mut(number)?.as_mut()
    }

    /// The disks that there are, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Disk)> {
        self.disks.iter().enumerate().filter_map(|(number, disk)| Some((number, disk.as_ref()?)))
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Disk> {
        self.disks.iter_mut().flatten()
    }

    /// Disks with the same content that share every page with these until either writes.
    pub(crate) fn fork(&mut self) -> Self {
        let disks = self.disks.iter_mut().map(|disk| disk.as_mut().map(Disk::fork)).collect();
        Self { disks, recorded: self.recorded.clone() }
    }

    /// Has operations fail as they did when they were recorded.
    pub(crate) fn repeat_failures(&mut self, recorded: VecDeque<RecordedFailure>) {
        self.recorded = recorded;
    }

    /// The recorded failure of an operation on these bytes of a disk.
    pub(crate) fn recorded_failure(
        &mut self,
        disk: &str,
        now: Nanos,
        operation: DiskOperation,
        offset: u64,
        len: u64,
    ) -> Option<RecordedFailure> {
        while self.recorded.front().is_some_and(|first| first.at_nanos < now) {
            self.recorded.pop_front();
        }
        let is_it = |one: &RecordedFailure| one.is_of(disk, now, operation, offset, len);
        let place = self.recorded.iter().position(is_it)?;
        self.recorded.remove(place)
    }

    /// Counts all later writes as written since `mark`.
    pub(crate) fn follow(&mut self, mark: Mark) {
        self.iter_mut().for_each(|disk| disk.follow(mark));
    }

    /// By number: the pages written since `mark`.
    pub(crate) fn pages_since(&self, mark: Mark) -> Vec<PageSet> {
        let since = |disk: &Option<Disk>| {
            disk.as_ref().map_or_else(PageSet::default, |disk| disk.pages_since(mark))
        };
        self.disks.iter().map(since).collect()
    }

    /// Appends what tells these disks from others with as many, nothing if there are none. What
    /// volumes hold is not among it: that is not the machine's alone.
    pub(crate) fn digest(
        &mut self,
        mark: Mark,
        state: &mut StateWriter,
    ) -> Result<(), MemoryError> {
        for (number, disk) in self.disks.iter_mut().enumerate() {
            if let Some(disk) = disk {
                state.u32(number as u32);
                disk.digest(mark, state)?;
            }
        }
        Ok(())
    }

    /// Bytes of host memory that these disks alone hold.
    pub(crate) fn own_bytes(&self) -> u64 {
        self.iter().map(|(_, disk)| disk.own_bytes()).sum()
    }
}

#[cfg(test)]
pub(crate) mod tests;
