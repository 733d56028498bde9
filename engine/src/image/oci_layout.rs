//! The index of an OCI image layout: which manifests it holds, and how they are called (image-spec, `image-layout.md`).

use serde::Deserialize;
use std::collections::BTreeMap;

use super::Digest;
use super::manifest::Descriptor;

/// The file that lists the manifests.
pub const INDEX: &str = "index.json";

/// An annotation with a whole name, as containerd and buildkit write it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// An annotation with a name or a tag alone.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// One manifest of a layout.
#[derive(Clone, Debug, Deserialize)]
pub struct LayoutEntry {
    #[serde(flatten)]
    pub descriptor: Descriptor,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct LayoutIndex {
    manifests: Vec<LayoutEntry>,
}

impl LayoutEntry {
    /// The image's name with its tag, if one is given. A word alone may be a tag as well as a name, and is neither.
    pub fn name(&self) -> Option<&str> {
        let whole = self.annotations.get(CONTAINERD_NAME).map(String::as_str);
        let said = self.annotations.get(REF_NAME).map(String::as_str);
        whole.or(said.filter(|name| name.contains([':', '/'])))
    }
}

/// Reads `index.json`.
pub fn entries(index: &[u8]) -> serde_json::Result<Vec<LayoutEntry>> {
    Ok(serde_json::from_slice::<LayoutIndex>(index)?.manifests)
}

/// Where in the layout the content of `digest` lies.
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_believed_when_it_cannot_be_a_tag() {
        let digest = Digest::of(b"manifest");
        let index = |annotations: &str| {
            let text = format!(
                r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"m","digest":"{digest}","size":3,"annotations":{annotations}}}]}}"#
            );
            let entry = entries(text.as_bytes()).unwrap().remove(0);
            assert_eq!(entry.descriptor.digest, digest);
            entry.name().map(str::to_owned)
        };
        assert_eq!(index(r#"{"org.opencontainers.image.ref.name":"web:v1"}"#).as_deref(), Some("web:v1"));
        assert_eq!(index(r#"{"org.opencontainers.image.ref.name":"latest"}"#), None);
        let both = r#"{"io.containerd.image.name":"docker.io/library/a:b","org.opencontainers.image.ref.name":"b"}"#;
        assert_eq!(index(both).as_deref(), Some("docker.io/library/a:b"));
        assert_eq!(index("{}"), None);
    }
}
