//! The registry of a lab, and the moods it can be in: honest, or wrong in one way that a page asks for.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use super::furnish::{IMAGES, REGISTRY_PORT};
use crate::registry::{At, Fault, Misbehaviour, Registry, RegistryError, RegistryHandle, RegistryOptions};

/// The mood of a registry that does what it should.
pub const HONEST: &str = "is honest";

/// Each mood and what it does to blobs.
const MOODS: [(&str, Option<Misbehaviour>); 3] = [
    (HONEST, None),
    ("sends wrong blobs", Some(Misbehaviour::WrongContent)),
    ("breaks blobs off", Some(Misbehaviour::Truncated { after_bytes: 100 })),
];

/// Why the registry does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on port {REGISTRY_PORT} of the lab: {0}")]
    Listen(#[from] io::Error),
    #[error(transparent)]
    Serve(#[from] RegistryError),
}

/// What may follow `registry` in a directive.
pub fn moods() -> [&'static str; 3] {
    MOODS.map(|(name, _)| name)
}

/// Serves the lab's images in a mood, an unknown one being honest, until the handle is dropped.
pub fn serve(mood: &str) -> Result<RegistryHandle, ServeError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, REGISTRY_PORT))?;
    let misbehaviour = MOODS.into_iter().find(|(name, _)| *name == mood).and_then(|(_, misbehaviour)| misbehaviour);
    let faults = misbehaviour.map(|misbehaviour| Fault { at: At::Blobs, misbehaviour, times: None });
    let options = RegistryOptions { faults: faults.into_iter().collect(), ..RegistryOptions::default() };
    Ok(Registry::serve(listener, IMAGES.into(), options)?)
}
