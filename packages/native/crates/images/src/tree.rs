//! The files of an image while its layers are applied: names and attributes in memory, contents by
//! their place in the [`Spool`](crate::spool::Spool).
//!
//! Nodes are in one list and refer to each other by number; the root is number 0. A removed node
//! leaves its place empty, so that numbers do not change.

use std::collections::BTreeMap;
use std::rc::Rc;

/// A node's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    /// The directory that holds everything.
    pub const ROOT: Self = Self(0);

    /// As an index of lists with an element for each node.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Extended attributes, in the order of their names; equal ones of several nodes are often one.
pub type Xattrs = Rc<[(Box<[u8]>, Box<[u8]>)]>;

/// The attributes of every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Permissions, with set-user-id, set-group-id and the sticky bit.
    pub mode: u16,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its modification time: seconds since 1970.
    pub mtime: i64,
    /// And nanoseconds.
    pub mtime_nanos: u32,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

impl Attributes {
    /// Those of a directory that no layer describes.
    pub fn implied() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0, mtime: 0, mtime_nanos: 0, xattrs: Rc::new([]) }
    }
}

/// Data of a file at an offset; gaps are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The offset in the file.
    pub offset: u64,
    /// The number of bytes.
    pub length: u64,
}

/// A file's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its length.
    pub size: u64,
    /// The start of its data in the spool.
    pub spooled_at: u64,
    /// The parts in the spool, one segment behind the other; all of it, if there is no list.
    pub segments: Option<Box<[Segment]>>,
}

/// A name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its node.
    pub node: NodeId,
    /// The last layer that has it: a whiteout hides only lower layers' names.
    pub layer: u32,
}

/// The names of a directory, in the order of their bytes.
pub type Children = BTreeMap<Box<[u8]>, Link>;

/// The kind of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Names of others.
    Directory {
        /// The names.
        children: Children,
        /// Its depth; the root has 0.
        depth: u32,
    },
    /// A file.
    File(Content),
    /// A symbolic link.
    SymbolicLink(Box<[u8]>),
    /// A character device.
    CharacterDevice(u32, u32),
    /// A block device.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// A file, directory, link, device or pipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its kind.
    pub kind: Kind,
    /// Its attributes.
    pub attributes: Attributes,
    /// The number of its names; a directory has one.
    pub names: u32,
}

/// The files of an image.
pub struct Tree {
    nodes: Vec<Option<Node>>,
    implied: Attributes,
}

impl Default for Tree {
    fn default() -> Self {
        let implied = Attributes::implied();
        let kind = Kind::Directory { children: BTreeMap::new(), depth: 0 };
        Self { nodes: vec![Some(Node { kind, attributes: implied.clone(), names: 1 })], implied }
    }
}

impl Tree {
    /// A node.
    ///
    /// # Panics
    /// If it was removed: a number is only valid together with the name that it was found by.
    pub fn node(&self, id: NodeId) -> &Node {
        let Some(node) = &self.nodes[id.index()] else { unreachable!("a name of a removed node") };
        node
    }

