//! A container's changes as an image: the diff of its writable layer becomes a layer, its settings the image's.

use std::io;
use std::path::Path;
use std::thread;

use super::{Engine, EngineError, change, error::failed};
use crate::image::config::{ConfigView, History, RunConfig};
use crate::image::{Digest, ImageConfig, Reference};
use crate::layer::{Change, PACKING_STACK_BYTES, Packed, blocks, chain_id};
use crate::store::{Layer, Staging};

/// How the new image is to be called and described.
#[derive(Debug, Clone, Default)]
pub struct CommitSpec {
    /// Its name; without one it is only known by its ID.
    pub reference: Option<Reference>,
    /// Who made it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// Dockerfile instructions to apply to its settings.
    pub changes: Vec<String>,
    /// Stop the container's processes meanwhile.
    pub pause: bool,
}

/// What a new image is described by, beside what its container says.
pub(super) struct Description<'a> {
    /// The container it is made of, if there was one.
    pub container: &'a str,
    pub config: RunConfig,
    /// What the container ran with.
    pub container_config: RunConfig,
    pub command: Vec<String>,
    pub author: &'a str,
    pub comment: &'a str,
}

impl Engine {
    /// What a container changed against its image, parents before children.
    pub fn diff(&self, id: &str) -> Result<Vec<Change>, EngineError> {
        let held = self.share_layer(&self.container(id)?.id)?;
        let mount = self.store.layers.mount(&held.container.id)?;
        Ok(self.driver.changes(&mount.mount_id, &mount.init_id)?)
    }

    /// Makes an image of a container and says its ID.
    pub fn commit(&self, id: &str, spec: &CommitSpec) -> Result<Digest, EngineError> {
        let held = self.share_layer(&self.container(id)?.id)?;
        let container = &held.container;
        let base_id: Digest =
            container.config.image.parse().map_err(|_| EngineError::NoSuchImage(container.config.image.clone()))?;
        let base = self.image_config(&base_id)?;
        let mut config = container.config.config.clone();
        change::apply(&spec.changes, &mut config)?;
        let paused = if spec.pause && container.config.state.running { Some(self.pause(container)?) } else { None };
        let mount = self.store.layers.mount(&container.id)?;
        let description = Description {
            container: &container.id,
            command: container.config.config.cmd.clone().unwrap_or_default(),
            container_config: container.config.config.clone(),
            config,
            author: &spec.author,
            comment: &spec.comment,
        };
        let staging = Staging::new(self.store.data_root())?;
        let content = staging.layer(0)?;
        let copied = self.copy_layer(&mount.mount_id, Some(&mount.init_id), &content);
        drop(paused);
        let lock = self.store.lock()?;
        self.sweep()?;
        let id = self.put_child(base.view().clone(), Some(&base_id), mount.parent, &content, copied?, description)?;
        self.store.images.set_last_updated(&id, self.clock.now())?;
        if let Some(reference) = &spec.reference {
            self.set_name(&id, reference)?;
        }
        drop(lock);
        tracing::debug!(image = %id, container = container.id, "committed");
        Ok(id)
    }

    /// Makes an image of the view of the one below and of one more layer, which waits at `content`. To be called under the
    /// store's lock.
    pub(super) fn put_child(
        &self,
        mut view: ConfigView,
        below: Option<&Digest>,
        top: Option<Digest>,
        content: &Path,
        (packed, size_bytes): (Packed, u64),
        description: Description,
    ) -> Result<Digest, EngineError> {
        let layer = (packed.entries > 0).then(|| Layer {
            chain_id: chain_id(top.as_ref(), &packed.diff_id),
            diff_id: packed.diff_id,
            parent: top,
            cache_id: String::new(),
            size_bytes,
        });
        if layer.is_some() {
            self.refuse_depth(view.rootfs.diff_ids.len() + 1)?;
        }
        describe(&mut view, description, layer.as_ref().map(|layer| layer.diff_id.clone()), self.clock.now());
        let image = ImageConfig::from_view(view)?;
        let chain_ids: Vec<Digest> = layer.iter().map(|layer| layer.chain_id.clone()).collect();
        let intent = self.intend(&[], &chain_ids)?;
        if let Some(layer) = layer.filter(|layer| !self.store.layers.has(&layer.chain_id)) {
            self.adopt_layer(layer, content)?;
        }
        let id = self.store.images.put(image.raw())?;
        if let Some(below) = below {
            self.store.images.set_parent(&id, below)?;
        }
        intent.done()?;
        Ok(id)
    }

    /// Refuses an image of so many layers if its containers could not be mounted.
    pub(super) fn refuse_depth(&self, layers: usize) -> Result<(), EngineError> {
        if layers > self.driver.layers_max() { Err(EngineError::MaxDepth) } else { Ok(()) }
    }

    /// Packs what the driver's layer `id` changes against `parent`, right below it, and unpacks it at `content` as it flows.
    pub(super) fn copy_layer(
        &self,
        id: &str,
        parent: Option<&str>,
        content: &Path,
    ) -> Result<(Packed, u64), EngineError> {
        let (mut reader, mut writer) = blocks();
        thread::scope(|scope| {
            let thread = thread::Builder::new().stack_size(PACKING_STACK_BYTES);
            let packing = thread.spawn_scoped(scope, move || self.driver.pack(id, parent, &mut writer));
            let packing = packing.map_err(failed("start a thread for", content))?;
            let unpacked = self.unpack_layer(&mut reader, content);
            drop(reader);
            let packed =
                packing.join().map_err(|_| failed("pack", content)(io::Error::other("the packing thread panicked")))?;
            // When both fail, unpacking broke the pipe.
            let unpacked = unpacked?;
            Ok((packed?, self.driver.size_bytes(&unpacked)))
        })
    }
}

/// Turns the view of the base image into that of the new one, as dockerd's `image.NewChildImage` does.
fn describe(view: &mut ConfigView, description: Description, layer: Option<Digest>, now: jiff::Timestamp) {
    let created = now.to_string();
    view.history.push(History {
        created: created.clone(),
        author: description.author.to_owned(),
        created_by: description.command.join(" "),
        comment: description.comment.to_owned(),
        empty_layer: layer.is_none(),
        ..History::default()
    });
    view.rootfs.diff_ids.extend(layer);
    view.created = created;
    view.author = description.author.to_owned();
    view.comment = String::new();
    view.container = description.container.to_owned();
    view.container_config = Some(description.container_config);
    view.config = Some(description.config);
    view.docker_version = crate::VERSION.to_owned();
}
