//! Removing what nobody uses: containers that do not run, images without a name or without a container.
//!
//! The rules are dockerd's (`ContainersPrune`, `ImagesPrune` of Docker 20.10).

use std::collections::HashMap;

use super::{Container, Engine, EngineError, ImageSummary, RemovedImage};
use crate::image::RunConfig;

impl Engine {
    /// Removes the containers that do not run and that `fits` chooses; says their IDs, and the bytes that they had written.
    pub fn prune_containers(&self, fits: &dyn Fn(&Container) -> bool) -> Result<(Vec<String>, u64), EngineError> {
        let (mut ids, mut reclaimed_bytes) = (Vec::new(), 0);
        for container in self.containers()?.into_iter().filter(|container| !container.config.state.running) {
            if !fits(&container) {
                continue;
            }
            let (own_bytes, _) = self.container_size_bytes(&container)?;
            match self.remove_container(&container.id, false, false) {
                Ok(()) => {
                    ids.push(container.id);
                    reclaimed_bytes += own_bytes;
                }
                // Somebody has started or removed it meanwhile.
                Err(EngineError::RemoveRunning(_) | EngineError::NoSuchContainer(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((ids, reclaimed_bytes))
    }

    /// Removes images that `fits` chooses: those without a tag, or with `all` those that no container uses. Says what went, and
    /// the bytes of the layers among it.
    pub fn prune_images(
        &self,
        all: bool,
        fits: &dyn Fn(&ImageSummary, Option<&RunConfig>) -> bool,
    ) -> Result<(Vec<RemovedImage>, u64), EngineError> {
        let mut sizes_bytes = HashMap::new();
        for chain_id in self.store.layers.all()? {
            let size_bytes = self.store.layers.get(&chain_id)?.size_bytes;
            sizes_bytes.insert(chain_id, size_bytes);
        }
        let images = self.images()?;
        let has_child = |image: &ImageSummary| images.iter().any(|other| other.parent.as_ref() == Some(&image.id));
        let mut removed = Vec::new();
        for image in &images {
            let is_named = !image.tags.is_empty() || !image.digests.is_empty();
            let is_meant = if all { is_named || !has_child(image) } else { image.tags.is_empty() && !has_child(image) };
            if !is_meant || !fits(image, self.image_config(&image.id)?.view().config.as_ref()) {
                continue;
            }
            let mut names: Vec<String> = image.tags.iter().chain(&image.digests).cloned().collect();
            if !is_named {
                names.push(image.id.to_string());
            }
            for name in names {
                match self.remove_image(&name, false) {
                    Ok(lines) => removed.extend(lines),
                    // It is in use, or has gone with another.
                    Err(EngineError::Conflict(_) | EngineError::NoSuchImage(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let reclaimed = removed.iter().filter_map(|removed| match removed {
            RemovedImage::Deleted(chain_id) => sizes_bytes.get(chain_id),
            RemovedImage::Untagged(_) => None,
        });
        let reclaimed_bytes = reclaimed.sum();
        Ok((removed, reclaimed_bytes))
    }
}
