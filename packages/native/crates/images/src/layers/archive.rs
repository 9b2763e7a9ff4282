//! A tar archive, read entry by entry as it streams: ustar, GNU and PAX, sparse files of all forms.
//!
//! Nothing is trusted: names, attributes and maps of holes are bounded, numbers are checked, and what
//! no archive says ends with the place where it stands.

use super::header::{BLOCK, Fields, Header, sparse_numbers};
use super::numbers::decimal;
use super::pax::{MOST_SPARSE_NUMBERS, Records};
use super::sparse::segments;
use crate::error::ImageError;
use crate::tree::Segment;
use std::io::{self, Read};

/// The kind of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file; its data follows.
    File,
    /// Another name of a file.
    HardLink(Vec<u8>),
    /// A symbolic link.
    SymbolicLink(Vec<u8>),
    /// A character device.
    CharacterDevice(u32, u32),
    /// A block device.
    BlockDevice(u32, u32),
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// An entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name in the archive.
    pub path: Vec<u8>,
    /// Its kind.
    pub kind: EntryKind,
    /// Permissions, with set-user-id, set-group-id and the sticky bit.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its modification time: seconds since 1970, and nanoseconds.
    pub mtime: (i64, u32),
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// A file's length.
    pub size: u64,
    /// The places of the data, for a sparse file.
    pub segments: Option<Vec<Segment>>,
    /// Bytes of data that follow.
    pub stored: u64,
}

/// Maximum bytes of a header of extended attributes and similar; Linux bounds an attribute at 64 KiB.
const MOST_PAX_BYTES: u64 = 2 << 20;
/// The longest name of GNU's form.
const MOST_NAME_BYTES: u64 = 64 << 10;

/// An archive in the reading.
pub struct Archive<R> {
    reader: R,
    layer: usize,
    offset: u64,
    /// Data of the entry that has not been read, and what fills its last block.
    left: u64,
    padding: u64,
    global: Records,
}

impl<R: Read> Archive<R> {
    /// The archive that `reader` holds; errors say that it is of `layer`.
    pub fn new(reader: R, layer: usize) -> Self {
        Self { reader, layer, offset: 0, left: 0, padding: 0, global: Records::default() }
    }

    /// The archive's reader.
    pub fn reader_mut(&mut self) -> &mut R {
        &mut self.reader
    }

    /// Bytes of the archive that were read.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes of the entry that are left, which the caller passes over itself.
    pub fn take_left(&mut self) -> u64 {
        let left = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        self.offset += left;
        left
    }

