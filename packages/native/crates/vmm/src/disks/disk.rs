//! One disk: its own pages over its initial content.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::volume::{View, Writer};
use super::{
    Access, DiskError, DiskFault, DiskSpec, MAX_DISK_BYTES, SECTOR_BYTES, SourceFile, Unfinished,
};
use crate::file_key::FileId;
use crate::memory::{Mark, MemoryError, PAGE_BYTES, PageSet, PagedMemory};
use crate::state::StateWriter;

const PAGE: u64 = PAGE_BYTES as u64;

/// The content of pages that the disk does not have itself.
enum Base {
    Zeros,
    File(Arc<SourceFile>),
    Writer(Writer),
    View(View),
}

/// The parts of a restored disk.
pub(crate) struct DiskParts {
    pub(crate) name: String,
    pub(crate) access: Access,
    pub(crate) bytes: u64,
    pub(crate) own: PagedMemory,
    pub(crate) base: Option<SourceFile>,
}

/// A disk's content. Sectors are 512 bytes; pages of its own are memory's.
pub struct Disk {
    name: String,
    access: Access,
    bytes: u64,
    own: PagedMemory,
    base: Base,
    /// Mark of the machine's memory from which on it is this machine's.
    attached: Mark,
}

fn pages_of(bytes: u64) -> usize {
    bytes.div_ceil(PAGE) as usize
}

impl Disk {
    /// Opens the described disk.
    ///
    /// # Errors
    /// [`DiskError`] if it cannot be had.
    pub fn open(spec: &DiskSpec) -> Result<Self, DiskError> {
        spec.check()?;
        let DiskSpec { name, source, access, size_bytes } = spec;
        let size_wrong = |path: &PathBuf, expected: String, found| DiskError::DiskSizeWrong {
            name: name.clone(),
            path: path.display().to_string(),
            expected,
            found,
        };
        let (base, bytes) = match source {
            None => (Base::Zeros, size_bytes.unwrap_or_default()),
            Some(path) if *access == Access::Volume => {
                let writer = Writer::open(name, path, *size_bytes)?;
                let found = writer.bytes();
                if !found.is_multiple_of(SECTOR_BYTES) || found == 0 {
                    let expected = format!("a multiple of {SECTOR_BYTES} to write to");
                    return Err(size_wrong(path, expected, found));
                }
                (Base::Writer(writer), found)
            }
            Some(path) => {
                let file = SourceFile::open(name, path)?;
                let found = file.bytes();
                let bytes = match size_bytes {
                    Some(bytes) if *access == Access::Read && *bytes != found => {
                        let expected = format!("the {bytes} bytes of sizeBytes");
                        return Err(size_wrong(path, expected, found));
                    }
                    Some(bytes) if *bytes < found => {
                        let expected = format!("at most the {bytes} bytes of sizeBytes");
                        return Err(size_wrong(path, expected, found));
                    }
                    Some(bytes) => *bytes,
                    None => found,
                };
                (Base::File(Arc::new(file)), bytes.next_multiple_of(SECTOR_BYTES))
            }
        };
        if bytes > MAX_DISK_BYTES {
            let path = source.clone().unwrap_or_default();
            return Err(size_wrong(&path, format!("at most {MAX_DISK_BYTES}"), bytes));
        }
        let own = PagedMemory::new(0, pages_of(bytes) as u64 * PAGE);
        Ok(Self { name: name.clone(), access: *access, bytes, own, base, attached: Mark::of(0) })
    }

    /// A disk of a snapshot.
    pub(crate) fn restored(parts: DiskParts) -> Self {
        let DiskParts { name, access, bytes, own, base } = parts;
        let base = base.map_or(Base::Zeros, |file| Base::File(Arc::new(file)));
        Self { name, access, bytes, own, base, attached: Mark::of(0) }
    }

    /// Its name: its serial number in the guest.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The destination of the guest's writes.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Its size.
    pub fn size_bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn page_count(&self) -> usize {
        pages_of(self.bytes)
    }

    /// The file that it is read from and never written to.
    pub(crate) fn source(&self) -> Option<&Arc<SourceFile>> {
        match &self.base {
            Base::File(file) => Some(file),
            _ => None,
        }
    }

