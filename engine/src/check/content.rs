//! The bytes of layers: each layer's tar is put together again from its files, and what lies beside them is compared with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;

use super::books::{Books, Text};
use super::finding::{Fault, Findings, Remedy};
use super::place::{Layout, Place};
use super::tree::{Node, Tree};
use super::{Scope, directories};
use crate::image::Digest;
use crate::image::digest::DigestWriter;
use crate::layer::TarSplitError;
use crate::layer::archive::{Archive, Entry, Kind};
use crate::layer::tar_split::{self, assemble};
use crate::sys::namespace;
use crate::sys::reason::reason;

const BUFFER_BYTES: usize = 64 << 10;

/// A layer that is looked at: its names, and where its files and those of the layer below are.
struct Layer<'a> {
    chain: &'a Digest,
    files: PathBuf,
    below: Below,
}

/// The files of the layer below.
enum Below {
    /// It is a base layer.
    Nothing,
    At(PathBuf),
    /// They are lost or wrong, which is found there.
    Unknown,
}

pub(super) fn check(place: &Place, books: &Books, scope: &Scope, findings: &mut Findings) {
    // The base first: what a whole tree has from below is compared with what is known to be right.
    let mut chains: Vec<&Digest> = books.layers.keys().filter(|chain| scope.has_layer(chain)).collect();
    chains.sort_by_key(|chain| books.chain(chain).len());
    let mut sound = BTreeSet::new();
    for chain in chains {
        let Some(cache_id) = books.cache_id(chain) else {
            check_size(place, books, chain, None, findings);
            continue;
        };
        let files = place.files(cache_id);
        let below = match books.parent(chain) {
            None => Below::Nothing,
            Some(parent) => match books.cache_id(&parent).filter(|_| sound.contains(&parent)) {
                Some(id) => Below::At(place.files(id)),
                None => Below::Unknown,
            },
        };
        let layer = Layer { chain, files, below };
        let entries = if layer.files.is_dir() { check_bytes(place, books, &layer, findings) } else { None };
        let Some(entries) = entries else {
            check_size(place, books, chain, None, findings);
            continue;
        };
        let told_bytes = Tree::told_bytes(&entries);
        let tree = Tree::of(entries);
        let size_bytes = match (place.layout(), &tree) {
            (Layout::Overlay | Layout::Vfs, _) => Some(told_bytes),
            (Layout::Overlay2, Some(tree)) => Some(tree.size_bytes()),
            (Layout::Overlay2, None) => measured(&layer.files).ok(),
        };
        check_size(place, books, chain, size_bytes, findings);
        // Without a tree only its bytes are known to be right, and those are.
        if tree.is_none_or(|tree| check_tree(place, books, &layer, &tree, findings)) {
            sound.insert(chain.clone());
        }
    }
}

fn tar_split_of(place: &Place, chain: &Digest) -> PathBuf {
    place.chains().join(chain.hex()).join(tar_split::FILE_NAME)
}

/// The entries of a layer whose bytes are all there and right.
fn check_bytes(place: &Place, books: &Books, layer: &Layer<'_>, findings: &mut Findings) -> Option<Vec<Entry>> {
    let (chain, path) = (layer.chain, tar_split_of(place, layer.chain));
    let record = match File::open(&path) {
        Ok(record) => record,
        Err(error) => {
            let why = if error.kind() == io::ErrorKind::NotFound { "is missing".to_owned() } else { reason(&error) };
            let what = format!("tar-split.json.gz of the layer {} {why}", chain.short());
            findings.layer(chain, Fault::TarSplit, &path, what, books.fetch_layer(chain));
            return None;
        }
    };
    match read(record, &layer.files) {
        Ok((found, entries)) => match books.diff_id(chain) {
            // That it is not known is found elsewhere.
            None => Some(entries),
            Some(wanted) if wanted == found => Some(entries),
            Some(wanted) => {
                let what = format!("the tar of the layer {} has the digest {found}, and not {wanted}", chain.short());
                findings.layer(chain, Fault::Content, &layer.files, what, books.fetch_layer(chain));
                None
            }
        },
        Err(error) => {
            let (fault, at) = match &error {
                TarSplitError::Open { path, .. } => (Fault::Content, path.clone()),
                TarSplitError::Checksum { name } => (Fault::Content, layer.files.join(name.trim_start_matches('/'))),
                _ => (Fault::TarSplit, path),
            };
            let what = format!("the tar of the layer {} cannot be put together: {error}", chain.short());
            findings.layer(chain, fault, &at, what, books.fetch_layer(chain));
            None
        }
    }
}

