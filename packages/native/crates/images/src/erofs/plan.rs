//! The places of everything, planned before anything is written.

use super::directory::Names;
use super::format::{BLOCK, BLOCK_BITS, HOLE, INODE, Layout, SLOT, xattr_bytes};
use crate::error::ImageError;
use crate::tree::{Content, Kind, NodeId, Segment, Tree};

/// The most chunks of a file: a megabyte of map.
const MOST_CHUNKS: u64 = 1 << 18;

/// The place of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Of its inode, in slots from the beginning of the file.
    pub(super) slot: u64,
    pub(super) layout: Layout,
    pub(super) size: u64,
    /// Its first block of data.
    pub(super) block: u32,
    /// Blocks of data that it has there.
    pub(super) blocks: u64,
    pub(super) number: u32,
}

impl Place {
    /// Bytes of data behind the inode.
    pub(super) fn tail(&self) -> u64 {
        if self.layout == Layout::Inline { self.size % BLOCK } else { 0 }
    }

    /// Chunks of its map.
    pub(super) fn chunks(&self) -> u64 {
        match self.layout {
            Layout::Chunks(bits) => self.size.div_ceil(1 << bits),
            _ => 0,
        }
    }
}

/// The places of everything.
pub struct Plan {
    /// By the number of the node; those without a name have none.
    pub(super) places: Vec<Option<Place>>,
    /// Nodes in the order of their data, with the directory that each is in.
    pub(super) order: Vec<(NodeId, NodeId)>,
    pub(super) metadata_blocks: u64,
    pub(super) blocks: u32,
    pub(super) has_chunks: bool,
}

impl Plan {
    /// A place for everything in `tree`.
    ///
    /// # Errors
    /// [`ImageError::LimitExceeded`] for more than the format can number.
    pub fn new(tree: &Tree) -> Result<Self, ImageError> {
        let order = tree.walk();
        let mut metadata = Metadata::default();
        let mut places = vec![None; tree.numbers()];
        let mut has_chunks = false;
        for (number, (id, parent)) in order.iter().enumerate() {
            let node = tree.node(*id);
            let mut head = INODE + xattr_bytes(&node.attributes);
            let size = match &node.kind {
                Kind::Directory { .. } => Names::new(tree, *id, *parent).size(),
                Kind::File(content) => content.size,
                Kind::SymbolicLink(text) => text.len() as u64,
                _ => 0,
            };
            let (mut layout, mut blocks) = (Layout::Plain, size.div_ceil(BLOCK));
            if let Kind::File(content) = &node.kind
                && let Some((bits, chunk_blocks)) = chunks(content)
            {
                head += size.div_ceil(1 << bits) * 4;
                (layout, blocks, has_chunks) = (Layout::Chunks(bits), chunk_blocks, true);
            } else if size % BLOCK != 0 && head + size % BLOCK <= BLOCK {
                (layout, blocks) = (Layout::Inline, size / BLOCK);
            }
            let mut place =
                Place { slot: 0, layout, size, block: 0, blocks, number: number as u32 + 1 };
            place.slot = metadata.place(head + place.tail());
            places[id.index()] = Some(place);
        }
        let mut next = 1 + metadata.blocks;
        // Directories first: they are read first, and often.
        for is_directory in [true, false] {
            for (id, _) in &order {
                if matches!(tree.node(*id).kind, Kind::Directory { .. }) != is_directory {
                    continue;
                }
                if let Some(place) = &mut places[id.index()] {
                    place.block = next.min(u64::from(HOLE)) as u32;
                    next += place.blocks;
                }
            }
        }
        // Readers look behind an inode that has no attributes for their header: let there be something.
        if next == 1 + metadata.blocks && metadata.ends_full() {
            next += 1;
        }
        let blocks = u32::try_from(next).ok().filter(|blocks| *blocks != HOLE);
        let blocks = blocks.ok_or_else(|| ImageError::LimitExceeded {
            what: "blocks of the image".to_owned(),
            limit: "of the file system",
            most: u64::from(HOLE),
            found: next,
        })?;
        Ok(Self { places, order, metadata_blocks: metadata.blocks, blocks, has_chunks })
    }

    /// The file's length.
    pub fn size_bytes(&self) -> u64 {
        u64::from(self.blocks) * BLOCK
    }

    pub(super) fn slot(&self, id: NodeId) -> u64 {
        self.places[id.index()].map_or(0, |place| place.slot)
    }
}

/// Blocks of metadata, filled best-fit.
#[derive(Default)]
struct Metadata {
    blocks: u64,
    /// By the slots that are free at its end: blocks.
    open: Vec<Vec<u64>>,
}

const SLOTS: u64 = BLOCK / SLOT;

impl Metadata {
    /// A place for so many bytes, in one block if it can hold them.
    fn place(&mut self, bytes: u64) -> u64 {
        self.open.resize(SLOTS as usize, Vec::new());
        let slots = bytes.div_ceil(SLOT);
        let fitting = (slots..SLOTS)
            .find_map(|free| self.open[free as usize].pop().map(|block| (free, block)));
        let (block, free) = fitting.map_or_else(
            || {
                let first = 1 + self.blocks;
                self.blocks += slots.div_ceil(SLOTS);
                (first, SLOTS)
            },
            |(free, block)| (block, free),
        );
        let at = block * SLOTS + (SLOTS - free);
        let end = at + slots;
        if !end.is_multiple_of(SLOTS) {
            self.open[(SLOTS - end % SLOTS) as usize].push(end / SLOTS);
        }
        at
    }

    /// Whether the last block has no free slot.
    fn ends_full(&self) -> bool {
        !self.open.iter().flatten().any(|block| *block == self.blocks)
    }
}

/// The chunk length in bits of a file with holes, and the blocks that its chunks take; `None` if the holes
/// would save less than their map takes.
fn chunks(content: &Content) -> Option<(u32, u64)> {
    let segments = content.segments.as_deref()?;
    let mut bits = BLOCK_BITS;
    while content.size.div_ceil(1 << bits) > MOST_CHUNKS {
        bits += 1;
    }
    let blocks: u64 =
        filled_chunks(segments, bits).map(|chunk| chunk_blocks(content.size, bits, chunk)).sum();
    let map = content.size.div_ceil(1 << bits) * 4;
    (blocks * BLOCK + map < content.size).then_some((bits, blocks))
}

/// The chunks that have data, in their order.
pub(super) fn filled_chunks(segments: &[Segment], bits: u32) -> impl Iterator<Item = u64> + '_ {
    let mut next = 0;
    segments.iter().flat_map(move |segment| {
        let from = (segment.offset >> bits).max(next);
        let to = (segment.offset + segment.length).div_ceil(1 << bits);
        next = next.max(to);
        from..to
    })
}

/// Blocks of a chunk; the last may have fewer.
pub(super) fn chunk_blocks(size: u64, bits: u32, chunk: u64) -> u64 {
    let from = chunk << bits;
    (size - from).min(1 << bits).div_ceil(BLOCK)
}
