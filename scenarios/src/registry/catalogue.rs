//! What a registry has: for each repository its tags, its manifests and the blobs they lead to.

use std::collections::BTreeMap;
use std::path::Path;

use crate::image::{Descriptor, ImageError, Layout};

/// Everything in a store, read once.
#[derive(Debug)]
pub struct Catalogue {
    pub layout: Layout,
    repositories: BTreeMap<String, Repository>,
}

/// One repository. Digests are keys, so that a repository answers for its own content only.
#[derive(Debug, Default)]
pub struct Repository {
    pub tags: BTreeMap<String, String>,
    pub manifests: BTreeMap<String, Manifest>,
    pub blobs: BTreeMap<String, Descriptor>,
}

/// A manifest or an index.
#[derive(Debug)]
pub struct Manifest {
    pub descriptor: Descriptor,
    /// For an index, the digest of its first manifest.
    pub first: Option<String>,
}

impl Catalogue {
    pub fn read(layout: &Path) -> Result<Self, ImageError> {
        let layout = Layout::at(layout);
        let mut repositories: BTreeMap<String, Repository> = BTreeMap::new();
        for tagged in layout.tagged()? {
            let repository = repositories.entry(tagged.name).or_default();
            repository.tags.insert(tagged.tag, tagged.descriptor.digest.clone());
            repository.add(&layout, tagged.descriptor)?;
        }
        Ok(Self { layout, repositories })
    }

    /// The repository under its own name or, as Docker asks for official images, under `library/`.
    pub fn repository(&self, name: &str) -> Option<&Repository> {
        let short = name.strip_prefix("library/").unwrap_or(name);
        self.repositories.get(name).or_else(|| self.repositories.get(short))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.repositories.keys().map(String::as_str)
    }
}

impl Repository {
    fn add(&mut self, layout: &Layout, top: Descriptor) -> Result<(), ImageError> {
        let (descriptor, manifest) = layout.manifest_of(&top)?;
        for part in layout.parts_of(&descriptor.digest, &manifest)? {
            self.blobs.insert(part.digest.clone(), part);
        }
        if descriptor.digest != top.digest {
            let first = Some(descriptor.digest.clone());
            self.manifests.insert(top.digest.clone(), Manifest { descriptor: top, first });
        }
        self.manifests.insert(descriptor.digest.clone(), Manifest { descriptor, first: None });
        Ok(())
    }

    /// The manifest a tag or a digest names.
    pub fn manifest(&self, reference: &str) -> Option<&Manifest> {
        self.manifests.get(self.tags.get(reference).map_or(reference, String::as_str))
    }
}
