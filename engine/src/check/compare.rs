//! What lies in the directory of a layer, compared with what the layer's tar, and the layer below, have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::attributes::{Attributes, Keeping, xattr};
use super::books::Books;
use super::finding::{Fault, Findings, Remedy};
use super::inherited::inherited;
use super::place::{Layout, Place};
use super::tree::{Hiding, Node, Tree};
use crate::image::Digest;
use crate::layer::archive::{Entry, Kind};
use crate::layer::{OverlayXattr, whiteout};
use crate::sys::namespace;
use crate::sys::reason::reason;

/// Why it is not known whether a layer's files have lost xattrs.
const UNTRIED: &str =
    "some of its files lack xattrs, and whether they could have them here cannot be tried (O_TMPFILE)";

/// A layer that is looked at: its names, and where its files and those of the layer below are.
pub(super) struct Layer<'a> {
    pub chain: &'a Digest,
    pub files: PathBuf,
    pub below: Below,
}

/// The files of the layer below.
pub(super) enum Below {
    /// It is a base layer.
    Nothing,
    At(PathBuf),
    /// They are lost or wrong, which is found there.
    Unknown,
}

/// All that is in a directory, by its path below it.
type Here = BTreeMap<PathBuf, Metadata>;

/// How a driver keeps what a layer hides.
pub(super) fn hiding(place: &Place) -> Hiding {
    if place.layout() == Layout::FuseOverlayfs { Hiding::Files } else { Hiding::Marks }
}

/// Finds what is otherwise in the directory of a layer. Says whether all of it is right.
pub(super) fn check_tree(
    place: &Place,
    books: &Books,
    layer: &Layer<'_>,
    tree: &Tree,
    findings: &mut Findings,
) -> bool {
    let before = findings.count();
    let here = match walk(&layer.files) {
        Ok(here) => here,
        Err(error) => {
            let what = format!("the layer {}: its files cannot be listed: {}", layer.chain.short(), reason(&error));
            findings.layer(layer.chain, Fault::Content, &layer.files, what, books.fetch_layer(layer.chain));
            return false;
        }
    };
    let mut comparison =
        Comparison { place, books, layer, tree, here, moved: BTreeSet::new(), other: BTreeSet::new(), findings };
    comparison.check_own();
    let is_whole = comparison.check_rest();
    comparison.check_attributes();
    comparison.check_opaque();
    is_whole && findings.count() == before
}

struct Comparison<'a> {
    place: &'a Place,
    books: &'a Books,
    layer: &'a Layer<'a>,
    tree: &'a Tree,
    here: Here,
    /// Directories whose time is another because of what was found in them.
    moved: BTreeSet<PathBuf>,
    /// What is not what it was: its attributes say nothing.
    other: BTreeSet<PathBuf>,
    findings: &'a mut Findings,
}

