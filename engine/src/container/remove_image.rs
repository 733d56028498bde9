//! Removing images: first names, then the image, then the layers and parents that nothing else needs.
//!
//! The rules are dockerd's (`daemon/images/image_delete.go` of Docker 20.10), seen in recordings.

use super::needs::Needs;
use super::{Container, Engine, EngineError};
use crate::image::{Digest, Reference};
use crate::layer::chain_ids;
use crate::store::Repositories;
use crate::store::repositories::is_digest;

/// One line of what was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemovedImage {
    /// A name or a digest reference.
    Untagged(String),
    /// An image, or a layer by its chain ID.
    Deleted(Digest),
}

/// Layers that nothing needs any more.
pub(super) struct Released {
    /// Those that went, by chain ID, the topmost first.
    pub removed: Vec<Digest>,
    /// None is left because somebody reads it.
    pub is_all: bool,
}

/// Why an image cannot go.
struct Conflict {
    /// Force does not help.
    hard: bool,
    /// A container is the reason.
    used: bool,
    reason: String,
}

impl Conflict {
    fn into_error(self, image: &Digest) -> EngineError {
        let force = if self.hard { "cannot be forced" } else { "must be forced" };
        EngineError::Conflict(format!("unable to delete {} ({force}) - {}", image.short(), self.reason))
    }
}

impl Engine {
    /// Removes the name `name`, and the image with it when that was its last; by ID, all names of one repository.
    pub fn remove_image(&self, name: &str, force: bool) -> Result<Vec<RemovedImage>, EngineError> {
        let _lock = self.store.lock()?;
        self.sweep()?;
        let mut removed = Vec::new();
        self.remove_image_under_lock(name, force, &mut self.needs()?, &mut removed)?;
        Ok(removed)
    }

    /// [`Engine::remove_image`] under the store's lock, since when `needs` has been counted; what went before something else failed is in
    /// `removed` too.
    pub(super) fn remove_image_under_lock(
        &self,
        name: &str,
        force: bool,
        needs: &mut Needs,
        removed: &mut Vec<RemovedImage>,
    ) -> Result<(), EngineError> {
        let image = self.image_id(name)?;
        let mut names = self.store.repositories()?;
        let by_name = !is_id(name, &image);
        if by_name {
            let reference = Reference::parse(name)?.with_default_tag();
            let (repository, familiar) = (reference.familiar_name(), reference.familiar());
            if !force && is_single(&names, &image) {
                self.refuse_if_used(name, &image)?;
            }
            self.untag(&mut names, &repository, &familiar, removed)?;
            let rest: Vec<_> = owned_names(&names, &image);
            let same_repository = rest.iter().filter(|(other, _)| *other == repository);
            if !is_digest(&familiar) && same_repository.clone().all(|(_, name)| is_digest(name)) {
                for (repository, name) in same_repository {
                    self.untag(&mut names, repository, name, removed)?;
                }
            }
            if names.names_of(&image).next().is_some() {
                return Ok(());
            }
        } else if is_single(&names, &image) {
            let conflict = self.conflict(&names, &image, force, false, needs)?;
            if let Some(conflict) = conflict {
                return Err(conflict.into_error(&image));
            }
            for (repository, name) in owned_names(&names, &image) {
                self.untag(&mut names, &repository, &name, removed)?;
            }
        }
        self.delete(&mut names, &image, force, by_name, needs, removed)
    }

    fn refuse_if_used(&self, name: &str, image: &Digest) -> Result<(), EngineError> {
        let Some(user) = self.containers()?.into_iter().find(|container| container.config.image == image.to_string())
        else {
            return Ok(());
        };
        Err(EngineError::Conflict(format!(
            "unable to remove repository reference {name:?} (must force) - container {} is using its referenced image {}",
            user.config.short_id(),
            image.short()
        )))
    }

    fn untag(
        &self,
        names: &mut Repositories,
        repository: &str,
        name: &str,
        removed: &mut Vec<RemovedImage>,
    ) -> Result<(), EngineError> {
        if names.remove(repository, name) {
            self.store.save_repositories(names)?;
            removed.push(RemovedImage::Untagged(name.to_owned()));
        }
        Ok(())
    }

