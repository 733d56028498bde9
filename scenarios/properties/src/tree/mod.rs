//! A tree as it is compared: every path with everything that can be known about what is there.

use std::collections::{BTreeMap, HashMap};

use layerlab_model::inode::{At, Body, Copied, Inode, Node, Stamp, Time};
use layerlab_model::promises::Promises;
use layerlab_model::text::Text;
use layerlab_model::union::{Mark, Through, Union};

mod compare;
mod disk;
mod eyesight;

pub(crate) use compare::mark_differences;
pub use compare::{Comparator, Difference, Field, Inodes, changes, differences, different_fields, link_differences};
pub(crate) use disk::content;
pub use disk::{letter, of_disk};
pub use eyesight::{Seeded, see_everything, seeded, unseen};

/// What is listed and cannot be looked up.
pub const NOT_THERE: char = '?';

/// What is behind a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// As in `ls`: `-dlpscb`; `w` for a whiteout.
    pub kind: char,
    /// The twelve bits below the type.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// When the content changed.
    pub mtime: When,
    /// A file's content, a link's target.
    pub content: Vec<u8>,
    /// A device's numbers.
    pub device: (u32, u32),
    /// Names in its layer; 0 where that says nothing, or nothing is promised of it.
    pub links: u64,
    /// Which file it is: names of one file have the same.
    pub identity: (u64, u64),
    /// Extended attributes by their full names, overlayfs's private ones apart.
    pub xattrs: Attributes,
    /// What overlayfs's private attributes make of it.
    pub marks: Marks,
    /// Those attributes by their names without the prefix; the model has none ([`crate::private`] says what there may be).
    pub private: Attributes,
    /// Whether its directory lists it with its type (`d_type`), or without any.
    pub is_listed_as_what_it_is: bool,
    /// Whether its directory lists it with its inode number (`d_ino`).
    pub is_listed_with_its_inode: bool,
}

/// A time, or which reading of the kernel's clock it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// This.
    Time(Time),
    /// The model's n-th reading.
    Reading(u64),
    /// Any: nothing is promised of it.
    Whenever,
}

/// What the readings of the kernel's clock turned out to be: a time that nobody changed stays the same for ever.
pub type Clock = HashMap<u64, Time>;

/// overlayfs's private attributes: those that decide what the tree is, and the rest, which is its book-keeping.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks {
    /// Nothing shows through.
    pub opaque: bool,
    /// Something else shows through.
    pub redirect: bool,
    /// The content lies elsewhere.
    pub metacopy: bool,
    /// An opaque mark would change nothing.
    pub opaque_is_free: bool,
    /// A redirect may say what the name says: a directory that was moved and moved back keeps one.
    pub redirect_is_free: bool,
    /// Anything that is none of overlayfs's attributes.
    pub unknown: Vec<Text>,
}

/// Extended attributes: names and values.
pub type Attributes = BTreeMap<Text, Vec<u8>>;

/// All paths of a tree, the root as an empty one.
pub type Tree = BTreeMap<Text, Facts>;

/// Names from the root as a path, without a `/` at its beginning.
pub fn path(names: &[Text]) -> Text {
    Text(names.iter().map(Text::as_bytes).collect::<Vec<_>>().join(&b'/'))
}

/// What the merged tree of the model is.
pub fn of_union(union: &Union) -> Tree {
    union.walk().into_iter().map(|(names, seen)| (path(&names), of_inode(union, seen.top()))).collect()
}

/// What the upper layer of the model is.
pub fn of_upper(union: &Union) -> Tree {
    let facts = |mark: Mark| match mark {
        Mark::Whiteout => whiteout(),
        Mark::Other { at } => of_file(union, at),
        Mark::Directory { at, through } => {
            let marks = Marks {
                opaque: through == Through::Opaque,
                opaque_is_free: through == Through::Nothing,
                redirect: through == Through::Redirect,
                redirect_is_free: through == Through::ByName,
                ..Marks::default()
            };
            Facts { marks, ..of_inode(union, at) }
        }
    };
    union.upper_marks().into_iter().map(|(names, mark)| (path(&names), facts(mark))).collect()
}

