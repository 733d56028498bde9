//! What a registry has: for each repository its tags, its manifests and the blobs they lead to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::image::{Descriptor, ImageError, Layout};

/// Everything in a store, read once, and what has been pushed since.
#[derive(Debug)]
pub struct Catalogue {
    layout: Layout,
    /// Where pushed blobs and manifests lie.
    pushed: Option<Layout>,
    repositories: BTreeMap<String, Repository>,
}

/// One repository. Digests are keys, so that a repository answers for its own content only.
#[derive(Debug, Default, Clone)]
pub struct Repository {
    pub tags: BTreeMap<String, String>,
    pub manifests: BTreeMap<String, Manifest>,
    pub blobs: BTreeMap<String, Descriptor>,
}

/// A manifest or an index.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub descriptor: Descriptor,
    /// For an index, the digest of its first manifest.
    pub first: Option<String>,
}

impl Catalogue {
    /// Reads the layout; what is pushed goes to `pushed`, and with `None` nothing can be.
    pub fn read(layout: &Path, pushed: Option<&Path>) -> Result<Self, ImageError> {
        let layout = Layout::at(layout);
        let mut repositories: BTreeMap<String, Repository> = BTreeMap::new();
        for tagged in layout.tagged()? {
            let repository = repositories.entry(tagged.name).or_default();
            repository.tags.insert(tagged.tag, tagged.descriptor.digest.clone());
            repository.add(&layout, tagged.descriptor)?;
        }
        let pushed = pushed.map(Layout::create).transpose()?;
        Ok(Self { layout, pushed, repositories })
    }

    /// Whether anything can be pushed.
    pub fn is_writable(&self) -> bool {
        self.pushed.is_some()
    }

    /// The repository under its own name or, as Docker asks for official images, under `library/`.
    pub fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.get(self.own_name(name))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.repositories.keys().map(String::as_str)
    }

    /// Where a blob or manifest lies; an error for what is no digest.
    pub fn blob_path(&self, digest: &str) -> Result<PathBuf, ImageError> {
        let pushed = self.pushed.as_ref().map(|layout| layout.blob_path(digest)).transpose()?;
        match pushed.filter(|path| path.is_file()) {
            Some(path) => Ok(path),
            None => self.layout.blob_path(digest),
        }
    }

    /// Adds a blob to a repository, which is made if need be.
    pub fn put_blob(&mut self, name: &str, digest: &str, bytes: &[u8]) -> Result<(), ImageError> {
        let Some(pushed) = &self.pushed else { return Ok(()) };
        let descriptor = pushed.add_bytes("application/octet-stream", bytes)?;
        self.writable(name).blobs.insert(digest.to_owned(), descriptor);
        Ok(())
    }

    /// Lets a repository have a blob of another one; false when that one has no such blob.
    pub fn mount(&mut self, name: &str, from: &str, digest: &str) -> bool {
        let found = self.repository(from).and_then(|source| source.blobs.get(digest)).cloned();
        found.is_some_and(|blob| {
            self.writable(name).blobs.insert(digest.to_owned(), blob);
            true
        })
    }

    /// Adds a manifest, and lets `reference` mean it if that is a tag. `Some`: what it names and the repository lacks.
    pub fn put_manifest(
        &mut self,
        name: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Option<String>, ImageError> {
        let Some(pushed) = self.pushed.clone() else { return Ok(None) };
        let descriptor = pushed.add_bytes(media_type, bytes)?;
        let document: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        let listed = |key: &str| document[key].as_array().cloned().unwrap_or_default();
        let digest_of = |part: &serde_json::Value| part["digest"].as_str().unwrap_or_default().to_owned();
        let repository = self.writable(name);
        let parts = std::iter::once(&document["config"]).filter(|config| !config.is_null()).cloned();
        let blobs = parts.chain(listed("layers")).map(|part| digest_of(&part));
        let missing = blobs.filter(|digest| !repository.blobs.contains_key(digest));
        let manifests: Vec<String> = listed("manifests").iter().map(digest_of).collect();
        let unknown = manifests.iter().filter(|digest| !repository.manifests.contains_key(*digest)).cloned();
        if let Some(missing) = missing.chain(unknown).next() {
            return Ok(Some(missing));
        }
        let digest = descriptor.digest.clone();
        let first = manifests.into_iter().next();
        repository.manifests.insert(digest.clone(), Manifest { descriptor, first });
        if !reference.contains(':') {
            repository.tags.insert(reference.to_owned(), digest);
        }
        Ok(None)
    }

    fn own_name<'n>(&self, name: &'n str) -> &'n str {
        let short = name.strip_prefix("library/").unwrap_or(name);
        if self.repositories.contains_key(name) { name } else { short }
    }

    fn writable(&mut self, name: &str) -> &mut Repository {
        let own = if self.repository(name).is_some() { self.own_name(name) } else { name };
        self.repositories.entry(own.to_owned()).or_default()
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
