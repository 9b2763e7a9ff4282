//! Digests of a file's blocks that are stored beside the file: they are checked from the first read on.
//!
//! ```text
//! FILE.blocks   "SPBLOCK1" │ BLAKE3 of the file, 32 │ the table of `blocks.rs`
//! ```
//! Images have them (`crates/images/src/block_digests.rs`).

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use super::DiskError;
use super::blocks::{Blocks, Hash};
use super::known::blocks_with_digest;

const MAGIC: &[u8; 8] = b"SPBLOCK1";

/// The blocks of the file of the disk called `name`, from the table beside it; `None` if there is none.
pub(super) fn told_blocks(
    name: &str,
    file: &Path,
    bytes: u64,
) -> Result<Option<Arc<Blocks>>, DiskError> {
    let mut path = file.as_os_str().to_owned();
    path.push(".blocks");
    let unreadable = |reason: String| DiskError::DiskUnreadable {
        name: name.to_owned(),
        path: path.to_string_lossy().into_owned(),
        reason,
    };
    let read = || -> io::Result<Option<Option<Arc<Blocks>>>> {
        let mut told = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            told => told?,
        };
        if !told.metadata()?.is_file() {
            return Ok(None);
        }
        let mut magic = Vec::new();
        told.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic)?;
        // A file of the user's may have that name.
        if magic != MAGIC {
            return Ok(None);
        }
        let mut digest = Hash::default();
        told.read_exact(&mut digest)?;
        let table = || {
            let mut table = Vec::new();
            told.take(Blocks::table_bytes(bytes) + 1).read_to_end(&mut table)?;
            Ok::<_, io::Error>(table)
        };
        blocks_with_digest(bytes, digest, table).map(Some)
    };
    match read().map_err(|error| unreadable(error.to_string()))? {
        None => Ok(None),
        Some(Some(blocks)) => Ok(Some(blocks)),
        Some(None) => {
            let file = file.display();
            Err(unreadable(format!(
                "expected the digests of the blocks of {file}, found others: build the image again"
            )))
        }
    }
}
