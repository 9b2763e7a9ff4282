//! A file that one machine writes through to, while others see its earlier content.
//!
//! ```text
//!  writer ──write──▶ file                        views: forks, and captures being written
//!            │                                     │ read
//!            └─ what stood there, while a ─▶ kept ◀┘ first, then the file
//!               view may still ask for it
//! ```
//! A view is of one moment. Before the writer changes a page that a view has not been kept yet, the
//! page is kept; with the last view everything that was kept goes.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::files::{Opened, Sharing, fault, lock, open};
use super::{DiskError, DiskFault, Unfinished};
use crate::event::DiskFailure;
use crate::file_key::FileId;
use crate::memory::{KeptCopy, PAGE_BYTES, PageSet};

const PAGE: u64 = PAGE_BYTES as u64;
/// Pages that are read together where they are kept.
const KEPT_TOGETHER: u64 = 64;

#[derive(Default)]
struct Views {
    /// Whether a machine is the writer.
    is_written: bool,
    /// Why an earlier flush failed. Its data may be lost, and the operating system reports that only
    /// once: it would report success for the next flush.
    lost: Option<DiskFault>,
    /// Number of the latest view's moment.
    moment: u32,
    /// Views that there are.
    count: usize,
    /// Earlier contents of pages, each with the last moment at which it was current; ascending.
    kept: HashMap<u64, Vec<(u32, KeptCopy)>>,
}

struct Volume {
    opened: Opened,
    views: Mutex<Views>,
}

type Volumes = HashMap<FileId, Weak<Volume>>;

/// Volumes that this process has, by device and inode.
static VOLUMES: Mutex<Option<Volumes>> = Mutex::new(None);

impl Volume {
    fn views(&self) -> MutexGuard<'_, Views> {
        // Nothing that can panic half-way through a change runs under the lock.
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskFault> {
        let read = self.opened.file.read_exact_at(into, offset);
        read.map_err(|error| fault(&self.opened.path, offset, into.len(), &error))
    }
}

/// The right to write a volume.
pub(super) struct Writer(Arc<Volume>);

/// A volume as it was at one moment.
pub(super) struct View {
    volume: Arc<Volume>,
    moment: u32,
}

impl Writer {
    /// Opens the file of the disk called `name`, of `bytes` if given; creates a missing one.
    pub(super) fn open(name: &str, path: &Path, bytes: Option<u64>) -> Result<Self, DiskError> {
        let mut opened = open(name, path, Sharing::OneWriter, bytes)?;
        if let Some(expected) = bytes.filter(|bytes| *bytes != opened.bytes) {
            return Err(DiskError::DiskSizeWrong {
                name: name.to_owned(),
                path: opened.path.display().to_string(),
                expected: format!("the {expected} bytes of sizeBytes"),
                found: opened.bytes,
            });
        }
        let key = opened.key.file();
        let mut volumes = VOLUMES.lock().unwrap_or_else(PoisonError::into_inner);
        let volumes = volumes.get_or_insert_default();
        // Views of this process hold the lock; the next writer keeps earlier pages for them.
        if let Some(volume) = volumes.get(&key).and_then(Weak::upgrade) {
            let mut views = volume.views();
            if !views.is_written && volume.opened.bytes == opened.bytes {
                views.is_written = true;
                drop(views);
                return Ok(Self(volume));
            }
        }
        lock(name, &mut opened, Sharing::OneWriter)?;
        let views = Mutex::new(Views { is_written: true, ..Views::default() });
        let volume = Arc::new(Volume { opened, views });
        volumes.retain(|_, volume| volume.strong_count() > 0);
        volumes.insert(key, Arc::downgrade(&volume));
        Ok(Self(volume))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.opened.bytes
    }

    /// The volume as it is now.
    pub(super) fn view(&self) -> View {
        let mut views = self.0.views();
        views.moment += 1;
        views.count += 1;
        View { volume: Arc::clone(&self.0), moment: views.moment }
    }

    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskFault> {
        self.0.read(offset, into)
    }

