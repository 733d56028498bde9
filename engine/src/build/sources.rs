//! What COPY and ADD are to copy: names and patterns found in the context, a stage or an image, and hashed for the cache.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use sha2::{Digest as _, Sha256};

use super::context::Context;
use super::ignore;
use crate::layer::content_hash;
use crate::sys::reason::reason;
use crate::sys::root::Root;

/// Where the files of a COPY come from.
pub enum Origin<'a> {
    /// What was sent with the build.
    Context(&'a Context),
    /// The files of an image.
    Tree(&'a Root),
}

/// One thing to copy.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its path below the origin's root.
    pub path: PathBuf,
    /// It, or what it leads to, is a directory.
    pub is_directory: bool,
    /// `file:…` or `dir:…`.
    pub hash: String,
}

impl Origin<'_> {
    /// The tree.
    pub fn tree(&self) -> &Root {
        match self {
            Origin::Context(context) => context.tree(),
            Origin::Tree(tree) => tree,
        }
    }

    /// Whether a path is no part of it.
    pub fn leaves_out(&self, path: &Path) -> bool {
        matches!(self, Origin::Context(context) if context.leaves_out(path))
    }

    /// The owner of the files as far as the hash is concerned: what is sent with a build is root's.
    fn owner(&self) -> Option<(u32, u32)> {
        matches!(self, Origin::Context(_)).then_some((0, 0))
    }

    /// Everything that `names` mean. The error is Docker's, without its `COPY failed: `.
    pub fn find(&self, names: &[String]) -> Result<Vec<Source>, String> {
        let mut found = Vec::new();
        for name in names {
            if ignore::is_pattern(name) {
                self.find_fitting(name, Path::new(""), &mut found)?;
            } else {
                found.push(self.source(name)?);
            }
        }
        if found.is_empty() { Err("no source files were specified".to_owned()) } else { Ok(found) }
    }

    fn source(&self, name: &str) -> Result<Source, String> {
        let Some(path) = inside(name) else {
            return Err(format!("forbidden path outside the build context: {name} ()"));
        };
        let shown = name.trim_start_matches('/').trim_end_matches('/');
        let missing = || match self {
            Origin::Context(_) => format!(
                "file not found in build context or excluded by .dockerignore: stat {shown}: file does not exist"
            ),
            Origin::Tree(_) => format!("stat {shown}: file does not exist"),
        };
        if self.leaves_out(&path) && !self.has_exception_below(&path) {
            return Err(missing());
        }
        let kind = match self.kind(&path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(missing());
            }
            other => other.map_err(|error| format!("stat {shown}: {}", reason(&error)))?,
        };
        let is_directory = kind == FileType::Directory;
        let hash = if is_directory { self.hash_of_directory(&path)? } else { format!("file:{}", self.hash(&path)?) };
        Ok(Source { path, is_directory, hash })
    }

    /// What `path` leads to, links followed inside the tree.
    fn kind(&self, path: &Path) -> io::Result<FileType> {
        let file = self.tree().open_at(path, OFlags::PATH, Mode::empty())?;
        Ok(FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode))
    }

    /// Everything below `path` whose whole name fits `pattern`.
    fn find_fitting(&self, pattern: &str, path: &Path, found: &mut Vec<Source>) -> Result<(), String> {
        for (name, is_directory) in self.children(path)? {
            let child = path.join(&name);
            let shown = child.to_string_lossy().into_owned();
            // What is no pattern fits nothing, as in dockerd.
            if !self.leaves_out(&child) && ignore::fits(pattern, &shown).unwrap_or(false) {
                found.push(self.source(&shown)?);
            }
            if is_directory {
                self.find_fitting(pattern, &child, found)?;
            }
        }
        Ok(())
    }

    /// Names in a directory, in order, and which of them are directories themselves.
    fn children(&self, path: &Path) -> Result<Vec<(std::ffi::OsString, bool)>, String> {
        let failed = |error: io::Error| format!("open {}: {}", path.display(), reason(&error));
        let directory = self.tree().open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).map_err(failed)?;
        let mut children = Vec::new();
        for entry in rustix::fs::Dir::read_from(&directory).map_err(|errno| failed(errno.into()))? {
            let entry = entry.map_err(|errno| failed(errno.into()))?;
            let name = <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(entry.file_name().to_bytes()).to_owned();
            if name == "." || name == ".." {
                continue;
            }
            let kind = self.tree().kind(&path.join(&name)).map_err(failed)?;
            children.push((name, kind == Some(FileType::Directory)));
        }
        children.sort();
        Ok(children)
    }

    fn has_exception_below(&self, path: &Path) -> bool {
        let children = self.children(path).unwrap_or_default();
        children.iter().any(|(name, is_directory)| {
            let child = path.join(name);
            !self.leaves_out(&child) || *is_directory && self.has_exception_below(&child)
        })
    }

    fn hash(&self, path: &Path) -> Result<String, String> {
        content_hash(self.tree(), path, self.owner()).map_err(|error| error.to_string())
    }

    fn hash_of_directory(&self, path: &Path) -> Result<String, String> {
        let mut hashes = Vec::new();
        if path.file_name().is_some() {
            hashes.push(self.hash(path)?);
        }
        self.collect_hashes(path, &mut hashes)?;
        hashes.sort();
        Ok(hash_of("dir", &hashes))
    }

    fn collect_hashes(&self, path: &Path, hashes: &mut Vec<String>) -> Result<(), String> {
        for (name, is_directory) in self.children(path)? {
            let child = path.join(name);
            if !self.leaves_out(&child) {
                hashes.push(self.hash(&child)?);
            }
            if is_directory {
                self.collect_hashes(&child, hashes)?;
            }
        }
        Ok(())
    }
}

