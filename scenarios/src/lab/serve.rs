//! The registries of a lab: the one with the images, honest or wrong in one way that a page asks for; one that asks who its
//! clients are; and Docker Hub's index.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use super::furnish::{GUARDED_PORT, IMAGES, LAB, REGISTRY_PORT};
use crate::image::{ImageError, Layout};
use crate::page::{Guard, Mood};
use crate::registry::{
    At, Authentication, Certificate, Credentials, Fault, Listed, Misbehaviour, Registry, RegistryError, RegistryHandle,
    RegistryOptions,
};

const HTTPS_PORT: u16 = 443;

/// What Docker Hub's index is in a lab.
pub struct Hub {
    pub index: Vec<Listed>,
    pub certificate: Certificate,
}

/// Why the registry does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on port {port} of the lab: {source}")]
    Listen { port: u16, source: io::Error },
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
    let listener = listen(REGISTRY_PORT)?;
    let mut options = RegistryOptions { pushed: Some(pushed_to(REGISTRY_PORT)), ..RegistryOptions::default() };
    if let Some(misbehaviour) = misbehaviour(mood) {
        let fault = |blob| Fault { at: At::Blob(blob), misbehaviour: misbehaviour.clone(), times: None };
        options.faults = layers()?.into_iter().map(fault).collect();
    }
    Ok(Registry::serve(listener, IMAGES.into(), options)?)
}

/// Serves the lab's images to jane.
pub fn serve_guarded(guard: Guard) -> Result<RegistryHandle, ServeError> {
    let jane = Credentials { user: "jane".into(), password: "secret".into() };
    let authentication = match guard {
        Guard::Password => Authentication::Basic(jane),
        Guard::Token => Authentication::Bearer { service: "lab".into(), credentials: Some(jane) },
    };
    let pushed = Some(pushed_to(GUARDED_PORT));
    let options = RegistryOptions { authentication, pushed, ..RegistryOptions::default() };
    Ok(Registry::serve(listen(GUARDED_PORT)?, IMAGES.into(), options)?)
}

/// Serves Docker Hub's index over TLS.
pub fn serve_index(hub: Hub) -> Result<RegistryHandle, ServeError> {
    let Hub { index, certificate } = hub;
    let options = RegistryOptions { index, certificate: Some(certificate), ..RegistryOptions::default() };
    Ok(Registry::serve(listen(HTTPS_PORT)?, IMAGES.into(), options)?)
}

fn listen(port: u16) -> Result<TcpListener, ServeError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|source| ServeError::Listen { port, source })
}

/// Where a registry keeps what is pushed to it; it is there again after a change of mood, but named by no tag.
fn pushed_to(port: u16) -> PathBuf {
    Path::new(LAB).join(format!("pushed-{port}"))
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
