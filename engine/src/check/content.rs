//! The bytes of layers: each layer's tar is put together again from its files, and its digest and size are compared.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use super::books::Books;
use super::compare::{Below, Layer, check_tree, hiding};
use super::finding::{Fault, Findings, Remedy};
use super::place::Place;
use super::text::Text;
use super::tree::Tree;
use super::{Scope, directories};
use crate::driver::size_below;
use crate::image::Digest;
use crate::image::digest::DigestWriter;
use crate::layer::TarSplitError;
use crate::layer::archive::{Archive, Entry};
use crate::layer::tar_split::{self, assemble};
use crate::sys::reason::reason;

const BUFFER_BYTES: usize = 64 << 10;
/// Why the files of a layer are not compared one by one, when their bytes are right.
const UNKNOWN_TREE: &str =
    "only the bytes of its files are known to be right: the way of an entry of its tar leads through a link";

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
        let tree = Tree::of(entries, hiding(place));
        let size_bytes = match &tree {
            _ if place.has_whole_trees() => Some(told_bytes),
            Some(tree) => Some(tree.size_bytes()),
            None => size_below(&layer.files).ok(),
        };
        check_size(place, books, chain, size_bytes, findings);
        if tree.is_none() {
            findings.pass_over(chain, UNKNOWN_TREE);
        }
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
            // Each file was compared with its checksum: what is wrong is how they were put together.
            Some(wanted) => {
                let what = format!(
                    "tar-split.json.gz of the layer {} makes a tar with the digest {found}, and not {wanted}, of files that are right",
                    chain.short()
                );
                findings.layer(chain, Fault::TarSplit, &path, what, books.fetch_layer(chain));
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