    /// The identity of that file.
    pub(super) fn file(&self) -> Option<FileId> {
        match &self.base {
            Base::File(file) => Some(file.file()),
            Base::Writer(writer) => Some(writer.file()),
            Base::Zeros | Base::View(_) => None,
        }
    }

    /// Its file, if it has one of its own or reads from one.
    pub fn path(&self) -> Option<&Path> {
        match &self.base {
            Base::File(file) => Some(file.path()),
            Base::Writer(writer) => Some(writer.path()),
            Base::Zeros | Base::View(_) => None,
        }
    }

    fn check(&self, offset: u64, len: u64) -> Result<(), DiskFault> {
        if offset.checked_add(len).is_some_and(|end| end <= self.bytes) {
            return Ok(());
        }
        let (base, end) = (0, self.bytes);
        Err(MemoryError::OutOfRange { gpa: offset, len, base, end }.into())
    }

    /// Reads from byte `offset` on.
    ///
    /// # Errors
    /// [`DiskFault`] if it is not all on the disk, or cannot be had.
    pub fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<(), DiskFault> {
        self.check(offset, into.len() as u64)?;
        let (mut at, mut rest) = (offset, into);
        while !rest.is_empty() {
            let is_own = self.holds(at);
            // As far as the same is the case.
            let mut len = (PAGE - at % PAGE).min(rest.len() as u64);
            while len < rest.len() as u64 && self.holds(at + len) == is_own {
                len = (len + PAGE).min(rest.len() as u64);
            }
            let (head, tail) = rest.split_at_mut(len as usize);
            if is_own {
                self.own.peek(at, head)?
            } else {
                self.read_base(at, head)?
            }
            rest = tail;
            at += len;
        }
        Ok(())
    }

    fn holds(&self, offset: u64) -> bool {
        !matches!(self.base, Base::Writer(_)) && self.own.holds((offset / PAGE) as usize)
    }

    fn read_base(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskFault> {
        match &self.base {
            Base::Zeros => into.fill(0),
            Base::File(file) => file.read(offset, into)?,
            Base::Writer(writer) => writer.read(offset, into)?,
            Base::View(view) => {
                let mut at = offset;
                let mut rest = into;
                while !rest.is_empty() {
                    let len = (PAGE - at % PAGE).min(rest.len() as u64) as usize;
                    let (head, tail) = rest.split_at_mut(len);
                    view.read(at, head)?;
                    rest = tail;
                    at += len as u64;
                }
            }
        }
        Ok(())
    }

    /// Writes from byte `offset` on.
    ///
    /// # Errors
    /// [`Unfinished`] if it is not all on the disk, or cannot be kept.
    pub fn write(&mut self, offset: u64, from: &[u8]) -> Result<(), Unfinished> {
        self.check(offset, from.len() as u64)?;
        if from.is_empty() {
            return Ok(());
        }
        let end = offset + from.len() as u64;
        if let Base::Writer(writer) = &self.base {
            // Counted first: what fails half-way has been written, too.
            self.own.touch((offset / PAGE) as usize..pages_of(end));
            return writer.write(offset, from);
        }
        // A page after the other, each whole or not at all.
        let (mut at, mut rest) = (offset, from);
        while !rest.is_empty() {
            let (part, behind) = rest.split_at((PAGE - at % PAGE).min(rest.len() as u64) as usize);
            let written = self.write_in_page(at, part);
            written.map_err(|fault| Unfinished { done: at - offset, fault })?;
            at += part.len() as u64;
            rest = behind;
        }
        Ok(())
    }

    fn write_in_page(&mut self, offset: u64, from: &[u8]) -> Result<(), DiskFault> {
        if from.len() < PAGE_BYTES {
            self.own_page(offset / PAGE)?;
        }
        Ok(self.own.poke(offset, from)?)
    }

    /// Has a page that is to be written in part.
    fn own_page(&mut self, page: u64) -> Result<(), DiskFault> {
        if self.own.holds(page as usize) || matches!(self.base, Base::Zeros) {
            return Ok(());
        }
        let mut content = [0; PAGE_BYTES];
        let len = (self.bytes - page * PAGE).min(PAGE) as usize;
        self.read_base(page * PAGE, &mut content[..len])?;
        Ok(self.own.poke(page * PAGE, &content)?)
    }

    /// Makes bytes zero; where `or_leave`, those of pages that are not in it whole may stay. Costs no
    /// page for whole ones, and gives back those that they had.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn zero(&mut self, offset: u64, len: u64, or_leave: bool) -> Result<(), Unfinished> {
        self.check(offset, len)?;
        let end = offset + len;
        if let Base::Writer(writer) = &self.base {
            self.own.touch((offset / PAGE) as usize..pages_of(end));
            return writer.zero(offset, len);
        }
        // The last page of a disk that ends in it is whole, too.
        let behind = if end == self.bytes { end.next_multiple_of(PAGE) } else { end };
        let whole = offset.next_multiple_of(PAGE)..behind / PAGE * PAGE;
        if whole.is_empty() {
            return if or_leave { Ok(()) } else { self.write(offset, &vec![0; len as usize]) };
        }
        if !or_leave {
            self.write(offset, &vec![0; (whole.start - offset) as usize])?;
        }
        let over_zeros = matches!(self.base, Base::Zeros);
        self.own.clear((whole.start / PAGE) as usize..(whole.end / PAGE) as usize, over_zeros);
        if or_leave {
            return Ok(());
        }
        let last = whole.end.min(end);
        let written = self.write(last, &vec![0; (end - last) as usize]);
        written.map_err(|unfinished| unfinished.after(last - offset))
    }

