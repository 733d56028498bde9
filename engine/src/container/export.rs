//! Layers and whole containers as tars, for whoever carries them elsewhere.

use std::io::{self, Write};

use super::{Engine, EngineError};
use crate::driver::DriverError;
use crate::layer::tar_split::{assemble, tar_size_bytes};
use crate::layer::{OverlayXattr, PackOptions, pack_unnamed};
use crate::store::{Layer, StoreError};
use crate::sys::owners::{group_name, user_name};

impl Engine {
    /// Writes the file system of a container, running or not, as a tar.
    pub fn export(&self, id: &str, out: &mut dyn Write) -> Result<(), EngineError> {
        let held = self.share_layer(&self.container(id)?.id)?;
        let view = self.driver.view(&self.store.layers.mount(&held.container.id)?.mount_id)?;
        let options = PackOptions { overlay: OverlayXattr::None, user_name: &user_name, group_name: &group_name };
        pack_unnamed(view.path(), &options, out).map_err(DriverError::from)?;
        Ok(())
    }

    /// The length of the tar that `layer` came as.
    pub(super) fn layer_tar_size_bytes(&self, layer: &Layer) -> Result<u64, EngineError> {
        Ok(tar_size_bytes(self.tar_split(layer)?)?)
    }

    /// Writes the very tar that `layer` came as.
    pub(super) fn write_layer_tar(&self, layer: &Layer, out: &mut dyn Write) -> Result<(), EngineError> {
        Ok(assemble(self.tar_split(layer)?, &self.driver.own_files(&layer.cache_id), out)?)
    }

    fn tar_split(&self, layer: &Layer) -> Result<std::fs::File, EngineError> {
        self.store.layers.tar_split(&layer.chain_id).map_err(|error| match error {
            StoreError::Io { path, source, .. } if source.kind() == io::ErrorKind::NotFound => {
                EngineError::Missing { path }
            }
            other => other.into(),
        })
    }
}
