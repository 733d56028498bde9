//! Puts the parts together: a sandbox with the little machine, the registry and a target in it.

use super::furnish::Furnishing;
use super::libraries::LibraryError;
use super::machine::LabMachine;
use super::prepare::Prepared;
use super::sandbox::{Outcome, Sandbox, SandboxError};
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
        packages: Some(prepared.packages.clone()),
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
    let outcome = sandbox.run(|inside| match LabMachine::new(options.on.name(), installation, inside) {
        Ok(mut machine) => {
            let status = body(&mut machine);
            if options.keep {
                machine.leave_registry();
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
