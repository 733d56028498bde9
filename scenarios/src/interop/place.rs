//! A lab with both engines in it, and one data root.

use std::fs;

use super::player::Players;
use crate::lab::enter::EnterError;
use crate::lab::furnish::{Furnishing, INDEX_HOST, lacks};
use crate::lab::prepare::Prepared;
use crate::lab::sandbox::{Outcome, Sandbox};
use crate::lab::serve;
use crate::page::Mood;
use crate::registry::Certificate;
use crate::target::{FindError, Target, Wanted, docker::Docker, layerlab::Layerlab};

/// Where archives and build contexts of a campaign lie.
pub const WORKSHOP: &str = "/lab/interop";

/// Calls `body` inside a fresh lab whose registry answers; its result becomes the outcome's status.
pub fn enter(
    driver: &'static str,
    prepared: &Prepared,
    body: impl FnOnce(&mut Players) -> u8,
) -> Result<Outcome, EnterError> {
    let rootless = !nix::unistd::geteuid().is_root();
    let wanted = Wanted { rootless, driver };
    let docker = Docker.find(wanted)?;
    let layerlab = Layerlab.find(wanted)?;
    if let Some(unavailable) = lacks(driver, rootless) {
        return Err(FindError::Unavailable(unavailable).into());
    }
    let furnishing = Furnishing {
        tools: Some(prepared.tools.clone()),
        programs: [docker.programs(), layerlab.programs()].concat(),
        images: Some(prepared.images.clone()),
        authority_pem: Some(Certificate::make(INDEX_HOST)?.authority_pem().to_owned()),
        driver: Some(driver),
        ..Furnishing::default()
    };
    let (root, annexe) = (furnishing.plan()?, docker.annexe());
    let sandbox = Sandbox { root, annexe, cgroup: true, rootless, ..Sandbox::default() };
    let outcome = sandbox.run(|inside| {
        let registry = serve::serve(Mood::Honest).map_err(|error| error.to_string());
        let workshop = fs::create_dir_all(WORKSHOP).map_err(|error| format!("cannot make {WORKSHOP}: {error}"));
        match registry.and_then(|registry| workshop.map(|()| registry)) {
            Ok(_registry) => body(&mut Players::new(inside, docker, layerlab)),
            Err(error) => {
                eprintln!("layerlab-lab: {error}");
                1
            }
        }
    });
    Ok(outcome?)
}
