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
        let known = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let mut sources: Vec<Source> = known.unwrap_or_default();
        let source = Source { digest: blob.clone(), source_repository: repository.to_owned(), hmac: String::new() };
        sources.retain(|other| *other != source);
        sources.push(source);
        let text = serde_json::to_vec(&sources)
            .map_err(|error| StoreError::Damaged { path: path.clone(), reason: error.to_string() })?;
        atomic::write(&path, &text, 0o644)
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
}
