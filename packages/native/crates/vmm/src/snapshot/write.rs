//! Writing a capture into files.

use std::borrow::Cow;
use std::fs::{File, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::digests::Digests;
use super::disks::file_names;
use super::header::{DiskHeader, SourceHeader, encode};
use super::{
    CHUNK_BYTES, CHUNK_PAGES, Capture, DIGESTS_FILE, FORMAT_VERSION, MACHINE_FILE, MEMORY_FILE,
    SnapshotHeader, SnapshotId, SnapshotKind, WriteError,
};
use crate::disks::Disk;
use crate::memory::{PAGE_BYTES, PageSet};

/// Bytes written with one call where chunks follow each other.
const RUN_BYTES: usize = 1 << 20;

/// Guest memory is full of secrets: its files are their owner's alone.
const PRIVATE: u32 = 0o600;

/// A file of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedFile {
    /// Its name in the directory.
    pub name: Cow<'static, str>,
    /// Its length.
    pub size_bytes: u64,
    /// Bytes that it takes on the disk.
    pub stored_bytes: u64,
    /// The file that holds the digests of its chunks, if those are checked when first touched.
    pub chunk_table: Option<Cow<'static, str>>,
    /// Guest-physical address of its first byte, if it is memory.
    pub guest_address: Option<u64>,
}

/// The result of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedFiles {
    /// The snapshot's identity.
    pub id: SnapshotId,
    /// The snapshot that it is a delta to.
    pub parent: Option<SnapshotId>,
    /// Its files, in the order in which they were written and flushed.
    pub files: Vec<CapturedFile>,
    /// Pages of memory that it holds.
    pub pages: u64,
}

/// The files of a capture in progress: removed again unless it succeeds.
struct Output<'a> {
    directory: &'a Path,
    created: Vec<PathBuf>,
    files: Vec<CapturedFile>,
}

impl Capture {
    /// Writes the snapshot's files into `directory`, which exists and has none of them, and flushes
    /// each and the directory. The caller makes the directory known only afterwards.
    ///
    /// # Errors
    /// [`WriteError`]; the written files are then removed.
    pub fn write(&self, directory: &Path) -> Result<CapturedFiles, WriteError> {
        let mut output = Output { directory, created: Vec::new(), files: Vec::new() };
        let written = self.write_files(&mut output);
        if written.is_err() {
            for path in &output.created {
                // The first error is the one to report.
                let _ = std::fs::remove_file(path);
            }
        }
        let (id, pages) = written?;
        self.lineage.written_as(id.0);
        let parent = self.parent.as_ref().map(|(parent, _)| *parent);
        Ok(CapturedFiles { id, parent, files: output.files, pages })
    }

    fn write_files(&self, output: &mut Output<'_>) -> Result<(SnapshotId, u64), WriteError> {
        let digests = self.write_memory(output)?;
        let encoded = digests.encode();
        let digests_digest = blake3::hash(&encoded);
        output.write_whole(DIGESTS_FILE.into(), &encoded)?;
        let disks = self.write_disks(output)?;
        let header = SnapshotHeader {
            format: FORMAT_VERSION,
            producer: concat!("stillpoint ", env!("CARGO_PKG_VERSION")).to_owned(),
            kind: if self.parent.is_some() { SnapshotKind::Delta } else { SnapshotKind::Full },
            parent: self.parent.as_ref().map(|(parent, _)| parent.to_string()),
            at_nanos: self.at_nanos,
            next_seq: self.next_seq,
            page_bytes: PAGE_BYTES as u64,
            chunk_bytes: CHUNK_BYTES as u64,
            pages: digests.page_count(),
            digests_digest: digests_digest.to_hex().to_string(),
            disks,
            origin: self.origin.clone(),
        };
        let machine = encode(&header, &self.state)
            .map_err(|error| output.failed(MACHINE_FILE, &error.into(), 0))?;
        let id = blake3::hash(&machine);
        output.write_whole(MACHINE_FILE.into(), &machine)?;
        output.flush_directory()?;
        Ok((SnapshotId(*id.as_bytes()), header.pages))
    }

    fn write_memory(&self, output: &mut Output<'_>) -> Result<Digests, WriteError> {
        let changed = self.parent.as_ref().map(|(_, difference)| {
            let mut changed = self.memory.page_numbers_since(difference.since);
            difference.besides.memory.iter().for_each(|page| {
                changed.insert(page);
            });
            changed
        });
        let pages = Pages {
            name: MEMORY_FILE.into(),
            digests: DIGESTS_FILE.into(),
            count: self.memory.page_count(),
            guest_address: Some(self.origin.machine.memory.base),
            // A page that has become zero counts in a delta: the parent's may not be.
            keeps_zeros: changed.is_some(),
        };
        output.write_pages(&pages, changed.as_ref(), |page, into| {
            let bytes = self.memory.page_bytes(page)?;
            if let Some(bytes) = bytes {
                into.copy_from_slice(bytes);
            }
            Ok(bytes.is_some())
        })
    }

