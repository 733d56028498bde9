//! A data root at one moment, entry by entry and with its books, and what differs between two moments.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::books::Books;
use crate::listing;

/// Longer files are not read.
const TEXT_BYTES: u64 = 4096;

/// What happened right before a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The step of this number.
    Step(usize),
    /// The directive in this line of the page.
    Arrangement(usize),
}

/// A data root as it was then.
#[derive(Debug, Clone)]
pub struct Moment {
    /// What happened right before.
    pub after: After,
    /// By path below the data root.
    pub entries: BTreeMap<String, Entry>,
    /// The books of each driver.
    pub books: Vec<Books>,
}

/// One file, directory or other entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its line of a listing (see [`crate::listing`]).
    pub line: String,
    /// When a regular file was written last: seconds and nanoseconds; not of overlay2's mark `committed`, which says nothing by it.
    pub written: Option<(i64, i64)>,
    /// What a short record of the engine says: IDs, links, names.
    pub text: Option<String>,
}

/// One difference between two moments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<'m> {
    /// Path below the data root.
    pub path: &'m str,
    /// As it was, if it was there.
    pub before: Option<&'m Entry>,
    /// As it is, if it is there.
    pub now: Option<&'m Entry>,
}

impl Moment {
    /// Looks at the data root; one that is not there is empty.
    pub fn take(data_root: &Path, after: After) -> io::Result<Moment> {
        let mut entries = BTreeMap::new();
        for found in walkdir::WalkDir::new(data_root).min_depth(1) {
            match found.map_err(io::Error::from).and_then(|found| Entry::of(data_root, &found)) {
                Ok((path, entry)) => entries.insert(path, entry),
                // A daemon may remove what was just listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
        }
        Ok(Moment { after, entries, books: Books::read(data_root) })
    }

    /// What is new, changed or gone since `before`, by path.
    pub fn since<'m>(&'m self, before: Option<&'m Moment>) -> Vec<Change<'m>> {
        static NOTHING: BTreeMap<String, Entry> = BTreeMap::new();
        let before = before.map_or(&NOTHING, |before| &before.entries);
        let now = self.entries.iter().filter(|(path, entry)| before.get(*path) != Some(entry));
        let now = now.map(|(path, entry)| Change { path, before: before.get(path), now: Some(entry) });
        let gone = before.iter().filter(|(path, _)| !self.entries.contains_key(*path));
        let gone = gone.map(|(path, entry)| Change { path, before: Some(entry), now: None });
        let mut changes: Vec<Change<'m>> = now.chain(gone).collect();
        changes.sort_by_key(|change| change.path);
        changes
    }
}

impl Entry {
    fn of(root: &Path, found: &walkdir::DirEntry) -> io::Result<(String, Entry)> {
        let path = found.path().strip_prefix(root).unwrap_or(found.path());
        let line = listing::line(found.path(), path, false)?;
        let meta = found.path().symlink_metadata()?;
        let is_mark = meta.len() == 0 && path.ends_with("committed");
        let written = (meta.is_file() && !is_mark).then(|| (meta.mtime(), meta.mtime_nsec()));
        let text = (meta.is_file() && meta.len() <= TEXT_BYTES && is_record(path)).then(|| fs::read(found.path()));
        let text = text.transpose()?.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok((path.to_string_lossy().into_owned(), Entry { line, written, text }))
    }
}

/// Whether a file is one of the engine's short records rather than of an image or container.
fn is_record(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
    match parts[..] {
        ["image", _, "repositories.json"] => true,
        ["image", _, "layerdb" | "distribution", .., name] => name != "tar-split.json.gz",
        [_, _, "link" | "lower" | "lower-id"] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_changed_and_gone_is_told_with_the_text_of_records() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
            fs::write(root.path().join(path), text).unwrap();
        };
        write("image/overlay2/repositories.json", "{}");
        write("overlay2/aa/diff/etc", "old");
        let first = Moment::take(root.path(), After::Step(1)).unwrap();
        write("overlay2/aa/link", "LINK");
        fs::remove_file(root.path().join("overlay2/aa/diff/etc")).unwrap();
        fs::remove_file(root.path().join("image/overlay2/repositories.json")).unwrap();
        write("image/overlay2/repositories.json", "[]");
        let second = Moment::take(root.path(), After::Step(2)).unwrap();
        let changes = second.since(Some(&first));
        let told: Vec<_> = changes
            .iter()
            .map(|change| (change.path, change.before.is_some(), change.now.and_then(|entry| entry.text.as_deref())))
            .collect();
        assert_eq!(
            told,
            [
                ("image/overlay2/repositories.json", true, Some("[]")),
                ("overlay2/aa/diff/etc", true, None),
                ("overlay2/aa/link", false, Some("LINK")),
            ]
        );
        assert!(second.since(Some(&second)).is_empty());
    }

    #[test]
    fn a_data_root_that_is_not_there_is_an_empty_one() {
        let moment = Moment::take(Path::new("/nowhere/at/all"), After::Arrangement(3)).unwrap();
        assert!(moment.entries.is_empty() && moment.books.is_empty());
    }
}
