//! The structures on disk, all little-endian.
//!
//! ```text
//! superblock, at 1,024
//!   0 magic u32        4 checksum u32        8 compatible features u32   12 block bits u8
//!  13 extra slots u8  14 root's number u16  16 inodes u64                24 build time u64
//!  32 its nanos u32   36 blocks u32         40 metadata's block u32      44 shared attributes' u32
//!  48 uuid[16]        64 volume name[16]    80 incompatible features u32 84 … 127 zeros here
//!
//! inode, extended
//!   0 format u16       2 attribute units u16  4 mode u16         6 reserved u16    8 size u64
//!  16 first block, device, or chunk format u32  20 number u32   24 uid u32        28 gid u32
//!  32 time i64        40 its nanos u32       44 links u32       48 reserved[16]
//!
//! attributes, behind the inode
//!   0 filter u32       4 shared u8            5 reserved[7]     12 entries
//!   entry: 0 name length u8  1 prefix u8  2 value length u16  4 name, value, zeros up to 4 bytes
//!
//! map of chunks, behind the attributes: for each chunk its first block u32, all ones for a hole
//!
//! directory entry
//!   0 inode's number u64   8 where the name is u16   10 type u8   11 reserved u8
//! ```
//!
//! An inode's number is its place in units of 32 bytes.

use crate::tree::{Attributes, Kind};

pub(super) const BLOCK_BITS: u32 = 12;
pub(super) const BLOCK: u64 = 1 << BLOCK_BITS;
/// Unit of inodes' places.
pub(super) const SLOT: u64 = 32;
pub(super) const INODE: u64 = 64;
pub(super) const SUPERBLOCK_AT: usize = 1024;
/// The address of a hole.
pub(super) const HOLE: u32 = u32::MAX;

const MAGIC: u32 = 0xe0f5_e1e2;
const COMPATIBLE_CHECKSUM: u32 = 1;
const COMPATIBLE_MTIME: u32 = 2;
const INCOMPATIBLE_CHUNKED_FILE: u32 = 4;
const EXTENDED: u16 = 1;
const ATTRIBUTES_HEADER: u64 = 12;

/// The layout of an inode's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// In whole blocks.
    Plain,
    /// In whole blocks, and the rest behind the inode.
    Inline,
    /// In chunks of so many bits.
    Chunks(u32),
}

impl Layout {
    fn format(self) -> u16 {
        let number = match self {
            Self::Plain => 0,
            Self::Inline => 2,
            Self::Chunks(_) => 4,
        };
        number << 1 | EXTENDED
    }
}

/// Block 0.
pub(super) fn superblock(
    root: u16,
    inodes: u64,
    blocks: u32,
    uuid: [u8; 16],
    has_chunks: bool,
) -> Vec<u8> {
    let mut block = vec![0; BLOCK as usize];
    let mut put = |at: usize, bytes: &[u8]| {
        block[SUPERBLOCK_AT + at..SUPERBLOCK_AT + at + bytes.len()].copy_from_slice(bytes);
    };
    put(0, &MAGIC.to_le_bytes());
    put(8, &(COMPATIBLE_CHECKSUM | COMPATIBLE_MTIME).to_le_bytes());
    put(12, &[BLOCK_BITS as u8]);
    put(14, &root.to_le_bytes());
    put(16, &inodes.to_le_bytes());
    put(36, &blocks.to_le_bytes());
    put(48, &uuid);
    put(80, &(if has_chunks { INCOMPATIBLE_CHUNKED_FILE } else { 0 }).to_le_bytes());
    let checksum = crc32c(&block[SUPERBLOCK_AT..]);
    block[SUPERBLOCK_AT + 4..SUPERBLOCK_AT + 8].copy_from_slice(&checksum.to_le_bytes());
    block
}

/// CRC-32C from all ones on, not inverted at its end. Of one block in a file, so a bit at a time will do.
fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

