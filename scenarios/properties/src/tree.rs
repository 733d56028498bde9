//! A tree as it is compared: every path with everything that can be known about what is there.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::os::fd::AsFd;

use layerlab_model::inode::{At, Body, Inode, Node, Stamp, Time};
use layerlab_model::text::Text;
use layerlab_model::union::{Mark, Through, Union};
use rustix::fs::{self, AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// Longest list of names of extended attributes, and longest value, that the kernel gives.
const XATTR_BYTES_MAX: usize = 64 << 10;

/// What is behind a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// As in `ls`: `-dlpscb`; `w` for a whiteout.
    pub kind: char,
    /// The twelve bits below the type.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// When the content changed, if somebody set it.
    pub mtime: Option<Time>,
    /// A file's content, a link's target.
    pub content: Vec<u8>,
    /// A device's numbers.
    pub device: (u32, u32),
    /// Names in its layer; 0 where that says nothing.
    pub links: u64,
    /// Which file it is: names of one file have the same.
    pub identity: (u64, u64),
    /// Extended attributes by their full names, overlayfs's private ones apart.
    pub xattrs: BTreeMap<Text, Vec<u8>>,
    /// Names of overlayfs's private attributes, without their prefix.
    pub marks: Marks,
}

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
    /// Anything that is none of overlayfs's attributes.
    pub unknown: Vec<Text>,
}

/// All paths of a tree, the root as an empty one.
pub type Tree = BTreeMap<Text, Facts>;

/// What the merged tree of the model is.
pub fn of_union(union: &Union) -> Tree {
    let path = |names: &[Text]| Text(names.iter().map(Text::as_bytes).collect::<Vec<_>>().join(&b'/'));
    union.walk().into_iter().map(|(names, seen)| (path(&names), of_inode(union, seen.top()))).collect()
}

/// What the upper layer of the model is.
pub fn of_upper(union: &Union) -> Tree {
    let path = |names: &[Text]| Text(names.iter().map(Text::as_bytes).collect::<Vec<_>>().join(&b'/'));
    let facts = |mark: Mark| match mark {
        Mark::Whiteout => whiteout(),
        Mark::Other { at } => of_inode(union, at),
        Mark::Directory { at, through } => {
            let marks = Marks {
                opaque: through == Through::Opaque,
                opaque_is_free: through == Through::Nothing,
                redirect: through == Through::Redirect,
                ..Marks::default()
            };
            Facts { marks, ..of_inode(union, at) }
        }
    };
    union.upper_marks().into_iter().map(|(names, mark)| (path(&names), facts(mark))).collect()
}

fn whiteout() -> Facts {
    Facts {
        kind: 'w',
        mode: 0,
        owner: (0, 0),
        mtime: None,
        content: Vec::new(),
        device: (0, 0),
        links: 0,
        identity: (0, 0),
        xattrs: BTreeMap::new(),
        marks: Marks::default(),
    }
}

fn of_inode(union: &Union, at: At) -> Facts {
    let Inode { meta, body, links } = union.inode(at);
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
            Stamp::Set(time) => Some(time),
            Stamp::Clock => None,
        },
        content,
        device,
        links: if kind == 'd' { 0 } else { u64::from(*links) },
        identity: (at.layer as u64, at.inode as u64),
        xattrs: meta.xattrs.clone(),
        marks: Marks::default(),
    }
}