    pub(super) fn write(&self, offset: u64, from: &[u8]) -> Result<(), Unfinished> {
        self.keep(offset, from.len() as u64)?;
        let opened = &self.0.opened;
        let mut done = 0;
        while done < from.len() {
            let (at, rest) = (offset + done as u64, &from[done..]);
            // The operating system may take less than it is given, and then says why with the next call.
            let error = match opened.file.write_at(rest, at) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(taken) => {
                    done += taken;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let fault = fault(&opened.path, at, rest.len(), &error);
            return Err(Unfinished { done: done as u64, fault });
        }
        Ok(())
    }

    /// Makes bytes zero, as a hole where the file system has holes.
    pub(super) fn zero(&self, offset: u64, len: u64) -> Result<(), Unfinished> {
        if self.keep(offset, len).is_ok() && punch(&self.0.opened, offset, len).is_ok() {
            return Ok(());
        }
        let zeros = vec![0; len.min(1 << 20) as usize];
        let (mut at, end) = (offset, offset + len);
        while at < end {
            let part = &zeros[..(end - at).min(zeros.len() as u64) as usize];
            let written = self.write(at, part);
            written.map_err(|unfinished| unfinished.after(at - offset))?;
            at += part.len() as u64;
        }
        Ok(())
    }

    /// The identity of the file.
    pub(super) fn file(&self) -> FileId {
        self.0.opened.key.file()
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.0.opened.path
    }

    /// Has everything that was written reach the file's storage. After a failure there is no success.
    pub(super) fn flush(&self) -> Result<(), DiskFault> {
        if let Some(lost) = &self.0.views().lost {
            return Err(lost.clone());
        }
        let opened = &self.0.opened;
        opened.file.sync_data().map_err(|error| {
            self.lose(&error);
            fault(&opened.path, 0, 0, &error)
        })
    }

    fn lose(&self, error: &io::Error) {
        let opened = &self.0.opened;
        let reason = format!("an earlier flush failed ({error}), and its data may be lost");
        self.0.views().lost = Some(DiskFault::DiskUnreadable {
            path: opened.path.display().to_string(),
            offset: 0,
            len: 0,
            reason,
            failure: DiskFailure::Broken,
            errno: error.raw_os_error().and_then(|errno| u32::try_from(errno).ok()),
        });
    }

    /// Keeps the present content of these bytes for the existing views. A truncated file is not extended
    /// again, since the missing part would read as zeros that no guest wrote.
    fn keep(&self, offset: u64, len: u64) -> Result<(), DiskFault> {
        if self.0.opened.len() < self.bytes() {
            let cut = io::ErrorKind::UnexpectedEof.into();
            return Err(fault(&self.0.opened.path, offset, len as usize, &cut));
        }
        let mut views = self.0.views();
        if views.count == 0 || len == 0 {
            return Ok(());
        }
        let (moment, end) = (views.moment, self.bytes());
        let (mut first, behind) = (offset / PAGE, (offset + len).div_ceil(PAGE));
        let mut content = Vec::new();
        while first < behind {
            let count = (behind - first).min(KEPT_TOGETHER);
            let start = first * PAGE;
            content.clear();
            content.resize((count * PAGE) as usize, 0);
            let there = (end.saturating_sub(start)).min(count * PAGE) as usize;
            self.0.read(start, &mut content[..there])?;
            for (page, bytes) in (first..).zip(content.chunks_exact(PAGE_BYTES)) {
                let kept = views.kept.entry(page).or_default();
                if kept.last().is_none_or(|(up_to, _)| *up_to < moment) {
                    kept.push((moment, KeptCopy::of(bytes)?));
                }
            }
            first += count;
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.views().is_written = false;
    }
}

impl View {
    /// Reads within one page.
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskFault> {
        // The lock keeps the writer from changing the page between the two looks.
        let views = self.volume.views();
        let kept = views.kept.get(&(offset / PAGE)).and_then(|kept| {
            kept.iter().find(|(up_to, _)| *up_to >= self.moment).map(|(_, content)| content)
        });
        match kept {
            Some(content) => content.read((offset % PAGE) as usize, into),
            None => self.volume.read(offset, into)?,
        }
        Ok(())
    }

    /// The pages that may hold anything but zeros.
    pub(super) fn pages(&self) -> PageSet {
        let mut pages = PageSet::default();
        let views = self.volume.views();
        for (first, behind) in extents(&self.volume.opened) {
            for page in first / PAGE..behind.div_ceil(PAGE) {
                pages.insert(page as usize);
            }
        }
        for page in views.kept.keys() {
            pages.insert(*page as usize);
        }
        pages
    }
}

impl Clone for View {
    fn clone(&self) -> Self {
        self.volume.views().count += 1;
        Self { volume: Arc::clone(&self.volume), moment: self.moment }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let mut views = self.volume.views();
        views.count -= 1;
        if views.count == 0 {
            views.kept = HashMap::new();
        }
    }
}

/// Stretches of the file that hold data: first byte, and one past the last.
fn extents(opened: &Opened) -> Vec<(u64, u64)> {
    let seek = |at: u64, whence: libc::c_int| -> io::Result<u64> {
        let at = libc::off_t::try_from(at).map_err(io::Error::other)?;
        // SAFETY: the descriptor is open while the file is borrowed. No code uses its position: reads
        // and writes pass offsets.
        let found = unsafe { libc::lseek(opened.file.as_raw_fd(), at, whence) };
        u64::try_from(found).map_err(|_| io::Error::last_os_error())
    };
    let (mut extents, mut at) = (Vec::new(), 0);
    while at < opened.bytes {
        match seek(at, libc::SEEK_DATA) {
            Ok(first) => {
                let behind = seek(first, libc::SEEK_HOLE).unwrap_or(opened.bytes);
                extents.push((first, behind.min(opened.bytes)));
                at = behind.max(first + 1);
            }
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => break,
            // A file system without holes.
            Err(_) => return vec![(0, opened.bytes)],
        }
    }
    // A truncated part is not a hole: reading it fails.
    let there = opened.len();
    if there < opened.bytes {
        extents.push((there, opened.bytes));
    }
    extents
}

#[cfg(test)]
impl Writer {
    /// Has a flush fail as the operating system would have it.
    pub(super) fn fail_flush(&self, errno: i32) {
        self.lose(&io::Error::from_raw_os_error(errno));
    }
}

#[cfg(target_os = "linux")]
fn punch(opened: &Opened, offset: u64, len: u64) -> io::Result<()> {
    let range = libc::off_t::try_from(offset).ok().zip(libc::off_t::try_from(len).ok());
    let (offset, len) = range.ok_or(io::ErrorKind::InvalidInput)?;
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: the descriptor is open for as long as the file is borrowed.
    match unsafe { libc::fallocate(opened.file.as_raw_fd(), mode, offset, len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
fn punch(_opened: &Opened, _offset: u64, _len: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