/// The fields of an inode besides its node's attributes.
pub(super) struct InodeFacts {
    pub(super) layout: Layout,
    pub(super) size: u64,
    /// First block, device number, or what says how long chunks are.
    pub(super) place: u32,
    pub(super) number: u32,
    pub(super) links: u32,
}

/// An inode, with the header and entries of its attributes.
pub(super) fn inode(kind: &Kind, attributes: &Attributes, facts: &InodeFacts) -> Vec<u8> {
    let xattrs = xattr_bytes(attributes);
    let units = if xattrs == 0 { 0 } else { ((xattrs - ATTRIBUTES_HEADER) / 4 + 1) as u16 };
    let mut bytes = Vec::with_capacity((INODE + xattrs) as usize);
    bytes.extend(facts.layout.format().to_le_bytes());
    bytes.extend(units.to_le_bytes());
    bytes.extend((type_bits(kind) | attributes.mode).to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend(facts.size.to_le_bytes());
    bytes.extend(facts.place.to_le_bytes());
    bytes.extend(facts.number.to_le_bytes());
    bytes.extend(attributes.uid.to_le_bytes());
    bytes.extend(attributes.gid.to_le_bytes());
    bytes.extend(attributes.mtime.to_le_bytes());
    bytes.extend(attributes.mtime_nanos.to_le_bytes());
    bytes.extend(facts.links.to_le_bytes());
    bytes.extend([0; 16]);
    if xattrs > 0 {
        bytes.extend([0; ATTRIBUTES_HEADER as usize]);
        for (name, value) in attributes.xattrs.iter() {
            let Some((prefix, rest)) = prefixed(name) else { continue };
            bytes.extend([rest.len() as u8, prefix]);
            bytes.extend((value.len() as u16).to_le_bytes());
            bytes.extend(rest);
            bytes.extend(&**value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}

/// Bytes that a node's attributes take behind its inode.
pub(super) fn xattr_bytes(attributes: &Attributes) -> u64 {
    let entries = attributes.xattrs.iter().filter_map(|(name, value)| {
        prefixed(name).map(|(_, rest)| (4 + rest.len() + value.len()).next_multiple_of(4) as u64)
    });
    let bytes: u64 = entries.sum();
    if bytes == 0 { 0 } else { bytes + ATTRIBUTES_HEADER }
}

/// The numbers of the prefixes of attributes, and what follows them.
fn prefixed(name: &[u8]) -> Option<(u8, &[u8])> {
    match name {
        b"system.posix_acl_access" => return Some((2, b"")),
        b"system.posix_acl_default" => return Some((3, b"")),
        _ => {}
    }
    let prefixes: [(u8, &[u8]); 3] = [(1, b"user."), (4, b"trusted."), (6, b"security.")];
    prefixes.iter().find_map(|(number, prefix)| {
        name.strip_prefix(*prefix).filter(|rest| !rest.is_empty()).map(|rest| (*number, rest))
    })
}

/// Whether such a file system can hold an attribute of that name.
pub fn holds_xattr(name: &[u8]) -> bool {
    prefixed(name).is_some()
}

fn type_bits(kind: &Kind) -> u16 {
    match kind {
        Kind::Fifo => 0o010_000,
        Kind::CharacterDevice(..) => 0o020_000,
        Kind::Directory { .. } => 0o040_000,
        Kind::BlockDevice(..) => 0o060_000,
        Kind::File(_) => 0o100_000,
        Kind::SymbolicLink(_) => 0o120_000,
    }
}

/// The type as a directory's entry says it.
pub(super) fn entry_type(kind: &Kind) -> u8 {
    match kind {
        Kind::File(_) => 1,
        Kind::Directory { .. } => 2,
        Kind::CharacterDevice(..) => 3,
        Kind::BlockDevice(..) => 4,
        Kind::Fifo => 5,
        Kind::SymbolicLink(_) => 7,
    }
}

/// A device's numbers as Linux encodes them.
pub(super) fn device_number(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}
