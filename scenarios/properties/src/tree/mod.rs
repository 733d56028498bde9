//! A tree as it is compared: every path with everything that can be known about what is there.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::AsFd;

use layerlab_model::inode::{At, Body, Copied, Inode, Node, Stamp, Time};
use layerlab_model::promises::Promises;
use layerlab_model::text::Text;
use layerlab_model::union::{Mark, Through, Union};
use rustix::fs::{self, AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

mod compare;
mod eyesight;

pub(crate) use compare::mark_differences;
pub use compare::{Comparator, Difference, Field, Inodes, changes, differences, different_fields, link_differences};
pub use eyesight::{Seeded, see_everything, seeded, unseen};

/// What is listed and cannot be looked up.
pub const NOT_THERE: char = '?';

/// Longest list of names of extended attributes, and longest value, that the kernel gives.
const XATTR_BYTES_MAX: usize = 64 << 10;

/// xfs lists access control lists by the names that it has for them, too (`__xfs_xattr_put_listent` of `fs/xfs/xfs_xattr.c`).
const XFS_LISTS: [&[u8]; 2] = [b"trusted.SGI_ACL_FILE", b"trusted.SGI_ACL_DEFAULT"];

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

/// What really is below `root`. The thread's working directory is `root` afterwards.
pub fn of_disk(root: impl AsFd) -> Result<Tree, Errno> {
    rustix::process::fchdir(root)?;
    let mut tree = Tree::new();
    let mut names = vec![0; XATTR_BYTES_MAX];
    let mut open = vec![(Text::default(), FileType::Directory, None)];
    while let Some((path, listed, listed_inode)) = open.pop() {
        let mut facts = facts(&path, &mut names)?;
        facts.is_listed_with_its_inode = listed_inode.is_none_or(|inode| inode == facts.identity.1);
        facts.is_listed_as_what_it_is = listed == FileType::Unknown || letter(listed) == letter_of(facts.kind);
        if facts.kind == 'd' {
            let directory = fs::open(at(&path), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            for entry in Dir::new(directory)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes().to_vec();
                if name != b"." && name != b".." {
                    let path = if path.0.is_empty() { Text(name) } else { path.join(&Text(name)) };
                    open.push((path, entry.file_type(), Some(entry.ino())));
                }
            }
        }
        tree.insert(path, facts);
    }
    Ok(tree)
}

fn at(path: &Text) -> &[u8] {
    if path.0.is_empty() { b"." } else { &path.0 }
}

fn facts(path: &Text, names: &mut [u8]) -> Result<Facts, Errno> {
    let stat = match fs::statat(CWD, at(path), AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(Facts { kind: NOT_THERE, ..whiteout() }),
        stat => stat?,
    };
    let device = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice if device == (0, 0) => return Ok(whiteout()),
        kind => letter(kind),
    };
    let content = match kind {
        '-' => read(path, stat.st_size as usize)?,
        'l' => fs::readlink(at(path), Vec::new())?.into_bytes(),
        _ => Vec::new(),
    };
    let (xattrs, marks, private) = attributes(path, names)?;
    Ok(Facts {
        kind,
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
        mtime: When::Time(Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 }),
        content,
        device,
        links: if kind == 'd' { 0 } else { stat.st_nlink },
        identity: (stat.st_dev, stat.st_ino),
        xattrs,
        marks,
        private,
        is_listed_as_what_it_is: true,
        is_listed_with_its_inode: true,
    })
}

fn letter(kind: FileType) -> char {
    match kind {
        FileType::RegularFile => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Unknown => '?',
    }
}

/// A whiteout is a character device to those who do not know better.
fn letter_of(kind: char) -> char {
    if kind == 'w' { 'c' } else { kind }
}

fn read(path: &Text, size_bytes: usize) -> Result<Vec<u8>, Errno> {
    let file = fs::open(at(path), OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = vec![0; size_bytes + 1];
    let mut filled = 0;
    loop {
        match rustix::io::read(&file, &mut bytes[filled..])? {
            0 => break,
            count => filled += count,
        }
        if filled == bytes.len() {
            bytes.resize(2 * filled, 0);
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn attributes(path: &Text, names: &mut [u8]) -> Result<(Attributes, Marks, Attributes), Errno> {
    let length = match fs::llistxattr(at(path), &mut *names) {
        Err(Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    let (mut xattrs, mut marks, mut privates) = (Attributes::new(), Marks::default(), Attributes::new());
    let all: Vec<Vec<u8>> = names[..length].split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    for name in all.iter().filter(|name| !name.is_empty()) {
        let private = [&b"trusted.overlay."[..], b"user.overlay."].iter().find_map(|prefix| name.strip_prefix(*prefix));
        match private {
            Some(b"opaque") => marks.opaque = true,
            Some(b"redirect") => marks.redirect = true,
            Some(b"metacopy") => marks.metacopy = true,
            Some(b"origin" | b"impure" | b"nlink" | b"uuid") => {}
            None if XFS_LISTS.contains(&name.as_slice()) => continue,
            Some(_) => marks.unknown.push(Text(name.clone())),
            None => {}
        }
        let value = value(path, name)?;
        match private {
            Some(short) => privates.insert(Text(short.to_vec()), value),
            None => xattrs.insert(Text(name.clone()), value),
        };
    }
    Ok((xattrs, marks, privates))
}

fn value(path: &Text, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; 4096];
    let length = match fs::lgetxattr(at(path), name, &mut value[..]) {
        Err(Errno::RANGE) => {
            value.resize(XATTR_BYTES_MAX, 0);
            fs::lgetxattr(at(path), name, &mut value[..])?
        }
        length => length?,
    };
    value.truncate(length);
    Ok(value)
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
