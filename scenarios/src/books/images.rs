//! Images as the books have them: names, configuration, and the chain of layers that follows from it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Faults, bare, names};

/// One image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// 64 hex digits.
    pub id: String,
    /// `httpd:latest`; none for a nameless image.
    pub names: Vec<String>,
    /// Digests of manifests it was pulled by, with the repository: `httpd@sha256:…`.
    pub digests: Vec<String>,
    /// Chain IDs, bottom to top.
    pub chain: Vec<String>,
    /// What made each layer, as the configuration's history has it; empty where it does not say.
    pub made_by: Vec<String>,
}

#[derive(Deserialize, Default)]
struct Repositories {
    #[serde(rename = "Repositories", default)]
    repositories: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    rootfs: RootFs,
    #[serde(default)]
    history: Option<Vec<Deed>>,
}

#[derive(Deserialize, Default)]
struct RootFs {
    #[serde(default)]
    diff_ids: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Deed {
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    empty_layer: bool,
}

/// Reads `image/DRIVER`.
pub(super) fn read(directory: &Path, faults: &mut Faults) -> Vec<Image> {
    let repositories: Repositories = faults.json(&directory.join("repositories.json")).unwrap_or_default();
    let content = directory.join("imagedb/content/sha256");
    let mut images: Vec<Image> = Vec::new();
    for id in names(&content).into_iter().filter(|name| name.len() == 64) {
        let Some(configuration) = faults.json::<Configuration>(&content.join(&id)) else { continue };
        images.push(image(id, configuration, &repositories));
    }
    images.sort_by_cached_key(|image| (image.names.is_empty(), image.names.first().cloned(), image.id.clone()));
    images
}

fn image(id: String, configuration: Configuration, repositories: &Repositories) -> Image {
    let mut image = Image { id, ..Image::default() };
    for (name, of) in repositories.repositories.values().flatten() {
        if bare(of) == image.id {
            let list = if name.contains('@') { &mut image.digests } else { &mut image.names };
            list.push(name.clone());
        }
    }
    image.chain = chain(&configuration.rootfs.diff_ids.unwrap_or_default());
    let deeds = configuration.history.unwrap_or_default().into_iter().filter(|deed| !deed.empty_layer);
    image.made_by = deeds.map(|deed| deed.created_by).collect();
    image
}

/// The first chain ID is the first diff ID; each further one is the digest of the one before, a blank and its diff ID
/// (OCI image specification, "Layer ChainID").
fn chain(diff_ids: &[String]) -> Vec<String> {
    let mut chain: Vec<String> = Vec::new();
    for diff_id in diff_ids {
        let next = match chain.last() {
            None => bare(diff_id),
            Some(below) => hex::encode(Sha256::digest(format!("sha256:{below} {diff_id}"))),
        };
        chain.push(next);
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_id_is_made_of_all_below_it() {
        let diff_ids = ["sha256:aa", "sha256:bb"].map(str::to_owned);
        let second = hex::encode(Sha256::digest("sha256:aa sha256:bb"));
        assert_eq!(chain(&diff_ids), ["aa".to_owned(), second]);
    }

    #[test]
    fn an_image_has_names_digests_and_the_deeds_that_made_layers() {
        let root = tempfile::tempdir().unwrap();
        let id = "c".repeat(64);
        std::fs::create_dir_all(root.path().join("imagedb/content/sha256")).unwrap();
        std::fs::write(
            root.path().join("imagedb/content/sha256").join(&id),
            r#"{"rootfs":{"diff_ids":["sha256:aa"]},"history":[{"created_by":"ADD"},{"created_by":"CMD","empty_layer":true}]}"#,
        )
        .unwrap();
        let books = format!(r#"{{"Repositories":{{"w":{{"w:1":"sha256:{id}","w@sha256:dd":"sha256:{id}"}}}}}}"#);
        std::fs::write(root.path().join("repositories.json"), books).unwrap();
        let mut faults = Faults::default();
        let image = read(root.path(), &mut faults).remove(0);
        assert_eq!((image.names, image.digests), (vec!["w:1".to_owned()], vec!["w@sha256:dd".to_owned()]));
        assert_eq!((image.chain, image.made_by), (vec!["aa".to_owned()], vec!["ADD".to_owned()]));
        assert!(faults.0.is_empty());
    }
}
