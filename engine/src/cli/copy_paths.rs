//! What the paths of `docker cp` mean: where a copy comes from and goes to, by the rules of Docker's client.
//!
//! A slash, or a slash and a dot, at a path's end says that it has to be a directory; with the dot only its content is meant.
//! Source: `pkg/archive/copy.go` and `cli/command/utils.go` of Docker 20.10, and a recorded client.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::FileType;

use super::messages::{Failure, system_reason};

/// What is copied from this host.
pub struct Source {
    /// Itself, with the links before its last name followed.
    pub path: PathBuf,
    pub kind: FileType,
    /// What it is called where it goes.
    pub base: PathBuf,
    pub only_content: bool,
}

/// Go's `filepath.Clean`: without `.`, and without `..` as far as it has something to take back.
pub fn clean(text: &str) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for part in Path::new(text).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => match cleaned.components().next_back() {
                Some(Component::Normal(_)) => drop(cleaned.pop()),
                Some(Component::RootDir) => {}
                _ => cleaned.push(".."),
            },
            part => cleaned.push(part),
        }
    }
    cleaned
}

/// Whether a path means the content of what it names.
pub fn means_content(text: &str) -> bool {
    text.is_empty() || text == "." || text.ends_with("/.")
}

/// Whether a path has to be a directory.
pub fn asserts_directory(text: &str) -> bool {
    text.ends_with('/') || means_content(text)
}

/// The directory and the name in it that a path means; an empty name for the directory itself.
fn split(text: &str) -> (PathBuf, PathBuf) {
    let cleaned = clean(text);
    if means_content(text) {
        return (cleaned, PathBuf::new());
    }
    let directory = cleaned.parent().map_or_else(PathBuf::new, PathBuf::from);
    (directory, cleaned.file_name().map_or_else(PathBuf::new, PathBuf::from))
}

/// The directory that is written to, and the name that what is copied gets there; an empty name means its content only.
/// `found`: what stands at `target`, links followed.
pub fn place(
    target: &str,
    found: Option<FileType>,
    kind: FileType,
    base: &Path,
    only_content: bool,
) -> Result<(PathBuf, PathBuf), Failure> {
    match (found, kind) {
        (Some(FileType::Directory), _) => {
            Ok((clean(target), if only_content { PathBuf::new() } else { base.to_owned() }))
        }
        (Some(_), FileType::Directory) => Err(Failure::new("cannot copy directory")),
        (None, kind) if kind != FileType::Directory && asserts_directory(target) => {
            Err(Failure::new("no such directory"))
        }
        _ => Ok(split(target)),
    }
}

/// A path of this host in full, with the slash or the dot at its end.
pub fn absolute(text: &str) -> Result<String, Failure> {
    let here = std::path::absolute(Path::new(text)).map_err(|error| Failure::new(system_reason(&error)))?;
    let mut shown = clean(&here.display().to_string()).display().to_string();
    if means_content(text) {
        shown.push_str("/.");
    } else if text.ends_with('/') && shown != "/" {
        shown.push('/');
    }
    Ok(shown)
}

fn kind_of(meta: &fs::Metadata) -> FileType {
    FileType::from_raw_mode(meta.mode())
}

/// Refuses a destination on this host, given in full, that nothing can be copied to.
pub fn check_output(destination: &str) -> Result<(), Failure> {
    let cleaned = clean(destination);
    let directory = cleaned.parent().unwrap_or(Path::new("/"));
    if fs::metadata(directory).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        let shown = directory.display().to_string();
        return Err(Failure::new(format!("invalid output path: directory {shown:?} does not exist")));
    }
    match fs::metadata(destination).map(|meta| kind_of(&meta)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::new(format!("stat {destination}: {}", system_reason(&error)))),
        Ok(FileType::CharacterDevice | FileType::BlockDevice) => Err(Failure::new(format!(
            "invalid output path: \"{destination}\" must be a directory or a regular file: got a device"
        ))),
        Ok(_) => Ok(()),
    }
}

/// What stands at a destination on this host, links followed, and where a link that leads to nothing leads.
pub fn destination(text: String) -> (String, Option<FileType>) {
    let mut text = text;
    // As many links as the kernel follows.
    for _ in 0..40 {
        let Ok(target) = fs::read_link(&text) else { break };
        let parent = Path::new(&text).parent().unwrap_or(Path::new("/")).to_owned();
        text = parent.join(target).display().to_string();
    }
    let found = fs::metadata(&text).ok().map(|meta| kind_of(&meta));
    (text, found)
}

