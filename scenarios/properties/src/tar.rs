//! A layer tar as an independent reader sees it, and what of a tree it can carry.
//!
//! *Source*: the OCI image-spec's `layer.md`; moby's archive package for what Docker leaves out (nanoseconds, sockets, extended
//! attributes other than `security.capability`). *Never*: the engine's own reader of tars.

use std::io;

use layerlab_model::text::Text;

use crate::tree::{self, Clock, Difference, Tree, When};

/// What an opaque directory holds (OCI image-spec, "Opaque Whiteout").
pub const OPAQUE: &[u8] = b".wh..wh..opq";

/// One entry, with the path as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As written, without a final `/`.
    pub path: Text,
    /// ustar's letter for the type.
    pub kind: u8,
    /// What a hard link or a symbolic link leads to.
    pub target: Option<Text>,
    /// Bytes that follow the header.
    pub size_bytes: u64,
}

impl Entry {
    /// The last name.
    pub fn name(&self) -> &[u8] {
        let path = self.path.as_bytes();
        path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
    }

    /// The directory that it is in; none at the top.
    pub fn directory(&self) -> Text {
        let path = self.path.as_bytes();
        Text(path.iter().rposition(|byte| *byte == b'/').map_or(Vec::new(), |end| path[..end].to_vec()))
    }

    /// The path that a whiteout is about.
    pub fn hides(&self) -> Option<Text> {
        let hidden = self.name().strip_prefix(b".wh.").filter(|_| self.name() != OPAQUE)?;
        let directory = self.directory();
        Some(if directory.0.is_empty() { Text::from(hidden) } else { directory.join(&Text::from(hidden)) })
    }
}

/// The entries of a tar, in its order.
pub fn entries(tar: &[u8]) -> io::Result<Vec<Entry>> {
    let mut archive = tar::Archive::new(tar);
    let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
        let entry = entry?;
        let path = entry.path_bytes();
        Ok(Entry {
            path: Text(path.strip_suffix(b"/").unwrap_or(&path).to_vec()),
            kind: entry.header().entry_type().as_byte(),
            target: entry.link_name_bytes().map(|target| Text(target.to_vec())),
            size_bytes: entry.size(),
        })
    };
    archive.entries()?.map(read).collect()
}

/// What of a tree a layer tar can carry. The root is no entry of it; where `told` has a socket the tar says nothing at all, and
/// what lies below comes back.
pub fn carried(tree: &Tree, told: &Tree) -> Tree {
    let is_socket = |path: &[u8]| told.get(&Text::from(path)).is_some_and(|facts| facts.kind == 's');
    let is_hidden = |path: &Text| {
        let path = path.as_bytes();
        let ends = (0..path.len()).filter(|at| path[*at] == b'/').chain([path.len()]);
        ends.into_iter().any(|end| is_socket(&path[..end]))
    };
    let entries = tree.iter().filter(|(path, _)| !path.as_bytes().is_empty() && !is_hidden(path));
    let mut carried: Tree = entries.map(|(path, facts)| (path.clone(), facts.clone())).collect();
    for facts in carried.values_mut() {
        facts.xattrs.retain(|name, _| name.as_bytes() == b"security.capability");
        if let When::Time(time) = &mut facts.mtime {
            time.nanoseconds = 0;
        }
    }
    carried
}

/// How good the diff was that a tar came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It saw every change.
    Everything,
    /// It compared two trees (`Promises::diffs_see_everything`).
    ByName,
}

/// What is not as it should be in the tree that came of tars, where `tree` is what the topmost layer showed. How many names a file has
/// may count those of other layers (Docker's legacy driver links them); which are one file is compared.
pub fn differences(tree: &Tree, applied: &Tree, sight: Sight) -> Vec<Difference> {
    let (mut expected, mut actual) = (carried(tree, tree), carried(applied, tree));
    for tree in [&mut expected, &mut actual] {
        for facts in tree.values_mut() {
            facts.links = 0;
            if sight == Sight::ByName && passes_for_directory(facts.kind) {
                facts.mtime = When::Time(EPOCH);
            }
        }
    }
    let mut found = tree::differences(&expected, &actual, &mut Clock::new());
    found.extend(tree::link_differences(&expected, &actual));
    found
}

/// Whether a tree has what no layer tar carries, so that what it replaced comes back.
pub fn has_sockets(tree: &Tree) -> bool {
    tree.values().any(|facts| facts.kind == 's')
}

const EPOCH: layerlab_model::inode::Time = layerlab_model::inode::Time { seconds: 0, nanoseconds: 0 };

/// Docker asks for one bit of the type, which block devices and sockets have too.
fn passes_for_directory(kind: char) -> bool {
    matches!(kind, 'd' | 'b' | 's')
}
