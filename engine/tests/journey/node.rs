//! A tree in memory: what is at each name, with every attribute that a layer or a file system can have, and which names are one file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What one file is; it may have several names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub kind: Kind,
    /// All 12 bits.
    pub mode: u32,
    pub owner: (u32, u32),
    pub time: Time,
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File(Content),
    Symlink(String),
    Char(u32, u32),
    Block(u32, u32),
    Fifo,
    Socket,
}

/// Seconds since 1970, and nanoseconds after that.
pub type Time = (i64, u32);

/// What is in a file, but for blocks of zeros.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    pub size_bytes: u64,
    pub blocks: BTreeMap<u64, Vec<u8>>,
    /// It takes far less room than it is long.
    pub has_holes: bool,
}

/// In such pieces contents are compared.
pub const BLOCK_BYTES: usize = 4096;

impl Content {
    /// Of a file with these parts and zeros between them.
    pub fn of(size_bytes: u64, parts: &[(u64, &[u8])]) -> Content {
        let mut content = Content { size_bytes, ..Content::default() };
        for (at, bytes) in parts {
            for (at, byte) in (*at..).zip(*bytes) {
                let start = at / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
                let block = content.blocks.entry(start).or_insert_with(|| vec![0; BLOCK_BYTES]);
                block[usize::try_from(at - start).unwrap()] = *byte;
            }
        }
        content
    }

    pub fn text(text: &str) -> Content {
        Content::of(text.len() as u64, &[(0, text.as_bytes())])
    }

    pub fn with_holes(self) -> Content {
        Content { has_holes: true, ..self }
    }

    /// All of it; for what is short.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.size_bytes).unwrap()];
        for (at, block) in &self.blocks {
            let at = usize::try_from(*at).unwrap();
            let end = bytes.len().min(at + BLOCK_BYTES);
            bytes[at..end].copy_from_slice(&block[..end - at]);
        }
        bytes
    }

    fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for (at, block) in &self.blocks {
            digest.update(at.to_le_bytes());
            digest.update(block);
        }
        hex::encode(&digest.finalize()[..6])
    }
}

impl Node {
    pub fn directory() -> Node {
        Node::of(Kind::Directory, 0o755)
    }

    pub fn file(text: &str) -> Node {
        Node::of(Kind::File(Content::text(text)), 0o644)
    }

    pub fn symlink(target: &str) -> Node {
        Node::of(Kind::Symlink(target.into()), 0o777)
    }

    pub fn of(kind: Kind, mode: u32) -> Node {
        Node { kind, mode, owner: (0, 0), time: (1_000_000_000, 0), xattrs: BTreeMap::new() }
    }

    pub fn mode(mut self, mode: u32) -> Node {
        self.mode = mode;
        self
    }

    pub fn owner(mut self, uid: u32, gid: u32) -> Node {
        self.owner = (uid, gid);
        self
    }

    pub fn time(mut self, seconds: i64, nanoseconds: u32) -> Node {
        self.time = (seconds, nanoseconds);
        self
    }

    pub fn xattr(mut self, name: &str, value: &[u8]) -> Node {
        self.xattrs.insert(name.into(), value.into());
        self
    }

    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Every attribute, on a line.
    fn line(&self) -> String {
        let what = match &self.kind {
            Kind::Directory => "directory".to_owned(),
            Kind::File(content) => {
                let holes = if content.has_holes { " with holes" } else { "" };
                format!("file of {} bytes {}{holes}", content.size_bytes, content.digest())
            }
            Kind::Symlink(target) => format!("-> {target}"),
            Kind::Char(major, minor) => format!("char {major}:{minor}"),
            Kind::Block(major, minor) => format!("block {major}:{minor}"),
            Kind::Fifo => "fifo".to_owned(),
            Kind::Socket => "socket".to_owned(),
        };
        let (uid, gid) = self.owner;
        let (seconds, nanoseconds) = self.time;
        let mut line = format!("{what} {:04o} {uid}:{gid} {seconds}.{nanoseconds:09}", self.mode);
        for (name, value) in &self.xattrs {
            line += &format!(" {name}={}", hex::encode(value));
        }
        line
    }
}

/// Names, and the files they mean.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    names: BTreeMap<PathBuf, usize>,
    nodes: Vec<Node>,
}

impl Tree {
    /// A new file, in the place of whatever has the name; a directory that is there keeps what is in it.
    pub fn put(&mut self, path: &Path, node: Node) {
        let stays = node.is_directory() && self.get(path).is_some_and(Node::is_directory);
        if !stays {
            self.remove(path);
        }
        self.nodes.push(node);
        self.names.insert(path.to_owned(), self.nodes.len() - 1);
    }

    /// A further name of the file that has the name `of`.
    pub fn link(&mut self, path: &Path, of: &Path) {
        let node = self.names[of];
        self.remove(path);
        self.names.insert(path.to_owned(), node);
    }

    /// The name, and all below it.
    pub fn remove(&mut self, path: &Path) {
        self.names.retain(|name, _| !name.starts_with(path));
    }

    /// All below the name.
    pub fn empty(&mut self, path: &Path) {
        self.names.retain(|name, _| name == path || !name.starts_with(path));
    }

    pub fn rename(&mut self, from: &Path, to: &Path) {
        self.remove(to);
        let moved: Vec<PathBuf> = self.names.keys().filter(|name| name.starts_with(from)).cloned().collect();
        for name in moved {
            let node = self.names.remove(&name).unwrap();
            let rest = name.strip_prefix(from).unwrap();
            let name = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
            self.names.insert(name, node);
        }
    }

    pub fn get(&self, path: &Path) -> Option<&Node> {
        self.names.get(path).map(|node| &self.nodes[*node])
    }

    /// The file of this name, under all its names.
    pub fn change(&mut self, path: &Path) -> &mut Node {
        let node = self.names[path];
        &mut self.nodes[node]
    }

    pub fn names(&self) -> Vec<PathBuf> {
        self.names.keys().cloned().collect()
    }

    /// What is at each name; of several names of one file all but the first say which that is, too.
    pub fn lines(&self) -> BTreeMap<String, String> {
        let mut first: BTreeMap<usize, &Path> = BTreeMap::new();
        let mut lines = BTreeMap::new();
        for (name, node) in &self.names {
            let first = *first.entry(*node).or_insert(name);
            let mut line = self.nodes[*node].line();
            if first != name {
                line += &format!(" (the same file as {first:?})");
            }
            lines.insert(format!("{name:?}"), line);
        }
        lines
    }
}

/// The names at which two trees differ, with what is there.
pub fn differences(expected: &Tree, observed: &Tree) -> String {
    let (expected, observed) = (expected.lines(), observed.lines());
    let none = "nothing".to_owned();
    let names: std::collections::BTreeSet<&String> = expected.keys().chain(observed.keys()).collect();
    let mut told = String::new();
    for name in names {
        let (wanted, found) = (expected.get(name).unwrap_or(&none), observed.get(name).unwrap_or(&none));
        if wanted != found {
            told += &format!("{name}\n  expected {wanted}\n  observed {found}\n");
        }
    }
    told
}
