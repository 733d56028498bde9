//! Pull, cold: nothing of the image is here.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use flate2::read::GzDecoder;

use super::{Workload, has_image, none, once, unpacked, without_image};
use crate::bed::Bed;
use crate::container;
use crate::floor::Layers;
use crate::image::{Layer, digest};
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "pull",
    question: "What does it take to have an image of six gzip layers that lies in a registry on this machine?",
    fairness: "All find the blobs in the page cache. umoci makes one tree of all layers, the others a directory for each. What we and the floor have written \
               survives a power cut when they end. The floor reads and inflates each layer, makes both of its digests and writes its files with four system \
               calls each, on all cores, and syncs the file system once.",
    unit: "image",
    amounts: once,
    growth: none,
    samples: 10,
    goals: &[("docker", 4.0), ("podman", 3.3)],
    task,
};

fn task<'a>(bed: &'a Bed, peer: &'a Peer, _: u64) -> anyhow::Result<Option<Task<'a>>> {
    if peer.speaks == Speaks::Nothing {
        let layers = container::floor_of_layers(bed, "floor-pull")?;
        let unpack = |layers: &Layers| layers.inflated(|number| inflated(bed, &bed.image.layers[number]));
        return Ok(Some(unpacked(layers, unpack)));
    }
    pulled(bed, peer, bed.reference())
}

/// The pull of the image by one of its names.
pub fn pulled<'a>(bed: &'a Bed, peer: &'a Peer, reference: String) -> anyhow::Result<Option<Task<'a>>> {
    if ![Speaks::Docker, Speaks::Ctr, Speaks::Tools].contains(&peer.speaks) {
        return Ok(None);
    }
    let (oci, of_command, of_files) = (bed.directory("oci")?, reference.clone(), reference.clone());
    let unpacked = oci.join("bundle/rootfs");
    let task = Task::commands(move || commands(peer, &oci, &of_command)).before(|| without_image(bed, peer)).check(
        move |_| match peer.speaks {
            Speaks::Docker => has_image(bed, peer, &reference),
            Speaks::Ctr => {
                let snapshots = peer.ask(&["snapshots", "ls"])?.lines().skip(1).count();
                ensure!(snapshots == bed.image.layers.len(), "containerd has {snapshots} snapshots");
                Ok(())
            }
            _ => {
                ensure!(unpacked.join(&bed.image.some_file).is_file(), "umoci unpacked nothing");
                Ok(())
            }
        },
    );
    Ok(Some(task.after(move || container::has_files_of(bed, peer, &of_files))))
}

/// What pulls the image by one of its names; without an engine, into a directory.
pub fn commands(peer: &Peer, oci: &Path, reference: &str) -> Vec<Command> {
    match peer.speaks {
        Speaks::Ctr => vec![peer.command(&["images", "pull", "--plain-http", reference])],
        Speaks::Tools => {
            let (from, to) = (format!("docker://{reference}"), format!("{}/image:real", oci.display()));
            let (oci_to, bundle) = (format!("oci:{to}"), oci.join("bundle").display().to_string());
            let copy =
                ["skopeo", "copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", &from, oci_to.as_str()];
            vec![peer.command(&copy), peer.command(&["umoci", "unpack", "--image", &to, &bundle])]
        }
        _ => vec![peer.command(&["pull", "--quiet", reference])],
    }
}

/// A layer's tar, of a blob that is what it should be.
fn inflated(bed: &Bed, layer: &Layer) -> anyhow::Result<Vec<u8>> {
    let blob = fs::read(bed.image.blob(&layer.digest))?;
    ensure!(digest(&blob) == layer.digest, "the blob is another one");
    let mut tar = Vec::with_capacity(layer.tar_bytes as usize);
    GzDecoder::new(blob.as_slice()).read_to_end(&mut tar)?;
    Ok(tar)
}