/// A file of the upper layer as it lies there.
fn of_file(union: &Union, at: At) -> Facts {
    let Facts { content, .. } = of_inode(union, at);
    let Copied { content_is_below, ref redirect, .. } = union.inode(at).copied;
    Facts {
        links: u64::from(union.links_on_disk(at)),
        // It is as long, and all hole.
        content: if content_is_below { vec![0; content.len()] } else { content },
        marks: Marks { metacopy: content_is_below, redirect: redirect.is_some(), ..Marks::default() },
        ..of_inode(union, at)
    }
}

fn whiteout() -> Facts {
    Facts {
        kind: 'w',
        mode: 0,
        owner: (0, 0),
        mtime: When::Time(Time { seconds: 0, nanoseconds: 0 }),
        content: Vec::new(),
        device: (0, 0),
        links: 0,
        identity: (0, 0),
        xattrs: BTreeMap::new(),
        marks: Marks::default(),
        private: Attributes::new(),
        is_listed_as_what_it_is: true,
        is_listed_with_its_inode: true,
    }
}

/// What an inode of the model is.
pub fn of_inode(union: &Union, at: At) -> Facts {
    let Inode { meta, body, .. } = union.inode(at);
    let (kind, content, device) = match body {
        Body::File(bytes) => ('-', bytes.clone(), (0, 0)),
        Body::Directory(_) => ('d', Vec::new(), (0, 0)),
        Body::Symlink(target) => ('l', target.0.clone(), (0, 0)),
        Body::Node(Node::Fifo) => ('p', Vec::new(), (0, 0)),
        Body::Node(Node::Socket) => ('s', Vec::new(), (0, 0)),
        Body::Node(Node::Character { major, minor }) => ('c', Vec::new(), (*major, *minor)),
        Body::Node(Node::Block { major, minor }) => ('b', Vec::new(), (*major, *minor)),
    };
    Facts {
        kind,
        mode: meta.mode,
        owner: (meta.uid, meta.gid),
        mtime: match meta.mtime {
            Stamp::Set(time) => When::Time(time),
            Stamp::Clock(reading) => When::Reading(reading),
        },
        content,
        device,
        links: if kind == 'd' { 0 } else { u64::from(union.links(at)) },
        identity: (at.layer as u64, at.inode as u64),
        xattrs: meta.xattrs.clone(),
        marks: Marks::default(),
        private: Attributes::new(),
        is_listed_as_what_it_is: true,
        is_listed_with_its_inode: true,
    }
}

/// Takes out of the merged tree, that of the model or the real one, what nothing is promised of.
pub fn forget(merged: &mut Tree, union: &Union, promises: &Promises) {
    if !promises.numbers_of_names_are_counted {
        merged.values_mut().for_each(|facts| facts.links = 0);
    }
    if promises.directories_keep_their_time && promises.clock_times_are_kept {
        return;
    }
    for (names, seen) in union.walk() {
        let Some(facts) = merged.get_mut(&path(&names)) else { continue };
        let is_clocks = matches!(union.inode(seen.top()).meta.mtime, Stamp::Clock(_));
        if facts.kind == 'd' && !promises.directories_keep_their_time || is_clocks && !promises.clock_times_are_kept {
            facts.mtime = When::Whenever;
        }
    }
}

/// The same of a tree of which no model tells which times are the clock's.
pub fn forget_all(tree: &mut Tree, promises: &Promises) {
    for facts in tree.values_mut() {
        if !promises.numbers_of_names_are_counted {
            facts.links = 0;
        }
        if !promises.clock_times_are_kept {
            facts.mtime = When::Whenever;
        }
    }
}

fn word(kind: char) -> &'static str {
    match kind {
        '-' => "a file",
        'd' => "a directory",
        'l' => "a symbolic link",
        'p' => "a named pipe",
        's' => "a socket",
        'c' => "a character device",
        'b' => "a block device",
        'w' => "a whiteout",
        NOT_THERE => "a name of nothing",
        _ => "something unknown",
    }
}

fn texts(xattrs: &BTreeMap<Text, Vec<u8>>) -> BTreeMap<&Text, Text> {
    xattrs.iter().map(|(name, value)| (name, Text(value.clone()))).collect()
}

/// Bytes as runs of letters: `x*5 y*3`.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let runs = bytes.chunk_by(|one, other| one == other);
    let text: Vec<String> = runs.map(|run| format!("{}*{}", Text(vec![run[0]]), run.len())).take(12).collect();
    if text.is_empty() { "nothing".to_owned() } else { text.join(" ") }
}
