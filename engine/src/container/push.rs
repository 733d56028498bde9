//! Pushing images.

use std::io::Write;
use std::path::Path;

use super::{Engine, EngineError};
use crate::image::{Digest, Reference};
use crate::layer::chain_ids;
use crate::registry::{self, ImageToPush, KnownBlob, LayerToPush, PushProgress, PushSource, Pushed, SinkError};

/// The store as a push sees it.
struct Source<'a> {
    engine: &'a Engine,
    scratch: std::path::PathBuf,
}

impl Engine {
    /// The tags of `repository` here, in order.
    pub fn tags_of(&self, repository: &Reference) -> Result<Vec<Reference>, EngineError> {
        let names = self.store.repositories()?;
        let tags = names.names_in(&repository.familiar_name()).filter_map(|name| Reference::parse(name).ok());
        Ok(tags.filter(|name| name.tag().is_some() && name.digest().is_none()).collect())
    }

    /// Pushes the image called `reference`, which has a tag, to the registry that the name says.
    pub fn push(&self, reference: &Reference, progress: &dyn PushProgress) -> Result<Pushed, EngineError> {
        let repository = reference.familiar_name();
        let lock = self.store.lock()?;
        let id = self.store.repositories()?.get(&repository, &reference.familiar()).cloned();
        let id = id.ok_or_else(|| EngineError::NoSuchTag(reference.familiar()))?;
        let config = self.image_config(&id)?;
        let mut layers = Vec::new();
        for chain_id in chain_ids(&config.view().rootfs.diff_ids) {
            let layer = self.store.layers.get(&chain_id)?;
            layers.push(LayerToPush { chain_id, diff_id: layer.diff_id, size_bytes: layer.size_bytes });
        }
        let lease = self.lease([&id])?;
        drop(lock);
        let image = ImageToPush { config: config.raw().to_vec(), layers };
        let source = Source { engine: self, scratch: self.store.data_root().join("tmp") };
        let pushed = registry::push(reference, &image, &self.settings.registry, &source, progress)?;
        let lock = self.store.lock()?;
        let mut names = self.store.repositories()?;
        // An image that was removed meanwhile has no names any more.
        if self.store.images.has(&id) {
            names.set(&repository, &format!("{repository}@{}", pushed.manifest_digest), &id);
            self.store.save_repositories(&names)?;
        }
        drop((lock, lease));
        Ok(pushed)
    }
}

impl PushSource for Source<'_> {
    fn known_blobs(&self, diff_id: &Digest) -> Vec<KnownBlob> {
        let known = self.engine.store.distribution.blobs_of(diff_id);
        known.into_iter().map(|(digest, repository)| KnownBlob { digest, repository }).collect()
    }

    fn write_tar(&self, layer: &LayerToPush, out: &mut dyn Write) -> Result<(), SinkError> {
        let layer = self.engine.store.layers.get(&layer.chain_id)?;
        Ok(self.engine.write_layer_tar(&layer, out)?)
    }

    fn remember(&self, diff_id: &Digest, blob: &KnownBlob) -> Result<(), SinkError> {
        let _lock = self.engine.store.lock()?;
        Ok(self.engine.store.distribution.remember(&blob.digest, diff_id, &blob.repository)?)
    }

    fn forget(&self, diff_id: &Digest, blob: &KnownBlob) -> Result<(), SinkError> {
        let _lock = self.engine.store.lock()?;
        Ok(self.engine.store.distribution.forget(&blob.digest, diff_id, &blob.repository)?)
    }

    fn scratch(&self) -> &Path {
        &self.scratch
    }
}
