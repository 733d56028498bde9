//! Our engine with other storage drivers than overlay2: for what a driver alone decides.
//!
//! Fairness: each has a data root of its own, and is asked for nothing but what tells drivers apart.

use super::{Peer, Speaks, all_found, layerlab, wants_root};
use crate::bed::Bed;

pub fn vfs(name: &'static str, bed: &Bed) -> anyhow::Result<Peer> {
    begin(name, "vfs", bed)
}

pub fn fuse_overlayfs(name: &'static str, bed: &Bed) -> anyhow::Result<Peer> {
    all_found(["fuse-overlayfs"], "fuse-overlayfs")?;
    begin(name, "fuse-overlayfs", bed)
}

fn begin(name: &'static str, driver: &str, bed: &Bed) -> anyhow::Result<Peer> {
    wants_root(bed)?;
    let mut peer = layerlab::begin(name, bed)?;
    peer.words.extend(["--storage-driver".into(), driver.into()]);
    Ok(Peer { speaks: Speaks::Driver, ..peer })
}
