//! A stack of layers seen as one tree, of which only the topmost layer changes.
//!
//! *Why*: this is what every storage driver promises, written down without a disk. *Holds*: a lower layer never changes;
//! the upper layer holds what was changed and nothing else. *Source*: the kernel's `Documentation/filesystems/overlayfs.rst`,
//! sections "Upper and Lower", "whiteouts and opaque directories", "Multiple lower layers", "Non-directories".
//! *Never*: permissions and errors; they are `process`'s. *Proved by*: the laws.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::inode::{At, Body, Copied, Directory, Entry, Inode, Meta, Stamp};
use crate::promises::Promises;
use crate::text::Text;

mod copy_up;
mod index;
mod marks;
mod redirect;

use index::Index;
pub use index::Indexed;
pub use marks::{Mark, Through};

/// The inodes of one layer. The first is its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    inodes: Vec<Inode>,
}

/// The number of a layer's root directory.
const ROOT: usize = 0;

impl Layer {
    fn with_root(meta: Meta, below: Vec<At>) -> Layer {
        let root = Directory { below, ..Directory::default() };
        Layer { inodes: vec![Inode { meta, body: Body::Directory(root), links: 1, copied: Copied::default() }] }
    }

    fn directory(&self, inode: usize) -> &Directory {
        static NONE: Directory = Directory { entries: BTreeMap::new(), below: Vec::new() };
        self.inodes[inode].directory().unwrap_or(&NONE)
    }
}

/// What a name in the merged tree stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Directories of several layers, nearest first, which show as one; attributes are the first one's.
    Directory(Vec<At>),
    /// Anything else: it hides whatever lies below.
    Other(At),
}

impl Seen {
    /// The inode whose attributes show.
    pub fn top(&self) -> At {
        match self {
            Seen::Directory(stack) => stack[0],
            Seen::Other(at) => *at,
        }
    }
}

/// The stack. A stack without lower layers is a plain directory.
#[derive(Debug, Clone)]
pub struct Union {
    lowers: Vec<Rc<Layer>>,
    upper: Layer,
    /// How often the kernel's clock was read.
    ticks: u64,
    index: Index,
    /// Content is copied up only when it is to be written to.
    content_stays_below: bool,
    /// What was copied up since somebody asked: from where, to which inode of the upper layer, by which name.
    moved: Vec<Moved>,
}

/// A copy-up, of which open files must hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Where it was.
    pub from: At,
    /// Where it is.
    pub to: At,
    /// The name that was used.
    pub path: Vec<Text>,
}

impl Union {
    /// An empty directory with the attributes `root`.
    pub fn new(root: Meta) -> Union {
        let upper = Layer::with_root(root, Vec::new());
        Union {
            lowers: Vec::new(),
            upper,
            ticks: 0,
            index: Index::default(),
            content_stays_below: false,
            moved: Vec::new(),
        }
    }

    /// The same with an index, and with or without the content of files that are copied up.
    pub fn with(root: Meta, indexed: Indexed, content_stays_below: bool) -> Union {
        Union { index: Index::of(indexed), content_stays_below, ..Union::new(root) }
    }

    /// How many layers lie below the upper one.
    pub fn depth(&self) -> usize {
        self.lowers.len()
    }

    /// Makes the upper layer a lower one, for ever, and begins an empty one on top. The new root has the
    /// mode and owner of the old as far as that is promised, or is root's with mode 0755.
    pub fn freeze(&mut self, promises: &Promises) {
        let root = At { layer: self.lowers.len(), inode: ROOT };
        let meta = &self.inode(root).meta;
        let mode_too = promises.root_is_inherited && promises.root_mode_is_inherited;
        let mode = if mode_too { meta.mode } else { 0o755 };
        let owner_too = promises.root_is_inherited && promises.root_owner_is_inherited;
        let (uid, gid) = if owner_too { (meta.uid, meta.gid) } else { (0, 0) };
        let meta = Meta { mode, uid, gid, mtime: self.now(), xattrs: BTreeMap::new() };
        let stack = self.stack(root);
        let full = std::mem::replace(&mut self.upper, Layer::with_root(meta, stack));
        self.lowers.push(Rc::new(full));
        self.index.begin_anew();
    }

