//! Puts the parts together: a sandbox with the little machine, the registry and a target in it.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use super::furnish::{Furnishing, IMAGES, REGISTRY_PORT};
use super::libraries::LibraryError;
use super::machine::LabMachine;
use super::prepare::Prepared;
use super::sandbox::{Outcome, Sandbox, SandboxError};
use crate::registry::{Registry, RegistryError, RegistryHandle, RegistryOptions};
use crate::target::{FindError, Target};

/// A lab that could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    #[error(transparent)]
    Find(#[from] FindError),
    #[error(transparent)]
    Libraries(#[from] LibraryError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

/// Why the registry does not answer inside.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("cannot listen on port {REGISTRY_PORT} of the lab: {0}")]
    Listen(#[from] io::Error),
    #[error(transparent)]
    Serve(#[from] RegistryError),
}

/// Which lab.
#[derive(Clone, Copy)]
pub struct LabOptions {
    pub on: &'static dyn Target,
    /// As an ordinary user would have it, even for root.
    pub rootless: bool,
    pub keep: bool,
    /// For a shell: the host is at /host, and the interrupt key is the shell's.
    pub interactive: bool,
}

/// Calls `body` inside a fresh lab, whose registry answers and whose target is not yet installed; its result becomes the
/// outcome's status.
pub fn enter(
    options: LabOptions,
    prepared: &Prepared,
    body: impl FnOnce(&mut LabMachine) -> u8,
) -> Result<Outcome, EnterError> {
    let rootless = options.rootless || !nix::unistd::geteuid().is_root();
    let installation = options.on.find(rootless)?;
    let furnishing = Furnishing {
        tools: Some(prepared.tools.clone()),
        programs: installation.programs(),
        images: Some(prepared.images.clone()),
        host_visible: options.interactive,
    };
    let sandbox = Sandbox {
        root: furnishing.plan()?,
        annexe: installation.annexe(),
        cgroup: installation.cgroup(),
        rootless,
        keep: options.keep,
        interactive: options.interactive,
    };
    let outcome = sandbox.run(|inside| match serve() {
        // The handle ends the registry when dropped, so it lives as long as a kept lab.
        Ok(registry) => {
            let status = body(&mut LabMachine::new(options.on.name(), installation, inside));
            if options.keep {
                std::mem::forget(registry);
            }
            status
        }
        Err(error) => {
            eprintln!("layerlab-lab: {error}");
            1
        }
    });
    Ok(outcome?)
}

fn serve() -> Result<RegistryHandle, ServeError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, REGISTRY_PORT))?;
    Ok(Registry::serve(listener, IMAGES.into(), RegistryOptions::default())?)
}
