//! Giving images names.

use super::{Engine, EngineError};
use crate::image::{Digest, Reference};

impl Engine {
    /// Gives the image that `source` means one more name; an image that had it loses it.
    pub fn tag(&self, source: &str, target: &Reference) -> Result<(), EngineError> {
        let _lock = self.store.lock()?;
        self.set_name(&self.image_id(source)?, target)
    }

    /// [`Engine::tag`] for an image that is known.
    pub fn name_image(&self, id: &Digest, target: &Reference) -> Result<(), EngineError> {
        let _lock = self.store.lock()?;
        self.set_name(id, target)
    }

    /// To be called under the store's lock.
    pub(super) fn set_name(&self, id: &Digest, target: &Reference) -> Result<(), EngineError> {
        let target = target.clone().with_default_tag();
        let mut names = self.store.repositories()?;
        names.set(&target.familiar_name(), &target.familiar(), id);
        self.store.save_repositories(&names)?;
        // dockerd notes the time for `LastTagTime`.
        Ok(self.store.images.set_last_updated(id, self.clock.now())?)
    }
}
