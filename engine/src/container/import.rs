//! A tar as an image of one layer.

use std::io::{self, Read};

use super::error::failed;
use super::load::LoadError;
use super::{Engine, EngineError, change};
use crate::image::config::{ConfigView, History, RootFs, RunConfig};
use crate::image::manifest::Platform;
use crate::image::{Digest, ImageConfig, Reference};
use crate::layer::{AsideReader, UnpackError, Unpacked, decompressed};
use crate::store::{Layer, Staging};

/// How the new image is to be called and described.
#[derive(Debug, Clone, Default)]
pub struct ImportSpec {
    /// Its name; without one it is only known by its ID.
    pub reference: Option<Reference>,
    /// Why; where it came from when nothing is said.
    pub message: String,
    /// Dockerfile instructions to apply to its settings.
    pub changes: Vec<String>,
}

impl Engine {
    /// Makes an image of a tar, which may be compressed, and says its ID.
    pub fn import(&self, tar: impl Read, spec: &ImportSpec) -> Result<Digest, EngineError> {
        let mut config = RunConfig::default();
        change::apply(&spec.changes, &mut config)?;
        if spec.reference.as_ref().is_some_and(|name| name.digest().is_some()) {
            return Err(EngineError::Change("cannot import digest reference".to_owned()));
        }
        let staging = Staging::for_import(self.store.data_root())?;
        let content = staging.layer(0)?;
        let tar = decompressed(tar).map_err(LoadError::Stream)?;
        let (diff_id, unpacked) = self.unpack_digested(tar, &content)?;

        let now = self.clock.now();
        let comment = if spec.message.is_empty() { "Imported from -".to_owned() } else { spec.message.clone() };
        let view = ConfigView {
            architecture: Platform::host().architecture,
            os: "linux".to_owned(),
            docker_version: crate::VERSION.to_owned(),
            created: now.to_string(),
            comment: comment.clone(),
            config: Some(config),
            container_config: Some(RunConfig::default()),
            history: vec![History { created: now.to_string(), comment, ..History::default() }],
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![diff_id.clone()] },
            ..ConfigView::default()
        };
        let image = ImageConfig::from_view(view)?;
        let layer = Layer {
            chain_id: diff_id.clone(),
            diff_id,
            parent: None,
            cache_id: String::new(),
            size_bytes: self.driver.size_bytes(&unpacked),
        };
        let _lock = self.store.lock()?;
        self.sweep()?;
        let intent = self.intend(&[], std::slice::from_ref(&layer.chain_id))?;
        if !self.store.layers.has(&layer.chain_id) {
            self.adopt_layer(layer, &content)?;
        }
        let id = self.store.images.put(image.raw())?;
        if let Some(reference) = &spec.reference {
            self.set_name(&id, reference)?;
        }
        intent.done()?;
        Ok(id)
    }

    /// Unpacks a tar that came from outside, and gives its digest.
    pub(super) fn unpack_digested(
        &self,
        tar: impl Read,
        content: &std::path::Path,
    ) -> Result<(Digest, Unpacked), EngineError> {
        let mut tar = AsideReader::new(tar).map_err(failed("start a thread for", content))?;
        let unpacked = self.unpack_layer(&mut tar, content).map_err(|error| match error {
            EngineError::Unpack(UnpackError::Archive(error)) => LoadError::Tar(error).into(),
            other => other,
        })?;
        io::copy(&mut tar, &mut io::sink()).map_err(LoadError::Stream)?;
        let digest = tar.finish().map_err(failed("hash", content))?;
        Ok((digest, unpacked))
    }
}