    /// The inode at `at`.
    pub fn inode(&self, at: At) -> &Inode {
        &self.layer(at.layer).inodes[at.inode]
    }

    fn layer(&self, layer: usize) -> &Layer {
        self.lowers.get(layer).map_or(&self.upper, Rc::as_ref)
    }

    /// Whether `at` lies in the layer that changes.
    pub fn is_upper(&self, at: At) -> bool {
        at.layer == self.lowers.len()
    }

    /// The inode at `at`, to change it. Of a lower layer there is none.
    pub fn upper_mut(&mut self, inode: usize) -> &mut Inode {
        &mut self.upper.inodes[inode]
    }

    /// The root of the merged tree.
    pub fn root(&self) -> Seen {
        Seen::Directory(self.stack(At { layer: self.lowers.len(), inode: ROOT }))
    }

    /// A directory and those that show through it.
    fn stack(&self, at: At) -> Vec<At> {
        let below = &self.layer(at.layer).directory(at.inode).below;
        std::iter::once(at).chain(below.iter().copied()).collect()
    }

    /// What `name` stands for in the directory that `stack` makes. The nearest layer that knows the name decides.
    pub fn child(&self, stack: &[At], name: &Text) -> Option<Seen> {
        let known = |at: &At| Some((at.layer, *self.layer(at.layer).directory(at.inode).entries.get(name)?));
        let (layer, entry) = stack.iter().find_map(known)?;
        self.seen(layer, entry)
    }

    /// The copy that the index has of what is at `at`.
    fn copy_of(&self, at: At) -> Option<At> {
        self.index.copy_of(at).map(|inode| At { layer: self.lowers.len(), inode })
    }

    /// How many names stat(2) shows of what is at `at`: those that it has in its layer, unless the index knows better.
    pub fn links(&self, at: At) -> u32 {
        let indexed = if self.is_upper(at) { self.index.names(at.inode) } else { None };
        indexed.unwrap_or(self.inode(at).links)
    }

    /// How many it has on disk: the index has one more, as long as it has any.
    pub fn links_on_disk(&self, at: At) -> u32 {
        let indexed = if self.is_upper(at) { self.index.names(at.inode) } else { None };
        self.inode(at).links + u32::from(indexed.is_some_and(|names| names > 0))
    }

    /// What the next mount takes for the number of names of a file that had one name below: that on disk, the one in the index included
    /// (`ovl_get_nlink` of `fs/overlayfs/inode.c`).
    pub fn count_names_on_disk(&mut self) {
        for (from, inode, names) in self.index.entries() {
            if self.lowers[from.layer].inodes[from.inode].links == 1 {
                let links = self.upper.inodes[inode].links;
                *names = if links > 0 { links + 1 } else { 0 };
            }
        }
    }

    /// Whether the index has what is at `at`, or will have it as soon as it is copied up: all its names are names of one file.
    pub fn is_kept_whole(&self, at: At) -> bool {
        match self.is_upper(at) {
            true => self.index.names(at.inode).is_some(),
            false => self.index.takes(self.inode(at)),
        }
    }

    /// Whether something below the upper layer would show at `path`, if the upper layer said nothing.
    pub fn hides(&self, path: &[Text]) -> bool {
        let Some((name, parent)) = path.split_last() else { return false };
        match self.at(parent) {
            Some(Seen::Directory(stack)) if self.is_upper(stack[0]) => self.child(&stack[1..], name).is_some(),
            Some(Seen::Directory(stack)) => self.child(&stack, name).is_some(),
            _ => false,
        }
    }

    /// Every name in the directory that `stack` makes.
    pub fn names(&self, stack: &[At]) -> BTreeSet<Text> {
        self.children(stack).map(|(name, _)| name.clone()).collect()
    }