/// Finds what is to be copied from this host; a link at the end is followed if `follow`.
pub fn source(text: &str, follow: bool) -> Result<Source, Failure> {
    let text = absolute(text)?;
    let base = clean(&text).file_name().map_or_else(PathBuf::new, PathBuf::from);
    let path = if follow || asserts_directory(&text) {
        evaluate(&text)?
    } else {
        let cleaned = clean(&text);
        let parent = cleaned.parent().unwrap_or(Path::new("/"));
        evaluate(&format!("{}/", parent.display()))?.join(&base)
    };
    let meta = fs::symlink_metadata(&path);
    let meta = meta.map_err(|error| Failure::new(format!("lstat {}: {}", path.display(), system_reason(&error))))?;
    Ok(Source { kind: kind_of(&meta), path, base, only_content: means_content(&text) })
}

/// The path with all links followed (Go's `filepath.EvalSymlinks`, with its errors).
fn evaluate(text: &str) -> Result<PathBuf, Failure> {
    fs::canonicalize(text).map_err(|error| match error.kind() {
        io::ErrorKind::NotADirectory => Failure::new("not a directory"),
        _ => Failure::new(format!("lstat {}: {}", first_missing(Path::new(text)).display(), system_reason(&error))),
    })
}

/// What of an absolute path is not there, or cannot be followed.
fn first_missing(path: &Path) -> PathBuf {
    let mut here = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::ParentDir => drop(here.pop()),
            Component::Normal(name) => {
                let next = here.join(name);
                match (fs::canonicalize(&next), fs::read_link(&next)) {
                    (Ok(real), _) => here = real,
                    (Err(error), Ok(target)) if error.kind() == io::ErrorKind::NotFound => {
                        return first_missing(&here.join(target));
                    }
                    _ => return next,
                }
            }
            _ => {}
        }
    }
    here
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: SY-06
    #[test]
    fn where_a_copy_goes_follows_dockers_rules() {
        let (file, directory) = (FileType::RegularFile, FileType::Directory);
        let at = |directory: &str, name: &str| (PathBuf::from(directory), PathBuf::from(name));
        let to = |text: &str, found, kind, only| place(text, found, kind, Path::new("x"), only);
        assert_eq!(to("/dir", Some(directory), file, false).unwrap(), at("/dir", "x"));
        assert_eq!(to("/dir/", Some(directory), directory, true).unwrap(), at("/dir", ""));
        assert_eq!(to("/file", Some(file), file, false).unwrap(), at("/", "file"));
        assert_eq!(to("/new", None, directory, false).unwrap(), at("/", "new"));
        assert_eq!(to("/new/", None, directory, true).unwrap(), at("/", "new"));
        assert_eq!(to("/new/.", None, directory, false).unwrap(), at("/new", ""));
        assert_eq!(to("", None, directory, false).unwrap(), at("", ""));
        assert_eq!(to("/file", Some(file), directory, false).unwrap_err().text, "cannot copy directory");
        for text in ["/new/", "/new/.", "", "."] {
            assert_eq!(to(text, None, file, false).unwrap_err().text, "no such directory", "{text}");
        }
    }

    /// Checklist: SY-06
    #[test]
    fn what_is_missing_is_named_behind_all_links() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        fs::write(place.join("file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", place.join("dangling")).unwrap();
        let reason = |name: &str, follow| {
            source(&place.join(name).display().to_string(), follow)
                .map(|found| found.path)
                .map_err(|failure| failure.text)
        };
        let missing = |name: &str| Err(format!("lstat {}: no such file or directory", place.join(name).display()));
        assert_eq!(reason("dangling", false), Ok(place.join("dangling")));
        assert_eq!(reason("dangling", true), missing("nowhere"));
        assert_eq!(reason("dangling/", false), missing("nowhere"));
        assert_eq!(reason("nosuch/x", false), missing("nosuch"));
        for text in ["file/", "file/.", "file/x"] {
            assert_eq!(reason(text, false), Err("not a directory".to_owned()), "{text}");
        }
    }
}
