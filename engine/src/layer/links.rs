//! Names of one file: which of them a layer has to tell besides what changed, so that they are one file again where the layer is applied.
//!
//! `docker diff` compares names one by one and does not see that a new name is one of an old file, or that two names are one file no longer. dockerd's layer of
//! two compared trees does not tell it either, and the new name is another file where it is pulled (a recorded dockerd 20.10 with
//! `overlay`, `vfs` and `btrfs`: `ln old new` gives a layer with `new` alone). That of `overlay2` tells it, since the kernel has copied `old` up; so does ours, of
//! every storage driver.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rustix::fs::Stat;

use super::changes::{Change, ChangeKind};

/// Which file it is.
type Inode = (u64, u64);

/// A name that is there now, of a file that has several, or had.
struct Name {
    path: PathBuf,
    was: Option<Inode>,
    is: Inode,
    /// Whether it had others beside it.
    had_others: bool,
    /// Whether the layer tells it.
    is_told: bool,
}

/// The names that two trees have of files with several.
#[derive(Default)]
pub(super) struct Names(Vec<Name>);

impl Names {
    /// Notes a name that is no directory; `was` if it was none before.
    pub(super) fn note(&mut self, path: &Path, was: Option<&Stat>, is: &Stat, is_told: bool) {
        if is.st_nlink > 1 || was.is_some_and(|was| was.st_nlink > 1) {
            let inode = |stat: &Stat| (stat.st_dev, stat.st_ino);
            let had_others = was.is_some_and(|was| was.st_nlink > 1);
            self.0.push(Name { path: path.to_owned(), was: was.map(inode), is: inode(is), had_others, is_told });
        }
    }

    /// Whether names that were not looked at may have to be told, though nobody touched them: where a name of several looks as before, it may be
    /// another file than the others now. Of one that is told nothing follows for them.
    pub(super) fn may_have_others(&self) -> bool {
        self.0.iter().any(|name| name.had_others && !name.is_told)
    }

    /// Adds to what changed the names that have to be told, and the directories above them.
    pub(super) fn tell(mut self, changes: &mut Vec<Change>) {
        let before: BTreeSet<PathBuf> = self.told().map(Path::to_owned).collect();
        while self.tell_what_is_one_file() | self.tell_what_is_one_no_longer() {}
        let mut listed: BTreeSet<PathBuf> = changes.iter().map(|change| change.path.clone()).collect();
        for path in self.told().filter(|path| !before.contains(*path)) {
            for path in path.ancestors().filter(|path| *path != Path::new("/")) {
                if listed.insert(path.to_owned()) {
                    changes.push(Change { kind: ChangeKind::Modified, path: path.to_owned() });
                }
            }
        }
        changes.sort_by(|one, other| one.path.cmp(&other.path));
    }

    fn told(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter(|name| name.is_told).map(|name| &*name.path)
    }

    /// All names of a file of which one is told, or which were several files. Says whether there were any.
    fn tell_what_is_one_file(&mut self) -> bool {
        let mut files: BTreeMap<Inode, Vec<&mut Name>> = BTreeMap::new();
        for name in &mut self.0 {
            files.entry(name.is).or_default().push(name);
        }
        let mut found = false;
        for names in files.into_values() {
            let is_one = names.iter().all(|name| !name.is_told && name.was == names[0].was);
            for name in names.into_iter().filter(|name| !is_one && !name.is_told) {
                name.is_told = true;
                found = true;
            }
        }
        found
    }

    /// All names of what was one file and is several, but those of the first.
    fn tell_what_is_one_no_longer(&mut self) -> bool {
        let mut first: BTreeMap<Inode, Inode> = BTreeMap::new();
        let mut found = false;
        for name in self.0.iter_mut().filter(|name| !name.is_told) {
            if let Some(was) = name.was
                && *first.entry(was).or_insert(name.is) != name.is
            {
                name.is_told = true;
                found = true;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of names: path, number before, number now, whether it is told anyway.
    fn told(names: &[(&str, u64, u64, bool)]) -> Vec<String> {
        let name = |&(path, was, is, is_told): &(&str, u64, u64, bool)| Name {
            path: path.into(),
            was: (was != 0).then_some((1, was)),
            is: (1, is),
            had_others: was != 0,
            is_told,
        };
        let listed = names.iter().filter(|name| name.3);
        let mut changes = listed.map(|name| Change { kind: ChangeKind::Added, path: name.0.into() }).collect();
        Names(names.iter().map(name).collect()).tell(&mut changes);
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_old_name_is_told_with_a_new_one_of_its_file() {
        assert_eq!(told(&[("/d/new", 0, 7, true), ("/old", 7, 7, false)]), ["A /d/new", "C /old"]);
        assert_eq!(told(&[("/d/old", 7, 7, false), ("/new", 0, 7, true)]), ["C /d", "C /d/old", "A /new"]);
        assert_eq!(told(&[("/other", 8, 8, false), ("/new", 0, 7, true)]), ["A /new"]);
    }

    #[test]
    fn names_that_were_two_files_and_are_one_are_told() {
        assert_eq!(told(&[("/a", 7, 7, false), ("/b", 8, 7, false)]), ["C /a", "C /b"]);
    }

    #[test]
    fn of_a_file_that_is_two_now_one_is_told() {
        assert_eq!(told(&[("/a", 7, 9, false), ("/b", 7, 7, false), ("/c", 7, 7, false)]), ["C /b", "C /c"]);
        assert_eq!(told(&[("/a", 7, 7, false), ("/b", 7, 7, false)]), [""; 0]);
    }
}
