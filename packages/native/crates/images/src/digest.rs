//! Digests as images name their parts: `sha256:<64 hexadecimal digits>`.
//!
//! Source: OCI image specification, `descriptor.md`, "Digests".

use crate::error::ImageError;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};
use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

/// The registered algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// The usual algorithm.
    Sha256,
    /// The other algorithm that implementations must support.
    Sha512,
}

impl Algorithm {
    /// Its name before the colon, and in paths of layouts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// A digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

impl Digest {
    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hexadecimal digits.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// SHA-256 of some bytes.
    pub fn sha256(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.algorithm.name(), self.hex)
    }
}

/// No digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected sha256: or sha512: and lower-case hexadecimal digits, found {0:?}")]
pub struct NoDigest(pub String);

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let refuse = || NoDigest(text.chars().take(200).collect());
        let (algorithm, hex) = text.split_once(':').ok_or_else(refuse)?;
        let (algorithm, digits) = match algorithm {
            "sha256" => (Algorithm::Sha256, 64),
            "sha512" => (Algorithm::Sha512, 128),
            _ => return Err(refuse()),
        };
        let is_hex = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if hex.len() != digits || !is_hex {
            return Err(refuse());
        }
        Ok(Self { algorithm, hex: hex.to_owned() })
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A digest in the making.
pub struct Hasher(Either);

enum Either {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hasher {
    /// Of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => Either::Sha256(Sha256::new()),
            Algorithm::Sha512 => Either::Sha512(Box::default()),
        })
    }

    /// Takes more.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Either::Sha256(hasher) => hasher.update(bytes),
            Either::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of all there was.
    pub fn finish(self) -> Digest {
        let (algorithm, hex) = match self.0 {
            Either::Sha256(hasher) => (Algorithm::Sha256, hex(&hasher.finalize())),
            Either::Sha512(hasher) => (Algorithm::Sha512, hex(&hasher.finalize())),
        };
        Digest { algorithm, hex }
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads bytes that must have that digest and length; otherwise the end of the input is an error.
pub struct Verified<R> {
    inner: R,
    hasher: Option<Hasher>,
    expected: Digest,
    size: u64,
    done: u64,
}

impl<R: Read> Verified<R> {
    /// `inner`, which is to be `expected`, of so many bytes.
    pub fn new(inner: R, expected: Digest, size: u64) -> Self {
        let hasher = Some(Hasher::new(expected.algorithm()));
        Self { inner, hasher, expected, size, done: 0 }
    }

    /// Bytes read so far.
    pub fn done(&self) -> u64 {
        self.done
    }

    fn size_wrong(&self, found: String) -> ImageError {
        let digest = self.expected.to_string();
        ImageError::BlobSizeWrong { digest, expected: self.size, found }
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        let Some(hasher) = &mut self.hasher else { return Ok(0) };
        if count == 0 {
            if self.done != self.size {
                return Err(self.size_wrong(self.done.to_string()).into());
            }
            let found = self.hasher.take().map(Hasher::finish);
            if found.as_ref() != Some(&self.expected) {
                let found = found.map_or_else(String::new, |found| found.to_string());
                let expected = self.expected.to_string();
                return Err(ImageError::BlobDigestWrong { expected, found }.into());
            }
            return Ok(0);
        }
        hasher.update(&buffer[..count]);
        self.done += count as u64;
        if self.done > self.size {
            return Err(self.size_wrong("more".to_owned()).into());
        }
        Ok(count)
    }
}
