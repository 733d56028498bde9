//! Layers as they are received: what the entries of a layer tar make of the tree below them.
//!
//! *Source*: OCI image-spec, `layer.md`, "Applying Changesets" and "Whiteouts". A path is looked up within the layer alone, as for a driver that
//! unpacks each layer in a directory of its own (moby's `overlay2.ApplyDiff`), and never leads out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::inode::{Node, Time};
use crate::text::Text;

/// How many symbolic links a path may lead through (`path_resolution(7)`).
const LINKS_MAX: usize = 40;
/// What hides a name.
const WHITEOUT: &[u8] = b".wh.";
/// What hides everything below in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// One entry of a layer tar.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name as it is written, which may begin with `/` or `./`, and end with `/`.
    pub name: Text,
    /// What it is.
    pub kind: Kind,
    /// Its attributes; a hard link's are those of the file.
    pub meta: Meta,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Meta { mode, uid, gid, mtime, xattrs } = &self.meta;
        let kind = match &self.kind {
            Kind::File(content) if content.len() > 8 => format!("File of {} bytes", content.len()),
            Kind::File(content) => format!("File({:?})", Text(content.clone())),
            other => format!("{other:?}"),
        };
        write!(f, "{:?} {kind} mode {mode:o} owner {uid}:{gid} time {mtime}", self.name)?;
        xattrs.iter().try_for_each(|(name, value)| write!(f, " {name}={:?}", Text(value.clone())))
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file, of this content.
    File(Vec<u8>),
    /// A directory.
    Directory,
    /// A symbolic link that leads there.
    Symlink(Text),
    /// Another name of an entry before it.
    Link(Text),
    /// A pipe or a device.
    Node(Node),
}

/// The attributes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The twelve bits below the type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// When its content changed.
    pub mtime: Time,
    /// Extended attributes by their full names.
    pub xattrs: BTreeMap<Text, Vec<u8>>,
}

/// Why a layer cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A name leads out of the layer.
    Escapes,
    /// The root is no directory.
    RootIsNoDirectory,
    /// A whiteout names nothing.
    NamelessWhiteout,
    /// A hard link leads to nothing in the layer.
    LinkToNothing,
    /// On the way there is something that is no directory.
    NoDirectory,
    /// Two entries have one name (`ErrDuplicatePath` of vbatts/tar-split's `tar/storage`).
    Twice,
    /// A link has come into the way to a directory of the layer: its attributes would be set of another (no document speaks of it).
    DirectoryIsElsewhere,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What it is; never a [`Kind::Link`].
    pub kind: Kind,
    /// Its attributes; nothing for a directory that no entry names, of which a reader may choose them.
    pub meta: Option<Meta>,
}

/// What becomes of a directory that a layer has, and no entry of it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unnamed {
    /// It is the layer's own, of which a reader may choose the attributes: layers are stacked.
    New,
    /// One that is below stays what it is: layers are unpacked over one another.
    Stay,
}

/// A tree: paths without a `/` at their beginning, the root an empty one, and which file each is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    names: BTreeMap<Text, usize>,
    files: Vec<File>,
}

impl Default for Tree {
    /// An empty root.
    fn default() -> Tree {
        Tree { names: BTreeMap::from([(Text::default(), 0)]), files: vec![File { kind: Kind::Directory, meta: None }] }
    }
}

impl Tree {
    /// Every path, which file it is, and what that is.
    pub fn all(&self) -> impl Iterator<Item = (&Text, usize, &File)> {
        self.names.iter().map(|(path, number)| (path, *number, &self.files[*number]))
    }

