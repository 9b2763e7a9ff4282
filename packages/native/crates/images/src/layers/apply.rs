//! Applies a layer to the tree of those below it.
//!
//! ```text
//! a/b          a file, directory, link …; its parents are made where they are missing
//! a/.wh.b      a/b of the layers below is gone
//! a/.wh..wh..opq   everything in a of the layers below is gone
//! ```
//!
//! Whiteouts hide only contents of lower layers, wherever they are in the archive. A name starts at the root,
//! and symbolic links on the way are followed inside the root, as the guest would: nothing outside can be
//! reached.
//!
//! Source: OCI image specification, `layer.md`.

use super::archive::{Archive, Entry, EntryKind};
use super::zeros::WithoutZeros;
use crate::error::ImageError;
use crate::limits::Limits;
use crate::spool::Spool;
use crate::tree::{Attributes, Children, Content, Kind, NodeId, Tree};
use std::collections::HashSet;
use std::io::Read;

/// The longest path that a guest can name, and the longest name.
const MOST_PATH_BYTES: usize = 4096;
const MOST_NAME_BYTES: usize = 255;
/// The longest text of a symbolic link; Linux bounds it at a page.
const MOST_LINK_BYTES: usize = 4095;
/// Symbolic links on the way to one name; as many as Linux follows.
const MOST_FOLLOWED: usize = 40;
/// Bytes of one node's extended attributes, all together.
const MOST_XATTR_BYTES: usize = 64 << 10;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Layers, applied one after the other.
pub struct Applier {
    /// The files so far.
    pub tree: Tree,
    /// Their contents.
    pub spool: Spool,
    limits: Limits,
    layer: u32,
    entries: u64,
    unpacked_bytes: u64,
    metadata_bytes: u64,
    /// Kinds of extended attributes that a read-only file system cannot hold, and were left out.
    pub ignored_xattrs: HashSet<String>,
}

