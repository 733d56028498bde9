//! Images that nobody has a name for are removed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::ensure;
use serde_json::{Value, json};
use tar::{Builder, Header};

use super::Workload;
use crate::bed::{Bed, Scale};
use crate::image::{architecture, digest};
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "prune",
    question: "What does it take to find and remove the images that have no name?",
    fairness: "Each has a layer of its own with one small file. The floor removes as many directories with a file in them.",
    unit: "images",
    amounts: |scale| vec![scale.pick(50, 2)],
    growth: |scale: Scale| scale.pick(vec![200, 1000], vec![]),
    samples: 5,
    goals: &[],
    task,
};

fn task<'a>(bed: &'a Bed, peer: &'a Peer, images: u64) -> anyhow::Result<Option<Task<'a>>> {
    Ok(Some(match peer.speaks {
        Speaks::Docker => {
            let path = archive(bed, images)?.display().to_string();
            Task::command(|| peer.command(&["image", "prune", "--force"]))
                .before(move || {
                    peer.ask(&["load", "--quiet", "--input", &path])?;
                    let there = nameless(peer)?;
                    ensure!(there == images, "{} has {there} images without a name and not {images}", peer.name);
                    Ok(())
                })
                .check(|_| {
                    let left = nameless(peer)?;
                    ensure!(left == 0, "{} has {left} images without a name still", peer.name);
                    Ok(())
                })
        }
        Speaks::Nothing => {
            let place = bed.directory("floor-prune")?.join("layers");
            let to = place.clone();
            Task::call(move || Ok(fs::remove_dir_all(&place)?)).before(move || {
                for number in 0..images {
                    let layer = to.join(number.to_string());
                    fs::create_dir_all(&layer)?;
                    fs::write(layer.join("file"), number.to_string())?;
                }
                Ok(())
            })
        }
        _ => return Ok(None),
    }))
}

fn nameless(peer: &Peer) -> anyhow::Result<u64> {
    let said = peer.ask(&["images", "--filter", "dangling=true", "--quiet", "--no-trunc"])?;
    Ok(said.lines().count() as u64)
}

/// An archive as `docker save` writes it, with so many images that have no name and share no layer; made once.
fn archive(bed: &Bed, images: u64) -> anyhow::Result<PathBuf> {
    let path = bed.directory("archives")?.join(format!("nameless-{images}"));
    if path.exists() {
        return Ok(path);
    }
    let mut archive = Builder::new(BufWriter::new(File::create(&path)?));
    let mut list: Vec<Value> = Vec::new();
    for number in 0..images {
        let mut layer = Builder::new(Vec::new());
        append(&mut layer, Path::new("file"), number.to_string().as_bytes())?;
        let layer = layer.into_inner()?;
        let config = json!({
            "architecture": architecture(), "os": "linux", "created": "2026-01-01T00:00:00Z", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
            "history": [{"created": "2026-01-01T00:00:00Z", "created_by": format!("image {number}")}],
        });
        let (tar, text) = (format!("{number}/layer.tar"), format!("{number}.json"));
        append(&mut archive, Path::new(&tar), &layer)?;
        append(&mut archive, Path::new(&text), config.to_string().as_bytes())?;
        list.push(json!({"Config": text, "RepoTags": null, "Layers": [tar]}));
    }
    append(&mut archive, Path::new("manifest.json"), Value::Array(list).to_string().as_bytes())?;
    archive.into_inner()?.flush()?;
    Ok(path)
}

pub fn append(tar: &mut Builder<impl Write>, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes)
}