    /// Flushes the writes of a volume to its storage.
    ///
    /// # Errors
    /// [`DiskFault`] if the operating system says that it does not.
    pub fn flush(&mut self) -> Result<(), DiskFault> {
        match &self.base {
            Base::Writer(writer) => writer.flush(),
            _ => Ok(()),
        }
    }

    /// Has a flush of a volume fail.
    #[cfg(test)]
    pub(crate) fn fail_flush(&self, errno: i32) {
        if let Base::Writer(writer) = &self.base {
            writer.fail_flush(errno);
        }
    }

    /// The same disk of another machine.
    pub(crate) fn fork(&mut self) -> Self {
        let base = match &self.base {
            Base::Zeros => Base::Zeros,
            Base::File(file) => Base::File(Arc::clone(file)),
            Base::Writer(writer) => Base::View(writer.view()),
            Base::View(view) => Base::View(view.clone()),
        };
        let (name, own) = (self.name.clone(), self.own.fork());
        Self { name, access: self.access, bytes: self.bytes, own, base, attached: self.attached }
    }

    /// It is this machine's from `mark` on.
    pub(crate) fn attach(&mut self, mark: Mark) {
        self.attached = mark;
    }

    pub(crate) fn follow(&mut self, mark: Mark) {
        self.own.follow(mark);
    }

    /// Whether the machine had it at `mark`.
    pub(crate) fn is_since(&self, mark: Mark) -> bool {
        self.attached <= mark
    }

    pub(crate) fn pages_since(&self, mark: Mark) -> PageSet {
        let mut pages = PageSet::default();
        self.own.visit_pages_since(mark, &mut |page| {
            pages.insert(page);
        });
        pages
    }

    /// All pages that may differ from the file below.
    pub(crate) fn pages(&self) -> PageSet {
        let mut pages = self.own.held_pages();
        if let Base::View(view) = &self.base {
            view.pages().iter().for_each(|page| {
                pages.insert(page);
            });
        }
        pages
    }

    /// A page's bytes, those behind the disk's end zero.
    pub(crate) fn page(&mut self, page: usize, into: &mut [u8]) -> Result<(), DiskFault> {
        into.fill(0);
        let offset = page as u64 * PAGE;
        let len = self.bytes.saturating_sub(offset).min(PAGE) as usize;
        self.read(offset, &mut into[..len])
    }

    /// Appends what tells its content from another's.
    pub(crate) fn digest(
        &mut self,
        mark: Mark,
        state: &mut StateWriter,
    ) -> Result<(), MemoryError> {
        if self.access == Access::Volume {
            return Ok(());
        }
        state.array(&self.own.digest_at(mark)?);
        // Over a file a page of zeros is another thing than none.
        if matches!(self.base, Base::File(_)) {
            let held = self.own.held_pages();
            let words: Vec<u8> = held.words().iter().flat_map(|word| word.to_le_bytes()).collect();
            state.array(blake3::hash(&words).as_bytes());
        }
        Ok(())
    }

    pub(crate) fn own_bytes(&self) -> u64 {
        self.own.own_bytes()
    }
}
