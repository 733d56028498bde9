//! Pulling an image into the store: layers are unpacked aside while they arrive and registered when all are verified.
//!
//! Layers wait in `<data root>/tmp/pull-*/<index>` (`engine/src/store/staging.rs`).

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::error::failed;
use super::intent::Intent;
use super::lease::Lease;
use super::{Engine, EngineError};
use crate::image::manifest::Platform;
use crate::image::{Digest, Reference};
use crate::layer::{Owners, Unpacked};
use crate::registry::{self, LayerToPull, PullProgress, PullSink, Pulled, SinkError};
use crate::store::{Layer, Lock, Staging};

/// Where a staged layer's `tar-split.json.gz` waits.
fn tar_split_of(content: &Path) -> PathBuf {
    content.with_extension("tar-split.json.gz")
}

/// The store as a pull sees it.
struct Sink<'a> {
    engine: &'a Engine,
    staging: Staging,
    /// Sizes of the unpacked layers, by index.
    unpacked: Mutex<Vec<(usize, u64)>>,
    registered: Mutex<Registered>,
    /// The layers that were here already. They go last, when the store's lock has been given up.
    leases: Mutex<Vec<Lease<'a>>>,
}

/// What is held from the first registered layer until the image is known, so that no other command sees or removes half
/// an image.
#[derive(Default)]
struct Registered {
    lock: Option<Lock>,
    intents: Vec<Intent>,
    chain_ids: Vec<Digest>,
}

impl Engine {
    /// Pulls an image and gives it the name it was asked for by.
    pub fn pull(&self, reference: &Reference, progress: &dyn PullProgress) -> Result<Pulled, EngineError> {
        self.pull_for(reference, None, progress)
    }

    /// The tags that the registry has of a repository.
    pub fn registry_tags(&self, repository: &Reference) -> Result<Vec<String>, EngineError> {
        Ok(registry::tags(repository, &self.settings.registry)?)
    }

    /// Pulls the image for `platform`, or for this machine's.
    pub fn pull_for(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
        progress: &dyn PullProgress,
    ) -> Result<Pulled, EngineError> {
        {
            // Before it is asked which layers are here: those of a killed pull are not to be relied on.
            let _lock = self.store.lock()?;
            self.sweep()?;
        }
        let staging = Staging::new(self.store.data_root())?;
        let sink = Sink {
            engine: self,
            staging,
            unpacked: Mutex::default(),
            registered: Mutex::default(),
            leases: Mutex::default(),
        };
        let outcome = registry::pull(reference, platform, &self.settings.registry, &sink, progress);
        let Registered { lock, intents, .. } = sink.registered.into_inner().unwrap_or_else(PoisonError::into_inner);
        let _lock = lock.map_or_else(|| self.store.lock(), Ok)?;
        let outcome = outcome.map_err(EngineError::from).and_then(|pulled| {
            self.name_pulled(reference, &pulled)?;
            Ok(pulled)
        });
        match outcome {
            Ok(_) => intents.into_iter().try_for_each(Intent::done)?,
            Err(_) => self.sweep()?,
        }
        outcome
    }

    /// Makes a pulled image known: its configuration, where its layers came from, its names.
    fn name_pulled(&self, reference: &Reference, pulled: &Pulled) -> Result<(), EngineError> {
        let id = match &pulled.config {
            Some(config) => self.store.images.put(config.raw())?,
            None => pulled.image_id.clone(),
        };
        // Nothing was held while the registry was asked: another command may have removed what was there then.
        let config = self.image_config(&id)?;
        if let Some(top) = self.top_layer(&config) {
            self.store.layers.chain(&top)?;
        }
        for layer in &pulled.layers {
            self.store.distribution.remember(&layer.blob, &layer.diff_id, &reference.canonical_name())?;
        }
        let mut names = self.store.repositories()?;
        let repository = reference.familiar_name();
        if reference.digest().is_none() {
            names.set(&repository, &reference.clone().with_default_tag().familiar(), &id);
        }
        names.set(&repository, &format!("{repository}@{}", pulled.manifest_digest), &id);
        Ok(self.store.save_repositories(&names)?)
    }

