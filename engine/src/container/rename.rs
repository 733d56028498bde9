//! Giving a container another name.

use super::{Engine, EngineError};

impl Engine {
    /// Calls the container `id` `name` from now on.
    pub fn rename(&self, id: &str, name: &str) -> Result<(), EngineError> {
        let container = self.container(id)?;
        let plain = name.strip_prefix('/').unwrap_or(name);
        if plain == container.config.plain_name() {
            return Err(EngineError::SameName);
        }
        let _lock = self.store.lock()?;
        let name = self.free_name(Some(format!("/{plain}"))).map_err(|error| EngineError::NewName(Box::new(error)))?;
        self.update(&container.id, |container| container.config.name = format!("/{name}"))?;
        Ok(())
    }
}
