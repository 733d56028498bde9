//! Names that lie in many layers are looked up.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{bail, ensure};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::prune::append;
use super::{Workload, forget, none};
use crate::bed::{Bed, Scale};
use crate::container;
use crate::image::{architecture, digest};
use crate::lower::running;
use crate::peers::{Missing, OURS, Peer, Speaks};
use crate::task::{Task, cause};

pub const WORKLOAD: Workload = Workload {
    name: "look-through",
    question: "What does it take to ask for the attributes of 256 names of one directory that lie in so many layers?",
    fairness: "In a container that has just been started, from outside, so that no client and no process starts in any figure. overlay2 is the kernel's in \
               all of them; vfs has no layers to look through. A dockerd takes 127 layers at most. The floor asks for the same names in a plain \
               directory.",
    unit: "layers",
    amounts: layers,
    growth: none,
    samples: 5,
    goals: &[],
    task,
};

/// In `/data`, the first in the lowest layer.
const NAMES: u64 = 256;
const CONTAINER: &str = "deep";

/// How many layers.
pub fn layers(scale: Scale) -> Vec<u64> {
    scale.pick(vec![1, 16, 64, 128], vec![2])
}

fn task<'a>(bed: &'a Bed, peer: &'a Peer, layers: u64) -> anyhow::Result<Option<Task<'a>>> {
    looked(bed, peer, layers, |data| {
        (0..NAMES).try_for_each(|name| {
            let facts = data.join(name.to_string()).symlink_metadata()?;
            ensure!(facts.is_file(), "{name} is no file");
            Ok(())
        })
    })
}

/// Does it with the directory of a new container, or, for the floor, with a plain one.
pub fn looked<'a>(
    bed: &'a Bed,
    peer: &'a Peer,
    layers: u64,
    look: fn(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<Option<Task<'a>>> {
    match (peer.speaks, peer.name) {
        (Speaks::Docker, _) | (Speaks::Driver, "layerlab-fuse-overlayfs") => {}
        (Speaks::Nothing, _) => {
            let place = bed.emptied("floor-look")?;
            (0..NAMES).try_for_each(|name| fs::write(place.join(name.to_string()), name.to_string()))?;
            return Ok(Some(Task::call(move || look(&place))));
        }
        _ => return Ok(None),
    }
    let reference = format!("bench/deep-{layers}:latest");
    if peer.ask(&["image", "inspect", &reference]).is_err() {
        let archive = archive(bed, layers, &reference)?.display().to_string();
        match peer.ask(&["load", "--quiet", "--input", &archive]) {
            Err(error) if peer.name != OURS => {
                bail!(Missing(format!("it cannot have {layers} layers: {}", cause(&error))))
            }
            loaded => drop(loaded?),
        }
    }
    let data = Rc::new(RefCell::new(PathBuf::new()));
    let to_look = Rc::clone(&data);
    Ok(Some(
        Task::call(move || look(&to_look.borrow()))
            .before(move || {
                *data.borrow_mut() = running(peer, CONTAINER, &reference)?.join("data");
                Ok(())
            })
            .after(|| {
                forget(peer, CONTAINER);
                Ok(())
            }),
    ))
}

/// That a directory has all names.
pub fn has_all(names: usize) -> anyhow::Result<()> {
    ensure!(names == NAMES as usize, "there are {names} names and not {NAMES}");
    Ok(())
}

/// An archive as `docker save` writes it of an image of so many layers, over which the names are spread; made once.
fn archive(bed: &Bed, layers: u64, reference: &str) -> anyhow::Result<PathBuf> {
    let path = bed.directory("archives")?.join(format!("deep-{layers}"));
    if path.exists() {
        return Ok(path);
    }
    let mut archive = Builder::new(BufWriter::new(File::create(&path)?));
    let (mut diff_ids, mut tars, mut history) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..layers {
        let mut layer = Builder::new(Vec::new());
        layer.follow_symlinks(false);
        if number == 0 {
            layer.append_dir_all("bin", container::unpacked(bed)?.join("tree/bin"))?;
        }
        let mut directory = Header::new_ustar();
        directory.set_entry_type(EntryType::Directory);
        directory.set_mode(0o755);
        directory.set_size(0);
        layer.append_data(&mut directory, "data/", std::io::empty())?;
        for name in (number..NAMES).step_by(layers as usize) {
            append(&mut layer, &Path::new("data").join(name.to_string()), name.to_string().as_bytes())?;
        }
        let layer = layer.into_inner()?;
        let name = format!("{number}/layer.tar");
        append(&mut archive, Path::new(&name), &layer)?;
        diff_ids.push(digest(&layer));
        tars.push(name);
        history.push(json!({"created": "2026-01-01T00:00:00Z", "created_by": format!("layer {number}")}));
    }
    let config = json!({
        "architecture": architecture(), "os": "linux", "created": "2026-01-01T00:00:00Z", "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
    });
    append(&mut archive, Path::new("config.json"), config.to_string().as_bytes())?;
    let list: Value = json!([{"Config": "config.json", "RepoTags": [reference], "Layers": tars}]);
    append(&mut archive, Path::new("manifest.json"), list.to_string().as_bytes())?;
    archive.into_inner()?.flush()?;
    Ok(path)
}
