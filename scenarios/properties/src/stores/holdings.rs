//! What the layers of a store hold, by the model: each layer as what its tar says, and the trees that stacks of them give.

use std::collections::BTreeMap;
use std::io;

use layerlab_model::changes::{self, Content, Diff, Flat, Leaf, Names, Said};
use layerlab_model::inode::{At, Meta, Node, Stamp, Time};
use layerlab_model::text::Text;
use tar::EntryType;

use super::archive;

/// What begins a name that takes one away (OCI image-spec, `layer.md`, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
/// What takes away everything that is in its directory below.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Layers by their diff IDs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings(BTreeMap<String, Diff>);

impl Holdings {
    /// Takes in a layer.
    pub fn add(&mut self, diff_id: &str, layer: Diff) {
        self.0.entry(diff_id.to_owned()).or_insert(layer);
    }

    /// Bytes of the files that a layer brings, each counted once however many names it has; with `and_links` also those of the
    /// targets of symbolic links. A layer that nobody brought has none.
    pub fn bytes_of_layer(&self, diff_id: &str, and_links: bool) -> u64 {
        let said = self.0.get(diff_id).into_iter().flatten();
        let leaves = said.filter_map(|(names, said)| match said {
            Said::Is { leaf, .. } => Some((names, leaf)),
            Said::Whiteout => None,
        });
        bytes(leaves, and_links)
    }

    /// The tree that these layers give, the lowest first.
    pub fn tree(&self, diff_ids: &[String]) -> Flat {
        diff_ids.iter().filter_map(|id| self.0.get(id)).fold(Flat::new(), |tree, layer| changes::apply(layer, &tree))
    }

    /// Bytes of the files in the tree that these layers give, each counted once.
    pub fn bytes_of_tree(&self, diff_ids: &[String]) -> u64 {
        bytes(self.tree(diff_ids).iter(), false)
    }
}

fn bytes<'a>(leaves: impl Iterator<Item = (&'a Names, &'a Leaf)>, and_links: bool) -> u64 {
    let files: BTreeMap<At, usize> = leaves
        .map(|(_, leaf)| match &leaf.content {
            Content::File(bytes) => (leaf.file, bytes.len()),
            Content::Symlink(target) if and_links => (leaf.file, target.as_bytes().len()),
            _ => (leaf.file, 0),
        })
        .collect();
    files.values().map(|length| *length as u64).sum()
}

/// A tree as a layer that brings it.
pub fn whole(tree: &Flat) -> Diff {
    let said = tree.iter().map(|(names, leaf)| (names.clone(), Said::Is { leaf: leaf.clone(), is_opaque: false }));
    said.collect()
}

/// What a layer's tar says, number `layer` of the tars that are read.
pub fn layer(tar: &[u8], layer: usize) -> io::Result<Diff> {
    let mut diff = Diff::new();
    let mut links = Vec::new();
    let mut opaque = Vec::new();
    for (inode, content) in archive::contents(tar)?.into_iter().enumerate() {
        let mut names = names(&content.path);
        let Some(name) = names.last() else { continue };
        if name.as_bytes() == OPAQUE {
            names.pop();
            opaque.push(names);
            continue;
        }
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            let hidden = Text::from(hidden);
            names.pop();
            names.push(hidden);
            diff.insert(names, Said::Whiteout);
            continue;
        }
        let target = content.target.unwrap_or_else(|| Text(Vec::new()));
        let kind = match EntryType::new(content.kind) {
            EntryType::Link => {
                links.push((names, self::names(&target)));
                continue;
            }
            EntryType::Symlink => Content::Symlink(target),
            EntryType::Directory => Content::Directory,
            EntryType::Regular => Content::File(content.bytes),
            EntryType::Fifo => Content::Node(Node::Fifo),
            other => return Err(io::Error::other(format!("{}: an entry of the type {other:?}", content.path))),
        };
        let (mode, uid, gid, seconds) = content.attributes;
        let mtime = Stamp::Set(Time { seconds: seconds.try_into().unwrap_or(i64::MAX), nanoseconds: 0 });
        let number = |id: u64| u32::try_from(id).map_err(io::Error::other);
        let meta = Meta { mode, uid: number(uid)?, gid: number(gid)?, mtime, xattrs: BTreeMap::new() };
        let leaf = Leaf { meta, content: kind, file: At { layer, inode } };
        diff.insert(names, Said::Is { leaf, is_opaque: false });
    }
    for (names, target) in links {
        let said = diff.get(&target).cloned();
        diff.insert(names, said.ok_or_else(|| io::Error::other("a hard link to what is not in the layer"))?);
    }
    for names in opaque {
        if let Some(Said::Is { is_opaque, .. }) = diff.get_mut(&names) {
            *is_opaque = true;
        }
    }
    Ok(diff)
}

fn names(path: &Text) -> Names {
    let names = path.as_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    names.map(Text::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_two_names_counts_once_and_what_is_hidden_counts_only_in_its_layer() {
        let mut holdings = Holdings::default();
        let ids: Vec<String> = ["one", "two"].map(str::to_owned).to_vec();
        let collection = archive::collection().unwrap();
        holdings.add("one", layer(&collection[0], 0).unwrap());
        holdings.add("two", layer(&collection[2], 1).unwrap());
        assert_eq!([false, true].map(|and_links| holdings.bytes_of_layer("one", and_links)), [3, 6]);
        assert_eq!(holdings.bytes_of_layer("two", true), 5);
        assert_eq!([1, 2].map(|count| holdings.bytes_of_tree(&ids[..count])), [3, 5]);
        let paths: Vec<usize> = holdings.tree(&ids).keys().map(Vec::len).collect();
        assert_eq!(paths, [1, 2, 1], "d, d/new and s");
    }
}
