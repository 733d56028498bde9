//! Images: listing them, finding one by any of its names, and what is known of it.

use jiff::Timestamp;

use super::config::Time;
use super::{Engine, EngineError};
use crate::driver::GraphData;
use crate::image::{Digest, ImageConfig, Reference};
use crate::layer::chain_ids;
use crate::store::repositories::is_digest;
use crate::store::{Repositories, StoreError};

/// What a list of images shows of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// The digest of its configuration.
    pub id: Digest,
    /// `httpd:latest` each.
    pub tags: Vec<String>,
    /// `httpd@sha256:…` each.
    pub digests: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Bytes of the regular files of all its layers.
    pub size_bytes: u64,
    /// The image it was made from on this host.
    pub parent: Option<Digest>,
}

/// One image with all that is known of it.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of its configuration.
    pub id: Digest,
    /// Its configuration.
    pub config: ImageConfig,
    /// `httpd:latest` each.
    pub tags: Vec<String>,
    /// `httpd@sha256:…` each.
    pub digests: Vec<String>,
    /// The image it was made from on this host.
    pub parent: Option<Digest>,
    /// Bytes of the regular files of all its layers.
    pub size_bytes: u64,
    /// When it was last made or tagged on this host.
    pub last_tag_time: Option<Timestamp>,
    /// The directories of its top layer.
    pub graph: GraphData,
}

impl Image {
    /// When it was made.
    pub fn created(&self) -> Timestamp {
        self.config.view().created.parse().unwrap_or(Time::ZERO.timestamp())
    }
}

impl Engine {
    /// All images, newest first, those without a name too.
    pub fn images(&self) -> Result<Vec<ImageSummary>, EngineError> {
        let names = self.store.repositories()?;
        let ids = self.store.images.all()?;
        let mut images = ids.iter().map(|id| self.summary(id, &names)).collect::<Result<Vec<_>, _>>()?;
        images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        Ok(images)
    }

    /// The image that `name` means: a tag, a digest, an ID, or the beginning of one.
    pub fn image(&self, name: &str) -> Result<Image, EngineError> {
        let id = self.image_id(name)?;
        let config = self.image_config(&id)?;
        let graph = match self.top_layer(&config) {
            Some(top) => self.driver.graph(&self.store.layers.get(&top)?.cache_id)?,
            None => GraphData { name: self.driver.name().to_owned(), data: Vec::new() },
        };
        let last_tag_time = self.store.images.last_updated(&id)?;
        let ImageSummary { tags, digests, parent, size_bytes, .. } = self.image_summary(&id)?;
        Ok(Image { id, config, tags, digests, parent, size_bytes, last_tag_time, graph })
    }

    /// The ID of the image that `name` means and those of all that were made from it on this host; none when there is no such
    /// image.
    pub fn with_descendants(&self, name: &str) -> Result<Vec<String>, EngineError> {
        let mut family = match self.image_id(name) {
            Ok(id) => vec![id],
            Err(EngineError::NoSuchImage(_) | EngineError::Reference(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        let images = self.images()?;
        let mut next = 0;
        while let Some(parent) = family.get(next).cloned() {
            family.extend(
                images.iter().filter(|image| image.parent.as_ref() == Some(&parent)).map(|image| image.id.clone()),
            );
            next += 1;
        }
        Ok(family.iter().map(ToString::to_string).collect())
    }

    pub(super) fn image_config(&self, id: &Digest) -> Result<ImageConfig, EngineError> {
        Ok(ImageConfig::from_raw(self.store.images.config(id)?)?)
    }

    /// The chain ID of an image's top layer.
    pub(super) fn top_layer(&self, config: &ImageConfig) -> Option<Digest> {
        chain_ids(&config.view().rootfs.diff_ids).pop()
    }

    /// What a list shows of the image `id`.
    pub(super) fn image_summary(&self, id: &Digest) -> Result<ImageSummary, EngineError> {
        self.summary(id, &self.store.repositories()?)
    }

    fn summary(&self, id: &Digest, names: &Repositories) -> Result<ImageSummary, EngineError> {
        let config = self.image_config(id)?;
        let (digests, tags) = names.names_of(id).map(|(_, name)| name.to_owned()).partition(|name| is_digest(name));
        let mut size_bytes = 0;
        for chain_id in chain_ids(&config.view().rootfs.diff_ids) {
            size_bytes += self.store.layers.size_bytes(&chain_id)?;
        }
        let created = config.view().created.parse().unwrap_or(Time::ZERO.timestamp());
        Ok(ImageSummary { id: id.clone(), tags, digests, created, size_bytes, parent: self.store.images.parent(id)? })
    }

    /// The ID of the image that `name` means.
    pub fn image_id(&self, name: &str) -> Result<Digest, EngineError> {
        if let Some(id) = name.parse().ok().or_else(|| Digest::from_hex(name).ok()) {
            return if self.store.images.has(&id) { Ok(id) } else { Err(EngineError::NoSuchImage(name.to_owned())) };
        }
        let reference = Reference::parse(name)?.with_default_tag();
        if let Some(id) = self.store.repositories()?.get(&reference.familiar_name(), &reference.familiar()) {
            return Ok(id.clone());
        }
        match self.image_by_prefix(name)? {
            Some(id) => Ok(id),
            None => Err(EngineError::NoSuchImage(reference.familiar())),
        }
    }

    /// The one image whose ID begins with `prefix`.
    fn image_by_prefix(&self, prefix: &str) -> Result<Option<Digest>, StoreError> {
        let prefix = prefix.strip_prefix("sha256:").unwrap_or(prefix);
        let mut fitting = self.store.images.all()?.into_iter().filter(|id| id.hex().starts_with(prefix));
        let found = fitting.next();
        Ok(if fitting.next().is_none() { found } else { None })
    }
}
