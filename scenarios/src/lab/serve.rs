//! The registry of a lab, and the moods it can be in: honest, or wrong in one way that a page asks for.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use super::furnish::{IMAGES, REGISTRY_PORT};
use crate::image::{ImageError, Layout};
use crate::page::Mood;
use crate::registry::{At, Fault, Misbehaviour, Registry, RegistryError, RegistryHandle, RegistryOptions};

/// Why the registry does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on port {REGISTRY_PORT} of the lab: {0}")]
    Listen(#[from] io::Error),
    #[error("cannot serve the packages: {0}")]
    Packages(#[source] io::Error),
    #[error(transparent)]
    Serve(#[from] RegistryError),
    #[error(transparent)]
    Images(#[from] ImageError),
}

/// What a mood does to the blobs of layers.
fn misbehaviour(mood: Mood) -> Option<Misbehaviour> {
    match mood {
        Mood::Honest => None,
        Mood::WrongBlobs => Some(Misbehaviour::WrongContent),
        Mood::BrokenBlobs => Some(Misbehaviour::Truncated { after_bytes: 100 }),
    }
}

/// Serves the lab's images in a mood until the handle is dropped.
pub fn serve(mood: Mood) -> Result<RegistryHandle, ServeError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, REGISTRY_PORT))?;
    let mut options = RegistryOptions::default();
    if let Some(misbehaviour) = misbehaviour(mood) {
        let fault = |blob| Fault { at: At::Blob(blob), misbehaviour: misbehaviour.clone(), times: None };
        options.faults = layers()?.into_iter().map(fault).collect();
    }
    Ok(Registry::serve(listener, IMAGES.into(), options)?)
}

/// The digests of the layers of all images.
fn layers() -> Result<Vec<String>, ImageError> {
    let layout = Layout::at(IMAGES);
    let mut layers = Vec::new();
    for tagged in layout.tagged()? {
        let (_, manifest) = layout.manifest_of(&tagged.descriptor)?;
        let listed = manifest["layers"].as_array().into_iter().flatten();
        layers.extend(listed.filter_map(|layer| layer["digest"].as_str()).map(str::to_owned));
    }
    Ok(layers)
}