    /// Writes the disks' own data, and the digests of their source files.
    fn write_disks(&self, output: &mut Output<'_>) -> Result<Vec<DiskHeader>, WriteError> {
        // Writing is the only user of the disks.
        let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers: Vec<_> = disks.iter().map(|(number, _)| number).collect();
        let mut headers = Vec::new();
        for number in numbers {
            if let Some(disk) = disks.get_mut(number) {
                headers.push(self.write_disk(output, number, disk)?);
            }
        }
        Ok(headers)
    }

    fn write_disk(
        &self,
        output: &mut Output<'_>,
        number: usize,
        disk: &mut Disk,
    ) -> Result<DiskHeader, WriteError> {
        let parent = self.parent.as_ref().map(|(_, difference)| difference);
        let mut since = parent.filter(|difference| disk.is_since(difference.since));
        let mut pages = match since {
            None => disk.pages(),
            Some(difference) => disk.pages_since(difference.since),
        };
        if let Some(besides) = since.and_then(|difference| difference.besides.disks.get(number)) {
            besides.iter().for_each(|page| {
                pages.insert(page);
            });
        }
        // A page that a fork wrote over a file, and that the parent has, may be unchanged in this
        // machine. No page table shows that, so all of its own pages are written then.
        if since.is_some() && disk.source().is_some() {
            let own = disk.pages();
            if pages.iter().any(|page| !own.contains(page)) {
                (since, pages) = (None, own);
            }
        }
        let [name, digests_name, blocks_name] = file_names(number);
        let source = disk.source().map(Arc::clone);
        let source = match source {
            None => None,
            Some(file) => {
                let (blocks, digest) = file.whole()?;
                output.write_whole(blocks_name.into(), &blocks.encode())?;
                Some(SourceHeader {
                    path: file.path().clone(),
                    size_bytes: file.bytes(),
                    digest: blake3::Hash::from_bytes(digest).to_hex().to_string(),
                })
            }
        };
        let mut header = DiskHeader {
            number: number as u32,
            name: disk.name().to_owned(),
            access: disk.access(),
            size_bytes: disk.size_bytes(),
            complete: since.is_none(),
            pages: 0,
            digests_digest: None,
            source,
        };
        if pages.iter().next().is_none() {
            return Ok(header);
        }
        let file = Pages {
            name: name.into(),
            digests: digests_name.clone().into(),
            count: disk.page_count(),
            guest_address: None,
            // Zeros over something else are something.
            keeps_zeros: since.is_some() || header.source.is_some(),
        };
        let digests = output.write_pages(&file, Some(&pages), |page, into| {
            disk.page(page, into)?;
            Ok(true)
        })?;
        let encoded = digests.encode();
        output.write_whole(digests_name.into(), &encoded)?;
        header.pages = digests.page_count();
        header.digests_digest = Some(blake3::hash(&encoded).to_hex().to_string());
        Ok(header)
    }
}

/// A file of pages that is to be written.
struct Pages {
    name: Cow<'static, str>,
    /// The file of its digests.
    digests: Cow<'static, str>,
    /// Pages, those that are not written included.
    count: usize,
    guest_address: Option<u64>,
    /// Whether it records that a page is zero.
    keeps_zeros: bool,
}

/// The byte that all of `page` is, if it is one: a page that a kernel has freed and poisoned, or
/// cleared.
fn filling(page: &[u8; PAGE_BYTES]) -> Option<u8> {
    // Each byte equals the one before it. The first few tell for almost every page.
    (page[..8] == page[1..9] && page[..PAGE_BYTES - 1] == page[1..]).then_some(page[0])
}

/// Chunks that follow each other, waiting to be written.
struct Run {
    offset: u64,
    bytes: Vec<u8>,
}

