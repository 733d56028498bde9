//! What a layer's tar makes of a tree: which names it gives and hides, and what stands at each.
//!
//! The rules are those of unpacking (`engine/src/layer/unpack.rs`), without a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::driver::counted_bytes;
use crate::layer::archive::{Entry, Kind};
use crate::layer::whiteout::{self, Meaning, meaning};

/// The xattr that holds the capabilities of a program.
pub(super) const CAPABILITY: &str = "security.capability";

/// What stands at a name that a layer gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    /// A directory that an entry needs but that has none of its own.
    Implied,
    /// An entry's: which of [`Tree::files`].
    Own(usize),
    /// The name of a layer below is hidden.
    Whiteout,
}

/// How a driver keeps on disk what a layer hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hiding {
    /// In a way of its own.
    Marks,
    /// As files that are called as in the tar.
    Files,
}

/// The names that a layer gives and hides.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub nodes: BTreeMap<PathBuf, Node>,
    /// What was made, each with the attributes of the last of its names; hard links are further names of one.
    pub files: Vec<Entry>,
    /// The entry of the tree's root, if it has one.
    pub root: Option<Entry>,
    /// Directories in which nothing of the layers below shows.
    pub opaque: BTreeSet<PathBuf>,
    /// Directories of which Docker and this engine do not say the same: they replace a name that the same layer hides.
    pub over_whiteout: BTreeSet<PathBuf>,
    /// Names that one engine makes and the other does not.
    pub optional: BTreeSet<PathBuf>,
}

impl Tree {
    /// The tree of these entries; nothing when only a disk could tell, since an entry's way leads through a link.
    pub(super) fn of(entries: Vec<Entry>, hiding: Hiding) -> Option<Tree> {
        let mut tree = Tree::default();
        for entry in entries {
            match hiding {
                Hiding::Marks => tree.apply(entry)?,
                Hiding::Files => tree.apply_as_file(entry)?,
            }
        }
        Some(tree)
    }

    fn apply(&mut self, entry: Entry) -> Option<()> {
        let path = cleaned(&entry.name);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return self.apply_root(entry) };
        if is_metadata(parent) {
            return Some(());
        }
        match meaning(name) {
            Meaning::AufsMetadata | Meaning::Nonsense => {}
            Meaning::Opaque => {
                self.imply(parent)?;
                self.opaque.insert(parent.to_owned());
            }
            Meaning::Whiteout(hidden) => {
                self.imply(parent)?;
                let hidden = parent.join(hidden);
                self.remove(&hidden);
                self.nodes.insert(hidden, Node::Whiteout);
            }
            Meaning::Content => {
                self.imply(parent)?;
                self.put(path.clone(), entry)?;
            }
        }
        Some(())
    }

    /// As fuse-overlayfs has it; what hides a name that the layer has too is taken away here, and kept by dockerd.
    fn apply_as_file(&mut self, entry: Entry) -> Option<()> {
        let path = cleaned(&entry.name);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return self.apply_root(entry) };
        self.imply(parent)?;
        match meaning(name) {
            Meaning::AufsMetadata | Meaning::Nonsense => drop(self.optional.insert(path)),
            _ if is_metadata(parent) => drop(self.optional.insert(path)),
            Meaning::Whiteout(hidden) => {
                let hidden = parent.join(hidden);
                self.remove(&hidden);
                self.optional.insert(hidden);
                self.put(path, entry)?;
            }
            Meaning::Opaque => self.put(path, entry)?,
            Meaning::Content => {
                let hiding = parent.join(OsStr::from_bytes(&[whiteout::PREFIX.as_bytes(), name.as_bytes()].concat()));
                if self.nodes.remove(&hiding).is_some() {
                    self.optional.insert(hiding);
                    self.optional.insert(path.join(whiteout::OPAQUE));
                    self.over_whiteout.insert(path.clone());
                }
                self.put(path, entry)?;
            }
        }
        Some(())
    }

    fn apply_root(&mut self, entry: Entry) -> Option<()> {
        self.root = Some(entry);
        Some(())
    }

    fn put(&mut self, path: PathBuf, entry: Entry) -> Option<()> {
        let found = self.nodes.get(&path).copied();
        match entry.kind {
            Kind::HardLink => {
                let target = cleaned(&entry.link_name);
                let Some(Node::Own(file)) = self.nodes.get(&target).copied() else { return None };
                if found != Some(Node::Own(file)) {
                    self.remove(&path);
                }
                self.files[file] = linked(&self.files[file], entry);
                self.nodes.insert(path, Node::Own(file));
                return Some(());
            }
            Kind::Directory => {
                if found == Some(Node::Whiteout) {
                    self.opaque.insert(path.clone());
                    self.over_whiteout.insert(path.clone());
                }
                if !self.is_directory(&path) {
                    self.remove_children(&path);
                }
            }
            _ => self.remove(&path),
        }
        self.files.push(entry);
        self.nodes.insert(path, Node::Own(self.files.len() - 1));
        Some(())
    }

    fn is_directory(&self, path: &Path) -> bool {
        match self.nodes.get(path) {
            Some(Node::Implied) => true,
            Some(Node::Own(file)) => self.files[*file].kind == Kind::Directory,
            Some(Node::Whiteout) | None => false,
        }
    }

    /// The directories up to `directory` are there.
    fn imply(&mut self, directory: &Path) -> Option<()> {
        let mut ancestors: Vec<&Path> = directory.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        ancestors.reverse();
        for path in ancestors {
            if !self.nodes.contains_key(path) {
                self.nodes.insert(path.to_owned(), Node::Implied);
            } else if !self.is_directory(path) {
                return None;
            }
        }
        Some(())
    }

    fn remove(&mut self, path: &Path) {
        self.nodes.remove(path);
        self.opaque.remove(path);
        self.over_whiteout.remove(path);
        self.remove_children(path);
    }

    fn remove_children(&mut self, path: &Path) {
        let after = self.nodes.range::<Path, _>((Bound::Excluded(path), Bound::Unbounded)).map(|(other, _)| other);
        let below: Vec<PathBuf> = after.take_while(|other| other.starts_with(path)).cloned().collect();
        for gone in below {
            self.nodes.remove(&gone);
            self.opaque.remove(&gone);
            self.over_whiteout.remove(&gone);
        }
    }

    /// Whether a name of the layers below shows through this one.
    pub(super) fn shows(&self, path: &Path) -> bool {
        let is_hidden = |at: &Path| self.nodes.contains_key(at) && !self.is_directory(at);
        let above = path.ancestors().skip(1);
        let is_in_opaque = above.into_iter().any(|at| self.opaque.contains(at));
        !is_in_opaque && !path.ancestors().any(is_hidden)
    }

    /// Docker's size of the layer, as overlay2 has it.
    pub(super) fn size_bytes(&self) -> u64 {
        let length = |file: usize| match self.files[file].kind {
            Kind::File => self.files[file].size_bytes,
            Kind::Symlink => self.files[file].link_name.len() as u64,
            _ => 0,
        };
        counted_bytes(self.nodes.values().filter_map(|node| node.file()).map(|file| (file, length(file))))
    }

    /// Docker's size of the layer, as drivers that do not measure have it: the lengths that the headers tell.
    pub(super) fn told_bytes(entries: &[Entry]) -> u64 {
        entries.iter().filter(|entry| entry.kind == Kind::File).map(|entry| entry.size_bytes).sum()
    }
}

