//! Writes a [`Tree`](crate::tree::Tree) as an EROFS file: read-only, uncompressed, the same bytes for
//! the same tree.
//!
//! ```text
//! block 0      1,024 bytes of zeros, the superblock, zeros
//! blocks 1 …   metadata: inodes, each with its attributes, its map of chunks or the end of its data
//! …            directories: their whole blocks
//! …            files: their whole blocks, each file's in one piece
//! ```
//!
//! The end of a file's data, less than a block, follows its inode if both fit into one block, so a small
//! file takes no block of its own. Inodes fill the blocks best-fit. A file with holes has a map of
//! chunks, in which a hole takes no block.
//!
//! Every inode is an extended one: 64 bits of size, 32 of owner and group, its own time. A directory's
//! blocks hold names in the order of their bytes, `.` and `..` among them, for a binary search.
//!
//! Source: Linux, `Documentation/filesystems/erofs.rst` and `fs/erofs/erofs_fs.h`.

mod directory;
mod format;
mod plan;
mod write;

pub use format::holds_xattr;
pub use plan::Plan;
pub use write::{Written, write};

/// Increased when the same tree gives other bytes, so that a cache does not confuse them.
pub const WRITER_VERSION: u32 = 2;
