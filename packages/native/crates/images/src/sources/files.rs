//! The files of a layout or an archive: of a folder, or of a tar archive.

use crate::error::ImageError;
use crate::layers::archive::{Archive, EntryKind};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Files by their names.
pub trait Files {
    /// Their place.
    fn place(&self) -> String;

    /// A file, to be read once; `None` if there is none of that name.
    ///
    /// # Errors
    /// If it exists and cannot be read.
    fn open(&self, name: &str) -> Result<Option<Box<dyn Read + '_>>, ImageError>;
}

/// Opens a regular file, following links; does not block on a pipe, and returns `None` for it.
fn open_if_file(path: &Path) -> io::Result<Option<File>> {
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

/// The content of a file, if it is regular and has at most `most` bytes.
///
/// # Errors
/// If it cannot be read, is something else, or holds more.
pub(crate) fn read_file(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let invalid = |found: String| io::Error::new(io::ErrorKind::InvalidData, found);
    let file = open_if_file(path)?.ok_or_else(|| invalid("no regular file".to_owned()))?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(invalid(format!("more than {most} bytes")));
    }
    Ok(bytes)
}

fn open_file(path: &Path) -> Result<Option<File>, ImageError> {
    match open_if_file(path) {
        Ok(Some(file)) => Ok(Some(file)),
        Ok(None) => Err(ImageError::SourceInvalid {
            path: path.display().to_string(),
            expected: "a file".to_owned(),
            found: "something else".to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ImageError::of_source(path, &error)),
    }
}

/// The files of a folder.
pub struct Folder(PathBuf);

impl Folder {
    /// That folder.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(path: &Path) -> Result<Self, ImageError> {
        let metadata =
            std::fs::metadata(path).map_err(|error| ImageError::of_source(path, &error))?;
        if metadata.is_dir() {
            return Ok(Self(path.to_owned()));
        }
        Err(ImageError::SourceInvalid {
            path: path.display().to_string(),
            expected: "the folder of an OCI layout".to_owned(),
            found: "a file; archives are named oci-archive:FILE or docker-archive:FILE".to_owned(),
        })
    }
}

impl Files for Folder {
    fn place(&self) -> String {
        self.0.display().to_string()
    }

    fn open(&self, name: &str) -> Result<Option<Box<dyn Read + '_>>, ImageError> {
        let file = open_file(&self.0.join(name))?;
        Ok(file.map(|file| Box::new(file) as Box<dyn Read>))
    }
}

enum Member {
    Data {
        offset: u64,
        size: u64,
    },
    /// Archives of old say so that two layers are one.
    Link(String),
}

/// The files of a tar archive: their places are found once, their data is read in place.
pub struct TarFile {
    path: PathBuf,
    file: File,
    members: HashMap<String, Member>,
}

/// An image has a few hundred files at most.
const MOST_MEMBERS: usize = 100_000;

impl TarFile {
    /// That archive.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(path: &Path) -> Result<Self, ImageError> {
        let file = open_file(path)?;
        let file =
            file.ok_or_else(|| ImageError::of_source(path, &io::ErrorKind::NotFound.into()))?;
        let invalid = |expected: &str, found: String| ImageError::SourceInvalid {
            path: path.display().to_string(),
            expected: expected.to_owned(),
            found,
        };
        let mut magic = [0; 4];
        let is_read = file.read_exact_at(&mut magic, 0).is_ok();
        if is_read && (magic[..2] == [0x1f, 0x8b] || magic == [0x28, 0xb5, 0x2f, 0xfd]) {
            return Err(invalid(
                "an uncompressed tar archive",
                "a compressed file; unpack it with gunzip or zstd -d".to_owned(),
            ));
        }
        let length = file.metadata().map_err(|error| ImageError::of_source(path, &error))?.len();
        let mut members = HashMap::new();
        let mut archive = Archive::new(BufReader::new(&file), 0);
        while let Some(entry) = archive.next_entry().map_err(|error| match error {
            ImageError::LayerCorrupt { offset, expected, found, .. } => {
                invalid(&format!("{expected} at byte {offset}"), found)
            }
            other => other,
        })? {
            if members.len() >= MOST_MEMBERS {
                return Err(invalid("an archive of at most 100,000 files", "more".to_owned()));
            }
            let Ok(name) = String::from_utf8(entry.path) else { continue };
            let member = match entry.kind {
                EntryKind::File if entry.segments.is_none() => {
                    let (offset, size) = (archive.offset(), entry.stored);
                    if offset.checked_add(size).is_none_or(|end| end > length) {
                        return Err(invalid(
                            &format!("{size} bytes of {name:?}"),
                            "the end of the archive".to_owned(),
                        ));
                    }
                    Member::Data { offset, size }
                }
                EntryKind::SymbolicLink(target) | EntryKind::HardLink(target) => {
                    let Ok(target) = String::from_utf8(target) else { continue };
                    Member::Link(target)
                }
                _ => continue,
            };
            members.insert(name.trim_start_matches("./").to_owned(), member);
            pass_over(&mut archive).map_err(|error| ImageError::of_source(path, &error))?;
        }
        Ok(Self { path: path.to_owned(), file, members })
    }

    fn find(&self, name: &str) -> Option<(u64, u64)> {
        match self.members.get(name)? {
            Member::Data { offset, size } => Some((*offset, *size)),
            // `../ID/layer.tar`, and no link to a link.
            Member::Link(target) => match self.members.get(target.trim_start_matches("../"))? {
                Member::Data { offset, size } => Some((*offset, *size)),
                Member::Link(_) => None,
            },
        }
    }
}

impl Files for TarFile {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn open(&self, name: &str) -> Result<Option<Box<dyn Read + '_>>, ImageError> {
        let found = self.find(name);
        Ok(found.map(|(at, size)| {
            Box::new(Section { file: &self.file, at, left: size }) as Box<dyn Read>
        }))
    }
}

/// A part of a file.
struct Section<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.left.min(buffer.len() as u64) as usize;
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Passes over the data of the entry without reading it.
fn pass_over(archive: &mut Archive<BufReader<&File>>) -> io::Result<()> {
    let count = archive.take_left();
    let count = i64::try_from(count).map_err(io::Error::other)?;
    archive.reader_mut().seek_relative(count)
}
