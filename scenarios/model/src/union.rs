//! A stack of layers seen as one tree, of which only the topmost layer changes.
//!
//! *Why*: this is what every storage driver promises, written down without a disk. *Holds*: a lower layer never changes;
//! the upper layer holds what was changed and nothing else. *Source*: the kernel's `Documentation/filesystems/overlayfs.rst`,
//! sections "Upper and Lower", "whiteouts and opaque directories", "Multiple lower layers", "Non-directories".
//! *Never*: permissions and errors; they are `process`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::inode::{At, Body, Directory, Entry, Inode, Meta, Stamp};
use crate::text::Text;

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
        Layer { inodes: vec![Inode { meta, body: Body::Directory(root), links: 1 }] }
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
        Union { lowers: Vec::new(), upper: Layer::with_root(root, Vec::new()), ticks: 0, moved: Vec::new() }
    }

    /// How many layers lie below the upper one.
    pub fn depth(&self) -> usize {
        self.lowers.len()
    }

    /// Makes the upper layer a lower one, for ever, and begins an empty one on top. The new root has the
    /// mode and owner of the old, or is root's with mode 0755.
    pub fn freeze(&mut self, root_is_inherited: bool) {
        let root = At { layer: self.lowers.len(), inode: ROOT };
        let meta = &self.inode(root).meta;
        let (mode, uid, gid) = if root_is_inherited { (meta.mode, meta.uid, meta.gid) } else { (0o755, 0, 0) };
        let meta = Meta { mode, uid, gid, mtime: self.now(), xattrs: BTreeMap::new() };
        let stack = self.stack(root);
        let full = std::mem::replace(&mut self.upper, Layer::with_root(meta, stack));
        self.lowers.push(Rc::new(full));
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
            false => Seen::Other(at),
        })
    }

    /// What is at `path`, names from the root, none of them followed.
    pub fn at(&self, path: &[Text]) -> Option<Seen> {
        path.iter().try_fold(self.root(), |seen, name| match seen {
            Seen::Directory(stack) => self.child(&stack, name),
            Seen::Other(_) => None,
        })
    }

    /// Makes sure that what is at `path`, and every directory above it, lies in the upper layer, with all attributes.
    /// `None` when nothing is there.
    pub fn copy_up(&mut self, path: &[Text]) -> Option<usize> {
        let mut directory = ROOT;
        for (depth, name) in path.iter().enumerate() {
            let stack = self.stack(At { layer: self.lowers.len(), inode: directory });
            let seen = self.child(&stack, name)?;
            let from = seen.top();
            directory = match self.is_upper(from) {
                true => from.inode,
                false => self.copy(directory, name, &seen, &path[..=depth]),
            };
        }
        Some(directory)
    }

    /// Copies `seen` into the upper `directory`.
    fn copy(&mut self, directory: usize, name: &Text, seen: &Seen, path: &[Text]) -> usize {
        let from = seen.top();
        let Inode { meta, body, .. } = self.inode(from).clone();
        let body = match seen {
            Seen::Directory(stack) => Body::Directory(Directory { below: stack.clone(), ..Directory::default() }),
            Seen::Other(_) => body,
        };
        let inode = self.add(meta, body);
        self.name(directory, name, inode);
        let to = At { layer: self.lowers.len(), inode };
        self.moved.push(Moved { from, to, path: path.to_vec() });
        inode
    }

    /// What was copied up since this was asked last.
    pub fn take_moved(&mut self) -> Vec<Moved> {
        std::mem::take(&mut self.moved)
    }

    /// A new inode of the upper layer, without a name.
    pub fn add(&mut self, meta: Meta, body: Body) -> usize {
        let links = u32::from(matches!(body, Body::Directory(_)));
        self.upper.inodes.push(Inode { meta, body, links });
        self.upper.inodes.len() - 1
    }

    /// Lets `name` in the upper `directory` stand for `inode`, in place of a whiteout or of nothing.
    pub fn name(&mut self, directory: usize, name: &Text, inode: usize) {
        if !self.upper.inodes[inode].is_directory() {
            self.upper.inodes[inode].links += 1;
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

    /// Whether two names are names of one file to a process: those in a lower layer never are, since a copy-up parts them.
    pub fn is_same_file(&self, one: At, other: At) -> bool {
        one == other && self.is_upper(one)
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

    /// Everything that the upper layer must hold on disk, parents before children, the root first with no names.
    pub fn upper_marks(&self) -> Vec<(Vec<Text>, Mark)> {
        self.marks(self.lowers.len())
    }

    /// The same for any layer of the stack.
    pub fn marks(&self, layer: usize) -> Vec<(Vec<Text>, Mark)> {
        let root = At { layer, inode: ROOT };
        let natural = self.layer(layer).directory(ROOT).below.clone();
        let mut found = vec![(Vec::new(), Mark::Directory { at: root, through: Through::ByName })];
        let mut open = vec![(Vec::new(), root, natural)];
        while let Some((path, at, below)) = open.pop() {
            for (name, entry) in &self.layer(layer).directory(at.inode).entries {
                let path: Vec<Text> = [&path[..], std::slice::from_ref(name)].concat();
                let Entry::Inode(inode) = entry else {
                    found.push((path, Mark::Whiteout));
                    continue;
                };
                let at = At { layer, inode: *inode };
                let Some(directory) = self.inode(at).directory() else {
                    found.push((path, Mark::Other { at }));
                    continue;
                };
                let by_name = match self.child(&below, name) {
                    Some(Seen::Directory(stack)) => stack,
                    _ => Vec::new(),
                };
                let through = match &directory.below {
                    below if *below == by_name && below.is_empty() => Through::Nothing,
                    below if *below == by_name => Through::ByName,
                    below if below.is_empty() => Through::Opaque,
                    _ => Through::Redirect,
                };
                found.push((path.clone(), Mark::Directory { at, through }));
                open.push((path, at, directory.below.clone()));
            }
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        found
    }
}

/// What a layer holds under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A whiteout.
    Whiteout,
    /// A file, a link or a node.
    Other {
        /// Which.
        at: At,
    },
    /// A directory.
    Directory {
        /// Which.
        at: At,
        /// What of the layers below shows through it.
        through: Through,
    },
}

/// What shows through a directory of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    /// Nothing lies below it: an opaque mark would change nothing.
    Nothing,
    /// The directories with its name.
    ByName,
    /// Nothing, though directories with its name lie below: it must be marked opaque.
    Opaque,
    /// Other directories than those with its name: it must have a redirect.
    Redirect,
}
