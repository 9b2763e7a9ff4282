//! Writing a capture into files.

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::digests::Digests;
use super::disks::file_names;
use super::encryption::{
    ChunkCipher, EncryptionHeader, EncryptionKey, KeyRefused, MEMORY_TABLE, SnapshotCipher,
    disk_table,
};
use super::header::{DiskHeader, SourceHeader, encode};
use super::objects::{Object, Objects};
use super::output::{CapturedFile, Output};
use super::{
    CHUNK_BYTES, CHUNK_PAGES, Capture, DIGESTS_FILE, ENCRYPTED_VERSION, FORMAT_VERSION,
    MACHINE_FILE, SnapshotHeader, SnapshotId, SnapshotKind, WriteError,
};
use crate::disks::Disk;
use crate::memory::{PAGE_BYTES, PageSet};

/// The result of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedFiles {
    /// The snapshot's identity.
    pub id: SnapshotId,
    /// The snapshot that it is a delta to.
    pub parent: Option<SnapshotId>,
    /// Its files, all of them flushed.
    pub files: Vec<CapturedFile>,
    /// Pages of memory that it holds.
    pub pages: u64,
    /// How it is encrypted, if it is.
    pub encryption: Option<EncryptionHeader>,
}

/// How a capture is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteOptions<'a> {
    /// A folder of objects: chunks that these have are not written, but the objects are linked into
    /// the directory. Chunks are written where that cannot be done, and always if they are encrypted:
    /// an encrypted snapshot has nothing in common with another.
    pub shared: Option<&'a Path>,
    /// The key to encrypt it with. A delta is encrypted with its parent's, or with none, as its parent.
    pub encryption_key: Option<&'a EncryptionKey>,
}

/// A disk whose data has been put into objects, and whose table is to be written.
struct WrittenDisk {
    header: DiskHeader,
    table: Option<(Cow<'static, str>, Digests)>,
}

impl Capture {
    /// Writes the snapshot's files into `directory`, which exists and has none of them, and flushes
    /// each and the directory. The caller makes the directory known only afterwards.
    ///
    /// # Errors
    /// [`WriteError`]; the written files are then removed.
    pub fn write(&self, directory: &Path) -> Result<CapturedFiles, WriteError> {
        self.write_with(directory, WriteOptions::default())
    }

    /// The same, shared or encrypted.
    ///
    /// # Errors
    /// As above.
    pub fn write_with(
        &self,
        directory: &Path,
        options: WriteOptions<'_>,
    ) -> Result<CapturedFiles, WriteError> {
        if let Some((parent, _)) = &self.parent {
            let snapshot = || format!("snapshot {parent}");
            KeyRefused::check(snapshot, self.parent_key.as_deref(), options.encryption_key)?;
        }
        let encryption = options.encryption_key.map(|key| {
            let header = EncryptionHeader::new(key);
            (SnapshotCipher::new(key, &header), header)
        });
        let shared = options.shared.filter(|_| encryption.is_none());
        let mut output = Output::new(directory);
        match self.write_files(&mut output, shared, encryption.as_ref()) {
            Ok((id, pages)) => {
                self.lineage.written_as(id.0, options.encryption_key.map(EncryptionKey::id));
                let parent = self.parent.as_ref().map(|(parent, _)| *parent);
                let encryption = encryption.map(|(_, header)| header);
                Ok(CapturedFiles { id, parent, files: output.into_files(), pages, encryption })
            }
            Err(error) => {
                output.discard();
                Err(error)
            }
        }
    }

