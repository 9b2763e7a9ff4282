//! The blocks of a directory.

use super::format::{BLOCK, entry_type};
use crate::tree::{NodeId, Tree};

const ENTRY: usize = 12;

/// The names of a directory with `.` and `..`, in the order of their bytes, cut where blocks are full.
pub(super) struct Names<'a> {
    names: Vec<(&'a [u8], NodeId)>,
    /// The start of each block in `names`, and its bytes.
    blocks: Vec<(usize, usize)>,
}

impl<'a> Names<'a> {
    /// Those of `directory`, which is in `parent`.
    pub(super) fn new(tree: &'a Tree, directory: NodeId, parent: NodeId) -> Self {
        let children = tree.children(directory).into_iter().flatten();
        let mut names: Vec<(&[u8], NodeId)> =
            children.map(|(name, link)| (&**name, link.node)).collect();
        for (name, node) in [(&b"."[..], directory), (b"..", parent)] {
            let at = names.partition_point(|(other, _)| *other < name);
            names.insert(at, (name, node));
        }
        let mut blocks = vec![(0, 0)];
        for (at, (name, _)) in names.iter().enumerate() {
            let bytes = ENTRY + name.len();
            match blocks.last_mut() {
                Some((_, used)) if *used + bytes <= BLOCK as usize => *used += bytes,
                _ => blocks.push((at, bytes)),
            }
        }
        Self { names, blocks }
    }

    /// The directory's length.
    pub(super) fn size(&self) -> u64 {
        let last = self.blocks.last().map_or(0, |(_, used)| *used as u64);
        (self.blocks.len() as u64 - 1) * BLOCK + last
    }

    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The bytes of a block, as many as are used of it. `number` says the number of a node's inode.
    pub(super) fn block(&self, at: usize, tree: &Tree, number: impl Fn(NodeId) -> u64) -> Vec<u8> {
        let (from, used) = self.blocks[at];
        let to = self.blocks.get(at + 1).map_or(self.names.len(), |(next, _)| *next);
        let names = &self.names[from..to];
        let mut bytes = Vec::with_capacity(used);
        let mut name_at = names.len() * ENTRY;
        for (name, node) in names {
            bytes.extend(number(*node).to_le_bytes());
            bytes.extend((name_at as u16).to_le_bytes());
            bytes.extend([entry_type(&tree.node(*node).kind), 0]);
            name_at += name.len();
        }
        for (name, _) in names {
            bytes.extend(*name);
        }
        bytes
    }
}
