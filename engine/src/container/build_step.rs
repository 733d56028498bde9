//! What a build needs of the engine: containers and layers for single steps, and the images they make.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::commit::Description;
use super::config::HostConfig;
use super::error::failed;
use super::stream::Frame;
use super::{Container, Engine, EngineError};
use crate::driver::View;
use crate::image::config::ConfigView;
use crate::image::config::RootFs;
use crate::image::manifest::Platform;
use crate::image::{Digest, RunConfig};
use crate::store::Staging;

/// The image that a step makes.
#[derive(Debug, Clone)]
pub struct StepImage<'a> {
    /// The image of the step before; nothing for the first step after `FROM scratch`.
    pub below: Option<&'a Digest>,
    /// The settings of the image.
    pub config: RunConfig,
    /// What the step ran with; the next build finds the image by this.
    pub container_config: RunConfig,
    /// Who made it.
    pub author: &'a str,
}

impl Engine {
    /// Makes the container of a step. Its image is `run.image`, or none at all when that is empty.
    pub fn create_step(&self, run: RunConfig, network: &str) -> Result<(Container, Vec<String>), EngineError> {
        let network_mode = if network.is_empty() { "default".to_owned() } else { network.to_owned() };
        let host = HostConfig { network_mode, ..HostConfig::default() };
        let image = if run.image.is_empty() { None } else { Some(self.image_id(&run.image)?) };
        self.create_on(image.as_ref(), run, host, None)
    }

    /// Runs the container of a step to its end and says its exit code. `show` gets its output; the flag tells error output.
    pub fn run_step(&self, id: &str, show: &mut dyn FnMut(bool, &[u8])) -> Result<i64, EngineError> {
        let broken = |error| failed("talk to the monitor in", &self.run_directory(id))(error);
        let (mut socket, monitors) = UnixStream::pair().map_err(broken)?;
        self.start_monitor(id, Some(monitors))?;
        socket.shutdown(Shutdown::Write).map_err(broken)?;
        let mut code = None;
        while let Some(frame) = Frame::read_from(&mut socket).map_err(broken)? {
            match frame {
                Frame::Stdout(bytes) => show(false, &bytes),
                Frame::Stderr(bytes) => show(true, &bytes),
                Frame::Exit(exit) => {
                    code = Some(i64::from(exit));
                    break;
                }
                _ => {}
            }
        }
        // The monitor has written everything down before it is gone.
        let waited = self.wait(id)?;
        // The next step starts a container too.
        self.keep_others_out()?;
        Ok(code.unwrap_or(waited))
    }

    /// Makes an image of what a step's container changed.
    pub fn commit_step(&self, container: &Container, step: StepImage) -> Result<Digest, EngineError> {
        let _held = self.share_layer(&container.id)?;
        let mount = self.store.layers.mount(&container.id)?;
        let staging = Staging::new(self.store.data_root())?;
        let content = staging.layer(0)?;
        let copied = self.copy_layer(&mount.mount_id, Some(&mount.init_id), &content)?;
        let _lock = self.store.lock()?;
        self.sweep()?;
        let description = description(&container.id, &step);
        self.put_child(self.base_view(step.below)?, step.below, mount.parent, &content, copied, description)
    }

    /// Makes an image of what `fill` writes into the tree of the image below; no container is needed.
    pub fn copy_step(
        &self,
        step: StepImage,
        fill: &mut dyn FnMut(&Path) -> Result<(), String>,
    ) -> Result<Result<Digest, String>, EngineError> {
        let view = self.base_view(step.below)?;
        let top = crate::layer::chain_ids(&view.rootfs.diff_ids).pop();
        let _lock = self.store.lock()?;
        self.sweep()?;
        let staging = Staging::new(self.store.data_root())?;
        let content = staging.layer(0)?;
        let below = top.as_ref().map(|top| self.store.layers.get(top)).transpose()?;
        let scratch = self.entropy.hex_id();
        let intent = self.intend(&[&scratch], &[])?;
        let below = below.as_ref().map(|layer| layer.cache_id.as_str());
        self.driver.create(&scratch, below)?;
        let filled = self.driver.edit(&scratch).map(|tree| fill(tree.path()));
        let copied = match &filled {
            Ok(Ok(())) => Some(self.copy_layer(&scratch, below, &content)),
            _ => None,
        };
        self.driver.remove(&scratch)?;
        intent.done()?;
        if let Err(reason) = filled? {
            return Ok(Err(reason));
        }
        let Some(copied) = copied else { return Ok(Err("nothing was copied".to_owned())) };
        let description = description("", &step);
        self.put_child(view, step.below, top, &content, copied?, description).map(Ok)
    }

    /// The tree of an image, to read.
    pub fn image_tree(&self, id: &Digest) -> Result<View, EngineError> {
        match self.top_layer(&self.image_config(id)?) {
            Some(top) => Ok(self.driver.view(&self.store.layers.get(&top)?.cache_id)?),
            None => Err(EngineError::NoSuchImage(format!("{} has no files", id.short()))),
        }
    }

    /// The images made from `below` on this host, each with what its step ran with; those made from nothing for none.
    pub fn step_images(&self, below: Option<&Digest>) -> Result<Vec<(Digest, ConfigView)>, EngineError> {
        let mut children = Vec::new();
        for id in self.store.images.all()? {
            if self.store.images.parent(&id)?.as_ref() == below {
                children.push((id.clone(), self.image_config(&id)?.view().clone()));
            }
        }
        Ok(children)
    }

    /// The description of the image below, or of one that holds nothing yet.
    fn base_view(&self, below: Option<&Digest>) -> Result<ConfigView, EngineError> {
        if let Some(below) = below {
            return Ok(self.image_config(below)?.view().clone());
        }
        let here = Platform::host();
        let rootfs = RootFs { kind: "layers".to_owned(), ..RootFs::default() };
        Ok(ConfigView { architecture: here.architecture, os: here.os, rootfs, ..ConfigView::default() })
    }
}

fn description<'a>(container: &'a str, step: &StepImage<'a>) -> Description<'a> {
    Description {
        container,
        command: step.container_config.cmd.clone().unwrap_or_default(),
        config: step.config.clone(),
        container_config: step.container_config.clone(),
        author: step.author,
        comment: "",
    }
}