    fn corrupt(&self, expected: &str, found: &str) -> ImageError {
        ImageError::LayerCorrupt {
            layer: self.layer,
            offset: self.offset,
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }

    fn failed(&self, error: io::Error) -> ImageError {
        ImageError::from_io(error, |error| {
            let end = error.kind() == io::ErrorKind::UnexpectedEof;
            let found = if end { "its end".to_owned() } else { error.to_string() };
            self.corrupt("a whole archive", &found)
        })
    }

    fn exact(&mut self, buffer: &mut [u8]) -> Result<(), ImageError> {
        self.reader.read_exact(buffer).map_err(|error| self.failed(error))?;
        self.offset += buffer.len() as u64;
        Ok(())
    }

    fn skip(&mut self, mut count: u64) -> Result<(), ImageError> {
        let mut scrap = [0_u8; 16 << 10];
        while count > 0 {
            let now = count.min(scrap.len() as u64) as usize;
            self.exact(&mut scrap[..now])?;
            count -= now as u64;
        }
        Ok(())
    }

    /// The data of a header of `size` bytes that describes the entry behind it.
    fn meta(&mut self, size: u64, most: u64, what: &'static str) -> Result<Vec<u8>, ImageError> {
        if size > most {
            return Err(self.corrupt(what, &format!("one of {size} bytes")));
        }
        let mut data = vec![0; size as usize];
        self.exact(&mut data)?;
        self.skip(padding(size))?;
        Ok(data)
    }

    /// Reads the next data of the entry into `buffer`; 0 at its end.
    ///
    /// # Errors
    /// If the archive ends before.
    pub fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, ImageError> {
        let most = self.left.min(buffer.len() as u64) as usize;
        if most == 0 {
            return Ok(0);
        }
        let count = loop {
            match self.reader.read(&mut buffer[..most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(|error| self.failed(error))?,
            }
        };
        if count == 0 {
            return Err(self.corrupt("a whole archive", "its end"));
        }
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }

    /// The next entry; the rest of the previous one is skipped. `None` at the end.
    ///
    /// # Errors
    /// The problem with the archive, and its place.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ImageError> {
        self.skip(self.left)?;
        self.left = 0;
        if !self.pass_padding()? {
            return Ok(None);
        }
        let mut records = self.global.clone();
        let (mut long_name, mut long_link) = (None, None);
        let mut is_alone = true;
        loop {
            let Some(header) = self.header()? else {
                if !is_alone {
                    return Err(
                        self.corrupt("the entry that a header is of", "the end of the archive")
                    );
                }
                return Ok(None);
            };
            let fields =
                header.fields().map_err(|expected| self.corrupt(expected, "something else"))?;
            is_alone = false;
            match fields.kind {
                b'x' | b'X' => {
                    let data =
                        self.meta(fields.size, MOST_PAX_BYTES, "PAX records of at most 2 MiB")?;
                    records
                        .take(&data)
                        .map_err(|expected| self.corrupt(expected, "something else"))?;
                }
                b'g' => {
                    let data =
                        self.meta(fields.size, MOST_PAX_BYTES, "PAX records of at most 2 MiB")?;
                    let global = &mut self.global;
                    let taken = global.take(&data).and_then(|()| records.take(&data));
                    taken.map_err(|expected| self.corrupt(expected, "something else"))?;
                    is_alone = true;
                }
                b'L' => long_name = Some(self.name(fields.size)?),
                b'K' => long_link = Some(self.name(fields.size)?),
                // The label of a volume.
                b'V' => is_alone = true,
                _ => return self.entry(&header, fields, records, long_name, long_link).map(Some),
            }
        }
    }

    /// Skips the padding of the entry's last block. `umoci insert` leaves it out at the end of an
    /// archive, together with the end marker, which Go programs accept; then it returns `false`.
    fn pass_padding(&mut self) -> Result<bool, ImageError> {
        let mut scrap = [0; BLOCK];
        while self.padding > 0 {
            match self.reader.read(&mut scrap[..self.padding as usize]) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.offset += count as u64;
                    self.padding -= count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(true)
    }

    /// The next header; `None` at two blocks of zeros, or where the archive ends instead of one.
    fn header(&mut self) -> Result<Option<Header>, ImageError> {
        let mut header = Header([0; BLOCK]);
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(&mut header.0[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(self.corrupt("a whole header", "the end of the archive")),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        self.offset += BLOCK as u64;
        Ok((!header.is_zero()).then_some(header))
    }

    fn name(&mut self, size: u64) -> Result<Vec<u8>, ImageError> {
        let mut name = self.meta(size, MOST_NAME_BYTES, "a name of at most 64 KiB")?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.truncate(end);
        Ok(name)
    }

    fn entry(
        &mut self,
        header: &Header,
        fields: Fields,
        records: Records,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry, ImageError> {
        let something =
            |archive: &Self, expected: &str| archive.corrupt(expected, "something else");
        let path = records.sparse.name.clone().or_else(|| records.path.clone()).or(long_name);
        let path = path.unwrap_or_else(|| header.name());
        let link = records.link.clone().or(long_link).unwrap_or_else(|| header.link());
        let device = || header.device();
        let kind = match fields.kind {
            b'0' | 0 | b'7' if path.ends_with(b"/") => EntryKind::Directory,
            b'0' | 0 | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink(link),
            b'2' => EntryKind::SymbolicLink(link),
            b'3' => device()
                .map(|(major, minor)| EntryKind::CharacterDevice(major, minor))
                .map_err(|expected| something(self, expected))?,
            b'4' => device()
                .map(|(major, minor)| EntryKind::BlockDevice(major, minor))
                .map_err(|expected| something(self, expected))?,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            other => {
                let found = format!("type {:?}", char::from(other));
                return Err(self.corrupt("a file, directory, link, device or FIFO", &found));
            }
        };
        let owner = |record: Option<u64>, field: i64| {
            record.map_or_else(|| u32::try_from(field).ok(), |record| u32::try_from(record).ok())
        };
        let uid =
            owner(records.uid, fields.uid).ok_or_else(|| something(self, "a uid of 32 bits"))?;
        let gid =
            owner(records.gid, fields.gid).ok_or_else(|| something(self, "a gid of 32 bits"))?;
        // Others than files may say a size, as they had on their disk; nothing follows.
        self.left = match kind {
            EntryKind::File => records.size.unwrap_or(fields.size),
            _ => 0,
        };
        self.padding = padding(self.left);
        let (mut size, mut map) = (self.left, None);
        if kind == EntryKind::File {
            if fields.kind == b'S' {
                let (real_size, numbers) = self.gnu_map(header)?;
                (size, map) = (real_size, Some(numbers));
            } else if records.sparse.is_there {
                let real_size = records.sparse.real_size;
                size = real_size.ok_or_else(|| something(self, "a sparse file's size"))?;
                map = Some(match (records.sparse.major, records.sparse.minor) {
                    (Some(1), Some(0)) => self.map_before_data()?,
                    (None | Some(0), _) => records.sparse.numbers.clone(),
                    _ => return Err(something(self, "a sparse file of a known version")),
                });
            }
        }
        let segments = map.map(|numbers| segments(&numbers, size, self.left)).transpose();
        Ok(Entry {
            path,
            kind,
            mode: fields.mode,
            uid,
            gid,
            mtime: records.mtime.unwrap_or((fields.mtime, 0)),
            xattrs: records.xattrs.into_iter().collect(),
            size,
            segments: segments.map_err(|expected| something(self, expected))?,
            stored: self.left,
        })
    }

    fn gnu_map(&mut self, header: &Header) -> Result<(u64, Vec<u64>), ImageError> {
        let first =
            header.gnu_sparse().map_err(|expected| self.corrupt(expected, "something else"))?;
        let (mut numbers, mut has_more, size) = first;
        while has_more {
            let mut block = [0; BLOCK];
            self.exact(&mut block)?;
            let more = sparse_numbers(&block[..504]);
            numbers.extend(more.map_err(|expected| self.corrupt(expected, "something else"))?);
            has_more = block[504] != 0;
            if numbers.len() > MOST_SPARSE_NUMBERS {
                return Err(self.corrupt("a map of at most 100,000 holes", "a longer one"));
            }
        }
        Ok((size, numbers))
    }

    /// The map of version 1.0: decimal numbers, a line each, in blocks before the data.
    fn map_before_data(&mut self) -> Result<Vec<u64>, ImageError> {
        let mut numbers = Vec::new();
        let mut wanted = None;
        let mut line = Vec::new();
        let mut block = [0; BLOCK];
        loop {
            if self.left < BLOCK as u64 {
                return Err(self.corrupt("a map of holes before the data", "less than a block"));
            }
            self.exact(&mut block)?;
            self.left -= BLOCK as u64;
            for byte in block {
                if byte != b'\n' {
                    line.push(byte);
                    if line.len() > 20 {
                        return Err(
                            self.corrupt("a number in a map of holes", "more than its digits")
                        );
                    }
                    continue;
                }
                let number = decimal(&line);
                line.clear();
                let number = number
                    .ok_or_else(|| self.corrupt("a number in a map of holes", "something else"))?;
                match wanted {
                    None if number > (MOST_SPARSE_NUMBERS / 2) as u64 => {
                        return Err(self.corrupt("a map of at most 100,000 holes", "a longer one"));
                    }
                    None => wanted = Some(number as usize * 2),
                    Some(_) => numbers.push(number),
                }
                if wanted == Some(numbers.len()) {
                    return Ok(numbers);
                }
            }
        }
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}