impl Comparison<'_> {
    fn found(&mut self, path: &Path, wrong: &str) {
        self.moved.insert(path.parent().unwrap_or(Path::new("")).to_owned());
        self.other.insert(path.to_owned());
        let chain = self.layer.chain;
        let what = format!("the layer {}: /{} {wrong}", chain.short(), path.display());
        let remedy = self.books.fetch_layer(chain);
        self.findings.layer(chain, Fault::Content, &self.layer.files.join(path), what, remedy);
    }

    /// What the tar has: is it there, is it the same.
    fn check_own(&mut self) {
        let is_whole = self.place.has_whole_trees();
        let mut first_names: BTreeMap<usize, &Path> = BTreeMap::new();
        for (path, node) in &self.tree.nodes {
            let meta = self.here.get(path).cloned();
            let wrong = match (node, meta) {
                (Node::Whiteout, None) if is_whole => None,
                (Node::Whiteout, Some(meta)) if !is_whole && is_whiteout_device(&meta) => None,
                (Node::Whiteout, _) => Some("is not hidden".to_owned()),
                (Node::Own(file), None) if is_dispensable(self.place, path, &self.tree.files[*file]) => None,
                (_, None) => Some("is missing".to_owned()),
                (Node::Implied, Some(meta)) => (!meta.is_dir()).then(|| "is no directory any more".to_owned()),
                (Node::Own(file), Some(meta)) => {
                    let first = *first_names.entry(*file).or_insert(path);
                    let is_linked = self.here.get(first).is_none_or(|other| other.ino() == meta.ino());
                    let other = difference(&self.tree.files[*file], &meta, &self.layer.files.join(path));
                    other
                        .or_else(|| (!is_linked).then(|| format!("is no longer the same file as /{}", first.display())))
                }
            };
            if let Some(wrong) = wrong {
                self.found(path, &wrong);
            }
        }
    }

    /// What the tar has not: it is from the layer below, or nobody's. Says whether that could be told.
    fn check_rest(&mut self) -> bool {
        let (below, directory) = match (self.place.has_whole_trees(), &self.layer.below) {
            // What is from below and what is nobody's cannot be told apart.
            (true, Below::Unknown) => return false,
            (true, Below::At(directory)) => (walk(directory).unwrap_or_default(), &**directory),
            _ => (BTreeMap::new(), Path::new("")),
        };
        let mut added: Vec<PathBuf> = Vec::new();
        let mut others = Vec::new();
        for (path, meta) in self.here.iter().filter(|(path, _)| !self.is_named(path)) {
            if let Some(lower) = below.get(path).filter(|_| self.tree.shows(path)) {
                if let Some(wrong) = inherited(meta, lower, &self.layer.files.join(path), &directory.join(path)) {
                    others.push((path.clone(), format!("which is the layer's below, {wrong}")));
                }
            } else if !added.iter().any(|above| path.starts_with(above)) {
                // What is below an added directory goes with it.
                added.push(path.clone());
            }
        }
        for path in below.keys().filter(|path| self.tree.shows(path) && !self.here.contains_key(*path)) {
            others.push((path.clone(), "which is the layer's below, is missing".to_owned()));
        }
        for (path, wrong) in others {
            self.found(&path, &format!(", {wrong}"));
        }
        let chain = self.layer.chain;
        for path in added {
            self.moved.insert(path.parent().unwrap_or(Path::new("")).to_owned());
            let what = format!("the layer {} did not come with /{}", chain.short(), path.display());
            self.findings.layer(chain, Fault::AddedFile, &self.layer.files.join(path), what, Remedy::Remove);
        }
        true
    }

    fn is_named(&self, path: &Path) -> bool {
        self.tree.nodes.contains_key(path) || self.tree.optional.contains(path)
    }

    /// Modes, owners, times, xattrs of what the tar has. Of several names of a file one is enough.
    fn check_attributes(&mut self) {
        let keeping = Keeping::of(self.place);
        let mut wrong: Vec<(PathBuf, String, Attributes)> = Vec::new();
        let mut is_blind = false;
        let mut judge = |path: &Path, entry: &Entry, meta: &Metadata| {
            if self.other.contains(path) || (meta.is_dir() && self.moved.contains(path)) {
                return;
            }
            let found = keeping.difference(entry, meta, &self.layer.files.join(path), path.as_os_str().is_empty());
            is_blind |= found.is_blind;
            wrong.extend(found.wrong.map(|(what, wanted)| (path.to_owned(), what, wanted)));
        };
        if let (Some(entry), Ok(meta)) = (&self.tree.root, fs::symlink_metadata(&self.layer.files)) {
            judge(Path::new(""), entry, &meta);
        }
        let mut seen = BTreeSet::new();
        for (path, node) in &self.tree.nodes {
            let Node::Own(file) = node else { continue };
            let entry = &self.tree.files[*file];
            let meta = self.here.get(path).filter(|meta| is_kind(entry, meta) && seen.insert(*file));
            if let Some(meta) = meta {
                judge(path, entry, meta);
            }
        }
        let chain = self.layer.chain;
        if is_blind {
            self.findings.pass_over(chain, UNTRIED);
        }
        for (path, wrong, wanted) in wrong {
            let what = format!("the layer {}: /{} {wrong}", chain.short(), path.display());
            let remedy = Remedy::GiveAttributes(Box::new(wanted));
            self.findings.layer(chain, Fault::Attributes, &self.layer.files.join(path), what, remedy);
        }
    }

    /// The marks of directories in which nothing of the layers below shows.
    fn check_opaque(&mut self) {
        if self.place.layout() != Layout::Overlay2 {
            return;
        }
        let directories = self.here.iter().filter(|(_, meta)| meta.is_dir()).map(|(path, _)| path.clone());
        let mut wrong = Vec::new();
        for path in [PathBuf::new()].into_iter().chain(directories) {
            if self.tree.over_whiteout.contains(&path) || !(path.as_os_str().is_empty() || self.is_named(&path)) {
                continue;
            }
            match (self.tree.opaque.contains(&path), is_opaque(&self.layer.files.join(&path))) {
                (true, false) => wrong.push((path, "no longer hides what the layers below have there")),
                (false, true) if !self.comes_with_mark(&path) => {
                    wrong.push((path, "hides what the layers below have there"));
                }
                _ => {}
            }
        }
        for (path, wrong) in wrong {
            self.found(&path, wrong);
        }
    }

    /// dockerd takes marks from a tar, as any other xattr.
    fn comes_with_mark(&self, path: &Path) -> bool {
        let entry = match self.tree.nodes.get(path) {
            Some(Node::Own(file)) => Some(&self.tree.files[*file]),
            _ => self.tree.root.as_ref().filter(|_| path.as_os_str().is_empty()),
        };
        entry.is_some_and(|entry| marks().any(|mark| entry.xattrs.contains_key(mark.as_bytes())))
    }
}