    /// The tree that `layer` makes of this one.
    pub fn with(&self, layer: &[Entry], unnamed: Unnamed) -> Result<Tree, Refusal> {
        let layer = Layer::of(layer)?;
        let is_hidden = |path: &Text| {
            let is_beyond = |above: &Text| {
                let own = layer.tree.file(above);
                layer.whiteouts.contains(above) || own.is_some_and(|file| file.kind != Kind::Directory)
            };
            let is_opaque = |above: &Text| layer.opaque.contains(above);
            is_beyond(path) || above(path).any(|path| is_beyond(&path) || is_opaque(&path))
        };
        let mut merged = Tree { names: BTreeMap::new(), files: self.files.clone() };
        let kept = self.names.iter().filter(|(path, _)| !is_hidden(path));
        merged.names.extend(kept.map(|(path, number)| (path.clone(), *number)));
        let first = merged.files.len();
        merged.files.extend(layer.tree.files.iter().cloned());
        for (path, number) in &layer.tree.names {
            let below = merged.names.get(path).map(|number| &merged.files[*number]);
            let is_unnamed = layer.tree.files[*number].meta.is_none();
            let stays =
                unnamed == Unnamed::Stay && is_unnamed && below.is_some_and(|file| file.kind == Kind::Directory);
            if !stays {
                merged.names.insert(path.clone(), first + number);
            }
        }
        Ok(merged)
    }

    fn file(&self, path: &Text) -> Option<&File> {
        self.names.get(path).map(|number| &self.files[*number])
    }

    fn put(&mut self, path: Text, file: File) {
        self.names.insert(path, self.files.len());
        self.files.push(file);
    }

    fn remove(&mut self, path: &Text) {
        self.names.retain(|name, _| name != path && !above(name).any(|above| above == *path));
    }
}

/// Every path above `path`, the root last.
fn above(path: &Text) -> impl Iterator<Item = Text> + use<> {
    let mut rest = path.0.clone();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        rest.truncate(end);
        Some(Text(rest.clone()))
    })
}

/// Whether a layer still has every content that it came with: an entry that another of the same layer replaced is nowhere, and its tar
/// cannot be put together again (as with dockerd, whose tar-split reads contents from the unpacked files).
pub fn is_whole(layer: &[Entry]) -> bool {
    Layer::of(layer)
        .is_ok_and(|layer| layer.contents.iter().all(|(path, number)| layer.tree.names.get(path) == Some(number)))
}

/// What one layer has itself.
#[derive(Default)]
struct Layer {
    /// Files with something in them, as they were made.
    contents: Vec<(Text, usize)>,
    tree: Tree,
    whiteouts: BTreeSet<Text>,
    opaque: BTreeSet<Text>,
}

impl Layer {
    fn of(entries: &[Entry]) -> Result<Layer, Refusal> {
        let mut layer = Layer::default();
        let mut seen = BTreeSet::new();
        let mut directories = Vec::new();
        for entry in entries {
            let names = clean(&entry.name).ok_or(Refusal::Escapes)?;
            let is_rooted = entry.name.0.starts_with(b"/");
            if !seen.insert((is_rooted, names.clone())) {
                return Err(Refusal::Twice);
            }
            let Some((name, parents)) = names.split_last() else {
                layer.root(entry)?;
                continue;
            };
            // Other names of this kind are aufs's own (moby's `pkg/archive/whiteouts.go`).
            let is_aufs = |name: &Text| name.0.starts_with(b".wh..wh.") && name.0 != OPAQUE;
            if is_aufs(name) || parents.iter().any(|name| is_aufs(name) || name.0 == OPAQUE) {
                continue;
            }
            let directory = layer.directory(parents)?;
            if name.0 == OPAQUE {
                layer.opaque.insert(directory);
                continue;
            }
            if let Some(hidden) = name.0.strip_prefix(WHITEOUT) {
                layer.white_out(&directory, hidden)?;
                continue;
            }
            let path = join(&directory, name);
            layer.make(&path, entry)?;
            if entry.kind == Kind::Directory {
                directories.push((names.clone(), layer.tree.names[&path]));
            }
        }
        let mut is_gone = |(names, number): &(Vec<Text>, usize)| {
            let is_there = layer.tree.names.values().any(|there| there == number);
            let led_to = layer.find(names).ok().and_then(|path| layer.tree.names.get(&path).copied());
            is_there && led_to != Some(*number)
        };
        if directories.iter().any(&mut is_gone) { Err(Refusal::DirectoryIsElsewhere) } else { Ok(layer) }
    }