/// What really is below `root`. The thread's working directory is `root` afterwards.
pub fn of_disk(root: impl AsFd) -> Result<Tree, Errno> {
    rustix::process::fchdir(root)?;
    let mut tree = Tree::new();
    let mut names = vec![0; XATTR_BYTES_MAX];
    let mut open = vec![Text::default()];
    while let Some(path) = open.pop() {
        let facts = facts(&path, &mut names)?;
        if facts.kind == 'd' {
            let directory = fs::open(at(&path), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            for entry in Dir::new(directory)? {
                let name = entry?.file_name().to_bytes().to_vec();
                if name != b"." && name != b".." {
                    open.push(if path.0.is_empty() { Text(name) } else { path.join(&Text(name)) });
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
    let stat = fs::statat(CWD, at(path), AtFlags::SYMLINK_NOFOLLOW)?;
    let device = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::CharacterDevice if device == (0, 0) => return Ok(whiteout()),
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Unknown => '?',
    };
    let content = match kind {
        '-' => read(path, stat.st_size as usize)?,
        'l' => fs::readlink(at(path), Vec::new())?.into_bytes(),
        _ => Vec::new(),
    };
    let (xattrs, marks) = attributes(path, names)?;
    Ok(Facts {
        kind,
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
        mtime: Some(Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 }),
        content,
        device,
        links: if kind == 'd' { 0 } else { stat.st_nlink },
        identity: (stat.st_dev, stat.st_ino),
        xattrs,
        marks,
    })
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

fn attributes(path: &Text, names: &mut [u8]) -> Result<(BTreeMap<Text, Vec<u8>>, Marks), Errno> {
    let length = match fs::llistxattr(at(path), &mut *names) {
        Err(Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    let (mut xattrs, mut marks) = (BTreeMap::new(), Marks::default());
    let all: Vec<Vec<u8>> = names[..length].split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    for name in all.iter().filter(|name| !name.is_empty()) {
        let private = [&b"trusted.overlay."[..], b"user.overlay."].iter().find_map(|prefix| name.strip_prefix(*prefix));
        match private {
            Some(b"opaque") => marks.opaque = true,
            Some(b"redirect") => marks.redirect = true,
            Some(b"metacopy") => marks.metacopy = true,
            Some(b"origin" | b"impure" | b"nlink" | b"uuid" | b"upper") => {}
            Some(_) => marks.unknown.push(Text(name.clone())),
            None => {
                let mut value = vec![0; 4096];
                let length = match fs::lgetxattr(at(path), &name[..], &mut value[..]) {
                    Err(Errno::RANGE) => {
                        value.resize(XATTR_BYTES_MAX, 0);
                        fs::lgetxattr(at(path), &name[..], &mut value[..])?
                    }
                    length => length?,
                };
                value.truncate(length);
                xattrs.insert(Text(name.clone()), value);
            }
        }
    }
    Ok((xattrs, marks))
}

/// Why two trees are not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub path: Text,
    /// What.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}: {}", self.path, self.what)
    }
}

/// What of the `actual` tree is not as in `expected`. Times that nobody set are not compared.
pub fn differences(expected: &Tree, actual: &Tree) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut files: HashMap<(u64, u64), (u64, u64)> = HashMap::new();
    let mut back: HashMap<(u64, u64), (u64, u64)> = HashMap::new();
    for (path, facts) in expected {
        let mut differ = |what: String| found.push(Difference { path: path.clone(), what });
        let Some(real) = actual.get(path) else {
            differ(format!("should be there ({})", word(facts.kind)));
            continue;
        };
        if facts.kind != real.kind {
            differ(format!("should be {}, is {}", word(facts.kind), word(real.kind)));
            continue;
        }
        if facts.mode != real.mode {
            differ(format!("mode should be {:04o}, is {:04o}", facts.mode, real.mode));
        }
        if facts.owner != real.owner {
            differ(format!("owner should be {:?}, is {:?}", facts.owner, real.owner));
        }
        if facts.mtime.is_some_and(|time| real.mtime != Some(time)) {
            differ(format!("mtime should be {:?}, is {:?}", facts.mtime, real.mtime));
        }
        if facts.content != real.content {
            differ(format!("should hold {}, holds {}", shown(&facts.content), shown(&real.content)));
        }
        if facts.device != real.device {
            differ(format!("device should be {:?}, is {:?}", facts.device, real.device));
        }
        if facts.xattrs != real.xattrs {
            differ(format!("xattrs should be {:?}, are {:?}", texts(&facts.xattrs), texts(&real.xattrs)));
        }
        if facts.links != real.links {
            differ(format!("should have {} names, has {}", facts.links, real.links));
        }
        for difference in mark_differences(&facts.marks, &real.marks) {
            differ(difference);
        }
        if facts.kind != 'd' && facts.kind != 'w' {
            let is_same = *files.entry(facts.identity).or_insert(real.identity) == real.identity
                && *back.entry(real.identity).or_insert(facts.identity) == facts.identity;
            if !is_same {
                differ("is not one file with the names it should be one with, or with others".to_owned());
            }
        }
    }
    for (path, facts) in actual.iter().filter(|(path, _)| !expected.contains_key(*path)) {
        found.push(Difference { path: path.clone(), what: format!("should not be there ({})", word(facts.kind)) });
    }
    found
}

fn mark_differences(expected: &Marks, actual: &Marks) -> Vec<String> {
    let mut found = Vec::new();
    if expected.opaque != actual.opaque && !(expected.opaque_is_free && actual.opaque) {
        found.push(format!("should {}be marked opaque", if expected.opaque { "" } else { "not " }));
    }
    if expected.redirect != actual.redirect {
        found.push(format!("should {}have a redirect", if expected.redirect { "" } else { "not " }));
    }
    if expected.metacopy != actual.metacopy {
        found.push(format!("should {}be without content of its own", if expected.metacopy { "" } else { "not " }));
    }
    found.extend(actual.unknown.iter().map(|name| format!("has the attribute {name}")));
    found
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
        _ => "something unknown",
    }
}

fn texts(xattrs: &BTreeMap<Text, Vec<u8>>) -> BTreeMap<&Text, Text> {
    xattrs.iter().map(|(name, value)| (name, Text(value.clone()))).collect()
}

/// Bytes as runs of letters: `x*5 y*3`.
fn shown(bytes: &[u8]) -> String {
    let runs = bytes.chunk_by(|one, other| one == other);
    let text: Vec<String> = runs.map(|run| format!("{}*{}", Text(vec![run[0]]), run.len())).take(12).collect();
    if text.is_empty() { "nothing".to_owned() } else { text.join(" ") }
}
