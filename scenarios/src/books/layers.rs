//! Layers as the books have them: each record of the layerdb.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Faults, bare, names};

/// One read-only layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    /// Itself on all below: 64 hex digits, the name of its record.
    pub chain_id: String,
    /// Digest of its tar; empty if the record does not say.
    pub diff_id: String,
    /// Chain ID of the layer below.
    pub parent: Option<String>,
    /// The driver's directory; empty if the record does not say.
    pub cache_id: String,
    /// Sum of its files, in bytes.
    pub size_bytes: Option<u64>,
}

/// Reads `layerdb/sha256`.
pub(super) fn read(directory: &Path, faults: &mut Faults) -> BTreeMap<String, Layer> {
    let mut layers = BTreeMap::new();
    for chain_id in names(directory) {
        let record = directory.join(&chain_id);
        let mut text = |name: &str| faults.text(&record.join(name));
        let layer = Layer {
            diff_id: text("diff").map(|id| bare(&id)).unwrap_or_default(),
            parent: text("parent").map(|id| bare(&id)),
            cache_id: text("cache-id").unwrap_or_default(),
            size_bytes: text("size").and_then(|size| size.parse().ok()),
            chain_id: chain_id.clone(),
        };
        layers.insert(chain_id, layer);
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_diff_parent_directory_and_size() {
        let root = tempfile::tempdir().unwrap();
        let record = root.path().join("cc");
        std::fs::create_dir(&record).unwrap();
        for (name, text) in [("diff", "sha256:dd"), ("parent", "sha256:aa"), ("cache-id", "ee"), ("size", "12")] {
            std::fs::write(record.join(name), text).unwrap();
        }
        let layers = read(root.path(), &mut Faults::default());
        let layer = Layer {
            chain_id: "cc".into(),
            diff_id: "dd".into(),
            parent: Some("aa".into()),
            cache_id: "ee".into(),
            size_bytes: Some(12),
        };
        assert_eq!(layers["cc"], layer);
    }
}