    /// Unpacks a layer tar at `content`, and writes beside it from what the tar can be put together again.
    pub(super) fn unpack_layer(&self, mut tar: impl Read, content: &Path) -> Result<Unpacked, EngineError> {
        let path = tar_split_of(content);
        let mut record = fs::File::create(&path).map_err(failed("create", &path))?;
        let owners = if self.settings.squash_owners { Owners::SquashUnmapped } else { Owners::AsRecorded };
        let unpacked = self.driver.unpack(&mut tar, content, owners, &mut record)?;
        if unpacked.xattrs_lost > 0 {
            tracing::warn!(unpacked.xattrs_lost, "extended attributes were refused and are lost");
        }
        Ok(unpacked)
    }

    /// Takes over what [`Engine::unpack_layer`] left at `content` as the layer `layer`, whose cache ID is chosen here. To be
    /// called under the store's lock.
    pub(super) fn adopt_layer(&self, mut layer: Layer, content: &Path) -> Result<(), EngineError> {
        let below = layer.parent.as_ref().map(|parent| self.store.layers.get(parent)).transpose()?;
        layer.cache_id = self.entropy.hex_id();
        let intent = self.intend(&[&layer.cache_id], &[])?;
        let adopted = self.driver.adopt(&layer.cache_id, below.as_ref().map(|below| below.cache_id.as_str()), content);
        let registered = adopted.map_err(EngineError::from).and_then(|()| {
            let tar_split = tar_split_of(content);
            let tar_split = tar_split.exists().then_some(tar_split.as_path());
            Ok(self.store.layers.register(&layer, tar_split, || self.store.sync())?)
        });
        if registered.is_err() {
            self.driver.remove(&layer.cache_id)?;
        }
        intent.done()?;
        registered
    }
}

impl PullSink for Sink<'_> {
    fn has_image(&self, image_id: &Digest) -> bool {
        self.engine.store.images.has(image_id)
    }

    fn has_layer(&self, chain_id: &Digest) -> bool {
        // After a registry that failed half-way the lock is held already.
        if lock(&self.registered).lock.is_some() {
            return self.engine.store.layers.get(chain_id).is_ok();
        }
        let chain = std::slice::from_ref(chain_id);
        let leased = self.engine.store.lock().map_err(EngineError::from);
        leased.and_then(|lock| self.engine.lease_here(lock, chain)).is_ok_and(|(here_count, lease)| {
            lock(&self.leases).push(lease);
            here_count == chain.len()
        })
    }

    fn layers_max(&self) -> usize {
        self.engine.driver.layers_max()
    }

    fn unpack(&self, layer: &LayerToPull, tar: &mut dyn Read) -> Result<(), SinkError> {
        let place = self.staging.layer(layer.index)?;
        let unpacked = self.engine.unpack_layer(tar, &place)?;
        if unpacked.owners_lost > 0 {
            tracing::warn!(layer = %layer.blob, files = unpacked.owners_lost, "owners were lost: the files belong to the caller");
        }
        lock(&self.unpacked).push((layer.index, self.engine.driver.size_bytes(&unpacked)));
        Ok(())
    }

    fn register(&self, layer: &LayerToPull) -> Result<(), SinkError> {
        let mut registered = lock(&self.registered);
        if registered.lock.is_none() {
            registered.lock = Some(self.engine.store.lock()?);
        }
        // Another pull may have brought the same layer meanwhile.
        if self.engine.store.layers.get(&layer.chain_id).is_ok() {
            return Ok(());
        }
        let size_bytes =
            lock(&self.unpacked).iter().find(|(index, _)| *index == layer.index).map_or(0, |(_, size)| *size);
        let record = Layer {
            chain_id: layer.chain_id.clone(),
            diff_id: layer.diff_id.clone(),
            parent: layer.parent.clone(),
            cache_id: String::new(),
            size_bytes,
        };
        registered.intents.push(self.engine.intend(&[], std::slice::from_ref(&layer.chain_id))?);
        self.engine.adopt_layer(record, &self.staging.path(layer.index))?;
        tracing::debug!(chain = %layer.chain_id, blob = %layer.blob, size_bytes, "layer registered");
        registered.chain_ids.push(layer.chain_id.clone());
        Ok(())
    }

    fn discard(&self, layer: &LayerToPull) {
        let registered = lock(&self.registered);
        // What is only staged goes with the staging directory. The lock has been held since the layer was registered, so
        // nobody can have come to need it.
        if registered.chain_ids.contains(&layer.chain_id)
            && let Err(error) = self.engine.drop_layer(&layer.chain_id)
        {
            tracing::error!(layer = %layer.chain_id, %error, "a layer of the failed pull stays until the next sweep");
        }
    }
}

/// A mutex whose holder panicked still has the last complete value.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
