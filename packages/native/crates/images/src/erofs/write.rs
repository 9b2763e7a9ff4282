//! Writes the plan, from the first byte to the last.

use super::directory::Names;
use super::format::{BLOCK, HOLE, InodeFacts, Layout, SLOT, device_number, inode, superblock};
use super::plan::{Place, Plan, chunk_blocks, filled_chunks};
use crate::block_digests::BlockDigests;
use crate::error::ImageError;
use crate::spool::Spooled;
use crate::tree::{Content, Kind, Node, NodeId, Segment, Tree};
use std::io::Write;
use std::path::Path;

/// The written file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// BLAKE3 of the file.
    pub digest: blake3::Hash,
    /// The content of the file beside it: the digests of its blocks.
    pub blocks: Vec<u8>,
    /// Its length.
    pub size_bytes: u64,
    /// Files, directories, links, devices and pipes.
    pub inodes: u64,
}

/// The output, with a count and digests.
struct Sink<'a, W> {
    out: W,
    path: &'a Path,
    digests: BlockDigests,
    at: u64,
    told: &'a dyn Fn(u64) -> Result<(), ImageError>,
}

const ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

impl<W: Write> Sink<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.out.write_all(bytes).map_err(|error| ImageError::of_cache(self.path, &error))?;
        self.digests.update(bytes);
        self.at += bytes.len() as u64;
        (self.told)(self.at)
    }

    /// Zeros up to there.
    fn fill(&mut self, to: u64) -> Result<(), ImageError> {
        while self.at < to {
            let count = (to - self.at).min(BLOCK);
            self.put(&ZEROS[..count as usize])?;
        }
        Ok(())
    }
}

/// Writes `tree` to `out`, a file named `path`. `told` gets the number of bytes so far, and can end it.
///
/// # Errors
/// The system's errors, or those of `told`.
pub fn write<W: Write>(
    tree: &Tree,
    contents: &Spooled,
    plan: &Plan,
    uuid: [u8; 16],
    out: W,
    path: &Path,
    told: &dyn Fn(u64) -> Result<(), ImageError>,
) -> Result<Written, ImageError> {
    let inodes = plan.order.len() as u64;
    let root = plan.slot(NodeId::ROOT) as u16;
    let mut sink = Sink { out, path, digests: BlockDigests::default(), at: 0, told };
    sink.put(&superblock(root, inodes, plan.blocks, uuid, plan.has_chunks))?;
    metadata(tree, contents, plan, &mut sink)?;
    sink.fill((1 + plan.metadata_blocks) * BLOCK)?;
    for (id, parent) in &plan.order {
        if let Kind::Directory { .. } = tree.node(*id).kind {
            let names = Names::new(tree, *id, *parent);
            let place = plan.places[id.index()].map_or(0, |place| place.blocks);
            for at in 0..names.blocks().min(place as usize) {
                sink.put(&names.block(at, tree, |id| plan.slot(id)))?;
                sink.fill(sink.at.next_multiple_of(BLOCK))?;
            }
        }
    }
    let mut buffer = vec![0; 256 << 10];
    for (id, _) in &plan.order {
        let Some(place) = &plan.places[id.index()] else { continue };
        match &tree.node(*id).kind {
            Kind::File(content) => data(content, contents, place, &mut buffer, &mut sink)?,
            Kind::SymbolicLink(text) if place.blocks > 0 => {
                sink.put(text)?;
                sink.fill(sink.at.next_multiple_of(BLOCK))?;
            }
            _ => {}
        }
    }
    sink.fill(plan.size_bytes())?;
    sink.out.flush().map_err(|error| ImageError::of_cache(path, &error))?;
    let size_bytes = sink.at;
    let (digest, blocks) = sink.digests.finish();
    Ok(Written { digest, blocks, size_bytes, inodes })
}