fn marks() -> impl Iterator<Item = &'static str> {
    [OverlayXattr::Trusted, OverlayXattr::User].into_iter().filter_map(OverlayXattr::opaque)
}

fn is_opaque(directory: &Path) -> bool {
    marks().any(|mark| xattr(directory, mark.as_bytes()).is_ok_and(|value| value == b"y"))
}

fn is_whiteout_device(meta: &Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == 0
}

/// What need not be there: devices of a layer that an ordinary user took, and one that is overlayfs's whiteout where a whole tree is made as
/// overlayfs would show it, which this engine's legacy `overlay` does; elsewhere only one with a name that no whiteout of a tar can tell.
fn is_dispensable(place: &Place, path: &Path, entry: &Entry) -> bool {
    let is_whiteout = entry.kind == Kind::CharDevice { major: 0, minor: 0 };
    let is_eaten = match place.layout() {
        Layout::Overlay => true,
        Layout::Vfs | Layout::Btrfs => path.file_name().is_some_and(|name| !whiteout::can_be_hidden(name)),
        Layout::Overlay2 | Layout::FuseOverlayfs => false,
    };
    let is_device = matches!(entry.kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. });
    (is_whiteout && is_eaten) || (is_device && namespace::is_user_namespace())
}

/// All that is in a directory.
pub(super) fn walk(directory: &Path) -> io::Result<Here> {
    let mut found = BTreeMap::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(below) = pending.pop() {
        for entry in fs::read_dir(directory.join(&below))? {
            let entry = entry?;
            let (path, meta) = (below.join(entry.file_name()), entry.metadata()?);
            if meta.is_dir() {
                pending.push(path.clone());
            }
            found.insert(path, meta);
        }
    }
    Ok(found)
}

fn is_kind(entry: &Entry, meta: &Metadata) -> bool {
    let kind = meta.file_type();
    match entry.kind {
        Kind::File => kind.is_file(),
        Kind::Directory => kind.is_dir(),
        Kind::Symlink => kind.is_symlink(),
        Kind::Fifo => kind.is_fifo(),
        Kind::HardLink => !kind.is_dir(),
        Kind::CharDevice { .. } => kind.is_char_device(),
        Kind::BlockDevice { .. } => kind.is_block_device(),
    }
}

/// In what a file is another than its entry in the tar. Contents were compared before.
fn difference(entry: &Entry, meta: &Metadata, path: &Path) -> Option<String> {
    if !is_kind(entry, meta) {
        return Some("is something else than it was".to_owned());
    }
    match entry.kind {
        Kind::Symlink => {
            let target = fs::read_link(path).ok();
            let is_same = target.as_ref().is_some_and(|target| target.as_os_str().as_bytes() == entry.link_name);
            let wanted = || String::from_utf8_lossy(&entry.link_name).into_owned();
            (!is_same).then(|| format!("leads to {}, and not to {}", target.unwrap_or_default().display(), wanted()))
        }
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            let (found, wanted) = (meta.rdev(), rustix::fs::makedev(major, minor));
            let numbers = || (rustix::fs::major(found), rustix::fs::minor(found));
            (found != wanted).then(|| format!("is the device {}:{}, and not {major}:{minor}", numbers().0, numbers().1))
        }
        Kind::File if meta.len() != entry.size_bytes => {
            Some(format!("has {} bytes, and not {}", meta.len(), entry.size_bytes))
        }
        _ => None,
    }
}