    fn write_files(
        &self,
        output: &mut Output<'_>,
        shared: Option<&Path>,
        encryption: Option<&(SnapshotCipher, EncryptionHeader)>,
    ) -> Result<(SnapshotId, u64), WriteError> {
        let cipher = encryption.map(|(cipher, _)| cipher);
        let mut objects = Objects::new(shared, self.memory.page_count().div_ceil(CHUNK_PAGES));
        let digests = self.write_memory(output, &mut objects, cipher)?;
        let disks = self.write_disks(output, &mut objects, cipher)?;
        // From here on, the names of all objects are known.
        let objects = objects.finish(output)?;
        let guest_address = Some(self.origin.machine.memory.base);
        let digests_digest =
            write_table(output, DIGESTS_FILE.into(), &digests, &objects, guest_address)?;
        let mut headers = Vec::new();
        for WrittenDisk { mut header, table } in disks {
            if let Some((name, digests)) = table {
                header.digests_digest = Some(write_table(output, name, &digests, &objects, None)?);
            }
            headers.push(header);
        }
        let header = SnapshotHeader {
            format: if encryption.is_some() { ENCRYPTED_VERSION } else { FORMAT_VERSION },
            producer: concat!("stillpoint ", env!("CARGO_PKG_VERSION")).to_owned(),
            kind: if self.parent.is_some() { SnapshotKind::Delta } else { SnapshotKind::Full },
            parent: self.parent.as_ref().map(|(parent, _)| parent.to_string()),
            at_nanos: self.at_nanos,
            next_seq: self.next_seq,
            page_bytes: PAGE_BYTES as u64,
            chunk_bytes: CHUNK_BYTES as u64,
            pages: digests.page_count(),
            digests_digest,
            encryption: encryption.map(|(_, header)| header.clone()),
            disks: headers,
            origin: self.origin.clone(),
        };
        let mut state = self.state.clone();
        self.progress.save(self.memory.as_ref(), &mut state);
        let machine = encode(&header, &state, cipher)?;
        let id = blake3::hash(&machine);
        output.write_whole(MACHINE_FILE.into(), &machine, None)?;
        output.flush()?;
        Ok((SnapshotId(*id.as_bytes()), header.pages))
    }

    fn write_memory(
        &self,
        output: &mut Output<'_>,
        objects: &mut Objects,
        cipher: Option<&SnapshotCipher>,
    ) -> Result<Digests, WriteError> {
        let changed = self.parent.as_ref().map(|(_, difference)| {
            let mut changed = self.memory.page_numbers_since(difference.since);
            difference.besides.memory.iter().for_each(|page| {
                changed.insert(page);
            });
            changed
        });
        let pages = Pages {
            table: DIGESTS_FILE.into(),
            count: self.memory.page_count(),
            // A page that has become zero counts in a delta: the parent's may not be.
            keeps_zeros: changed.is_some(),
            cipher: cipher.map(|cipher| cipher.of_table(MEMORY_TABLE)),
        };
        pages.write(output, objects, changed.as_ref(), |page, into| {
            let bytes = self.memory.page_bytes(page)?;
            if let Some(bytes) = bytes {
                into.copy_from_slice(bytes);
            }
            Ok(bytes.is_some())
        })
    }

    /// Writes the disks' own data, and the digests of their source files.
    fn write_disks(
        &self,
        output: &mut Output<'_>,
        objects: &mut Objects,
        cipher: Option<&SnapshotCipher>,
    ) -> Result<Vec<WrittenDisk>, WriteError> {
        // Writing is the only user of the disks.
        let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers: Vec<_> = disks.iter().map(|(number, _)| number).collect();
        let mut written = Vec::new();
        for number in numbers {
            if let Some(disk) = disks.get_mut(number) {
                let cipher = cipher.map(|cipher| cipher.of_table(disk_table(number)));
                written.push(self.write_disk(output, objects, cipher, (number, disk))?);
            }
        }
        Ok(written)
    }

