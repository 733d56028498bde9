//! podman with the kernel's overlay, as root.

use std::fs;

use anyhow::bail;

use super::{Missing, Peer, Speaks, all_found, found, version, wants_root};
use crate::bed::Bed;

pub fn begin(name: &'static str, bed: &Bed) -> anyhow::Result<Peer> {
    wants_root(bed)?;
    let [podman, _] = all_found(["podman", "conmon"], "podman conmon crun")?;
    let Some(runtime) = ["crun", "runc"].into_iter().find(|name| found(name).is_some()) else {
        bail!(Missing("no crun, no runc: apt-get install crun".to_owned()));
    };
    let place = bed.directory("podman")?;
    let home = bed.directory("home")?;
    // Without default_ulimits it asks for more than it may have where CAP_SYS_RESOURCE is missing.
    let containers = format!(
        "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\nlog_driver = \"k8s-file\"\n\
         [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"{runtime}\"\n"
    );
    let storage =
        format!("[storage]\ndriver = \"overlay\"\ngraphroot = \"{0}/graph\"\nrunroot = \"{0}/run\"\n", place.display());
    let registries = "[[registry]]\nlocation = \"127.0.0.1:5000\"\ninsecure = true\n".to_owned();
    let policy = "{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}\n".to_owned();
    fs::create_dir_all(home.join(".config/containers"))?;
    fs::write(home.join(".config/containers/policy.json"), policy)?;
    let files = [
        ("CONTAINERS_CONF", containers),
        ("CONTAINERS_STORAGE_CONF", storage),
        ("CONTAINERS_REGISTRIES_CONF", registries),
    ];
    let mut variables = vec![("HOME", home.into())];
    for (variable, content) in files {
        let path = place.join(variable.to_lowercase());
        fs::write(&path, content)?;
        variables.push((variable, path.into()));
    }
    Ok(Peer {
        name,
        speaks: Speaks::Docker,
        version: format!("{} with {runtime}", version(&podman, "--version")?),
        words: vec![podman.into()],
        variables,
        daemon: None,
    })
}