    /// Deletes an image and, going up, parents that nobody needs. `quiet` swallows conflicts of an image that is named or
    /// not used: its names were all that was asked to go.
    fn delete(
        &self,
        names: &mut Repositories,
        image: &Digest,
        force: bool,
        quiet: bool,
        needs: &mut Needs,
        removed: &mut Vec<RemovedImage>,
    ) -> Result<(), EngineError> {
        if let Some(conflict) = self.conflict(names, image, force, true, needs)? {
            let dangling = names.names_of(image).next().is_none() && !needs.has_children(image);
            return if quiet && (!dangling || conflict.used) { Ok(()) } else { Err(conflict.into_error(image)) };
        }
        let parent = self.store.images.parent(image)?;
        for (repository, name) in owned_names(names, image) {
            self.untag(names, &repository, &name, removed)?;
        }
        let config = self.image_config(image)?;
        let mut chain = chain_ids(&config.view().rootfs.diff_ids);
        chain.reverse();
        let intent = self.intend(&[], &chain)?;
        self.store.images.remove(image)?;
        needs.forget(&config, parent.as_ref());
        removed.push(RemovedImage::Deleted(image.clone()));
        let released = self.release_layers(self.top_layer(&config), needs)?;
        removed.extend(released.removed.into_iter().map(RemovedImage::Deleted));
        if released.is_all {
            intent.done()?;
        }
        match parent {
            Some(parent) if self.store.images.has(&parent) => self.delete(names, &parent, false, true, needs, removed),
            _ => Ok(()),
        }
    }

    /// What speaks against deleting `image`; with `names_count` also that it still has names.
    fn conflict(
        &self,
        names: &Repositories,
        image: &Digest,
        force: bool,
        names_count: bool,
        needs: &Needs,
    ) -> Result<Option<Conflict>, EngineError> {
        let hard = |used, reason| Some(Conflict { hard: true, used, reason });
        let soft = |used, reason| Some(Conflict { hard: false, used, reason });
        if needs.has_children(image) {
            return Ok(hard(false, "image has dependent child images".to_owned()));
        }
        let users: Vec<Container> =
            self.containers()?.into_iter().filter(|user| user.config.image == image.to_string()).collect();
        if let Some(user) = users.iter().find(|user| user.config.state.running) {
            return Ok(hard(true, format!("image is being used by running container {}", user.config.short_id())));
        }
        if force {
            return Ok(None);
        }
        if names_count && names.names_of(image).next().is_some() {
            return Ok(soft(false, "image is referenced in multiple repositories".to_owned()));
        }
        Ok(users.first().and_then(|user| {
            soft(true, format!("image is being used by stopped container {}", user.config.short_id()))
        }))
    }

    /// Deletes the layers from `top` down to the first that an image or a container still needs, or that somebody reads.
    pub(super) fn release_layers(&self, top: Option<Digest>, needs: &Needs) -> Result<Released, EngineError> {
        let mut removed = Vec::new();
        let mut next = top;
        while let Some(chain_id) = next.filter(|chain_id| !needs.is_layer_needed(chain_id)) {
            if self.is_leased(&chain_id)? {
                return Ok(Released { removed, is_all: false });
            }
            next = self.store.layers.get(&chain_id)?.parent;
            self.drop_layer(&chain_id)?;
            removed.push(chain_id);
        }
        Ok(Released { removed, is_all: true })
    }

    /// Deletes one layer: its record first, so that no record ever names a directory that is gone.
    pub(super) fn drop_layer(&self, chain_id: &Digest) -> Result<(), EngineError> {
        let layer = self.store.layers.get(chain_id)?;
        let intent = self.intend(&[&layer.cache_id], &[])?;
        self.store.layers.remove(chain_id)?;
        self.driver.remove(&layer.cache_id)?;
        intent.done()
    }
}

/// Whether `name` is an ID of `image`, or the beginning of one, rather than one of its names.
fn is_id(name: &str, image: &Digest) -> bool {
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    !hex.is_empty() && image.hex().starts_with(hex)
}

/// Whether all names of an image lie in one repository, with one tag at most.
fn is_single(names: &Repositories, image: &Digest) -> bool {
    let all: Vec<_> = names.names_of(image).collect();
    let one_repository = all.iter().all(|(repository, _)| all.first().is_some_and(|(first, _)| first == repository));
    one_repository && all.iter().filter(|(_, name)| !is_digest(name)).count() <= 1
}

fn owned_names(names: &Repositories, image: &Digest) -> Vec<(String, String)> {
    let mut all: Vec<_> =
        names.names_of(image).map(|(repository, name)| (repository.to_owned(), name.to_owned())).collect();
    // Tags before digests, as Docker lists them.
    all.sort_by_key(|(repository, name)| (repository.clone(), is_digest(name), name.clone()));
    all
}