    /// Every name in the directory that `stack` makes, sorted, and what it stands for: [`Union::child`] for all of them at once.
    fn children(&self, stack: &[At]) -> impl Iterator<Item = (&Text, Seen)> {
        let mut nearest: BTreeMap<&Text, (usize, Entry)> = BTreeMap::new();
        for at in stack {
            for (name, entry) in &self.layer(at.layer).directory(at.inode).entries {
                nearest.entry(name).or_insert((at.layer, *entry));
            }
        }
        nearest.into_iter().filter_map(|(name, (layer, entry))| Some((name, self.seen(layer, entry)?)))
    }

    /// What an entry of a layer's directory stands for.
    fn seen(&self, layer: usize, entry: Entry) -> Option<Seen> {
        let Entry::Inode(inode) = entry else { return None };
        let at = At { layer, inode };
        Some(match self.inode(at).is_directory() {
            true => Seen::Directory(self.stack(at)),
            false => Seen::Other(self.copy_of(at).unwrap_or(at)),
        })
    }

    /// What is at `path`, names from the root, none of them followed.
    pub fn at(&self, path: &[Text]) -> Option<Seen> {
        path.iter().try_fold(self.root(), |seen, name| match seen {
            Seen::Directory(stack) => self.child(&stack, name),
            Seen::Other(_) => None,
        })
    }

    /// What was copied up since this was asked last.
    pub fn take_moved(&mut self) -> Vec<Moved> {
        std::mem::take(&mut self.moved)
    }

    /// A new inode of the upper layer, without a name.
    pub fn add(&mut self, meta: Meta, body: Body) -> usize {
        let links = u32::from(matches!(body, Body::Directory(_)));
        self.upper.inodes.push(Inode { meta, body, links, copied: Copied::default() });
        self.upper.inodes.len() - 1
    }

    /// Lets `name` in the upper `directory` stand for `inode`, in place of a whiteout or of nothing.
    pub fn name(&mut self, directory: usize, name: &Text, inode: usize) {
        if !self.upper.inodes[inode].is_directory() {
            self.upper.inodes[inode].links += 1;
            self.index.count(inode, 1);
        }
        self.entries(directory).insert(name.clone(), Entry::Inode(inode));
    }

    /// Takes `name` out of the upper `directory`; a whiteout stays where something would show through.
    pub fn remove(&mut self, directory: usize, name: &Text) {
        let below = self.upper.directory(directory).below.clone();
        let shows_through = self.child(&below, name).is_some();
        let entries = self.entries(directory);
        let before = match shows_through {
            true => entries.insert(name.clone(), Entry::Whiteout),
            false => entries.remove(name),
        };
        if let Some(Entry::Inode(inode)) = before
            && !self.upper.inodes[inode].is_directory()
        {
            self.upper.inodes[inode].links -= 1;
            self.index.count(inode, -1);
        }
    }

    fn entries(&mut self, directory: usize) -> &mut BTreeMap<Text, Entry> {
        match &mut self.upper.inodes[directory].body {
            Body::Directory(directory) => &mut directory.entries,
            _ => unreachable!("only directories are given names"),
        }
    }

    /// Says that the content of the upper `inode` changed now.
    pub fn touch(&mut self, inode: usize) {
        self.upper.inodes[inode].meta.mtime = self.now();
    }

    /// The kernel's time, which is another one each time that it is asked.
    pub fn now(&mut self) -> Stamp {
        self.ticks += 1;
        Stamp::Clock(self.ticks)
    }

    /// How often the clock was read: the number of the last reading.
    pub fn readings(&self) -> u64 {
        self.ticks
    }

    /// Whether two names are names of one file to a process: those in a lower layer are not when a copy-up parts them.
    pub fn is_same_file(&self, one: At, other: At) -> bool {
        one == other && (self.is_upper(one) || self.is_kept_whole(one))
    }

    /// Everything in the merged tree, parents before children, the root first with no names.
    pub fn walk(&self) -> Vec<(Vec<Text>, Seen)> {
        let mut found = vec![(Vec::new(), self.root())];
        let mut next = 0;
        while let Some((path, seen)) = found.get(next).cloned() {
            next += 1;
            let Seen::Directory(stack) = seen else { continue };
            for (name, seen) in self.children(&stack) {
                found.push(([&path[..], std::slice::from_ref(name)].concat(), seen));
            }
        }
        found
    }
}
