//! The canonical form of a layer: two tars have the same when they make the same tree of what lies below.
//!
//! The layer of an upper directory (`overlay2`) and that of two trees that are compared (the other drivers) are written differently, by dockerd
//! as by us, where they mean the same. Exactly this is brought to one form, and all else must be equal:
//!
//! - The order of entries: depth first, or by the bytes of the whole path. So a file of several names is told by the first in one order; the
//!   others say which that is.
//! - The header of a whiteout: the kernel's device has a mode, an owner and a time, and a second name of the same device is a link to the
//!   first; a comparison knows of none.
//! - An opaque directory: it hides all names that lie below and are not in the layer; a comparison lists them one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::scene::Tree;

/// What a layer says of each path.
pub type Canonical = BTreeMap<PathBuf, String>;

const HIDDEN: &str = "hidden";

/// The canonical form of the layer `tar` on the tree `below`.
pub fn canonical(tar: &[u8], below: &Tree) -> Canonical {
    let mut said = Canonical::new();
    let mut links: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut opaque = Vec::new();
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path: PathBuf = entry.path().unwrap().components().collect();
        let name = path.file_name().unwrap().as_bytes();
        if name == b".wh..wh..opq" {
            opaque.push(path.parent().unwrap().to_owned());
        } else if let Some(hidden) = name.strip_prefix(b".wh.") {
            said.insert(path.with_file_name(OsStr::from_bytes(hidden)), HIDDEN.to_owned());
        } else if entry.header().entry_type().is_hard_link() {
            links.insert(path, entry.link_name().unwrap().unwrap().into_owned());
        } else {
            let records = entry.pax_extensions().unwrap().into_iter().flatten().map(|record| {
                let record = record.unwrap();
                format!(" {}={}", record.key().unwrap(), hex::encode(record.value_bytes()))
            });
            // The name of a path that is told in a record is told already.
            let records: String = records.filter(|record| !record.starts_with(" path=")).collect();
            let header = entry.header();
            let (kind, mode) = (header.entry_type(), header.mode().unwrap());
            let names = [header.username_bytes(), header.groupname_bytes()]
                .map(|name| String::from_utf8_lossy(name.unwrap()).into_owned());
            let owner = format!("{}:{} {}:{}", header.uid().unwrap(), header.gid().unwrap(), names[0], names[1]);
            let device = (header.device_major().ok(), header.device_minor().ok());
            let mut line = format!("{kind:?} {mode:o} {owner} {} {device:?}{records}", header.mtime().unwrap());
            line += &entry.link_name().unwrap().map(|target| format!(" -> {}", target.display())).unwrap_or_default();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            line += &format!(" {}", String::from_utf8_lossy(&content));
            said.insert(path, line);
        }
    }
    for directory in opaque {
        hide_below(&directory, below, &mut said);
    }
    tell_by_first_names(links, &mut said);
    said
}

/// What two layers do not say alike.
pub fn differences(one: &Canonical, other: &Canonical) -> String {
    let paths: BTreeSet<&PathBuf> = one.keys().chain(other.keys()).collect();
    let differ = paths.into_iter().filter(|path| one.get(*path) != other.get(*path));
    differ.map(|path| format!("{path:?}: {:?}, {:?}\n", one.get(path), other.get(path))).collect()
}

/// Hides what lies below in a directory and is not in the layer; what is in both is no other than the layer says.
fn hide_below(directory: &Path, below: &Tree, said: &mut Canonical) {
    for path in below.keys().filter(|path| path.parent() == Some(directory)) {
        match said.get(path) {
            None => drop(said.insert(path.clone(), HIDDEN.to_owned())),
            Some(line) if line.starts_with("Directory") => hide_below(path, below, said),
            Some(_) => {}
        }
    }
}

fn tell_by_first_names(links: BTreeMap<PathBuf, PathBuf>, said: &mut Canonical) {
    let mut groups: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for (name, target) in links {
        groups.entry(target.clone()).or_insert_with(|| vec![target]).push(name);
    }
    for (told, mut names) in groups {
        names.sort();
        let line = said.remove(&told).unwrap();
        for name in &names {
            said.insert(name.clone(), format!("the same as {}", names[0].display()));
        }
        said.insert(names[0].clone(), line);
    }
}
