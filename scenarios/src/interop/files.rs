//! The files that a campaign changes: what a container or an image must hold of them, and what `docker diff` must list.
//!
//! Below `/w` all is the campaign's; of what came with an image only a file and two empty directories are touched. What is written differs
//! in length or in a time that is told from all that was written before, since `docker diff` compares lengths and times only.

use std::collections::{BTreeMap, BTreeSet};

use super::mark::Mark;

/// A file that every image of a campaign brings along.
pub const PULLED_FILE: &str = "/etc/os-release";
/// Directories that it brings along, empty.
pub const PULLED_DIRECTORIES: [&str; 2] = ["/opt", "/srv"];

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// The file that the image came with, whatever it holds.
    Pulled,
    Directory,
    File {
        content: String,
        mode: u32,
        owner: u32,
        /// Of its last change, in seconds, where it is the campaign's wish.
        time: Option<u64>,
        mark: Option<Mark>,
    },
    Symlink(String),
    /// What is neither, as `mknod` takes it: `c 1 3`, `p`.
    Special(&'static str),
}

/// One change, which may be made again at any time and then gives the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new file in the place of whatever is there.
    Write {
        path: String,
        content: String,
        mode: u32,
        owner: u32,
        time: Option<u64>,
    },
    /// A device or a pipe in the place of whatever is there.
    Special {
        path: String,
        what: &'static str,
    },
    /// With the directories above it.
    MakeDirectory(String),
    Remove(String),
    /// A second name for a file, if it is there.
    Link {
        of: String,
        path: String,
    },
    Symlink {
        to: String,
        path: String,
    },
}

/// What must lie where; directories above are there too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    nodes: BTreeMap<String, Node>,
    /// Directories that were removed and made again, which are others and look alike.
    made_again: BTreeSet<String>,
}

/// What `docker diff` must list, and what it may.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Sorted.
    pub lines: Vec<String>,
    /// A directory that took the place of one like it: dockerd does not tell them apart, we do.
    pub or: BTreeSet<String>,
}

/// The directory above; none for one at the root.
fn above(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(directory, _)| directory).filter(|directory| !directory.is_empty())
}

impl Files {
    /// What an image brings along.
    pub fn pulled() -> Files {
        let mut files = Files::default();
        files.nodes.insert(PULLED_FILE.to_owned(), Node::Pulled);
        files.nodes.extend(PULLED_DIRECTORIES.map(|path| (path.to_owned(), Node::Directory)));
        files
    }

    /// These files as an image or a new container has them: what was made again is forgotten, and what does not travel.
    pub fn settled(&self) -> Files {
        let mut nodes = self.nodes.clone();
        for node in nodes.values_mut() {
            if let Node::File { mark: mark @ Some(Mark::User | Mark::Trusted | Mark::AccessList), .. } = node {
                *mark = None;
            }
        }
        Files { nodes, made_again: BTreeSet::new() }
    }

    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// All that lies somewhere, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// The paths of regular files that the campaign wrote.
    pub fn written(&self) -> Vec<&str> {
        self.iter().filter(|(_, node)| matches!(node, Node::File { .. })).map(|(path, _)| path).collect()
    }

    /// The paths of files with a mark.
    pub fn marked(&self) -> impl Iterator<Item = (&str, Mark)> {
        self.iter().filter_map(|(path, node)| match node {
            Node::File { mark: Some(mark), .. } => Some((path, *mark)),
            _ => None,
        })
    }

