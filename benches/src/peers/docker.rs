//! dockerd with overlay2, and its client.
//!
//! Fairness: it makes no bridge and no rules of a firewall, since no workload uses them; its client's own start (some 28 ms) is in every figure,
//! as it is for whoever uses it.

use std::ffi::OsString;
use std::process::Command;

use super::{Daemon, Peer, Speaks, all_found, version, wants_root};
use crate::bed::Bed;
use crate::task::succeed;

pub fn begin(name: &'static str, bed: &Bed) -> anyhow::Result<Peer> {
    wants_root(bed)?;
    let [dockerd, docker] = all_found(["dockerd", "docker"], "docker.io")?;
    let place = bed.directory("docker")?;
    let socket: OsString = [OsString::from("unix://"), place.join("socket").into()].into_iter().collect();
    // What the host's own daemon is told is not for this one.
    let settings = place.join("daemon.json");
    std::fs::write(&settings, "{}\n")?;
    let mut daemon = Command::new(&dockerd);
    daemon.arg("--config-file").arg(&settings);
    daemon.arg("--data-root").arg(place.join("data")).arg("--exec-root").arg(place.join("exec"));
    daemon.arg("--pidfile").arg(place.join("pid")).arg("--host").arg(&socket).args(["--storage-driver", "overlay2"]);
    daemon.args(["--bridge", "none", "--iptables=false", "--ip-forward=false", "--max-concurrent-downloads", "6"]);
    let asked = || {
        let mut client = Command::new(&docker);
        client.arg("--host").arg(&socket).arg("version");
        succeed(client).is_ok()
    };
    let daemon = Daemon::begin(daemon, &place.join("log"), asked)?;
    let home = bed.directory("home")?;
    Ok(Peer {
        name,
        speaks: Speaks::Docker,
        version: version(&dockerd, "--version")?,
        words: vec![docker.into(), "--host".into(), socket],
        variables: vec![("HOME", home.into()), ("DOCKER_CONFIG", place.join("client").into())],
        daemon: Some(daemon),
    })
}
