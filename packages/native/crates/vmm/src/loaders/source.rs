//! The source of a kernel or file system.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

/// A file or bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of the host.
    Path(PathBuf),
    /// Bytes in memory.
    Bytes(Arc<[u8]>),
}

/// A source cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceError {
    /// The operating system says no.
    Unreadable {
        /// The file.
        path: String,
        /// Its message.
        reason: String,
    },
    /// More bytes than are wanted.
    TooLarge {
        /// Bytes in the source.
        found: u64,
    },
}

impl Source {
    /// Its first bytes, at most `most`; none of what cannot be read.
    pub fn head(&self, most: usize) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.iter().take(most).copied().collect(),
            Self::Path(path) => {
                let mut head = Vec::new();
                let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
                if let (true, Ok(file)) = (is_file, File::open(path)) {
                    // What cannot be read is told of by who reads all of it.
                    let _ = file.take(most as u64).read_to_end(&mut head);
                }
                head
            }
        }
    }

    /// The bytes, if there are at most `most`.
    ///
    /// # Errors
    /// [`SourceError`] if they cannot be read or are more; at most `most` bytes are read then.
    pub fn read(&self, most: u64) -> Result<Arc<[u8]>, SourceError> {
        let path = match self {
            Self::Bytes(bytes) if bytes.len() as u64 > most => {
                return Err(SourceError::TooLarge { found: bytes.len() as u64 });
            }
            Self::Bytes(bytes) => return Ok(bytes.clone()),
            Self::Path(path) => path,
        };
        let unreadable =
            |reason: String| SourceError::Unreadable { path: path.display().to_string(), reason };
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
        if !metadata.is_file() {
            return Err(unreadable("expected a regular file, found something else".to_owned()));
        }
        if metadata.len() > most {
            return Err(SourceError::TooLarge { found: metadata.len() });
        }
        let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        file.take(most + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| unreadable(error.to_string()))?;
        if bytes.len() as u64 > most {
            return Err(SourceError::TooLarge { found: bytes.len() as u64 });
        }
        Ok(bytes.into())
    }
}