    pub fn apply(&mut self, changes: &[Change]) {
        changes.iter().for_each(|change| self.change(change));
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Write { path, content, mode, owner, time } => {
                let (content, mode, owner, time) = (content.clone(), *mode, *owner, *time);
                self.put(path, Node::File { content, mode, owner, time, mark: None });
            }
            Change::Special { path, what } => self.put(path, Node::Special(what)),
            Change::MakeDirectory(path) => self.directory(path),
            Change::Remove(path) => self.remove(path),
            Change::Link { of, path } => {
                if let Some(file @ Node::File { .. }) = self.nodes.get(of).cloned() {
                    self.put(path, file);
                }
            }
            Change::Symlink { to, path } => self.put(path, Node::Symlink(to.clone())),
        }
    }

    /// Makes a directory with those above it.
    pub fn directory(&mut self, path: &str) {
        if let Some(directory) = above(path) {
            self.directory(directory);
        }
        if above(PULLED_FILE) != Some(path) && self.nodes.get(path) != Some(&Node::Directory) {
            self.remove(path);
            self.nodes.insert(path.to_owned(), Node::Directory);
        }
    }

    pub fn put(&mut self, path: &str, node: Node) {
        if let Some(directory) = above(path) {
            self.directory(directory);
        }
        self.remove(path);
        self.nodes.insert(path.to_owned(), node);
    }

    fn remove(&mut self, path: &str) {
        let below = format!("{path}/");
        let gone = |of: &str| of == path || of.starts_with(&below);
        let directories = self.nodes.iter().filter(|(of, node)| gone(of) && **node == Node::Directory);
        self.made_again.extend(directories.map(|(of, _)| of.clone()));
        self.nodes.retain(|of, _| !gone(of));
    }

    /// A line for each thing that lies somewhere.
    pub fn lines(&self) -> Vec<String> {
        let line = |(path, node): (&str, &Node)| match node {
            Node::Pulled => format!("{path} as pulled"),
            Node::Directory => format!("{path} directory"),
            Node::File { content, mode, owner, time, mark } => {
                file_line(path, *mode, (*owner).into(), *time, *mark == Some(Mark::Capability), content)
            }
            Node::Symlink(to) => format!("{path} -> {to}"),
            Node::Special(what) => format!("{path} {what}"),
        };
        self.iter().map(line).collect()
    }

    /// Whether this path of a container's is one that a campaign changes.
    pub fn has_in_view(path: &str) -> bool {
        let below = |of: &str| path == of || path.strip_prefix(of).is_some_and(|rest| rest.starts_with('/'));
        path == PULLED_FILE || PULLED_DIRECTORIES.into_iter().chain(["/w", "/data"]).any(below)
    }

    /// What `docker diff` must list of a container with these files whose image has `before`.
    pub fn diff(&self, before: &Files) -> Diff {
        let mut lines: BTreeMap<&str, char> = BTreeMap::new();
        for (path, _) in self.iter().filter(|(path, node)| before.get(path) != Some(node)) {
            lines.insert(path, if before.get(path).is_some() { 'C' } else { 'A' });
        }
        let is_gone = |path: &str| before.get(path).is_some() && self.get(path).is_none();
        // Of a tree that is gone only the top is listed, and nothing of one in whose place there is a file.
        let is_below_gone = |path: &str| {
            let directory = above(path).filter(|directory| before.get(directory).is_some());
            directory.is_some_and(|directory| self.get(directory) != Some(&Node::Directory))
        };
        let gone = before.iter().filter(|(path, _)| is_gone(path) && !is_below_gone(path));
        lines.extend(gone.map(|(path, _)| (path, 'D')));
        let mut parents: BTreeSet<&str> = BTreeSet::new();
        for path in lines.keys() {
            let mut path = *path;
            while let Some(directory) = above(path) {
                parents.insert(directory);
                path = directory;
            }
        }
        for parent in parents {
            lines.entry(parent).or_insert('C');
        }
        let both = |path: &&String| [self, before].iter().all(|files| files.get(path) == Some(&Node::Directory));
        let or = self.made_again.iter().filter(both).filter(|path| !lines.contains_key(path.as_str()));
        let or = or.flat_map(|path| std::iter::successors(Some(path.as_str()), |path| above(path)));
        let or = or.filter(|path| !lines.contains_key(path)).map(|path| format!("C {path}")).collect();
        Diff { lines: lines.iter().map(|(path, kind)| format!("{kind} {path}")).collect(), or }
    }
}

/// Times of the campaign's are before this one, all others are of today.
pub const TIMES_END: u64 = 1_000_000_000;

/// The line of a file; a time that is nobody's wish is left out.
pub fn file_line(path: &str, mode: u32, owner: u64, time: Option<u64>, capable: bool, content: &str) -> String {
    let time = time.filter(|time| *time < TIMES_END).map(|time| format!(" @{time}")).unwrap_or_default();
    format!("{path} {mode:04o} {owner}{time}{} {content}", if capable { " capable" } else { "" })
}