/// Why an entry is refused: the expected and the found value.
type Refused = (&'static str, String);

fn refused<T>(expected: &'static str, found: impl ToString) -> Result<T, Refused> {
    Err((expected, found.to_string()))
}

/// The target of an entry.
struct Target {
    directory: NodeId,
    name: Box<[u8]>,
}

impl Applier {
    /// Without a layer yet.
    pub fn new(spool: Spool, limits: Limits) -> Self {
        Self {
            tree: Tree::default(),
            spool,
            limits,
            layer: 0,
            entries: 0,
            unpacked_bytes: 0,
            metadata_bytes: 0,
            ignored_xattrs: HashSet::new(),
        }
    }

    /// Applies the layer of that number; `check` is called after each entry and each piece of data.
    ///
    /// # Errors
    /// The problem with the layer, or the limit that it exceeds.
    pub fn apply<R: Read>(
        &mut self,
        layer: usize,
        archive: &mut Archive<R>,
        check: &dyn Fn() -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        self.layer = u32::try_from(layer).unwrap_or(u32::MAX);
        let mut buffer = vec![0; 128 << 10];
        while let Some(entry) = archive.next_entry()? {
            check()?;
            self.entries += 1;
            Limits::keep("entries", self.limits.entries, self.entries, || {
                "entries of layers".to_owned()
            })?;
            let bytes = self.unpacked_bytes.saturating_add(entry.size);
            self.unpacked_bytes = bytes;
            Limits::keep("unpackedBytes", self.limits.unpacked_bytes, bytes, || {
                "bytes of files".to_owned()
            })?;
            let names = entry.path.len() + entry.segments.as_ref().map_or(0, |all| all.len() * 16);
            let link = match &entry.kind {
                EntryKind::HardLink(text) | EntryKind::SymbolicLink(text) => text.len(),
                _ => 0,
            };
            let xattrs: usize =
                entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
            self.count_metadata(names + link + xattrs)?;
            let spooled_at = self.spool.length();
            let added = self.entry(&entry, spooled_at).map_err(|(expected, found)| {
                ImageError::EntryRefused {
                    layer,
                    path: String::from_utf8_lossy(&entry.path[..entry.path.len().min(300)])
                        .into_owned(),
                    expected: expected.to_owned(),
                    found,
                }
            })?;
            // Of a file that says itself where its holes are, the archive holds no more than the rest.
            let mut without_zeros = entry.segments.is_none().then(WithoutZeros::default);
            loop {
                let count = fill(archive, &mut buffer)?;
                if count == 0 {
                    break;
                }
                check()?;
                match &mut without_zeros {
                    Some(file) => file.append(&buffer[..count], &mut self.spool)?,
                    None => self.spool.append(&buffer[..count])?,
                }
            }
            let found =
                without_zeros.map(|file| file.finish(&mut self.spool)).transpose()?.flatten();
            if let (Some(id), Some(found)) = (added, found) {
                self.count_metadata(found.len() * 16)?;
                if let Kind::File(content) = &mut self.tree.node_mut(id).kind {
                    content.segments = Some(found.into());
                }
            }
        }
        Ok(())
    }

    fn count_metadata(&mut self, bytes: usize) -> Result<(), ImageError> {
        self.metadata_bytes += bytes as u64;
        Limits::keep("metadataBytes", self.limits.metadata_bytes, self.metadata_bytes, || {
            "bytes of names, links, attributes and maps of holes".to_owned()
        })
    }

    /// Puts an entry into the tree; returns the node, unless it is a directory or another name of an existing
    /// node.
    fn entry(&mut self, entry: &Entry, spooled_at: u64) -> Result<Option<NodeId>, Refused> {
        let components = components(&entry.path)?;
        let Some((name, parents)) = components.split_last() else {
            return self.root(entry).map(|()| None);
        };
        if name.starts_with(WHITEOUT) {
            return self.whiteout(parents, name).map(|()| None);
        }
        let directory = self.walk(parents, true)?;
        let target = Target { directory, name: (*name).into() };
        let attributes = self.attributes(entry)?;
        let kind = match &entry.kind {
            EntryKind::Directory => return self.directory(&target, attributes).map(|()| None),
            EntryKind::HardLink(path) => return self.hard_link(&target, path).map(|()| None),
            EntryKind::File => Kind::File(Content {
                size: entry.size,
                spooled_at,
                segments: entry.segments.as_deref().map(Into::into),
            }),
            EntryKind::SymbolicLink(text) => {
                if text.is_empty() || text.len() > MOST_LINK_BYTES || text.contains(&0) {
                    return refused(
                        "a link's text of 1 to 4095 bytes",
                        format!("{} bytes", text.len()),
                    );
                }
                Kind::SymbolicLink(text.as_slice().into())
            }
            EntryKind::CharacterDevice(major, minor) => Kind::CharacterDevice(*major, *minor),
            EntryKind::BlockDevice(major, minor) => Kind::BlockDevice(*major, *minor),
            EntryKind::Fifo => Kind::Fifo,
        };
        let node = self.add(kind, attributes)?;
        self.tree.link(target.directory, &target.name, node, self.layer);
        Ok(Some(node))
    }

    /// The root's own attributes.
    fn root(&mut self, entry: &Entry) -> Result<(), Refused> {
        if entry.kind != EntryKind::Directory {
            return refused("the root to be a directory", "something else");
        }
        let attributes = self.attributes(entry)?;
        self.tree.node_mut(NodeId::ROOT).attributes = attributes;
        Ok(())
    }

    fn whiteout(&mut self, parents: &[&[u8]], name: &[u8]) -> Result<(), Refused> {
        let hidden = &name[WHITEOUT.len()..];
        if name != OPAQUE && hidden.starts_with(WHITEOUT) {
            // Files that aufs reserves for itself.
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return refused("a whiteout of a name", String::from_utf8_lossy(name));
        }
        // A whiteout below a missing directory hides nothing.
        let Some(directory) = self.existing(parents)? else { return Ok(()) };
        if name == OPAQUE {
            self.tree.hide_below(directory, self.layer);
        } else {
            self.tree.hide_name_below(directory, hidden, self.layer);
        }
        Ok(())
    }

    fn directory(&mut self, target: &Target, attributes: Attributes) -> Result<(), Refused> {
        let Target { directory, name } = target;
        if let Some(link) = self.tree.child(*directory, name)
            && self.tree.children(link.node).is_some()
        {
            self.tree.node_mut(link.node).attributes = attributes;
            self.tree.touch(*directory, name, self.layer);
            return Ok(());
        }
        self.make_directory(*directory, name, attributes).map(|_| ())
    }

    fn hard_link(&mut self, target: &Target, path: &[u8]) -> Result<(), Refused> {
        let components = components(path)?;
        let missing = || refused("a link to what is there", String::from_utf8_lossy(path));
        let Some((name, parents)) = components.split_last() else { return missing() };
        let Some(directory) = self.existing(parents)? else { return missing() };
        let Some(link) = self.tree.child(directory, name) else { return missing() };
        if self.tree.children(link.node).is_some() {
            return refused(
                "a hard link to anything but a directory",
                String::from_utf8_lossy(path),
            );
        }
        self.tree.link(target.directory, &target.name, link.node, self.layer);
        Ok(())
    }

    fn add(&mut self, kind: Kind, attributes: Attributes) -> Result<NodeId, Refused> {
        self.tree.add(kind, attributes).map_or_else(|| refused("less than 2^32 files", "more"), Ok)
    }

    fn make_directory(
        &mut self,
        parent: NodeId,
        name: &[u8],
        attributes: Attributes,
    ) -> Result<NodeId, Refused> {
        let depth = match &self.tree.node(parent).kind {
            Kind::Directory { depth, .. } => depth + 1,
            _ => 0,
        };
        if u64::from(depth) > self.limits.depth {
            let expected = "directories not deeper than limits.depth";
            return refused(expected, format!("one at {depth}"));
        }
        let node = self.add(Kind::Directory { children: Children::new(), depth }, attributes)?;
        self.tree.link(parent, name, node, self.layer);
        Ok(node)
    }

    /// The directory that those names lead to, if there is one.
    fn existing(&mut self, names: &[&[u8]]) -> Result<Option<NodeId>, Refused> {
        match self.walk(names, false) {
            Err((expected, _)) if expected == MISSING || expected == DIRECTORIES => Ok(None),
            walked => walked.map(Some),
        }
    }

    /// The directory that those names lead to. A missing one is made, or refused as [`MISSING`].
    fn walk(&mut self, names: &[&[u8]], is_made: bool) -> Result<NodeId, Refused> {
        let mut path = vec![NodeId::ROOT];
        let mut pending: Vec<Box<[u8]>> = names.iter().rev().map(|name| (*name).into()).collect();
        let mut followed = 0;
        while let Some(name) = pending.pop() {
            let here = *path.last().unwrap_or(&NodeId::ROOT);
            match &*name {
                b"" | b"." => continue,
                b".." => {
                    // As at the root of every file system: above it is itself.
                    if path.len() > 1 {
                        path.pop();
                    }
                    continue;
                }
                _ => {}
            }
            let Some(link) = self.tree.child(here, &name) else {
                if !is_made {
                    return refused(MISSING, String::from_utf8_lossy(&name));
                }
                if name.len() > MOST_NAME_BYTES {
                    return refused("names of at most 255 bytes", format!("one of {}", name.len()));
                }
                let implied = self.tree.implied();
                path.push(self.make_directory(here, &name, implied)?);
                continue;
            };
            match &self.tree.node(link.node).kind {
                Kind::Directory { .. } => path.push(link.node),
                Kind::SymbolicLink(text) => {
                    followed += 1;
                    if followed > MOST_FOLLOWED {
                        return refused("at most 40 symbolic links on the way", "more");
                    }
                    if text.starts_with(b"/") {
                        path.truncate(1);
                    }
                    pending.extend(text.split(|byte| *byte == b'/').rev().map(Into::into));
                }
                _ => {
                    let found = format!("{} is something else", String::from_utf8_lossy(&name));
                    return refused(DIRECTORIES, found);
                }
            }
        }
        Ok(*path.last().unwrap_or(&NodeId::ROOT))
    }

    fn attributes(&mut self, entry: &Entry) -> Result<Attributes, Refused> {
        let mut kept = Vec::new();
        let mut bytes = 0;
        for (name, value) in &entry.xattrs {
            if name.contains(&0) || name.len() > MOST_NAME_BYTES {
                return refused(
                    "names of attributes of at most 255 bytes",
                    format!("one of {}", name.len()),
                );
            }
            // An image must not set the attributes that an overlay uses for its own layers.
            let is_overlays =
                name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
            if is_overlays || !crate::erofs::holds_xattr(name) {
                self.ignored_xattrs.insert(String::from_utf8_lossy(name).into_owned());
                continue;
            }
            bytes += name.len() + value.len() + 8;
            kept.push((name.as_slice().into(), value.as_slice().into()));
        }
        if bytes > MOST_XATTR_BYTES {
            return refused("extended attributes of at most 64 KiB", format!("{bytes} bytes"));
        }
        let implied = self.tree.implied();
        Ok(Attributes {
            mode: u16::try_from(entry.mode & 0o7777).unwrap_or_default(),
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime.0,
            mtime_nanos: entry.mtime.1,
            xattrs: if kept.is_empty() { implied.xattrs } else { kept.into() },
        })
    }
}

/// The next data of an entry: as much as there is room for, or the rest.
fn fill<R: Read>(archive: &mut Archive<R>, buffer: &mut [u8]) -> Result<usize, ImageError> {
    let mut filled = 0;
    loop {
        match archive.read_data(&mut buffer[filled..])? {
            0 => return Ok(filled),
            count => filled += count,
        }
    }
}

const MISSING: &str = "directories that are there";
const DIRECTORIES: &str = "directories on the way";

/// The names of a path, from the root on.
fn components(path: &[u8]) -> Result<Vec<&[u8]>, Refused> {
    if path.len() > MOST_PATH_BYTES {
        return refused("paths of at most 4096 bytes", format!("one of {}", path.len()));
    }
    let mut names = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return refused("a path that stays in the root", "one with .. in it"),
            name if name.contains(&0) => return refused("a path of characters", "one with a NUL"),
            name if name.len() > MOST_NAME_BYTES => {
                return refused("names of at most 255 bytes", format!("one of {}", name.len()));
            }
            name => names.push(name),
        }
    }
    Ok(names)
}
