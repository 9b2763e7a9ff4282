//! A header of a tar archive.
//!
//! ```text
//!   0 name[100]   100 mode[8]    108 uid[8]      116 gid[8]
//! 124 size[12]    136 mtime[12]  148 checksum[8] 156 type[1]
//! 157 link[100]   257 magic[6]   263 version[2]  265 uname[32]   297 gname[32]
//! 329 major[8]    337 minor[8]
//! 345 prefix[155]                                of POSIX, `ustar\0`
//! 386 segments[4 × 24]  482 more[1]  483 size[12] of GNU, `ustar  \0`, type S
//! ```
//!
//! A block of 512 bytes of further segments has 21 of them, and at 504 whether there is one more.
//!
//! Source: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

use super::numbers::field;

/// Bytes of a block.
pub(super) const BLOCK: usize = 512;

pub(super) struct Header(pub(super) [u8; BLOCK]);

/// The numeric fields of a header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    pub(super) mode: u32,
    pub(super) uid: i64,
    pub(super) gid: i64,
    pub(super) size: u64,
    pub(super) mtime: i64,
    pub(super) kind: u8,
}

impl Header {
    pub(super) fn is_zero(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    fn is_gnu(&self) -> bool {
        &self.0[257..265] == b"ustar  \0"
    }

    fn is_posix(&self) -> bool {
        &self.0[257..263] == b"ustar\0"
    }

    /// The numbers, checked.
    ///
    /// # Errors
    /// The expected form of a field that cannot be read.
    pub(super) fn fields(&self) -> Result<Fields, &'static str> {
        let expected = field(&self.0[148..156]).ok_or("a header's checksum in octal digits")?;
        let sum = |as_number: fn(u8) -> i64| -> i64 {
            let blank = as_number(b' ') * 8;
            let rest = self.0[..148].iter().chain(&self.0[156..]);
            rest.map(|byte| as_number(*byte)).sum::<i64>() + blank
        };
        // Some writers of old summed signed characters.
        if sum(i64::from) != expected && sum(|byte| i64::from(byte as i8)) != expected {
            return Err("a header that its checksum is of");
        }
        let number = |range: std::ops::Range<usize>| field(&self.0[range]);
        let size = number(124..136).ok_or("a size")?;
        Ok(Fields {
            mode: number(100..108)
                .and_then(|mode| u32::try_from(mode & 0o7777).ok())
                .ok_or("a mode")?,
            uid: number(108..116).ok_or("a uid")?,
            gid: number(116..124).ok_or("a gid")?,
            size: u64::try_from(size).map_err(|_| "a size that is not negative")?,
            mtime: number(136..148).ok_or("a time")?,
            kind: self.0[156],
        })
    }

    /// Major and minor number of a device.
    pub(super) fn device(&self) -> Result<(u32, u32), &'static str> {
        let number = |range: std::ops::Range<usize>| {
            field(&self.0[range]).and_then(|number| u32::try_from(number).ok())
        };
        let numbers = number(329..337).zip(number(337..345));
        // As many bits as Linux has for them.
        numbers
            .filter(|(major, minor)| *major < 1 << 12 && *minor < 1 << 20)
            .ok_or("a device's numbers")
    }

    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let prefix = if self.is_posix() { text(&self.0[345..500]) } else { &[] };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.0[157..257]).to_vec()
    }

    /// GNU's segments of a sparse file in the header: numbers, whether more follow, the size.
    pub(super) fn gnu_sparse(&self) -> Result<(Vec<u64>, bool, u64), &'static str> {
        if !self.is_gnu() {
            return Err("a sparse file in a header of GNU's form");
        }
        let size = field(&self.0[483..495]).and_then(|size| u64::try_from(size).ok());
        Ok((
            sparse_numbers(&self.0[386..482])?,
            self.0[482] != 0,
            size.ok_or("a sparse file's size")?,
        ))
    }
}

/// Offset and length of GNU's segments, up to the first without either.
pub(super) fn sparse_numbers(bytes: &[u8]) -> Result<Vec<u64>, &'static str> {
    let mut numbers = Vec::new();
    for pair in bytes.chunks_exact(24) {
        if pair[0] == 0 && pair[12] == 0 {
            break;
        }
        for part in pair.chunks_exact(12) {
            let number = field(part).and_then(|number| u64::try_from(number).ok());
            numbers.push(number.ok_or("a number in a map of holes")?);
        }
    }
    Ok(numbers)
}

fn text(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    &bytes[..end]
}