    /// A node, to be changed.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        let Some(node) = &mut self.nodes[id.index()] else {
            unreachable!("a name of a removed node")
        };
        node
    }

    /// One more than the greatest number of a node.
    pub fn numbers(&self) -> usize {
        self.nodes.len()
    }

    /// The names of a directory; `None` for anything else.
    pub fn children(&self, id: NodeId) -> Option<&Children> {
        match &self.node(id).kind {
            Kind::Directory { children, .. } => Some(children),
            _ => None,
        }
    }

    /// The node of that name in a directory.
    pub fn child(&self, directory: NodeId, name: &[u8]) -> Option<Link> {
        self.children(directory)?.get(name).copied()
    }

    /// The attributes of a directory that no layer describes.
    pub fn implied(&self) -> Attributes {
        self.implied.clone()
    }

    /// A new node without a name yet; `None` once there are as many as there can be numbers.
    pub fn add(&mut self, kind: Kind, attributes: Attributes) -> Option<NodeId> {
        let id = NodeId(u32::try_from(self.nodes.len()).ok()?);
        self.nodes.push(Some(Node { kind, attributes, names: 0 }));
        Some(id)
    }

    /// Gives `node` a name in `directory`; an earlier node of that name loses it.
    pub fn link(&mut self, directory: NodeId, name: &[u8], node: NodeId, layer: u32) {
        self.node_mut(node).names += 1;
        let Kind::Directory { children, .. } = &mut self.node_mut(directory).kind else { return };
        if let Some(before) = children.insert(name.into(), Link { node, layer }) {
            self.forget(before.node);
        }
    }

    /// Says that what `directory` calls so is of `layer`, too.
    pub fn touch(&mut self, directory: NodeId, name: &[u8], layer: u32) {
        if let Kind::Directory { children, .. } = &mut self.node_mut(directory).kind
            && let Some(link) = children.get_mut(name)
        {
            link.layer = layer;
        }
    }

    /// Takes what `directory` calls so away, with everything in it.
    fn unlink(&mut self, directory: NodeId, name: &[u8]) {
        if let Kind::Directory { children, .. } = &mut self.node_mut(directory).kind
            && let Some(before) = children.remove(name)
        {
            self.forget(before.node);
        }
    }

    /// Takes a name from a node; one without a name goes, with everything in it.
    fn forget(&mut self, id: NodeId) {
        let mut nameless = vec![id];
        while let Some(id) = nameless.pop() {
            let node = self.node_mut(id);
            node.names = node.names.saturating_sub(1);
            if node.names == 0
                && let Some(Node { kind: Kind::Directory { children, .. }, .. }) =
                    self.nodes[id.index()].take()
            {
                nameless.extend(children.into_values().map(|link| link.node));
            }
        }
    }

    /// Hides what layers below `layer` put into a directory.
    pub fn hide_below(&mut self, directory: NodeId, layer: u32) {
        // Nodes of this layer stay, and the directories that lead to them.
        let mut pending = vec![(directory, None::<(NodeId, Box<[u8]>)>, false)];
        while let Some((id, named, is_left)) = pending.pop() {
            if is_left {
                match (self.is_empty(id), named) {
                    (true, Some((parent, name))) => self.unlink(parent, &name),
                    _ => self.node_mut(id).attributes = self.implied.clone(),
                }
                continue;
            }
            let names: Vec<_> = self
                .children(id)
                .into_iter()
                .flatten()
                .map(|(name, link)| (name.clone(), *link))
                .collect();
            for (name, link) in names {
                match (self.children(link.node).is_some(), link.layer < layer) {
                    (false, true) => self.unlink(id, &name),
                    (true, is_lower) => {
                        if is_lower {
                            pending.push((link.node, Some((id, name)), true));
                        }
                        pending.push((link.node, None, false));
                    }
                    (false, false) => {}
                }
            }
        }
    }

    /// Hides what layers below `layer` call so in a directory.
    pub fn hide_name_below(&mut self, directory: NodeId, name: &[u8], layer: u32) {
        let Some(link) = self.child(directory, name) else { return };
        let is_directory = self.children(link.node).is_some();
        if is_directory {
            self.hide_below(link.node, layer);
        }
        if link.layer < layer {
            if self.is_empty(link.node) {
                self.unlink(directory, name);
            } else {
                // It stays because this layer has nodes in it, but no layer describes it any more.
                self.node_mut(link.node).attributes = self.implied.clone();
            }
        }
    }

    /// Whether it contains nothing; also true for nodes that are not directories.
    fn is_empty(&self, id: NodeId) -> bool {
        self.children(id).is_none_or(Children::is_empty)
    }

    /// Every node that has a name, each once, in the order of a walk through the names: directories
    /// before their contents. Each comes with the directory that it was first found in.
    pub fn walk(&self) -> Vec<(NodeId, NodeId)> {
        let mut is_seen = vec![false; self.nodes.len()];
        let mut found = Vec::new();
        let mut pending = vec![(NodeId::ROOT, NodeId::ROOT)];
        while let Some((id, parent)) = pending.pop() {
            if std::mem::replace(&mut is_seen[id.index()], true) {
                continue;
            }
            found.push((id, parent));
            if let Some(children) = self.children(id) {
                pending.extend(children.values().rev().map(|link| (link.node, id)));
            }
        }
        found
    }
}