/// The hash of all sources together, as the history shows it.
pub fn hash_of_all(sources: &[Source]) -> String {
    match sources {
        [one] => one.hash.clone(),
        many => hash_of("multi", &many.iter().map(|source| source.hash.clone()).collect::<Vec<_>>()),
    }
}

fn hash_of(kind: &str, hashes: &[String]) -> String {
    format!("{kind}:{}", hex::encode(Sha256::digest(hashes.join(",").as_bytes())))
}

/// `name` as a path below the root; nothing when it climbs out of it.
fn inside(name: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::ParentDir if !path.pop() => return None,
            _ => {}
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(ignore: &str) -> (tempfile::TempDir, Context) {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        std::fs::create_dir_all(at("d/e")).unwrap();
        for (name, text) in [("f1", "1\n"), ("f2", "2\n"), ("d/x", "x"), ("d/e/y", "y"), (".dockerignore", ignore)] {
            std::fs::write(at(name), text).unwrap();
        }
        std::os::unix::fs::symlink("../f1", at("d/in")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at("d/out")).unwrap();
        let context = Context::directory(place.path(), None).unwrap();
        (place, context)
    }

    fn names(origin: &Origin<'_>, wanted: &[&str]) -> Result<Vec<String>, String> {
        let wanted: Vec<String> = wanted.iter().map(|name| name.to_string()).collect();
        Ok(origin.find(&wanted)?.iter().map(|source| source.path.display().to_string()).collect())
    }

    #[test]
    fn names_and_patterns_are_found_inside_the_context_only() {
        let (_place, context) = context("d/x\n");
        let origin = Origin::Context(&context);
        assert_eq!(names(&origin, &["f*"]).unwrap(), ["f1", "f2"]);
        assert_eq!(names(&origin, &["./d/../f1", "/f2", "."]).unwrap(), ["f1", "f2", ""]);
        let missing = "file not found in build context or excluded by .dockerignore: stat ";
        for (name, shown) in [("nope", "nope"), ("d/x", "d/x"), ("d/out", "d/out")] {
            assert_eq!(names(&origin, &[name]).unwrap_err(), format!("{missing}{shown}: file does not exist"));
        }
        assert_eq!(names(&origin, &["nope*"]).unwrap_err(), "no source files were specified");
        assert_eq!(names(&origin, &["../x"]).unwrap_err(), "forbidden path outside the build context: ../x ()");
    }

    #[test]
    fn the_hash_follows_what_is_copied_and_nothing_else() {
        let (place, context) = context("d/x\n");
        let origin = Origin::Context(&context);
        let hash = |name: &str| hash_of_all(&origin.find(&[name.to_owned()]).unwrap());
        let (file, directory) = (hash("f1"), hash("d"));
        assert!(file.starts_with("file:") && directory.starts_with("dir:"));
        std::fs::write(place.path().join("d/x"), "ignored").unwrap();
        assert_eq!(hash("d"), directory);
        std::fs::write(place.path().join("d/e/y"), "seen").unwrap();
        assert_ne!(hash("d"), directory);
        assert_eq!(hash("f1"), file);
        let both = origin.find(&["f1".to_owned(), "f2".to_owned()]).unwrap();
        assert!(hash_of_all(&both).starts_with("multi:"));
    }
}