/// The digest of the tar that `record` and `files` give, and its entries.
fn read(record: File, files: &Path) -> Result<(Digest, Vec<Entry>), TarSplitError> {
    let (mut reader, writer) = io::pipe().map_err(TarSplitError::Write)?;
    thread::scope(|scope| {
        let assembling = scope.spawn(move || {
            let mut out = DigestWriter::new(io::BufWriter::with_capacity(BUFFER_BYTES, writer));
            let assembled = assemble(record, files, &mut out);
            let flushed = io::Write::flush(&mut out).map_err(TarSplitError::Write);
            assembled.and(flushed).map(|()| out.finish().1)
        });
        let mut entries = Vec::new();
        let mut archive = Archive::new(&mut reader);
        while let Ok(Some(entry)) = archive.next_entry() {
            entries.push(entry);
        }
        drop(archive);
        // What trails a tar belongs to its digest, and one that is cut off is told by its maker.
        let drained = io::copy(&mut reader, &mut io::sink());
        let digest = assembling.join().map_err(|_| TarSplitError::Write(io::Error::other("its thread panicked")))?;
        drained.map_err(TarSplitError::Read)?;
        Ok((digest?, entries))
    })
}

/// Whether the files of the layer `chain` are those in a driver's directory.
pub(super) fn is_home_of(place: &Place, chain: &Digest, wanted: &Digest, cache_id: &str) -> bool {
    let record = File::open(tar_split_of(place, chain)).ok();
    record.is_some_and(|record| read(record, &place.files(cache_id)).is_ok_and(|(found, _)| found == *wanted))
}

/// The directory of nobody whose files are those of the layer `chain`.
pub(super) fn home_of(place: &Place, books: &Books, chain: &Digest) -> Option<String> {
    let wanted = books.diff_id(chain)?;
    let used = directories::referred_to(books);
    let fits = |name: &&String| is_home_of(place, chain, &wanted, name);
    books.directories.iter().filter(|name| !used.contains(*name) && place.files(name).is_dir()).find(fits).cloned()
}

fn check_size(place: &Place, books: &Books, chain: &Digest, size_bytes: Option<u64>, findings: &mut Findings) {
    let path = place.chains().join(chain.hex()).join("size");
    let recorded = books.layers[chain].size_bytes;
    let remedy = match size_bytes {
        Some(size_bytes) => Remedy::Write { content: size_bytes.to_string().into_bytes(), mode: 0o644 },
        None => Remedy::Advice("mend the files of the layer first".to_owned()),
    };
    match (recorded, size_bytes) {
        (None, _) => {
            let wrong = match Text::read(&path) {
                Text::Is(text) => format!("says {text:?}"),
                Text::Missing => "is missing".to_owned(),
                Text::Unreadable(why) => format!("cannot be read: {why}"),
            };
            let what = format!("size of the layer {} {wrong}", chain.short());
            findings.layer(chain, Fault::LayerRecord, &path, what, remedy);
        }
        (Some(recorded), Some(size_bytes)) if recorded != size_bytes => {
            let what = format!("the layer {} has {size_bytes} bytes, and size says {recorded}", chain.short());
            findings.layer(chain, Fault::LayerSize, &path, what, remedy);
        }
        _ => {}
    }
}

/// The lengths of all that is no directory, each file once, as dockerd measures a layer of overlay2.
fn measured(directory: &Path) -> io::Result<u64> {
    let mut seen = std::collections::HashSet::new();
    let found = walk(directory)?;
    let lengths = found.values().filter(|meta| !meta.is_dir() && (meta.nlink() == 1 || seen.insert(meta.ino())));
    Ok(lengths.map(Metadata::len).sum())
}

