//! One entry of a layer as a description writes it, and the checked form a tar header can be made of.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::description::parse_time;

/// An entry as written: exactly one of the path keys (`dir`, `file`, `symlink`, …) names it, the others describe it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenEntry {
    dir: Option<String>,
    file: Option<String>,
    symlink: Option<String>,
    hardlink: Option<String>,
    /// Path that an upper layer hides.
    whiteout: Option<String>,
    /// Directory whose lower content an upper layer hides.
    opaque: Option<String>,
    /// Directory that gets one symlink per applet of the guest.
    pub(super) applets: Option<String>,
    text: Option<String>,
    guest: bool,
    to: Option<String>,
    except: Vec<String>,
    mode: Option<u32>,
    owner: Option<String>,
    mtime: Option<String>,
}

/// A checked entry, ready to become a tar header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the image's root, without a slash at either end.
    pub path: String,
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky: at most 0o7777.
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: Timestamp,
}

/// What an entry is. Whiteouts are files with names of their own (image-spec, layer.md) and so have no kind here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    Directory,
    File(Content),
    /// Target as it stands in the link, relative to the link or absolute.
    Symlink(String),
    /// Path of an earlier file of the same layer.
    HardLink(String),
}

/// Where a file's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Text(String),
    /// The static multi-call binary of the userland.
    Guest,
}

impl WrittenEntry {
    /// The checked form; `created` stands in for a missing `mtime`.
    pub(crate) fn check(&self, created: Timestamp) -> Result<Entry, String> {
        let (key, written) = self.path_key()?;
        let path = check_path(written)?;
        self.check_keys(key, written)?;
        let (path, kind, mode) = match key {
            "dir" => (path, EntryKind::Directory, 0o755),
            "file" if self.guest => (path, EntryKind::File(Content::Guest), 0o755),
            "file" => (path, EntryKind::File(Content::Text(self.text.clone().unwrap_or_default())), 0o644),
            "symlink" => (path, EntryKind::Symlink(self.target(written)?), 0o777),
            "hardlink" => (path, EntryKind::HardLink(check_path(&self.target(written)?)?), 0o644),
            "whiteout" => (whiteout_path(&path), EntryKind::File(Content::Text(String::new())), 0o000),
            "opaque" => (format!("{path}/.wh..wh..opq"), EntryKind::File(Content::Text(String::new())), 0o000),
            _ => return Err(format!("entry {written:?}: `{key}` cannot stand here")),
        };
        self.finish(path, kind, mode, created)
    }

    fn finish(&self, path: String, kind: EntryKind, mode: u32, created: Timestamp) -> Result<Entry, String> {
        let mode = self.mode.unwrap_or(mode);
        if mode > 0o7777 {
            return Err(format!("entry {path:?}: mode {mode:#o} is beyond 0o7777; write it in octal, like 0o755"));
        }
        let (uid, gid) = self.owner.as_deref().map_or(Ok((0, 0)), parse_owner)?;
        let mtime = self.mtime.as_deref().map_or(Ok(created), parse_time)?;
        Ok(Entry { path, kind, mode, uid, gid, mtime })
    }

    fn path_key(&self) -> Result<(&'static str, &str), String> {
        let keys = [
            ("dir", &self.dir),
            ("file", &self.file),
            ("symlink", &self.symlink),
            ("hardlink", &self.hardlink),
            ("whiteout", &self.whiteout),
            ("opaque", &self.opaque),
            ("applets", &self.applets),
        ];
        let mut given = keys.into_iter().filter_map(|(key, path)| path.as_deref().map(|path| (key, path)));
        match (given.next(), given.next()) {
            (Some(one), None) => Ok(one),
            (Some((first, path)), Some((second, _))) => {
                Err(format!("entry {path:?} says both `{first}` and `{second}`: make two entries"))
            }
            _ => Err("an entry needs one of dir, file, symlink, hardlink, whiteout, opaque, applets".into()),
        }
    }

