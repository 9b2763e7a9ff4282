//! Writing a frozen machine into files.

use std::fs::{File, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::digests::Digests;
use super::header::encode;
use super::{
    CHUNK_BYTES, CHUNK_PAGES, DIGESTS_FILE, FORMAT_VERSION, Frozen, MACHINE_FILE, MEMORY_FILE,
    SnapshotHeader, SnapshotId, SnapshotKind, WriteError,
};
use crate::memory::PAGE_BYTES;

/// Bytes written with one call where chunks follow each other.
const RUN_BYTES: usize = 1 << 20;

/// Guest memory is full of secrets: its files are their owner's alone.
const PRIVATE: u32 = 0o600;

/// A file of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedFile {
    /// Its name in the directory.
    pub name: &'static str,
    /// Its length.
    pub size_bytes: u64,
    /// Bytes that it takes on the disk.
    pub stored_bytes: u64,
    /// The file that holds the digests of its chunks, if those are checked when first touched.
    pub chunk_table: Option<&'static str>,
    /// Guest-physical address of its first byte, if it is memory.
    pub guest_address: Option<u64>,
}

/// What a capture wrote.
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

impl Frozen {
    /// Writes the snapshot's files into `directory`, which exists and has none of them, and
    /// flushes each and the directory. Whoever calls names the directory only afterwards.
    ///
    /// # Errors
    /// [`WriteError`]; what was written is removed then.
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
        output.write_whole(DIGESTS_FILE, &encoded)?;
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
            origin: self.origin.clone(),
        };
        let machine = encode(&header, &self.state)
            .map_err(|error| output.failed(MACHINE_FILE, &error.into(), 0))?;
        let id = blake3::hash(&machine);
        output.write_whole(MACHINE_FILE, &machine)?;
        output.flush_directory()?;
        Ok((SnapshotId(*id.as_bytes()), header.pages))
    }

    fn write_memory(&self, output: &mut Output<'_>) -> Result<Digests, WriteError> {
        let pages = self.memory.page_count();
        let size = self.memory.size_bytes();
        let changed = self.parent.as_ref().map(|(_, difference)| {
            let mut changed = self.memory.page_numbers_since(difference.since);
            difference.besides.iter().for_each(|page| {
                changed.insert(page);
            });
            changed
        });
        let file = output.create(MEMORY_FILE)?;
        file.set_len(size).map_err(|error| output.failed(MEMORY_FILE, &error, size))?;
        let mut digests = Digests::new(pages);
        let mut run = Run { offset: 0, bytes: Vec::with_capacity(RUN_BYTES) };
        let mut chunk_bytes = vec![0; CHUNK_BYTES];
        for chunk in 0..pages.div_ceil(CHUNK_PAGES) {
            let first = chunk * CHUNK_PAGES;
            let count = CHUNK_PAGES.min(pages - first);
            let content = &mut chunk_bytes[..count * PAGE_BYTES];
            let mut held = false;
            for page in first..first + count {
                let at = (page - first) * PAGE_BYTES;
                let into = &mut content[at..at + PAGE_BYTES];
                let wanted = changed.as_ref().is_none_or(|changed| changed.contains(page));
                into.fill(0);
                if !wanted {
                    continue;
                }
                match self.memory.page_bytes(page)?.map(|bytes| (bytes, filling(bytes))) {
                    Some((bytes, None)) => {
                        into.copy_from_slice(bytes);
                        digests.insert(page);
                        held = true;
                    }
                    // A page that has become zero counts in a delta: the parent's may not be.
                    None | Some((_, Some(0))) if changed.is_none() => {}
                    filled => digests.fill(page, filled.and_then(|(_, byte)| byte).unwrap_or(0)),
                }
            }
            if !held {
                continue;
            }
            digests.set(chunk, *blake3::hash(content).as_bytes());
            let offset = (first * PAGE_BYTES) as u64;
            run.push(offset, content, &file).map_err(|e| output.failed(MEMORY_FILE, &e, size))?;
        }
        run.flush(&file).map_err(|error| output.failed(MEMORY_FILE, &error, size))?;
        let base = self.origin.machine.memory.base;
        output.finish(MEMORY_FILE, &file, Some((DIGESTS_FILE, base)))?;
        Ok(digests)
    }
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

    fn create(&mut self, name: &'static str) -> Result<File, WriteError> {
        let path = self.directory.join(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(PRIVATE)
            .open(&path)
            .map_err(|error| self.failed(name, &error, 0))?;
        self.created.push(path);
        // Whatever the umask took; a file system without modes of its own has none to set.
        match file.set_permissions(Permissions::from_mode(PRIVATE)) {
            Err(error) if error.kind() != ErrorKind::PermissionDenied && !is_lacking(&error) => {
                Err(self.failed(name, &error, 0))
            }
            _ => Ok(file),
        }
    }

    fn finish(
        &mut self,
        name: &'static str,
        file: &File,
        checked: Option<(&'static str, u64)>,
    ) -> Result<(), WriteError> {
        file.sync_all().map_err(|error| self.failed(name, &error, 0))?;
        let metadata = file.metadata().map_err(|error| self.failed(name, &error, 0))?;
        self.files.push(CapturedFile {
            name,
            size_bytes: metadata.len(),
            stored_bytes: metadata.blocks() * 512,
            chunk_table: checked.map(|(table, _)| table),
            guest_address: checked.map(|(_, address)| address),
        });
        Ok(())
    }

    fn write_whole(&mut self, name: &'static str, bytes: &[u8]) -> Result<(), WriteError> {
        let file = self.create(name)?;
        let len = bytes.len() as u64;
        file.write_all_at(bytes, 0).map_err(|error| self.failed(name, &error, len))?;
        self.finish(name, &file, None)
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

/// Whether the file system has no such operation; some network file systems do not flush directories.
fn is_lacking(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTSUP | libc::ENOSYS))
}
