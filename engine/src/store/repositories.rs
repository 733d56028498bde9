//! repositories.json: which names and digests mean which image.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{StoreError, atomic, failed, no_json};
use crate::image::Digest;

/// All names. The outer key is the familiar repository (`httpd`, `127.0.0.1:5000/x`), the inner one the repository with
/// its tag (`httpd:latest`) or digest (`httpd@sha256:…`).
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repositories {
    #[serde(rename = "Repositories")]
    names: BTreeMap<String, BTreeMap<String, Digest>>,
}

impl Repositories {
    pub(super) fn load(path: &Path) -> Result<Repositories, StoreError> {
        let text = fs::read(path).map_err(failed("open", path))?;
        serde_json::from_slice(&text).map_err(no_json(path))
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), StoreError> {
        let text = serde_json::to_vec(self).map_err(no_json(path))?;
        atomic::write(path, &text, 0o600)
    }

    /// The image that `name` (with tag or digest) of `repository` means.
    pub fn get(&self, repository: &str, name: &str) -> Option<&Digest> {
        self.names.get(repository)?.get(name)
    }

    /// Every name of `repository`, tags and digests, in order.
    pub fn names_in<'a>(&'a self, repository: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.names.get(repository).into_iter().flat_map(|names| names.keys().map(String::as_str))
    }

    /// Makes `name` of `repository` mean `image`; what it meant before loses the name.
    pub fn set(&mut self, repository: &str, name: &str, image: &Digest) {
        self.names.entry(repository.to_owned()).or_default().insert(name.to_owned(), image.clone());
    }

    /// Forgets a name; a repository without names goes too.
    pub fn remove(&mut self, repository: &str, name: &str) -> bool {
        let Some(names) = self.names.get_mut(repository) else { return false };
        let removed = names.remove(name).is_some();
        if names.is_empty() {
            self.names.remove(repository);
        }
        removed
    }

    /// All names of `repository` with the images they mean, in order.
    pub fn in_repository(&self, repository: &str) -> Vec<(&str, &Digest)> {
        self.names.get(repository).into_iter().flatten().map(|(name, id)| (name.as_str(), id)).collect()
    }

    /// Every (repository, name) that means `image`, in order.
    pub fn names_of<'a>(&'a self, image: &'a Digest) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self
            .names
            .iter()
            .flat_map(|(repository, names)| names.iter().map(move |(name, id)| (repository, name, id)));
        all.filter(move |(_, _, id)| *id == image).map(|(repository, name, _)| (repository.as_str(), name.as_str()))
    }
}

/// Whether a name of a repository is a digest (`httpd@sha256:…`) and not a tag.
pub fn is_digest(name: &str) -> bool {
    name.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_dockerd_writes() {
        let mut names = Repositories::default();
        let id = Digest::of(b"image");
        names.set("httpd", "httpd:latest", &id);
        let text = serde_json::to_string(&names).unwrap();
        assert_eq!(text, format!(r#"{{"Repositories":{{"httpd":{{"httpd:latest":"{id}"}}}}}}"#));
    }

    /// Checklist: DL-17
    #[test]
    fn a_name_that_moves_leaves_the_old_image_without_it() {
        let mut names = Repositories::default();
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        names.set("httpd", "httpd:latest", &old);
        names.set("httpd", "httpd:latest", &new);
        assert_eq!(names.names_of(&old).count(), 0);
        assert_eq!(names.get("httpd", "httpd:latest"), Some(&new));
        assert!(names.remove("httpd", "httpd:latest"));
        assert_eq!(names, Repositories::default());
    }
}
