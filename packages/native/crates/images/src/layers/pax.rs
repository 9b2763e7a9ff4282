//! Records of PAX headers: `LENGTH KEY=VALUE\n`, with the length of the whole record in front.
//!
//! Source: POSIX.1-2017, pax, "pax Extended Header"; `SCHILY.xattr.` of star, which all writers of
//! layers use.

use super::numbers::{decimal, time};
use std::collections::BTreeMap;

/// The fields of one header's records, or of several; later ones win.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) sparse: SparseRecords,
}

/// GNU tar's fields for a sparse file, in their three forms.
#[derive(Debug, Clone, Default)]
pub(super) struct SparseRecords {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    /// Offset and length, in turns.
    pub(super) numbers: Vec<u64>,
    pub(super) is_there: bool,
}

/// The most numbers that a map of holes may have.
pub(super) const MOST_SPARSE_NUMBERS: usize = 200_000;

const XATTR: &[u8] = b"SCHILY.xattr.";

impl Records {
    /// Takes the records of one more header.
    ///
    /// # Errors
    /// The expected form of a record that cannot be read.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            // Some writers fill the rest with zeros.
            if bytes.iter().all(|byte| *byte == 0) {
                return Ok(());
            }
            let space = bytes.iter().take(21).position(|byte| *byte == b' ');
            let space = space.ok_or("the length of a PAX record")?;
            let length = decimal(&bytes[..space]).and_then(|length| usize::try_from(length).ok());
            let length = length.filter(|length| (space + 2..=bytes.len()).contains(length));
            let length = length.ok_or("a PAX record as long as it says")?;
            let (record, rest) = bytes.split_at(length);
            bytes = rest;
            let body =
                record[space + 1..].strip_suffix(b"\n").ok_or("a PAX record that ends its line")?;
            let equals =
                body.iter().position(|byte| *byte == b'=').ok_or("a PAX record with a value")?;
            self.one(&body[..equals], &body[equals + 1..])?;
        }
        Ok(())
    }

    fn one(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if let Some(name) = key.strip_prefix(XATTR) {
            if name.is_empty() {
                return Err("an extended attribute with a name");
            }
            self.xattrs.insert(name.to_vec(), value.to_vec());
            return Ok(());
        }
        let number = |slot: &mut Option<u64>, what| {
            // An empty value takes the record back.
            *slot = if value.is_empty() { None } else { Some(decimal(value).ok_or(what)?) };
            Ok(())
        };
        let text = |slot: &mut Option<Vec<u8>>| {
            *slot = (!value.is_empty()).then(|| value.to_vec());
            Ok(())
        };
        let sparse = &mut self.sparse;
        sparse.is_there |= key.starts_with(b"GNU.sparse.");
        match key {
            b"path" => text(&mut self.path),
            b"linkpath" => text(&mut self.link),
            b"size" => number(&mut self.size, "a PAX size in decimal digits"),
            b"uid" => number(&mut self.uid, "a PAX uid in decimal digits"),
            b"gid" => number(&mut self.gid, "a PAX gid in decimal digits"),
            b"mtime" => {
                self.mtime = match value {
                    b"" => None,
                    value => Some(time(value).ok_or("a PAX mtime in seconds")?),
                };
                Ok(())
            }
            b"GNU.sparse.major" => number(&mut sparse.major, "a version of a sparse file"),
            b"GNU.sparse.minor" => number(&mut sparse.minor, "a version of a sparse file"),
            b"GNU.sparse.name" => text(&mut sparse.name),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => {
                number(&mut sparse.real_size, "the size of a sparse file")
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                sparse.push(decimal(value).ok_or("a number in a map of holes")?)
            }
            b"GNU.sparse.map" => {
                sparse.numbers.clear();
                value.split(|byte| *byte == b',').filter(|part| !part.is_empty()).try_for_each(
                    |part| sparse.push(decimal(part).ok_or("a number in a map of holes")?),
                )
            }
            _ => Ok(()),
        }
    }
}

impl SparseRecords {
    pub(super) fn push(&mut self, number: u64) -> Result<(), &'static str> {
        if self.numbers.len() >= MOST_SPARSE_NUMBERS {
            return Err("a map of at most 100,000 holes");
        }
        self.numbers.push(number);
        Ok(())
    }
}