    fn write_disk(
        &self,
        output: &mut Output<'_>,
        objects: &mut Objects,
        cipher: Option<ChunkCipher>,
        (number, disk): (usize, &mut Disk),
    ) -> Result<WrittenDisk, WriteError> {
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
        let [_, table, blocks_name] = file_names(number);
        let source = disk.source().map(Arc::clone);
        let source = match source {
            None => None,
            Some(file) => {
                let (blocks, digest) = file.whole()?;
                output.write_whole(blocks_name.into(), &blocks.encode(), None)?;
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
            return Ok(WrittenDisk { header, table: None });
        }
        let own = Pages {
            table: table.into(),
            count: disk.page_count(),
            // Zeros over something else are something.
            keeps_zeros: since.is_some() || header.source.is_some(),
            cipher,
        };
        let digests = own.write(output, objects, Some(&pages), |page, into| {
            disk.page(page, into)?;
            Ok(true)
        })?;
        header.pages = digests.page_count();
        Ok(WrittenDisk { header, table: Some((own.table, digests)) })
    }
}

/// Writes a table; returns its digest.
fn write_table(
    output: &mut Output<'_>,
    name: Cow<'static, str>,
    digests: &Digests,
    objects: &[Object],
    guest_address: Option<u64>,
) -> Result<String, WriteError> {
    let encoded = digests.encode(objects);
    output.write_whole(name, &encoded, guest_address)?;
    Ok(blake3::hash(&encoded).to_hex().to_string())
}

/// Pages that are to be written.
struct Pages {
    /// The file of their digests.
    table: Cow<'static, str>,
    /// Pages, those that are not written included.
    count: usize,
    /// Whether it records that a page is zero.
    keeps_zeros: bool,
    /// What encrypts their chunks.
    cipher: Option<ChunkCipher>,
}

/// The byte that all of `page` is, if it is one: a page that a kernel has freed and poisoned, or
/// cleared.
fn filling(page: &[u8; PAGE_BYTES]) -> Option<u8> {
    // Each byte equals the one before it. The first few tell for almost every page.
    (page[..8] == page[1..9] && page[..PAGE_BYTES - 1] == page[1..]).then_some(page[0])
}

impl Pages {
    /// Puts those that are in `wanted` into objects, or all without it; `content` puts a page's bytes
    /// into a buffer of zeros, or returns that there are none.
    fn write(
        &self,
        output: &mut Output<'_>,
        objects: &mut Objects,
        wanted: Option<&PageSet>,
        mut content: impl FnMut(usize, &mut [u8; PAGE_BYTES]) -> Result<bool, WriteError>,
    ) -> Result<Digests, WriteError> {
        let mut digests = Digests::new(self.count);
        let mut chunk_bytes = vec![[0; PAGE_BYTES]; CHUNK_PAGES];
        let mut is_zero = [true; CHUNK_PAGES];
        let mut encrypted = vec![0; if self.cipher.is_some() { CHUNK_BYTES } else { 0 }];
        for chunk in 0..self.count.div_ceil(CHUNK_PAGES) {
            let first = chunk * CHUNK_PAGES;
            let mut held = false;
            for ((page, into), is_zero) in (first..).zip(&mut chunk_bytes).zip(&mut is_zero) {
                if !std::mem::replace(is_zero, true) {
                    into.fill(0);
                }
                if page >= self.count || wanted.is_some_and(|wanted| !wanted.contains(page)) {
                    continue;
                }
                let is_there = content(page, into)?;
                match is_there.then(|| filling(into)) {
                    Some(None) => {
                        digests.insert(page);
                        held = true;
                        *is_zero = false;
                    }
                    None | Some(Some(0)) if !self.keeps_zeros => {}
                    filled => {
                        let byte = filled.flatten().unwrap_or(0);
                        digests.fill(page, byte);
                        if byte != 0 {
                            into.fill(0);
                        }
                    }
                }
            }
            if held {
                let mut content = chunk_bytes.as_flattened();
                if let Some(cipher) = &self.cipher {
                    encrypted.copy_from_slice(content);
                    cipher.apply(chunk, &mut encrypted);
                    content = &encrypted;
                }
                let digest = *blake3::hash(content).as_bytes();
                let place = objects.put(output, &self.table, digest, content)?;
                digests.set(chunk, digest, place);
            }
        }
        Ok(digests)
    }
}
