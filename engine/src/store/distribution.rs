//! What is known of blobs in registries: which layer a blob unpacks to, and where a layer can be had. A cache.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{StoreError, atomic, make_directory};
use crate::image::Digest;

/// The directory `distribution`.
pub struct Distribution {
    home: PathBuf,
}

/// One place where a layer can be had, as Docker writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Source {
    digest: Digest,
    source_repository: String,
    #[serde(rename = "HMAC")]
    hmac: String,
}

impl Distribution {
    pub(super) fn at(home: &Path) -> Distribution {
        Distribution { home: home.to_owned() }
    }

    /// Remembers that `blob` of `repository` (`docker.io/library/httpd`) unpacks to the layer tar `diff_id`.
    pub fn remember(&self, blob: &Digest, diff_id: &Digest, repository: &str) -> Result<(), StoreError> {
        let by_digest = self.home.join("diffid-by-digest/sha256");
        let by_diff = self.home.join("v2metadata-by-diffid/sha256");
        for directory in [&by_digest, &by_diff] {
            make_directory(directory, 0o755)?;
        }
        atomic::write(&by_digest.join(blob.hex()), diff_id.to_string().as_bytes(), 0o644)?;
        let path = by_diff.join(diff_id.hex());
        let mut sources = self.sources(diff_id);
        let source = Source { digest: blob.clone(), source_repository: repository.to_owned(), hmac: String::new() };
        sources.retain(|other| *other != source);
        sources.push(source);
        self.write(&path, &sources)
    }

    /// The blobs that `diff_id` is known to have been and their repositories, what was learnt last at the end.
    pub fn blobs_of(&self, diff_id: &Digest) -> Vec<(Digest, String)> {
        self.sources(diff_id).into_iter().map(|source| (source.digest, source.source_repository)).collect()
    }

    /// Forgets that `blob` of `repository` unpacks to `diff_id`: it is not there any more.
    pub fn forget(&self, blob: &Digest, diff_id: &Digest, repository: &str) -> Result<(), StoreError> {
        let mut sources = self.sources(diff_id);
        let before = sources.len();
        sources.retain(|source| source.digest != *blob || source.source_repository != repository);
        if sources.len() == before { Ok(()) } else { self.write(&self.by_diff(diff_id), &sources) }
    }

    /// What cannot be read is as good as not known.
    fn sources(&self, diff_id: &Digest) -> Vec<Source> {
        let known = std::fs::read(self.by_diff(diff_id)).ok();
        known.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    fn by_diff(&self, diff_id: &Digest) -> PathBuf {
        self.home.join("v2metadata-by-diffid/sha256").join(diff_id.hex())
    }

    fn write(&self, path: &Path, sources: &[Source]) -> Result<(), StoreError> {
        let text = serde_json::to_vec(sources)
            .map_err(|error| StoreError::Damaged { path: path.to_owned(), reason: error.to_string() })?;
        atomic::write(path, &text, 0o644)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_are_written_once_however_often_they_are_learnt() {
        let home = tempfile::tempdir().unwrap();
        let (blob, diff) = (Digest::of(b"blob"), Digest::of(b"diff"));
        for _ in 0..2 {
            Distribution::at(home.path()).remember(&blob, &diff, "docker.io/library/httpd").unwrap();
        }
        let there = std::fs::read_to_string(home.path().join("diffid-by-digest/sha256").join(blob.hex())).unwrap();
        assert_eq!(there, diff.to_string());
        let back = std::fs::read_to_string(home.path().join("v2metadata-by-diffid/sha256").join(diff.hex())).unwrap();
        assert_eq!(back, format!(r#"[{{"Digest":"{blob}","SourceRepository":"docker.io/library/httpd","HMAC":""}}]"#));
    }

    #[test]
    fn what_is_forgotten_is_not_known_any_more_and_the_rest_is() {
        let home = tempfile::tempdir().unwrap();
        let (blob, diff, books) = (Digest::of(b"blob"), Digest::of(b"diff"), Distribution::at(home.path()));
        for repository in ["r.io/a", "r.io/b"] {
            books.remember(&blob, &diff, repository).unwrap();
        }
        books.forget(&blob, &diff, "r.io/a").unwrap();
        assert_eq!(books.blobs_of(&diff), [(blob, "r.io/b".to_owned())]);
        assert_eq!(books.blobs_of(&Digest::of(b"other")), []);
    }
}