/// All that is in a directory, by its path below it.
fn walk(directory: &Path) -> io::Result<BTreeMap<PathBuf, Metadata>> {
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

/// Compares what lies in the directory of a layer with what its tar, and the layer below, have. Says whether all of it is right.
fn check_tree(place: &Place, books: &Books, layer: &Layer<'_>, tree: &Tree, findings: &mut Findings) -> bool {
    let chain = layer.chain;
    let before = findings.count();
    let mut report = |path: &Path, what: String| {
        let what = format!("the layer {}: {what}", chain.short());
        findings.layer(chain, Fault::Content, &layer.files.join(path), what, books.fetch_layer(chain));
    };
    let here = match walk(&layer.files) {
        Ok(here) => here,
        Err(error) => {
            report(Path::new(""), format!("its files cannot be listed: {}", reason(&error)));
            return false;
        }
    };
    for (path, node) in &tree.nodes {
        let is_whole = place.has_whole_trees();
        match (node, here.get(path)) {
            (Node::Whiteout, None) if is_whole => {}
            (Node::Whiteout, Some(meta)) if !is_whole && meta.file_type().is_char_device() && meta.rdev() == 0 => {}
            (Node::Whiteout, _) => report(path, format!("/{} is not hidden", path.display())),
            (_, None) => report(path, format!("/{} is missing", path.display())),
            (Node::Implied, Some(meta)) if !meta.is_dir() => {
                report(path, format!("/{} is no directory any more", path.display()));
            }
            (Node::Implied, Some(_)) => {}
            (Node::Own(entry), Some(meta)) => {
                if let Some(wrong) = difference(entry, meta, layer, path, tree.linked.contains(path)) {
                    report(path, format!("/{} {wrong}", path.display()));
                }
            }
        }
    }
    let (below, directory) = match (place.has_whole_trees(), &layer.below) {
        // What is from below and what is nobody's cannot be told apart.
        (true, Below::Unknown) => return false,
        (true, Below::At(directory)) => (walk(directory).unwrap_or_default(), &**directory),
        _ => (BTreeMap::new(), Path::new("")),
    };
    let mut added: Vec<&PathBuf> = Vec::new();
    for (path, meta) in here.iter().filter(|(path, _)| !tree.nodes.contains_key(*path)) {
        if let Some(lower) = below.get(path).filter(|_| tree.shows(path)) {
            if let Some(wrong) = inherited(meta, lower, &layer.files.join(path), &directory.join(path)) {
                report(path, format!("/{}, which is the layer's below, {wrong}", path.display()));
            }
        } else if !added.iter().any(|above| path.starts_with(above)) {
            // What is below an added directory goes with it.
            added.push(path);
        }
    }
    for path in below.keys().filter(|path| tree.shows(path) && !here.contains_key(*path)) {
        report(path, format!("/{}, which is the layer's below, is missing", path.display()));
    }
    for path in added {
        let what = format!("the layer {} did not come with /{}", chain.short(), path.display());
        findings.layer(chain, Fault::AddedFile, &layer.files.join(path), what, Remedy::Remove);
    }
    findings.count() == before
}

/// In what a file differs from its entry in the tar. Contents were compared before; times are not.
fn difference(entry: &Entry, meta: &Metadata, layer: &Layer<'_>, path: &Path, is_linked: bool) -> Option<String> {
    let kind = meta.file_type();
    let is_kind = match entry.kind {
        Kind::File => kind.is_file(),
        Kind::Directory => kind.is_dir(),
        Kind::Symlink => kind.is_symlink(),
        Kind::Fifo => kind.is_fifo(),
        Kind::HardLink => !kind.is_dir(),
        Kind::CharDevice { .. } => kind.is_char_device(),
        Kind::BlockDevice { .. } => kind.is_block_device(),
    };
    if !is_kind {
        return Some("is something else than it was".to_owned());
    }
    if entry.kind == Kind::Symlink {
        let target = fs::read_link(layer.files.join(path)).ok();
        let is_same = target.is_some_and(|target| target.as_os_str().as_bytes() == entry.link_name);
        return (!is_same).then(|| "leads elsewhere".to_owned());
    }
    if let Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } = entry.kind
        && rustix::fs::makedev(major, minor) != meta.rdev()
    {
        return Some("is another device".to_owned());
    }
    if entry.kind == Kind::File && meta.len() != entry.size_bytes {
        return Some(format!("has {} bytes, and not {}", meta.len(), entry.size_bytes));
    }
    if is_linked || entry.kind == Kind::HardLink {
        return None;
    }
    if meta.mode() & 0o7777 != entry.mode & 0o7777 {
        return Some(format!("has the mode {:04o}, and not {:04o}", meta.mode() & 0o7777, entry.mode & 0o7777));
    }
    // An ordinary user may have given owners up, and sees others than were given once.
    let is_owner = (meta.uid(), meta.gid()) == (entry.uid, entry.gid) || namespace::is_user_namespace();
    (!is_owner).then(|| format!("belongs to {}:{}, and not to {}:{}", meta.uid(), meta.gid(), entry.uid, entry.gid))
}

/// In what a file that a whole tree has from the layer below differs from that layer's.
fn inherited(meta: &Metadata, lower: &Metadata, path: &Path, below: &Path) -> Option<String> {
    if (meta.dev(), meta.ino()) == (lower.dev(), lower.ino()) {
        return None;
    }
    if meta.file_type() != lower.file_type() {
        return Some("is something else there".to_owned());
    }
    if meta.file_type().is_symlink() {
        return (fs::read_link(path).ok() != fs::read_link(below).ok()).then(|| "leads elsewhere there".to_owned());
    }
    let is_same = meta.mode() == lower.mode() && (meta.uid(), meta.gid()) == (lower.uid(), lower.gid());
    if !meta.is_dir() && (!is_same || meta.rdev() != lower.rdev()) {
        return Some("has another owner or mode there".to_owned());
    }
    let is_equal = !meta.is_file() || (meta.len() == lower.len() && same_bytes(path, below).unwrap_or(false));
    (!is_equal).then(|| "has other bytes there".to_owned())
}

fn same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (io::BufReader::new(File::open(one)?), io::BufReader::new(File::open(other)?));
    let (mut left, mut right) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    loop {
        let count = one.read(&mut left)?;
        if count == 0 {
            return Ok(other.read(&mut right[..1])? == 0);
        }
        if other.read_exact(&mut right[..count]).is_err() || left[..count] != right[..count] {
            return Ok(false);
        }
    }
}
