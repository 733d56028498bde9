//! The files that the kernel knows by a number, each by a descriptor that stays what it is, and by its path as long as it has one.
//!
//! *Holds*: each name is a file of its own, two names of one file are two: a file of a lower layer that is copied up by one of its names
//! is another file by that name only. So the kernel asks for the name that was meant.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use layerlab_model::text::Text;
use rustix::fs::{AtFlags, FileType, Stat, statat};
use rustix::io::Errno;

/// The number of the root (`FUSE_ROOT_ID`).
pub const ROOT: u64 = 1;

/// A file.
#[derive(Clone)]
pub struct Node {
    /// Opened with `O_PATH`.
    pub file: Arc<OwnedFd>,
    /// What it is.
    pub kind: FileType,
    /// Where it lies; none when its name is gone.
    pub path: Option<Text>,
    identity: (u64, u64),
    lookups: u64,
}

impl Node {
    /// What it is by now.
    pub fn stat(&self) -> Result<Stat, Errno> {
        statat(&self.file, "", AtFlags::EMPTY_PATH)
    }

    /// The path of `name` in it.
    pub fn join(&self, name: &[u8]) -> Option<Text> {
        self.path.as_ref().map(|path| path.join(&Text::from(name)))
    }
}

/// All of them.
pub struct Nodes {
    all: HashMap<u64, Node>,
    by_path: BTreeMap<Text, u64>,
    last: u64,
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

impl Nodes {
    /// The root alone.
    pub fn of(root: OwnedFd) -> Nodes {
        let path = Text::from("/");
        let root = Node {
            file: Arc::new(root),
            kind: FileType::Directory,
            path: Some(path.clone()),
            identity: (0, 0),
            lookups: 1,
        };
        Nodes { all: HashMap::from([(ROOT, root)]), by_path: BTreeMap::from([(path, ROOT)]), last: ROOT }
    }

    /// The one with this number.
    pub fn get(&self, number: u64) -> Result<&Node, Errno> {
        self.all.get(&number).ok_or(Errno::STALE)
    }

    /// The number of what is now at `path`, which the kernel is told once more.
    pub fn tell(&mut self, path: Option<Text>, file: OwnedFd, stat: &Stat) -> u64 {
        let known = path.as_ref().and_then(|path| self.by_path.get(path)).copied();
        if let Some(number) = known
            && let Some(node) = self.all.get_mut(&number)
            && (node.identity, node.kind) == (identity(stat), kind(stat))
        {
            node.lookups += 1;
            return number;
        }
        if let Some(path) = &path {
            self.gone(path);
        }
        self.last += 1;
        self.by_path.extend(path.clone().map(|path| (path, self.last)));
        let node = Node { file: Arc::new(file), kind: kind(stat), path, identity: identity(stat), lookups: 1 };
        self.all.insert(self.last, node);
        self.last
    }

    /// The kernel has forgotten this one so many times.
    pub fn forget(&mut self, number: u64, times: u64) {
        let Some(node) = self.all.get_mut(&number).filter(|_| number != ROOT) else { return };
        node.lookups = node.lookups.saturating_sub(times);
        if node.lookups == 0 {
            let path = self.all.remove(&number).and_then(|node| node.path);
            if let Some(path) = path.filter(|path| self.by_path.get(path) == Some(&number)) {
                self.by_path.remove(&path);
            }
        }
    }

    /// Nothing is at `path` any more, nor below it.
    pub fn gone(&mut self, path: &Text) {
        self.taken(path);
    }

    /// What was at `from` is at `to`.
    pub fn moved(&mut self, from: &Text, to: &Text) {
        self.gone(to);
        let moving = self.taken(from);
        self.put(moving, to);
    }

    /// What was at the one is at the other.
    pub fn exchanged(&mut self, one: &Text, other: &Text) {
        let (from_one, from_other) = (self.taken(one), self.taken(other));
        self.put(from_one, other);
        self.put(from_other, one);
    }

    /// Takes what is at `path` and below away; with each its path from there.
    fn taken(&mut self, path: &Text) -> Vec<(Vec<u8>, u64)> {
        let below = path.join(&Text::default());
        let inside = self.by_path.range(below.clone()..).take_while(|(at, _)| at.0.starts_with(&below.0));
        let mut paths: Vec<Text> = inside.map(|(at, _)| at.clone()).collect();
        paths.push(path.clone());
        let mut taken = Vec::new();
        for at in paths {
            let Some(number) = self.by_path.remove(&at) else { continue };
            if let Some(node) = self.all.get_mut(&number) {
                node.path = None;
            }
            taken.push((at.0[path.0.len()..].to_vec(), number));
        }
        taken
    }

    fn put(&mut self, moving: Vec<(Vec<u8>, u64)>, path: &Text) {
        for (rest, number) in moving {
            let at = Text([&path.0[..], &rest[..]].concat());
            if let Some(node) = self.all.get_mut(&number) {
                node.path = Some(at.clone());
            }
            self.by_path.insert(at, number);
        }
    }
}
