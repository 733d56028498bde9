//! What a layer's tar makes of a tree: which names it gives and hides, and what stands at each.
//!
//! The rules are those of unpacking (`engine/src/layer/unpack.rs`), without a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::layer::archive::{Entry, Kind};
use crate::layer::whiteout::{Meaning, meaning};

/// What stands at a name that a layer gives.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// A directory that an entry needs but that has none of its own.
    Implied,
    /// An entry's.
    Own(Box<Entry>),
    /// The name of a layer below is hidden.
    Whiteout,
}

/// The names that a layer gives and hides.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub nodes: BTreeMap<PathBuf, Node>,
    /// Directories in which nothing of the layers below shows.
    pub opaque: BTreeSet<PathBuf>,
    /// Files that have further names: their attributes are those of the last.
    pub linked: BTreeSet<PathBuf>,
}

impl Tree {
    /// The tree of these entries; nothing when only a disk could tell, since an entry's way leads through a link.
    pub(super) fn of(entries: Vec<Entry>) -> Option<Tree> {
        let mut tree = Tree::default();
        for entry in entries {
            tree.apply(entry)?;
        }
        Some(tree)
    }

    fn apply(&mut self, entry: Entry) -> Option<()> {
        let path = cleaned(&entry.name);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Some(()) };
        if parent.components().any(|part| meaning(part.as_os_str()) == Meaning::AufsMetadata) {
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
                self.put(path.clone(), entry);
            }
        }
        Some(())
    }

    fn put(&mut self, path: PathBuf, entry: Entry) {
        let found = self.nodes.get(&path);
        let is_directory = matches!(found, Some(Node::Implied))
            || matches!(found, Some(Node::Own(found)) if found.kind == Kind::Directory);
        if entry.kind == Kind::Directory {
            if matches!(found, Some(Node::Whiteout)) {
                self.opaque.insert(path.clone());
            }
            if !is_directory {
                self.remove(&path);
            }
        } else {
            self.remove(&path);
        }
        if entry.kind == Kind::HardLink {
            self.linked.insert(cleaned(&entry.link_name));
            self.linked.insert(path.clone());
        }
        self.nodes.insert(path, Node::Own(Box::new(entry)));
    }

    /// The directories up to `directory` are there.
    fn imply(&mut self, directory: &Path) -> Option<()> {
        let mut ancestors: Vec<&Path> = directory.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        ancestors.reverse();
        for path in ancestors {
            match self.nodes.get(path) {
                Some(Node::Implied) => {}
                Some(Node::Own(entry)) if entry.kind == Kind::Directory => {}
                None => drop(self.nodes.insert(path.to_owned(), Node::Implied)),
                _ => return None,
            }
        }
        Some(())
    }

    fn remove(&mut self, path: &Path) {
        let below: Vec<PathBuf> = self.nodes.keys().filter(|other| other.starts_with(path)).cloned().collect();
        for gone in below {
            self.nodes.remove(&gone);
            self.opaque.remove(&gone);
        }
    }

    /// Whether a name of the layers below shows through this one.
    pub(super) fn shows(&self, path: &Path) -> bool {
        let is_hidden = |at: &Path| match self.nodes.get(at) {
            Some(Node::Whiteout) => true,
            Some(Node::Own(entry)) => entry.kind != Kind::Directory,
            Some(Node::Implied) | None => false,
        };
        let above = path.ancestors().skip(1);
        let is_in_opaque = above.into_iter().any(|at| self.opaque.contains(at));
        !is_in_opaque && !path.ancestors().any(is_hidden)
    }

    /// Docker's size of the layer, as overlay2 has it: the lengths of its files, each once, and of what its symbolic links say.
    pub(super) fn size_bytes(&self) -> u64 {
        let length = |node: &Node| match node {
            Node::Own(entry) if entry.kind == Kind::File => entry.size_bytes,
            Node::Own(entry) if entry.kind == Kind::Symlink => entry.link_name.len() as u64,
            _ => 0,
        };
        self.nodes.values().map(length).sum()
    }

    /// Docker's size of the layer, as drivers that do not measure have it: the lengths that the headers tell.
    pub(super) fn told_bytes(entries: &[Entry]) -> u64 {
        entries
            .iter()
            .filter(|entry| entry.kind == Kind::File && is_content(&entry.name))
            .map(|entry| entry.size_bytes)
            .sum()
    }
}

fn is_content(name: &[u8]) -> bool {
    let path = cleaned(name);
    path.components().all(|part| meaning(part.as_os_str()) == Meaning::Content)
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
        let tree = Tree::of(entries.map(|(name, kind)| entry(name, kind)).to_vec()).unwrap();
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
        assert_eq!(Tree::told_bytes(&[entry("a", Kind::File), entry(".wh.b", Kind::File)]), 1);
    }

    #[test]
    fn a_way_through_a_link_cannot_be_told_without_a_disk() {
        let entries = vec![entry("bin", Kind::Symlink), entry("bin/x", Kind::File)];
        assert!(Tree::of(entries).is_none());
    }
}