impl Node {
    fn file(&self) -> Option<usize> {
        match self {
            Node::Own(file) => Some(*file),
            Node::Implied | Node::Whiteout => None,
        }
    }
}

/// What a file is when it gets a further name: that name's entry sets its attributes, and a change of owner takes its capabilities.
fn linked(file: &Entry, link: Entry) -> Entry {
    let mut xattrs = file.xattrs.clone();
    xattrs.remove(CAPABILITY.as_bytes());
    xattrs.extend(link.xattrs);
    let Entry { mode, uid, gid, mtime, .. } = link;
    // A symbolic link has no mode, and keeps its time.
    let mtime = if file.kind == Kind::Symlink { file.mtime } else { mtime };
    Entry { mode, uid, gid, mtime, xattrs, ..file.clone() }
}

fn is_metadata(directory: &Path) -> bool {
    directory.components().any(|part| meaning(part.as_os_str()) == Meaning::AufsMetadata)
}

/// A name without `.`, `..` and slashes at its ends.
fn cleaned(name: &[u8]) -> PathBuf {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.into_iter().map(OsStr::from_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::archive::Time;

    fn entry(name: &str, kind: Kind) -> Entry {
        Entry {
            name: name.as_bytes().to_vec(),
            kind,
            link_name: Vec::new(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            size_bytes: 1,
            extents: None,
            mtime: Time { seconds: 0, nanoseconds: 0 },
            xattrs: BTreeMap::new(),
        }
    }

    #[test]
    fn names_below_show_unless_they_are_hidden_or_replaced() {
        let entries =
            [("d/.wh.gone", Kind::File), ("e/.wh..wh..opq", Kind::File), ("f", Kind::File), ("e/x", Kind::File)];
        let tree = Tree::of(entries.map(|(name, kind)| entry(name, kind)).to_vec(), Hiding::Marks).unwrap();
        for (path, shows) in [
            ("d/other", true),
            ("d", true),
            ("d/gone", false),
            ("d/gone/y", false),
            ("e/z", false),
            ("e", true),
            ("f/x", false),
        ] {
            assert_eq!(tree.shows(Path::new(path)), shows, "{path}");
        }
        assert!(matches!(tree.nodes[Path::new("d/gone")], Node::Whiteout));
    }

    #[test]
    fn a_whiteout_with_something_in_it_counts_only_where_headers_are_added_up() {
        let entries = vec![entry("a", Kind::File), entry(".wh.b", Kind::File), entry("d", Kind::Directory)];
        assert_eq!(Tree::told_bytes(&entries), 2);
        assert_eq!(Tree::of(entries, Hiding::Marks).unwrap().size_bytes(), 1);
    }

    #[test]
    fn a_way_through_a_link_cannot_be_told_without_a_disk() {
        let entries = vec![entry("bin", Kind::Symlink), entry("bin/x", Kind::File)];
        assert!(Tree::of(entries, Hiding::Marks).is_none());
    }
}
