//! Puts the parts together: a sandbox with the little machine, the registry and a target in it.

use super::furnish::{Furnishing, INDEX_HOST, Program, lacks};
use super::libraries::LibraryError;
use super::machine::LabMachine;
use super::prepare::Prepared;
use super::sandbox::{Inside, Outcome, Sandbox, SandboxError};
use super::second::{SecondHost, SecondHostError};
use super::serve::{Hub, ServeError};
use crate::registry::{Certificate, CertificateError};
use crate::target::{FindError, Installation, Target, Wanted};

/// A lab that could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    #[error(transparent)]
    Find(#[from] FindError),
    #[error(transparent)]
    Libraries(#[from] LibraryError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

/// Which lab.
#[derive(Clone)]
pub struct LabOptions {
    pub on: &'static dyn Target,
    /// A target whose program is there too, under its own name.
    pub beside: Option<&'static dyn Target>,
    /// As an ordinary user would have it, even for root.
    pub rootless: bool,
    /// The storage driver, one of [`crate::page::DRIVERS`].
    pub driver: &'static str,
    pub keep: bool,
    /// The page goes on to a second host.
    pub second_host: bool,
    /// For a shell: the host is at /host, and the interrupt key is the shell's.
    pub interactive: bool,
    /// Further programs of the host that are there.
    pub programs: Vec<Program>,
}

/// Calls `body` inside a fresh lab, whose registry answers and whose target is not yet installed; its result becomes the
/// outcome's status.
pub fn enter(
    options: LabOptions,
    prepared: &Prepared,
    body: impl FnOnce(&mut LabMachine) -> u8,
) -> Result<Outcome, EnterError> {
    let rootless = options.rootless || !nix::unistd::geteuid().is_root();
    let wanted = Wanted { rootless, driver: options.driver };
    if let Some(unavailable) = lacks(options.driver, rootless) {
        return Err(FindError::Unavailable(unavailable).into());
    }
    let installation = options.on.find(wanted)?;
    let beside = options.beside.map(|target| target.find(wanted)).transpose()?;
    let second = options.second_host.then(|| options.on.find(wanted)).transpose()?;
    let certificate = Certificate::make(INDEX_HOST)?;
    let furnishing = Furnishing {
        tools: Some(prepared.tools.clone()),
        programs: [&installation]
            .into_iter()
            .chain(&beside)
            .flat_map(|found| found.programs())
            .chain(options.programs)
            .collect(),
        directories: installation.directories(),
        images: Some(prepared.images.clone()),
        authority_pem: Some(certificate.authority_pem().to_owned()),
        packages: Some(prepared.packages.clone()),
        host_visible: options.interactive,
        driver: Some(options.driver),
    };
    let sandbox = Sandbox {
        root: furnishing.plan()?,
        annexe: installation.annexe(),
        cgroup: installation.cgroup(),
        rootless,
        keep: options.keep,
        interactive: options.interactive,
        second_host: options.second_host,
    };
    let name = options.on.name();
    let hub = Hub { index: prepared.index.clone(), certificate };
    let outcome = sandbox.run(|inside| match machine(name, installation, inside, second, hub) {
        Ok(mut machine) => {
            machine.has_beside(beside);
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

/// The second host begins first, while the runner has one thread.
fn machine(
    name: &'static str,
    installation: Box<dyn Installation>,
    mut inside: Inside,
    second: Option<Box<dyn Installation>>,
    hub: Hub,
) -> Result<LabMachine, MachineError> {
    let second = match (second, inside.second.take()) {
        (Some(installation), Some(foundations)) => Some(SecondHost::begin(foundations, name, installation)?),
        _ => None,
    };
    let mut machine = LabMachine::new(name, installation, inside, second, Some(hub))?;
    machine.receive_files();
    Ok(machine)
}

/// The inside of a lab that did not come about.
#[derive(Debug, thiserror::Error)]
enum MachineError {
    #[error(transparent)]
    Second(#[from] SecondHostError),
    #[error(transparent)]
    Registry(#[from] ServeError),
}