impl Run {
    fn push(&mut self, offset: u64, chunk: &[u8], file: &File) -> std::io::Result<()> {
        if self.offset + self.bytes.len() as u64 != offset || self.bytes.len() >= RUN_BYTES {
            self.flush(file)?;
            self.offset = offset;
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    fn flush(&mut self, file: &File) -> std::io::Result<()> {
        // A chunk of zeros, in a delta, stays a hole.
        if self.bytes.iter().any(|byte| *byte != 0) {
            file.write_all_at(&self.bytes, self.offset)?;
        }
        self.bytes.clear();
        Ok(())
    }
}

impl Output<'_> {
    /// Writes those of `pages` that are in `wanted`, or all without it; `content` puts a page's bytes
    /// into a buffer of zeros, or returns that there are none.
    fn write_pages(
        &mut self,
        pages: &Pages,
        wanted: Option<&PageSet>,
        mut content: impl FnMut(usize, &mut [u8; PAGE_BYTES]) -> Result<bool, WriteError>,
    ) -> Result<Digests, WriteError> {
        let size = (pages.count * PAGE_BYTES) as u64;
        let file = self.create(&pages.name)?;
        file.set_len(size).map_err(|error| self.failed(&pages.name, &error, size))?;
        let mut digests = Digests::new(pages.count);
        let mut run = Run { offset: 0, bytes: Vec::with_capacity(RUN_BYTES) };
        let mut chunk_bytes = vec![[0; PAGE_BYTES]; CHUNK_PAGES];
        for chunk in 0..pages.count.div_ceil(CHUNK_PAGES) {
            let first = chunk * CHUNK_PAGES;
            let count = CHUNK_PAGES.min(pages.count - first);
            let mut held = false;
            for (page, into) in (first..first + count).zip(&mut chunk_bytes) {
                into.fill(0);
                if wanted.is_some_and(|wanted| !wanted.contains(page)) {
                    continue;
                }
                let is_there = content(page, into)?;
                match is_there.then(|| filling(into)) {
                    Some(None) => {
                        digests.insert(page);
                        held = true;
                    }
                    None | Some(Some(0)) if !pages.keeps_zeros => {}
                    filled => {
                        digests.fill(page, filled.flatten().unwrap_or(0));
                        into.fill(0);
                    }
                }
            }
            if !held {
                continue;
            }
            let content = chunk_bytes[..count].as_flattened();
            digests.set(chunk, *blake3::hash(content).as_bytes());
            let offset = (first * PAGE_BYTES) as u64;
            run.push(offset, content, &file)
                .map_err(|error| self.failed(&pages.name, &error, size))?;
        }
        run.flush(&file).map_err(|error| self.failed(&pages.name, &error, size))?;
        self.finish(pages.name.clone(), &file, Some(&pages.digests), pages.guest_address)?;
        Ok(digests)
    }

    fn failed(&self, name: &str, error: &std::io::Error, expected: u64) -> WriteError {
        let file = self.directory.join(name).display().to_string();
        let reason = error.to_string();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                WriteError::DiskFull { file, expected, reason }
            }
            ErrorKind::AlreadyExists => WriteError::FileExists { file },
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                WriteError::DirectoryUnusable { path: self.directory.display().to_string(), reason }
            }
            _ => WriteError::WriteFailed { file, reason },
        }
    }

    fn create(&mut self, name: &str) -> Result<File, WriteError> {
        let path = self.directory.join(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(PRIVATE)
            .open(&path)
            .map_err(|error| self.failed(name, &error, 0))?;
        self.created.push(path);
        // Regardless of the umask; a file system without modes has none to set.
        match file.set_permissions(Permissions::from_mode(PRIVATE)) {
            Err(error) if error.kind() != ErrorKind::PermissionDenied && !is_lacking(&error) => {
                Err(self.failed(name, &error, 0))
            }
            _ => Ok(file),
        }
    }

    fn finish(
        &mut self,
        name: Cow<'static, str>,
        file: &File,
        chunk_table: Option<&Cow<'static, str>>,
        guest_address: Option<u64>,
    ) -> Result<(), WriteError> {
        file.sync_all().map_err(|error| self.failed(&name, &error, 0))?;
        let metadata = file.metadata().map_err(|error| self.failed(&name, &error, 0))?;
        self.files.push(CapturedFile {
            name,
            size_bytes: metadata.len(),
            stored_bytes: metadata.blocks() * 512,
            chunk_table: chunk_table.cloned(),
            guest_address,
        });
        Ok(())
    }

    fn write_whole(&mut self, name: Cow<'static, str>, bytes: &[u8]) -> Result<(), WriteError> {
        let file = self.create(&name)?;
        let len = bytes.len() as u64;
        file.write_all_at(bytes, 0).map_err(|error| self.failed(&name, &error, len))?;
        self.finish(name, &file, None, None)
    }

    fn flush_directory(&self) -> Result<(), WriteError> {
        let flush = || File::open(self.directory)?.sync_all();
        match flush() {
            Err(error) if !is_lacking(&error) => Err(WriteError::DirectoryUnusable {
                path: self.directory.display().to_string(),
                reason: error.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

/// Whether the file system lacks the operation; some network file systems do not flush directories.
fn is_lacking(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTSUP | libc::ENOSYS))
}