    fn root(&mut self, entry: &Entry) -> Result<(), Refusal> {
        if entry.kind != Kind::Directory {
            return Err(Refusal::RootIsNoDirectory);
        }
        self.tree.files[0].meta = Some(entry.meta.clone());
        Ok(())
    }

    fn white_out(&mut self, directory: &Text, hidden: &[u8]) -> Result<(), Refusal> {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Refusal::NamelessWhiteout);
        }
        // It is about the layers below: what this layer has itself stays, whichever comes first.
        self.whiteouts.insert(join(directory, &Text::from(hidden)));
        Ok(())
    }

    fn make(&mut self, path: &Text, entry: &Entry) -> Result<(), Refusal> {
        match &entry.kind {
            Kind::Link(target) => {
                let target = clean(target).ok_or(Refusal::Escapes)?;
                let (name, parents) = target.split_last().ok_or(Refusal::LinkToNothing)?;
                let target = join(&self.find(parents)?, name);
                let number = *self.tree.names.get(&target).ok_or(Refusal::LinkToNothing)?;
                if above(&target).any(|above| above == *path) {
                    return Err(Refusal::LinkToNothing);
                }
                if target != *path {
                    self.tree.remove(path);
                    self.tree.names.insert(path.clone(), number);
                }
                // What a link's entry says is said of the file (moby's `createTarFile`); a symbolic link has no mode.
                let File { kind, meta } = &mut self.tree.files[number];
                if let Some(meta) = meta {
                    let mode = if matches!(kind, Kind::Symlink(_)) { meta.mode } else { entry.meta.mode };
                    // An owner is set of it, which takes its capabilities away (chown(2)).
                    let kept = meta.xattrs.iter().filter(|(name, _)| name.0 != b"security.capability");
                    let xattrs = kept.chain(&entry.meta.xattrs);
                    let xattrs = xattrs.map(|(name, value)| (name.clone(), value.clone())).collect();
                    *meta = Meta { mode, xattrs, ..entry.meta.clone() };
                }
            }
            Kind::Directory if self.tree.file(path).is_some_and(|file| file.kind == Kind::Directory) => {
                let number = self.tree.names[path];
                self.tree.files[number].meta = Some(entry.meta.clone());
            }
            kind => {
                self.tree.remove(path);
                self.tree.put(path.clone(), File { kind: kind.clone(), meta: Some(entry.meta.clone()) });
                if matches!(kind, Kind::File(content) if !content.is_empty()) {
                    self.contents.push((path.clone(), self.tree.names[path]));
                }
            }
        }
        Ok(())
    }

    /// The directory that these names lead to, made where it is not there.
    fn directory(&mut self, names: &[Text]) -> Result<Text, Refusal> {
        self.walk(names, true)
    }

    /// The directory that these names lead to.
    fn find(&mut self, names: &[Text]) -> Result<Text, Refusal> {
        self.walk(names, false).map_err(|_| Refusal::LinkToNothing)
    }

    fn walk(&mut self, names: &[Text], makes: bool) -> Result<Text, Refusal> {
        // A link's own target is made by nobody (moby's `UnpackLayer` makes parents of the name that is written).
        let mut left: Vec<(Text, bool)> = names.iter().rev().map(|name| (name.clone(), makes)).collect();
        let (mut at, mut links) = (Text::default(), 0);
        while let Some((name, makes)) = left.pop() {
            if name.0 == b".." {
                at = above(&at).next().unwrap_or_default();
                continue;
            }
            let path = join(&at, &name);
            match self.tree.file(&path).map(|file| file.kind.clone()) {
                None if makes => self.tree.put(path.clone(), File { kind: Kind::Directory, meta: None }),
                None => return Err(Refusal::NoDirectory),
                Some(Kind::Directory) => {}
                Some(Kind::Symlink(target)) => {
                    links += 1;
                    if links > LINKS_MAX || target.0.is_empty() {
                        return Err(Refusal::NoDirectory);
                    }
                    if target.0.starts_with(b"/") {
                        at = Text::default();
                    }
                    let names = target.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
                    left.extend(names.rev().map(|name| (Text::from(name), false)));
                    continue;
                }
                Some(_) => return Err(Refusal::NoDirectory),
            }
            at = path;
        }
        Ok(at)
    }
}

