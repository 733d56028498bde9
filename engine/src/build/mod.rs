//! `docker build`: Docker 20.10's classic builder.
//!
//! *Why*: a tutorial's Dockerfile shows how layers come to be, one per step, and which are used again. *Holds*: each step
//! makes an image of its own whose parent is the step's before, so that the next build finds it again by parent,
//! instruction and copied content. *Never*: a file outside of the context is read because of what a Dockerfile or a link
//! says; anything of BuildKit. *Proved by*: the tests of each file and `scenarios/cases/build/`.

mod arguments;
mod cache;
mod context;
mod copy;
mod ignore;
mod sources;
mod stage;

use std::collections::BTreeMap;

pub use context::{Context, ContextError, read_file};

use crate::container::{Engine, EngineError};
use crate::dockerfile;
use crate::image::manifest::Platform;
use crate::image::{Digest, Reference};

/// What is to be built, and how.
#[derive(Debug, Default)]
pub struct BuildSpec {
    /// The Dockerfile's text.
    pub dockerfile: String,
    /// Its name, for messages.
    pub dockerfile_name: String,
    /// Values for ARG; nothing takes the default although the name was given.
    pub arguments: BTreeMap<String, Option<String>>,
    /// Labels of the last stage.
    pub labels: BTreeMap<String, String>,
    /// The last stage to build.
    pub target: Option<String>,
    /// Names of the result.
    pub names: Vec<Reference>,
    /// Build every step anew.
    pub no_cache: bool,
    /// Remove the containers of steps that went well.
    pub remove: bool,
    /// Remove the containers of all steps.
    pub force_remove: bool,
    /// Ask the registry for newer images.
    pub pull: bool,
    /// The network of RUN.
    pub network: String,
    /// The platform of images that are pulled for FROM.
    pub platform: Option<Platform>,
}

/// Somebody who watches a build.
pub trait Watcher {
    /// Shows text, or the output of a step.
    fn show(&mut self, bytes: &[u8]);
    /// Pulls an image, showing how that goes; the error is its reason.
    fn pull(&mut self, engine: &Engine, reference: &Reference, platform: Option<&Platform>) -> Result<(), String>;
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The Dockerfile or an option makes no sense; nothing has been done.
    #[error("{0}")]
    Refused(String),
    /// A step failed.
    #[error("{text}")]
    Step { text: String, exit_code: i64 },
}

impl BuildError {
    fn step(text: impl Into<String>) -> BuildError {
        BuildError::Step { text: text.into(), exit_code: 1 }
    }
}

impl From<EngineError> for BuildError {
    fn from(error: EngineError) -> BuildError {
        BuildError::step(error.to_string())
    }
}

impl From<String> for BuildError {
    fn from(reason: String) -> BuildError {
        BuildError::step(reason)
    }
}

/// Builds an image, names it, and says its ID.
pub fn build(
    engine: &Engine,
    spec: &BuildSpec,
    context: &Context,
    watcher: &mut dyn Watcher,
) -> Result<Digest, BuildError> {
    if spec.dockerfile.is_empty() {
        return Err(BuildError::Refused(format!("the Dockerfile ({}) cannot be empty", spec.dockerfile_name)));
    }
    let dockerfile = dockerfile::parse(&spec.dockerfile).map_err(BuildError::Refused)?;
    let id = stage::Builder::new(engine, spec, context, watcher, dockerfile.escape).build(dockerfile.steps)?;
    watcher.show(format!("Successfully built {}\n", id.short()).as_bytes());
    for name in &spec.names {
        engine.name_image(&id, name)?;
        let shown = name.clone().with_default_tag().familiar();
        watcher.show(format!("Successfully tagged {shown}\n").as_bytes());
    }
    Ok(id)
}
