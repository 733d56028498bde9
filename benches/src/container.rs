//! Containers as the peers that do not speak `docker` have them, and as the floor does.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;

use anyhow::{Context, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, clone};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{chdir, pivot_root};
use serde_json::json;

use crate::bed::Bed;
use crate::peers::{Peer, Speaks};
use crate::task::succeed;

/// Runs `true` in a container that is gone afterwards; `number` tells those apart that run at the same time.
pub fn run(peer: &Peer, reference: &str, number: u64) -> Command {
    match peer.speaks {
        Speaks::Ctr => peer.command(&["run", "--rm", reference, &format!("run-{number}"), "true"]),
        _ => peer.command(&["run", "--rm", "--network", "none", reference, "true"]),
    }
}

/// That a container of that peer has the files of the image's lowest layer and of its topmost.
pub fn has_files(bed: &Bed, peer: &Peer) -> anyhow::Result<()> {
    let words = ["ls", "/usr/lib", &format!("/{}", bed.image.some_file)];
    let reference = bed.reference();
    let said = match peer.speaks {
        Speaks::Docker => peer.ask(&[&["run", "--rm", "--network", "none", &reference], words.as_slice()].concat())?,
        Speaks::Ctr => peer.ask(&[&["run", "--rm", &reference, "proof"], words.as_slice()].concat())?,
        _ => return Ok(()),
    };
    let topmost = format!("part-{}", bed.image.layers.len() - 1);
    ensure!(said.contains(&topmost) && said.contains(&bed.image.some_file), "a container of {} has {said}", peer.name);
    Ok(())
}

/// A bundle (OCI runtime-spec, bundle.md) whose tree is the image's and whose process is `true`.
pub fn bundle(bed: &Bed, peer: &Peer) -> anyhow::Result<PathBuf> {
    let bundle = bed.emptied(&format!("{}-bundle", peer.name))?;
    let tree = unpacked(bed)?.join("tree");
    let mut spec = peer.command(&["spec"]);
    spec.current_dir(&bundle);
    succeed(spec)?;
    let path = bundle.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/bin/true"]);
    config["process"]["rlimits"] = json!([]);
    config["root"] = json!({"path": tree, "readonly": true});
    fs::write(&path, config.to_string())?;
    Ok(bundle)
}

/// Each layer unpacked into a directory of its number below `place`.
pub fn unpack_layers(bed: &Bed, place: &Path) -> anyhow::Result<()> {
    for (at, layer) in bed.image.layers.iter().enumerate() {
        tar::Archive::new(bed.image.tar(layer)?).unpack(place.join(at.to_string()))?;
    }
    Ok(())
}

/// Makes the layers' tars, each a file called by its diff ID, if they are not there; the directory.
pub fn tars(bed: &Bed) -> anyhow::Result<PathBuf> {
    let place = bed.directory("tars")?;
    for layer in &bed.image.layers {
        let path = place.join(&layer.diff_id);
        if !path.exists() {
            io::copy(&mut bed.image.tar(layer)?, &mut fs::File::create(&path)?)?;
        }
    }
    Ok(place)
}

/// Reads the layers' tars, makes their digests, and writes them into one file.
pub fn copy_tars(bed: &Bed, tars: &Path, to: &Path) -> anyhow::Result<()> {
    let mut out = fs::File::create(to)?;
    for layer in &bed.image.layers {
        let tar = fs::read(tars.join(&layer.diff_id))?;
        ensure!(crate::image::digest(&tar) == layer.diff_id, "the layer is another one");
        out.write_all(&tar)?;
    }
    Ok(())
}

/// The image as directories, made once: each layer in one that is called by its number, and `tree` with all of them.
fn unpacked(bed: &Bed) -> anyhow::Result<PathBuf> {
    let place = bed.directory("unpacked")?;
    if place.join("tree").exists() {
        return Ok(place);
    }
    unpack_layers(bed, &place)?;
    for layer in &bed.image.layers {
        tar::Archive::new(bed.image.tar(layer)?).unpack(place.join("draft"))?;
    }
    fs::rename(place.join("draft"), place.join("tree"))?;
    Ok(place)
}

/// The least that has to be done for a container.
pub struct Floor {
    merged: PathBuf,
    options: String,
}

/// Enough for a few system calls.
const STACK_BYTES: usize = 256 << 10;

impl Floor {
    pub fn make(bed: &Bed) -> anyhow::Result<Floor> {
        let place = unpacked(bed)?;
        let lowers: Vec<String> =
            (0..bed.image.layers.len()).rev().map(|at| place.join(at.to_string()).display().to_string()).collect();
        let [upper, work, merged] = ["floor/upper", "floor/work", "floor/merged"].map(|name| bed.directory(name));
        let options =
            format!("lowerdir={},upperdir={},workdir={}", lowers.join(":"), upper?.display(), work?.display());
        Ok(Floor { merged: merged?, options })
    }

    /// Mounts, makes namespaces, executes `true` in them, waits, and unmounts.
    pub fn run(&self) -> anyhow::Result<()> {
        mount(Some("overlay"), &self.merged, Some("overlay"), MsFlags::empty(), Some(self.options.as_str()))?;
        let ended = self.run_mounted();
        umount2(&self.merged, MntFlags::empty())?;
        let status = ended?;
        ensure!(matches!(status, WaitStatus::Exited(_, 0)), "true in a container ended with {status:?}");
        Ok(())
    }

    fn run_mounted(&self) -> anyhow::Result<WaitStatus> {
        let program = c"/bin/true";
        let (words, variables) = ([program.as_ptr(), ptr::null()], [ptr::null()]);
        let mut stack = vec![0; STACK_BYTES];
        let namespaces = CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_VM
            | CloneFlags::CLONE_VFORK;
        let child = || {
            let _failed = enter(&self.merged);
            // SAFETY: all are strings and arrays that end with a zero, and outlive the call.
            unsafe { libc::execve(program.as_ptr(), words.as_ptr(), variables.as_ptr()) };
            1
        };
        // SAFETY: this thread waits until the child, which has a stack of its own and makes system calls only, is another program.
        let child = unsafe { clone(Box::new(child), &mut stack, namespaces, Some(libc::SIGCHLD)) };
        Ok(waitpid(child.context("cannot make namespaces")?, None)?)
    }
}

fn enter(root: &Path) -> nix::Result<()> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    chdir(root)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>)
}
