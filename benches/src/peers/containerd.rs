//! containerd with its overlayfs snapshotter, by `ctr`.
//!
//! Fairness: `ctr` is a tool for those who debug containerd; it leaves out what docker and podman do for their users (networks, logs, volumes).

use std::fs;
use std::process::Command;

use super::{Daemon, Peer, Speaks, all_found, version, wants_root};
use crate::bed::Bed;
use crate::task::succeed;

pub fn begin(name: &'static str, bed: &Bed) -> anyhow::Result<Peer> {
    wants_root(bed)?;
    let [containerd, ctr] = all_found(["containerd", "ctr"], "containerd")?;
    let place = bed.directory("containerd")?;
    let (config, socket) = (place.join("config.toml"), place.join("socket"));
    let text = format!(
        "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
         [grpc]\naddress = \"{0}/socket\"\n[ttrpc]\naddress = \"{0}/ttrpc\"\n",
        place.display()
    );
    fs::write(&config, text)?;
    let mut daemon = Command::new(&containerd);
    daemon.arg("--config").arg(&config);
    let asked = || {
        let mut client = Command::new(&ctr);
        client.arg("--address").arg(&socket).arg("version");
        succeed(client).is_ok()
    };
    let daemon = Daemon::begin(daemon, &place.join("log"), asked)?;
    Ok(Peer {
        name,
        speaks: Speaks::Ctr,
        version: version(&containerd, "--version")?,
        words: vec![ctr.into(), "--address".into(), socket.into(), "--namespace".into(), "bench".into()],
        variables: Vec::new(),
        daemon: Some(daemon),
    })
}
