//! What a layer changes, as a value of its own that can be put on any tree: the OCI layer without its tar.
//!
//! *Source*: the OCI image-spec's `layer.md` ("Change Types", "Whiteouts", "Applying Changesets"), Docker's `diff` for the letters.
//! *Holds*: `apply(diff(layer), tree below) = tree`. *Proved by*: the campaigns of `cargo xtask sim`.

use std::collections::BTreeMap;

use crate::inode::{At, Body, Meta, Node, Stamp};
use crate::text::Text;
use crate::union::{Mark, Through, Union};

/// Names from the root.
pub type Names = Vec<Text>;

/// What an inode is without what is in it, if it is a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A regular file.
    File(Vec<u8>),
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink(Text),
    /// Anything else.
    Node(Node),
}

/// One path of a tree: attributes, content, and which file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Its attributes.
    pub meta: Meta,
    /// Its content.
    pub content: Content,
    /// Paths with the same are names of one file.
    pub file: At,
}

/// A tree without layers.
pub type Flat = BTreeMap<Names, Leaf>;

/// What a layer says of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It is gone (`.wh.NAME`).
    Whiteout,
    /// It is this; a directory that was there keeps what is in it, unless it is opaque (`.wh..wh..opq`).
    Is {
        /// What.
        leaf: Leaf,
        /// Whether nothing of the tree below shows in it.
        is_opaque: bool,
    },
}

/// Everything that a layer says, the root as an empty path.
pub type Diff = BTreeMap<Names, Said>;

/// `docker diff`'s letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Letter {
    /// Added.
    A,
    /// Changed.
    C,
    /// Deleted.
    D,
}

/// What the upper layer says.
pub fn diff(union: &Union) -> Diff {
    diff_of(union, union.depth())
}

/// What a layer of the stack says, counted from the lowest.
pub fn diff_of(union: &Union, layer: usize) -> Diff {
    let said = |mark| match mark {
        Mark::Whiteout => Said::Whiteout,
        Mark::Other { at } => Said::Is { leaf: leaf(union, at), is_opaque: false },
        Mark::Directory { at, through } => Said::Is { leaf: leaf(union, at), is_opaque: through == Through::Opaque },
    };
    union.marks(layer).into_iter().map(|(names, mark)| (names, said(mark))).collect()
}

/// The merged tree.
pub fn flat(union: &Union) -> Flat {
    union.walk().into_iter().map(|(names, seen)| (names, leaf(union, seen.top()))).collect()
}

fn leaf(union: &Union, at: At) -> Leaf {
    let inode = union.inode(at);
    let content = match &inode.body {
        Body::File(bytes) => Content::File(bytes.clone()),
        Body::Directory(_) => Content::Directory,
        Body::Symlink(target) => Content::Symlink(target.clone()),
        Body::Node(node) => Content::Node(*node),
    };
    Leaf { meta: inode.meta.clone(), content, file: at }
}

/// Puts what a layer says on the tree below. Whiteouts and opaque marks are about that tree alone, whatever the order of the
/// layer's entries ("Applying Changesets").
pub fn apply(diff: &Diff, below: &Flat) -> Flat {
    let mut tree = below.clone();
    for (names, said) in diff {
        match said {
            Said::Whiteout => remove(&mut tree, names),
            Said::Is { leaf, is_opaque } => {
                let was_directory = tree.get(names).is_some_and(|old| old.content == Content::Directory);
                if *is_opaque || was_directory && leaf.content != Content::Directory {
                    remove(&mut tree, names);
                }
            }
        }
    }
    for (names, said) in diff {
        if let Said::Is { leaf, .. } = said {
            tree.insert(names.clone(), leaf.clone());
        }
    }
    tree
}

/// Takes away what is at `names` and everything in it.
fn remove(tree: &mut Flat, names: &[Text]) {
    tree.retain(|path, _| !path.starts_with(names));
}

/// What changed between two trees, found by walking both: a layer that turns `before` into `after`.
pub fn difference(before: &Flat, after: &Flat) -> Diff {
    let is_in = |tree: &Flat, names: &[Text]| tree.contains_key(names);
    let gone = before.keys().filter(|names| !is_in(after, names));
    // Of a directory that is gone only itself is named.
    let topmost = gone.filter(|names| {
        names
            .split_last()
            .is_none_or(|(_, parent)| after.get(parent).is_some_and(|parent| parent.content == Content::Directory))
    });
    let mut diff: Diff = topmost.map(|names| (names.clone(), Said::Whiteout)).collect();
    for (names, leaf) in after {
        let is_new = before.get(names).is_none_or(|old| {
            (&old.meta, &old.content) != (&leaf.meta, &leaf.content) || is_split(names, before, after)
        });
        if is_new || names.is_empty() {
            diff.insert(names.clone(), Said::Is { leaf: leaf.clone(), is_opaque: false });
        }
    }
    diff
}

/// Whether the paths that are one file with `names` are others than they were.
fn is_split(names: &[Text], before: &Flat, after: &Flat) -> bool {
    let group = |tree: &Flat| -> Vec<Names> {
        let Some(leaf) = tree.get(names) else { return Vec::new() };
        let is_one = |other: &Leaf| other.file == leaf.file && other.content != Content::Directory;
        tree.iter().filter(|(_, other)| is_one(other)).map(|(names, _)| names.clone()).collect()
    };
    group(before) != group(after)
}

/// `docker diff`: what a layer adds, changes and deletes of the tree below.
pub fn letters(diff: &Diff, below: &Flat) -> Vec<(Letter, Names)> {
    let letter = |(names, said): (&Names, &Said)| {
        let letter = match said {
            Said::Whiteout => Letter::D,
            Said::Is { .. } if below.contains_key(names) => Letter::C,
            Said::Is { .. } => Letter::A,
        };
        (letter, names.clone())
    };
    diff.iter().filter(|(names, _)| !names.is_empty()).map(letter).collect()
}