/// Inodes and the data behind them, in the order of their places.
fn metadata<W: Write>(
    tree: &Tree,
    contents: &Spooled,
    plan: &Plan,
    sink: &mut Sink<'_, W>,
) -> Result<(), ImageError> {
    let mut order = plan.order.clone();
    order.sort_unstable_by_key(|(id, _)| plan.slot(*id));
    for (id, parent) in order {
        let Some(place) = &plan.places[id.index()] else { continue };
        let node = tree.node(id);
        sink.fill(place.slot * SLOT)?;
        sink.put(&inode(&node.kind, &node.attributes, &facts(tree, node, place)))?;
        let tail = place.tail();
        match &node.kind {
            Kind::File(Content { segments: Some(segments), size, .. }) if place.chunks() > 0 => {
                sink.put(&chunk_map(segments, *size, place))?;
            }
            _ if tail == 0 => {}
            Kind::File(content) => {
                let mut bytes = vec![0; tail as usize];
                Data::new(content, contents).read(&mut bytes, place.size - tail)?;
                sink.put(&bytes)?;
            }
            Kind::Directory { .. } => {
                let names = Names::new(tree, id, parent);
                sink.put(&names.block(names.blocks() - 1, tree, |id| plan.slot(id)))?;
            }
            Kind::SymbolicLink(text) => sink.put(text)?,
            _ => {}
        }
    }
    Ok(())
}

fn facts(tree: &Tree, node: &Node, place: &Place) -> InodeFacts {
    let links = match &node.kind {
        Kind::Directory { children, .. } => {
            let is_directory = |id| matches!(tree.node(id).kind, Kind::Directory { .. });
            2 + children.values().filter(|link| is_directory(link.node)).count() as u32
        }
        _ => node.names,
    };
    let first = match (&node.kind, place.layout) {
        (Kind::CharacterDevice(major, minor) | Kind::BlockDevice(major, minor), _) => {
            device_number(*major, *minor)
        }
        // The chunk size beyond a block, in bits.
        (_, Layout::Chunks(bits)) => bits - BLOCK.trailing_zeros(),
        _ if place.blocks == 0 => 0,
        _ => place.block,
    };
    InodeFacts { layout: place.layout, size: place.size, place: first, number: place.number, links }
}

fn chunk_map(segments: &[Segment], size: u64, place: &Place) -> Vec<u8> {
    let Layout::Chunks(bits) = place.layout else { return Vec::new() };
    let mut map = vec![HOLE; place.chunks() as usize];
    let mut block = place.block;
    for chunk in filled_chunks(segments, bits) {
        map[chunk as usize] = block;
        block += chunk_blocks(size, bits, chunk) as u32;
    }
    map.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// A file's whole blocks, or its chunks.
fn data<W: Write>(
    content: &Content,
    contents: &Spooled,
    place: &Place,
    buffer: &mut [u8],
    sink: &mut Sink<'_, W>,
) -> Result<(), ImageError> {
    let data = Data::new(content, contents);
    let mut piece = |from: u64, to: u64| {
        let mut at = from;
        while at < to {
            let count = (to - at).min(buffer.len() as u64) as usize;
            data.read(&mut buffer[..count], at)?;
            sink.put(&buffer[..count])?;
            at += count as u64;
        }
        sink.fill(sink.at.next_multiple_of(BLOCK))
    };
    match (place.layout, &content.segments) {
        (Layout::Chunks(bits), Some(segments)) => {
            filled_chunks(segments, bits).try_for_each(|chunk| {
                let from = chunk << bits;
                piece(from, content.size.min(from + (1 << bits)))
            })
        }
        _ => piece(0, content.size.min(place.blocks * BLOCK)),
    }
}

/// A file's data, holes included.
struct Data<'a> {
    content: &'a Content,
    contents: &'a Spooled,
    /// The start of each segment in the spool.
    starts: Vec<u64>,
}

impl<'a> Data<'a> {
    fn new(content: &'a Content, contents: &'a Spooled) -> Self {
        let mut next = content.spooled_at;
        let segments = content.segments.iter().flatten();
        let starts = segments.map(|segment| {
            let start = next;
            next += segment.length;
            start
        });
        let starts = starts.collect();
        Self { content, contents, starts }
    }

    fn read(&self, buffer: &mut [u8], at: u64) -> Result<(), ImageError> {
        let Some(segments) = &self.content.segments else {
            return self.contents.read(buffer, self.content.spooled_at + at);
        };
        buffer.fill(0);
        let end = at + buffer.len() as u64;
        let first = segments.partition_point(|segment| segment.offset + segment.length <= at);
        for (segment, start) in segments[first..].iter().zip(&self.starts[first..]) {
            if segment.offset >= end {
                break;
            }
            let from = segment.offset.max(at);
            let to = (segment.offset + segment.length).min(end);
            let part = &mut buffer[(from - at) as usize..(to - at) as usize];
            self.contents.read(part, start + (from - segment.offset))?;
        }
        Ok(())
    }
}