    /// Refuses a key that has no meaning for the entry's kind, such as `text` on a directory.
    fn check_keys(&self, key: &str, path: &str) -> Result<(), String> {
        let link = matches!(key, "symlink" | "hardlink" | "applets");
        let misplaced = [
            ("text", self.text.is_some() && (key != "file" || self.guest)),
            ("guest", self.guest && key != "file"),
            ("to", self.to.is_some() && !link),
            ("except", !self.except.is_empty() && key != "applets"),
            ("mode", self.mode.is_some() && !matches!(key, "dir" | "file")),
            ("owner", self.owner.is_some() && key == "hardlink"),
            ("mtime", self.mtime.is_some() && key == "hardlink"),
        ];
        if let Some((wrong, _)) = misplaced.iter().find(|(_, given)| *given) {
            return Err(format!("entry {path:?}: `{wrong}` has no meaning here"));
        }
        if key == "file" && self.text.is_none() && !self.guest {
            return Err(format!("entry {path:?}: a file needs `text` or `guest = true`"));
        }
        Ok(())
    }

    fn target(&self, path: &str) -> Result<String, String> {
        self.to.clone().filter(|to| !to.is_empty()).ok_or_else(|| format!("entry {path:?}: a link needs `to`"))
    }
}

/// One symlink in `directory` for every applet (sorted, each once) that `except` does not name.
pub(super) fn expand_applets(
    written: &WrittenEntry,
    directory: &str,
    created: Timestamp,
    applets: &[String],
) -> Result<Vec<Entry>, String> {
    written.path_key()?;
    written.check_keys("applets", directory)?;
    let directory = check_path(directory)?;
    let target = written.target(&directory)?;
    let mut names: Vec<&String> = applets.iter().filter(|name| !written.except.contains(name)).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| match name.contains('/') {
            true => Err(format!("applet {name:?} is no file name: look at the guest's --list")),
            false => {
                let path = check_path(&format!("{directory}/{name}"))?;
                written.finish(path, EntryKind::Symlink(target.clone()), 0o777, created)
            }
        })
        .collect()
}

/// A layer's tar must hold a path once, a directory before what is in it, and a hard link's file before the link.
pub(crate) fn check_layer(entries: &[Entry]) -> Result<(), String> {
    let mut seen: BTreeMap<&str, &EntryKind> = BTreeMap::new();
    for entry in entries {
        let path = entry.path.as_str();
        if let Some((parent, _)) = path.rsplit_once('/')
            && seen.get(parent) != Some(&&EntryKind::Directory)
        {
            return Err(format!("entry {path:?} stands before its directory: write {{ dir = {parent:?} }} above it"));
        }
        if let EntryKind::HardLink(to) = &entry.kind
            && !matches!(seen.get(to.as_str()), Some(EntryKind::File(_)))
        {
            return Err(format!("hard link {path:?} needs the file {to:?} above it in the same layer"));
        }
        if seen.insert(path, &entry.kind).is_some() {
            return Err(format!("path {path:?} stands twice in one layer"));
        }
    }
    Ok(())
}

/// A hard link is one more name of its file, and unpackers apply the link's header to it: both must say the same.
pub(super) fn give_links_their_files_metadata(entries: &mut [Entry]) {
    for at in 0..entries.len() {
        let EntryKind::HardLink(to) = &entries[at].kind else { continue };
        if let Some(file) = entries[..at].iter().find(|entry| entry.path == *to) {
            let (mode, uid, gid, mtime) = (file.mode, file.uid, file.gid, file.mtime);
            entries[at] = Entry { mode, uid, gid, mtime, ..entries[at].clone() };
        }
    }
}

fn whiteout_path(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((parent, name)) => format!("{parent}/.wh.{name}"),
        None => format!(".wh.{path}"),
    }
}

fn check_path(path: &str) -> Result<String, String> {
    let good = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    match path.split('/').all(good) {
        true => Ok(path.to_owned()),
        false => Err(format!("path {path:?} must be relative to the image's root, like usr/bin, without . or ..")),
    }
}

fn parse_owner(written: &str) -> Result<(u64, u64), String> {
    let ids = written.split_once(':').and_then(|(uid, gid)| Some((uid.parse::<u32>().ok()?, gid.parse::<u32>().ok()?)));
    ids.map(|(uid, gid)| (uid.into(), gid.into())).ok_or_else(|| format!("owner {written:?} is no UID:GID like 33:33"))
}