/// What comparing two trees name by name finds, by Docker's rules for drivers that keep no list of changes (`changesDiff` of moby's
/// archive package): of what has a name in both only that is looked at which lstat(2) tells, and `security.capability`; a directory
/// above something that changed is changed; below what is gone, and below what is no directory any more, nothing is said. Sorted,
/// without the root.
pub fn compared(before: &Flat, after: &Flat) -> Vec<(Letter, Names)> {
    found(before, after, |names, old, leaf| !names.is_empty() && lstat_tells(old, leaf))
}

/// What comparing two trees finds if nothing is missed but the times of directories and which names are one file: what [`compared`]
/// finds, another content or other extended attributes, another mode or owner of the root, and the directories `replaced`.
pub fn seen(before: &Flat, after: &Flat, replaced: impl Fn(&[Text]) -> bool) -> Vec<(Letter, Names)> {
    let owner = |leaf: &Leaf| (leaf.meta.mode, leaf.meta.uid, leaf.meta.gid);
    found(before, after, |names, old, leaf| {
        let is_replaced = || old.content == Content::Directory && leaf.content == Content::Directory && replaced(names);
        old.meta.xattrs != leaf.meta.xattrs
            || owner(old) != owner(leaf)
            || !names.is_empty() && (old.content != leaf.content || lstat_tells(old, leaf) || is_replaced())
    })
}

/// The letters of two trees; `is_changed` says it of a name that both have.
fn found(before: &Flat, after: &Flat, is_changed: impl Fn(&[Text], &Leaf, &Leaf) -> bool) -> Vec<(Letter, Names)> {
    let mut found: BTreeMap<&[Text], Letter> = BTreeMap::new();
    for (names, leaf) in after {
        match before.get(names) {
            Some(old) if is_changed(names, old, leaf) => drop(found.insert(names, Letter::C)),
            Some(_) => {}
            None if names.is_empty() => {}
            None => drop(found.insert(names, Letter::A)),
        }
    }
    let gone = before.keys().filter(|names| !after.contains_key(*names));
    found.extend(gone.filter(|names| !is_swept(names, before, after)).map(|names| (&names[..], Letter::D)));
    let changed: Vec<&[Text]> = found.keys().copied().collect();
    for names in changed {
        for depth in 1..names.len() {
            found.entry(&names[..depth]).or_insert(Letter::C);
        }
    }
    found.into_iter().map(|(names, letter)| (letter, names.to_vec())).collect()
}

/// Whether a directory that `names` was in is gone, or is none any more.
fn is_swept(names: &[Text], before: &Flat, after: &Flat) -> bool {
    let is_directory =
        |tree: &Flat, names: &[Text]| tree.get(names).is_some_and(|leaf| leaf.content == Content::Directory);
    (1..names.len()).any(|depth| is_directory(before, &names[..depth]) && !is_directory(after, &names[..depth]))
}

/// Whether lstat(2) tells the one from the other, with times as Docker compares them: without nanoseconds where one of them has none,
/// as everything that comes out of a layer tar. What passes for a directory (Docker asks for one bit of the type, which block devices
/// and sockets have too) is not asked for size and time.
pub fn lstat_tells(one: &Leaf, other: &Leaf) -> bool {
    let length = |leaf: &Leaf| match &leaf.content {
        Content::File(bytes) => bytes.len(),
        Content::Symlink(target) => target.0.len(),
        Content::Directory | Content::Node(_) => 0,
    };
    let kind = |leaf: &Leaf| std::mem::discriminant(&leaf.content);
    let passes_for_directory =
        |leaf: &Leaf| matches!(leaf.content, Content::Directory | Content::Node(Node::Block { .. } | Node::Socket));
    let node = |leaf: &Leaf| match leaf.content {
        Content::Node(node) => Some(node),
        _ => None,
    };
    let capability = |leaf: &Leaf| leaf.meta.xattrs.get(&Text::from("security.capability")).cloned();
    let is_same_time = match (one.meta.mtime, other.meta.mtime) {
        (Stamp::Set(one), Stamp::Set(other)) => {
            one.seconds == other.seconds
                && (one.nanoseconds == other.nanoseconds || one.nanoseconds == 0 || other.nanoseconds == 0)
        }
        (one, other) => one == other,
    };
    let owner = |leaf: &Leaf| (leaf.meta.mode, leaf.meta.uid, leaf.meta.gid);
    kind(one) != kind(other)
        || node(one) != node(other)
        || owner(one) != owner(other)
        || !passes_for_directory(other) && (length(one) != length(other) || !is_same_time)
        || capability(one) != capability(other)
}

/// Whether two trees are the same to whoever looks at them: every path, and which paths are one file.
pub fn are_same(one: &Flat, other: &Flat) -> bool {
    let faces = |tree: &Flat| -> Vec<(Names, Meta, Content)> {
        tree.iter().map(|(names, leaf)| (names.clone(), leaf.meta.clone(), leaf.content.clone())).collect()
    };
    let groups = |tree: &Flat| -> Vec<Vec<Names>> {
        let mut files: BTreeMap<At, Vec<Names>> = BTreeMap::new();
        for (names, leaf) in tree.iter().filter(|(_, leaf)| leaf.content != Content::Directory) {
            files.entry(leaf.file).or_default().push(names.clone());
        }
        let mut groups: Vec<_> = files.into_values().collect();
        groups.sort();
        groups
    };
    faces(one) == faces(other) && groups(one) == groups(other)
}
