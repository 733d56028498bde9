//! imagedb: the raw configuration of every image under its own digest, and what only this host knows of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{StoreError, atomic, failed, make_directory};
use crate::image::Digest;

/// The directory `imagedb`.
pub struct Images {
    content: PathBuf,
    metadata: PathBuf,
}

impl Images {
    pub(super) fn open(home: &Path) -> Result<Images, StoreError> {
        for directory in ["content", "content/sha256", "metadata", "metadata/sha256"] {
            make_directory(&home.join(directory), 0o700)?;
        }
        Ok(Images { content: home.join("content/sha256"), metadata: home.join("metadata/sha256") })
    }

    /// The IDs of all images, in no order that means anything.
    pub fn all(&self) -> Result<Vec<Digest>, StoreError> {
        let entries = fs::read_dir(&self.content).map_err(failed("list", &self.content))?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let names = names.collect::<io::Result<Vec<_>>>().map_err(failed("list", &self.content))?;
        Ok(names.iter().filter_map(|name| Digest::from_hex(name).ok()).collect())
    }

    /// Whether image `id` is here.
    pub fn has(&self, id: &Digest) -> bool {
        self.content.join(id.hex()).exists()
    }

    /// The raw configuration of image `id`, proved to be it.
    pub fn config(&self, id: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.content.join(id.hex());
        let raw = fs::read(&path).map_err(failed("open", &path))?;
        if Digest::of(&raw) != *id {
            return Err(StoreError::Damaged { path, reason: format!("its content has digest {}", Digest::of(&raw)) });
        }
        Ok(raw)
    }

    /// Keeps a raw configuration and says its ID.
    pub fn put(&self, raw: &[u8]) -> Result<Digest, StoreError> {
        let id = Digest::of(raw);
        atomic::write(&self.content.join(id.hex()), raw, 0o600)?;
        Ok(id)
    }

    /// Forgets image `id` and all that is known of it.
    pub fn remove(&self, id: &Digest) -> Result<(), StoreError> {
        let (content, metadata) = (self.content.join(id.hex()), self.metadata.join(id.hex()));
        fs::remove_file(&content).map_err(failed("remove", &content))?;
        match fs::remove_dir_all(&metadata) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &metadata)(error)),
            _ => Ok(()),
        }
    }

    /// The image that `id` was made from on this host.
    pub fn parent(&self, id: &Digest) -> Result<Option<Digest>, StoreError> {
        let Some((path, text)) = self.fact(id, "parent")? else { return Ok(None) };
        text.parse().map(Some).map_err(|error| damaged(path, error))
    }

    /// Remembers what `id` was made from.
    pub fn set_parent(&self, id: &Digest, parent: &Digest) -> Result<(), StoreError> {
        self.set_fact(id, "parent", &parent.to_string())
    }

    /// When `id` was last made or tagged on this host.
    pub fn last_updated(&self, id: &Digest) -> Result<Option<Timestamp>, StoreError> {
        let Some((path, text)) = self.fact(id, "lastUpdated")? else { return Ok(None) };
        text.parse().map(Some).map_err(|error| damaged(path, error))
    }

    /// Remembers when `id` was made or tagged.
    pub fn set_last_updated(&self, id: &Digest, time: Timestamp) -> Result<(), StoreError> {
        self.set_fact(id, "lastUpdated", &time.to_string())
    }

    fn fact(&self, id: &Digest, name: &str) -> Result<Option<(PathBuf, String)>, StoreError> {
        let path = self.metadata.join(id.hex()).join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", &path)(error)),
        }
    }

    fn set_fact(&self, id: &Digest, name: &str, text: &str) -> Result<(), StoreError> {
        let directory = self.metadata.join(id.hex());
        make_directory(&directory, 0o700)?;
        atomic::write(&directory.join(name), text.as_bytes(), 0o600)
    }
}

fn damaged(path: PathBuf, reason: impl ToString) -> StoreError {
    StoreError::Damaged { path, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: GC-03~
    #[test]
    fn what_was_put_is_found_and_what_was_removed_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let images = Images::open(home.path()).unwrap();
        let id = images.put(b"{}").unwrap();
        images.set_parent(&id, &Digest::of(b"parent")).unwrap();
        assert_eq!(images.all().unwrap(), std::slice::from_ref(&id));
        assert_eq!(images.parent(&id).unwrap(), Some(Digest::of(b"parent")));
        images.remove(&id).unwrap();
        assert!(!images.has(&id) && images.parent(&id).unwrap().is_none());
    }

    /// Checklist: ID-04~, RG-08
    #[test]
    fn a_configuration_that_was_changed_behind_our_back_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let images = Images::open(home.path()).unwrap();
        let id = images.put(b"{}").unwrap();
        fs::write(home.path().join("content/sha256").join(id.hex()), b"[]").unwrap();
        assert!(matches!(images.config(&id), Err(StoreError::Damaged { .. })));
    }
}
