//! Removing what nobody uses: containers that do not run, images without a name or without a container.
//!
//! The rules are dockerd's (`ContainersPrune`, `ImagesPrune` of Docker 20.10). What cannot be removed does not keep the rest.

use std::collections::{HashMap, HashSet};

use super::needs::Needs;
use super::{Container, Engine, EngineError, ImageSummary, RemovedImage};
use crate::image::{Digest, RunConfig};

/// So many images go before another command may have its turn: who needs what is counted once for all of them.
const UNDER_ONE_LOCK: usize = 100;

/// What went, and what would not go.
#[derive(Debug)]
pub struct Pruned<T> {
    /// What was removed, in order.
    pub removed: Vec<T>,
    /// The bytes that this gave back.
    pub reclaimed_bytes: u64,
    /// Why something that was meant to go is still there: the first reason.
    pub failure: Option<EngineError>,
}

impl<T> Default for Pruned<T> {
    fn default() -> Pruned<T> {
        Pruned { removed: Vec::new(), reclaimed_bytes: 0, failure: None }
    }
}

impl<T> Pruned<T> {
    pub(super) fn has_failed(&mut self, error: EngineError) {
        tracing::warn!(%error, "something is not pruned");
        self.failure.get_or_insert(error);
    }
}

impl Engine {
    /// Removes the containers that do not run and that `fits` chooses; says their IDs, and the bytes that they had written.
    pub fn prune_containers(&self, fits: &dyn Fn(&Container) -> bool) -> Result<Pruned<String>, EngineError> {
        let mut pruned = Pruned::default();
        for container in self.containers()?.into_iter().filter(|container| !container.config.state.running) {
            if !fits(&container) {
                continue;
            }
            // Of one that somebody has removed meanwhile there is nothing to measure.
            let own_bytes = self.container_size_bytes(&container).map_or(0, |(own_bytes, _)| own_bytes);
            match self.remove_container(&container.id, false, false) {
                Ok(()) => {
                    pruned.removed.push(container.id);
                    pruned.reclaimed_bytes += own_bytes;
                }
                // Somebody has started or removed it meanwhile.
                Err(EngineError::RemoveRunning(_) | EngineError::NoSuchContainer(_)) => {}
                Err(error) => pruned.has_failed(error),
            }
        }
        Ok(pruned)
    }

    /// Removes images that `fits` chooses: those without a tag, or with `all` those that no container uses. Says what went, and
    /// the bytes of the layers among it.
    pub fn prune_images(
        &self,
        all: bool,
        fits: &dyn Fn(&ImageSummary, Option<&RunConfig>) -> bool,
    ) -> Result<Pruned<RemovedImage>, EngineError> {
        let mut sizes_bytes = HashMap::new();
        let images = {
            let _lock = self.store.lock()?;
            self.sweep()?;
            for chain_id in self.store.layers.all()? {
                let size_bytes = self.store.layers.get(&chain_id)?.size_bytes;
                sizes_bytes.insert(chain_id, size_bytes);
            }
            self.images()?
        };
        let parents: HashSet<&Digest> = images.iter().filter_map(|image| image.parent.as_ref()).collect();
        let mut pruned = Pruned::default();
        let is_meant = |image: &&ImageSummary| {
            let is_named = !image.tags.is_empty() || !image.digests.is_empty();
            let is_last = !parents.contains(&image.id);
            if all { is_named || is_last } else { image.tags.is_empty() && is_last }
        };
        let meant: Vec<&ImageSummary> = images.iter().filter(is_meant).collect();
        for some in meant.chunks(UNDER_ONE_LOCK) {
            let mut chosen = Vec::new();
            for image in some {
                match self.is_chosen(image, fits) {
                    Ok(true) => chosen.push(image),
                    Ok(false) => {}
                    Err(error) => pruned.has_failed(error),
                }
            }
            let counted = self.store.lock().map_err(Into::into).and_then(|lock| Ok((lock, self.needs()?)));
            let (_lock, mut needs) = match counted {
                Ok(counted) => counted,
                // What went is told all the same.
                Err(error) => {
                    pruned.has_failed(error);
                    break;
                }
            };
            for image in chosen {
                if let Err(error) = self.prune_image(image, &mut needs, &mut pruned.removed) {
                    pruned.has_failed(error);
                }
            }
        }
        let reclaimed = pruned.removed.iter().filter_map(|removed| match removed {
            RemovedImage::Deleted(chain_id) => sizes_bytes.get(chain_id),
            RemovedImage::Untagged(_) => None,
        });
        pruned.reclaimed_bytes = reclaimed.sum();
        Ok(pruned)
    }

    /// Whether an image is still there, and `fits` wants it to go.
    fn is_chosen(
        &self,
        image: &ImageSummary,
        fits: &dyn Fn(&ImageSummary, Option<&RunConfig>) -> bool,
    ) -> Result<bool, EngineError> {
        Ok(self.store.images.has(&image.id) && fits(image, self.image_config(&image.id)?.view().config.as_ref()))
    }

    /// Removes one image as it was when it was chosen; one that has gone or has other names since stays as it is. To be called under the store's
    /// lock, since when `needs` has been counted.
    fn prune_image(
        &self,
        image: &ImageSummary,
        needs: &mut Needs,
        removed: &mut Vec<RemovedImage>,
    ) -> Result<(), EngineError> {
        if !self.store.images.has(&image.id) {
            return Ok(());
        }
        let now = self.image_summary(&image.id)?;
        if (&now.tags, &now.digests) != (&image.tags, &image.digests) {
            return Ok(());
        }
        let mut names: Vec<String> = now.tags.into_iter().chain(now.digests).collect();
        if names.is_empty() {
            names.push(image.id.to_string());
        }
        for name in names {
            match self.remove_image_under_lock(&name, false, needs, removed) {
                // It is in use, or has gone with another.
                Err(EngineError::Conflict(_) | EngineError::NoSuchImage(_)) => {}
                other => other?,
            }
        }
        Ok(())
    }
}
