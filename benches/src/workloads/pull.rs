//! Pull, cold: nothing of the image is here.

use std::fs::{self, File};
use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::ensure;
use flate2::read::GzDecoder;

use super::{Workload, has_image, none, once, without_image};
use crate::bed::Bed;
use crate::container;
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "pull",
    question: "What does it take to have an image of six gzip layers that lies in a registry on this machine?",
    fairness: "All find the blobs in the page cache. umoci makes one tree of all layers, the others a directory for each. The floor inflates each layer, \
               makes both of its digests and writes its files, one part after the other, on as many cores as there are: the time of all parts divided by them.",
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
        Speaks::Nothing => Task::floor(|| floor(bed)).before(|| bed.emptied("floor-pull").map(drop)),
        Speaks::Runtime => return Ok(None),
    }))
}

fn floor(bed: &Bed) -> anyhow::Result<Duration> {
    let place = bed.directory("floor-pull")?;
    let begun = Instant::now();
    for (at, layer) in bed.image.layers.iter().enumerate() {
        let blob = fs::read(bed.image.blob(&layer.digest))?;
        ensure!(crate::image::digest(&blob) == layer.digest, "the blob is another one");
        let mut tar = Vec::with_capacity(layer.tar_bytes as usize);
        GzDecoder::new(blob.as_slice()).read_to_end(&mut tar)?;
        ensure!(crate::image::digest(&tar) == layer.diff_id, "the layer is another one");
        tar::Archive::new(tar.as_slice()).unpack(place.join(at.to_string()))?;
    }
    rustix::fs::syncfs(File::open(&place)?)?;
    Ok(begun.elapsed() / std::thread::available_parallelism()?.get() as u32)
}