/// The shell's words for changes; the script ends with success whatever was there before.
pub fn script(changes: &[Change]) -> String {
    changes.iter().map(words).collect::<Vec<_>>().join("; ")
}

fn words(change: &Change) -> String {
    match change {
        Change::Write { path, content, mode, owner, time } => {
            let own = if *owner == 0 { String::new() } else { format!("; chown {owner}:{owner} {path}") };
            let at = time.map(|time| format!("; touch -d @{time} {path}")).unwrap_or_default();
            format!("{}rm -rf {path}; printf {content} > {path}{own}; chmod {mode:o} {path}{at}", room(path))
        }
        Change::Special { path, what } => format!("{}rm -rf {path}; mknod {path} {what}", room(path)),
        Change::MakeDirectory(path) => made(path),
        Change::Remove(path) => format!("rm -rf {path}"),
        Change::Link { of, path } => format!("if [ -f {of} ]; then {}rm -rf {path}; ln {of} {path}; fi", room(path)),
        Change::Symlink { to, path } => format!("{}rm -rf {path}; ln -s {to} {path}", room(path)),
    }
}

/// Makes the directories above a path.
fn room(path: &str) -> String {
    above(path).map(|directory| made(directory) + "; ").unwrap_or_default()
}

/// Makes a directory, in the place of a file if there is one.
fn made(path: &str) -> String {
    format!("[ -d {path} ] || {{ rm -rf {path}; mkdir -p {path}; }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &str, content: &str) -> Change {
        Change::Write { path: path.into(), content: content.into(), mode: 0o644, owner: 0, time: None }
    }

    fn with(changes: &[Change]) -> Files {
        let mut files = Files::pulled();
        files.apply(changes);
        files
    }

    #[test]
    fn a_diff_lists_what_is_new_what_is_gone_and_the_directories_above() {
        let before = with(&[write("/w/d/old", "1"), write("/w/e/f", "2"), write("/w/same", "3")]);
        let mut after = before.clone();
        after.apply(&[write("/w/d/new", "4"), Change::Remove("/w/e".into()), Change::Remove("/etc/os-release".into())]);
        let lines = ["C /etc", "D /etc/os-release", "C /w", "C /w/d", "A /w/d/new", "D /w/e"];
        assert_eq!(after.diff(&before), Diff { lines: lines.map(str::to_owned).to_vec(), or: BTreeSet::new() });
    }

    #[test]
    fn of_a_directory_that_became_a_file_nothing_more_is_listed() {
        let before = with(&[write("/w/d/f", "1")]);
        let mut after = before.clone();
        after.apply(&[write("/w/d", "2")]);
        assert_eq!(after.diff(&before).lines, ["C /w", "C /w/d"]);
    }

    #[test]
    fn a_directory_made_again_may_be_listed_and_its_lost_files_must() {
        let before = with(&[Change::MakeDirectory("/w/d".into()), write("/w/e/f", "1")]);
        let mut after = before.clone();
        for path in ["/w/d", "/w/e"] {
            after.apply(&[Change::Remove(path.into()), Change::MakeDirectory(path.into())]);
        }
        let diff = after.diff(&before);
        assert_eq!(diff.lines, ["C /w", "C /w/e", "D /w/e/f"]);
        assert_eq!(diff.or, BTreeSet::from(["C /w/d".to_owned()]));
        assert!(after.settled().diff(&before).or.is_empty());
    }

    #[test]
    fn a_file_takes_the_place_of_a_directory_and_the_other_way_round() {
        let mut files = with(&[write("/w/d/f", "1"), write("/w/d", "2")]);
        assert_eq!(files.get("/w/d/f"), None);
        files.apply(&[Change::Link { of: "/w/d".into(), path: "/w/l".into() }, write("/w/d/g", "3")]);
        assert_eq!(files.get("/w/d"), Some(&Node::Directory));
        assert!(matches!(files.get("/w/l"), Some(Node::File { content, .. }) if content == "2"));
    }
}
