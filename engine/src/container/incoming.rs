//! An archive that somebody hands in: a tar on disk, and where in it each member lies.
//!
//! A plain tar that is a file is read where it is, each layer once. What comes through a pipe, or compressed, is first
//! written below the data root. Nothing in the archive is ever taken for a path on this machine.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use super::EngineError;
use super::error::failed;
use super::load::LoadError;
use crate::layer::archive::{Archive, ArchiveError, Entry, Kind};
use crate::layer::compression::is_compressed;
use crate::layer::decompressed;
use crate::store::Staging;

/// Links lead to links at most so often.
const LINKS_MAX: usize = 40;
/// The largest description that is taken into memory.
const TEXT_LIMIT_BYTES: u64 = 16 << 20;
const MARK_BYTES: usize = 6;

enum Member {
    File { offset: u64, size_bytes: u64 },
    Link(PathBuf),
}

/// An archive with its index.
pub(super) struct Incoming {
    file: File,
    members: HashMap<PathBuf, Member>,
    /// Under which path messages show it.
    place: PathBuf,
}

impl Incoming {
    /// Reads all headers of `input`, which is spooled to `staging` unless it is a plain tar in a file.
    pub(super) fn open(mut input: File, staging: &Staging) -> Result<Incoming, EngineError> {
        let place = staging.directory().to_owned();
        let mut head = Vec::new();
        let is_file = input.metadata().map_err(LoadError::Stream)?.is_file();
        let start = if is_file { input.stream_position().map_err(LoadError::Stream)? } else { 0 };
        (&mut input).take(MARK_BYTES as u64).read_to_end(&mut head).map_err(LoadError::Stream)?;
        let (mut file, start) = match is_file && !is_compressed(&head) {
            true => (input, start),
            false => (spooled(io::Cursor::new(head).chain(input), &place)?, 0),
        };
        file.seek(SeekFrom::Start(start)).map_err(LoadError::Stream)?;
        let members = index(&file, start)?;
        Ok(Incoming { file, members, place })
    }

    /// Whether there is a file called `path`.
    pub(super) fn has(&self, path: &str) -> bool {
        self.find(Path::new(path)).is_some()
    }

    /// The contents of a small file.
    pub(super) fn text(&self, path: &str) -> Result<Vec<u8>, LoadError> {
        let mut section = self.section(path)?;
        if section.left > TEXT_LIMIT_BYTES {
            return Err(LoadError::TooLarge { name: path.to_owned(), limit_bytes: TEXT_LIMIT_BYTES });
        }
        let mut bytes = Vec::new();
        section.read_to_end(&mut bytes).map_err(LoadError::Stream)?;
        Ok(bytes)
    }

    /// The contents of a file, to be read once.
    pub(super) fn section(&self, path: &str) -> Result<Section<'_>, LoadError> {
        let (offset, left) =
            self.find(Path::new(path)).ok_or_else(|| LoadError::Missing { path: self.place.join(path) })?;
        Ok(Section { file: &self.file, offset, left })
    }

    fn find(&self, path: &Path) -> Option<(u64, u64)> {
        let mut path = within(Path::new(""), path);
        for _ in 0..LINKS_MAX {
            match self.members.get(&path)? {
                Member::File { offset, size_bytes } => return Some((*offset, *size_bytes)),
                Member::Link(target) => path.clone_from(target),
            }
        }
        None
    }
}

/// A part of a file.
pub(super) struct Section<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Section<'_> {
    /// How many bytes have not been read.
    pub(super) fn size_bytes(&self) -> u64 {
        self.left
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

fn spooled(input: impl Read, place: &Path) -> Result<File, EngineError> {
    let mut spool = tempfile::tempfile_in(place).map_err(failed("create a file in", place))?;
    let mut input = decompressed(input).map_err(LoadError::Stream)?;
    io::copy(&mut input, &mut spool).map_err(LoadError::Stream)?;
    spool.flush().map_err(failed("write a file in", place))?;
    Ok(spool)
}

fn index(file: &File, start: u64) -> Result<HashMap<PathBuf, Member>, LoadError> {
    let length = file.metadata().map_err(LoadError::Stream)?.len();
    let mut archive = Archive::new(file);
    let mut members = HashMap::new();
    while let Some(entry) = archive.next_entry().map_err(LoadError::Tar)? {
        if entry.extents.is_some() {
            let name = String::from_utf8_lossy(&entry.name).into_owned();
            return Err(LoadError::Tar(ArchiveError::Unsupported { name, what: "a sparse file".into() }));
        }
        let offset = start + archive.offset();
        if offset.checked_add(entry.size_bytes).is_none_or(|end| end > length) {
            return Err(LoadError::Truncated);
        }
        archive.pass_over().map_err(LoadError::Tar)?;
        let path = within(Path::new(""), bytes_path(&entry.name));
        if let Some(member) = member(&entry, &path, offset) {
            members.insert(path, member);
        }
    }
    Ok(members)
}

fn member(entry: &Entry, path: &Path, offset: u64) -> Option<Member> {
    let target = bytes_path(&entry.link_name);
    match entry.kind {
        Kind::File => Some(Member::File { offset, size_bytes: entry.size_bytes }),
        Kind::Symlink => Some(Member::Link(within(path.parent().unwrap_or(Path::new("")), target))),
        Kind::HardLink => Some(Member::Link(within(Path::new(""), target))),
        _ => None,
    }
}

fn bytes_path(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// `path` seen from `directory`, with the archive's top as the root that nothing leads out of.
fn within(directory: &Path, path: &Path) -> PathBuf {
    let mut whole = directory.to_owned();
    for part in path.components() {
        match part {
            Component::Normal(name) => whole.push(name),
            Component::ParentDir => drop(whole.pop()),
            Component::RootDir => whole.clear(),
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: SE-01
    #[test]
    fn no_path_leads_out_of_the_archive() {
        let rows = [("", "../../etc/passwd", "etc/passwd"), ("a/b", "../c", "a/c"), ("a", "/x/./y", "x/y")];
        for (directory, path, meant) in rows {
            assert_eq!(within(Path::new(directory), Path::new(path)), Path::new(meant));
        }
    }
}