fn join(directory: &Text, name: &Text) -> Text {
    if directory.0.is_empty() { name.clone() } else { directory.join(name) }
}

/// The names of a path, without `.` and `..`; nothing for one that leads out.
fn clean(path: &Text) -> Option<Vec<Text>> {
    let mut names: Vec<Text> = Vec::new();
    for name in path.0.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if names.pop().is_none() && !path.0.starts_with(b"/") => return None,
            b".." => {}
            name => names.push(Text::from(name)),
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, kind: Kind) -> Entry {
        let mtime = Time { seconds: 1, nanoseconds: 0 };
        let meta = Meta { mode: 0o755, uid: 0, gid: 0, mtime, xattrs: BTreeMap::new() };
        Entry { name: Text::from(name), kind, meta }
    }

    fn file(name: &str) -> Entry {
        entry(name, Kind::File(b"x".to_vec()))
    }

    fn paths(tree: &Tree) -> Vec<String> {
        tree.all().map(|(path, ..)| path.to_string()).collect()
    }

    #[test]
    fn whiteouts_are_about_the_layers_below_whichever_comes_first() {
        let below = Tree::default().with(&[file("d/a"), file("d/b"), file("c")], Unnamed::Stay).unwrap();
        let whiteout = file("d/.wh.a");
        for layer in [[file("d/a"), whiteout.clone()], [whiteout.clone(), file("d/a")]] {
            assert_eq!(paths(&below.with(&layer, Unnamed::Stay).unwrap()), ["", "c", "d", "d/a", "d/b"]);
        }
        let opaque = [file("d/new"), file("d/.wh..wh..opq"), file(".wh.c")];
        assert_eq!(paths(&below.with(&opaque, Unnamed::Stay).unwrap()), ["", "d", "d/new"]);
        let replaced = [file("d")];
        assert_eq!(paths(&below.with(&replaced, Unnamed::Stay).unwrap()), ["", "c", "d"]);
    }

    #[test]
    fn no_name_leads_out_of_a_layer() {
        for name in ["../x", "a/../../x"] {
            assert_eq!(Tree::default().with(&[file(name)], Unnamed::Stay), Err(Refusal::Escapes), "{name}");
        }
        let through = [entry("s", Kind::Symlink(Text::from("../../etc"))), file("s/x"), file("/../y")];
        assert_eq!(
            Tree::default().with(&through, Unnamed::Stay),
            Err(Refusal::NoDirectory),
            "it leads to nothing in the layer"
        );
        let through = [&[file("etc/there")], &through[..]].concat();
        assert_eq!(
            paths(&Tree::default().with(&through, Unnamed::Stay).unwrap()),
            ["", "etc", "etc/there", "etc/x", "s", "y"]
        );
        assert_eq!(Tree::default().with(&[file("./")], Unnamed::Stay), Err(Refusal::RootIsNoDirectory));
        let outside = entry("l", Kind::Link(Text::from("../etc/passwd")));
        assert_eq!(Tree::default().with(&[outside], Unnamed::Stay), Err(Refusal::Escapes));
    }

    #[test]
    fn names_of_one_file_are_one_file() {
        let layer = [file("a"), entry("b", Kind::Link(Text::from("/a"))), entry("c", Kind::Link(Text::from("./b")))];
        let tree = Tree::default().with(&layer, Unnamed::Stay).unwrap();
        let numbers: BTreeSet<usize> = tree.all().skip(1).map(|(_, number, _)| number).collect();
        assert_eq!((numbers.len(), paths(&tree).len()), (1, 4));
    }
}
