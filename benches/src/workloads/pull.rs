//! Pull, cold: nothing of the image is here.

use std::fs;
use std::io::Read;

use anyhow::ensure;
use flate2::read::GzDecoder;

use super::{Workload, has_image, none, once, unpacked, without_image};
use crate::bed::Bed;
use crate::container;
use crate::image::{Layer, digest};
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "pull",
    question: "What does it take to have an image of six gzip layers that lies in a registry on this machine?",
    fairness: "All find the blobs in the page cache. umoci makes one tree of all layers, the others a directory for each. What we and the floor have written \
               survives a power cut when they end. The floor reads and inflates each layer, makes both of its digests and writes its files with four system \
               calls each, a core for each layer until there is none left, and syncs the file system once.",
    unit: "image",
    amounts: once,
    growth: none,
    samples: 10,
    goals: &[("docker", 4.0), ("podman", 3.3)],
    task,
};

fn task<'a>(bed: &'a Bed, peer: &'a Peer, _: u64) -> anyhow::Result<Option<Task<'a>>> {
    let reference = bed.reference();
    Ok(Some(match peer.speaks {
        Speaks::Docker => Task::command({
            let reference = reference.clone();
            move || peer.command(&["pull", "--quiet", &reference])
        })
        .before(|| without_image(bed, peer))
        .check(move |_| has_image(bed, peer, &reference))
        .after(|| container::has_files(bed, peer)),
        Speaks::Ctr => Task::command({
            let reference = reference.clone();
            move || peer.command(&["images", "pull", "--plain-http", &reference])
        })
        .before(|| without_image(bed, peer))
        .check(move |_| {
            let snapshots = peer.ask(&["snapshots", "ls"])?.lines().skip(1).count();
            ensure!(snapshots == bed.image.layers.len(), "containerd has {snapshots} snapshots");
            Ok(())
        })
        .after(|| container::has_files(bed, peer)),
        Speaks::Tools => {
            let (layout, bundle) = (bed.directory("oci")?.join("image"), bed.directory("oci")?.join("bundle"));
            let (from, to) = (format!("docker://{reference}"), format!("oci:{}:real", layout.display()));
            let image = format!("{}:real", layout.display());
            let unpacked = bundle.clone();
            Task::commands(move || {
                vec![
                    peer.command(&[
                        "skopeo",
                        "copy",
                        "--quiet",
                        "--insecure-policy",
                        "--src-tls-verify=false",
                        &from,
                        &to,
                    ]),
                    peer.command(&["umoci", "unpack", "--image", &image, &bundle.display().to_string()]),
                ]
            })
            .before(|| bed.emptied("oci").map(drop))
            .check(move |_| {
                ensure!(unpacked.join("rootfs").join(&bed.image.some_file).is_file(), "umoci unpacked nothing");
                Ok(())
            })
        }
        Speaks::Nothing => unpacked(container::floor_of_layers(bed, "floor-pull")?, |layers| {
            layers.inflated(|number| inflated(bed, &bed.image.layers[number]))
        }),
        Speaks::Runtime => return Ok(None),
    }))
}

/// A layer's tar, of a blob that is what it should be.
fn inflated(bed: &Bed, layer: &Layer) -> anyhow::Result<Vec<u8>> {
    let blob = fs::read(bed.image.blob(&layer.digest))?;
    ensure!(digest(&blob) == layer.digest, "the blob is another one");
    let mut tar = Vec::with_capacity(layer.tar_bytes as usize);
    GzDecoder::new(blob.as_slice()).read_to_end(&mut tar)?;
    Ok(tar)
}
