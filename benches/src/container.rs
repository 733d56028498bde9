//! Containers as the peers that do not speak `docker` have them, and as the floor does.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;

use anyhow::{Context, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, clone, setns};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, chdir, pivot_root};
use rustix::process::{PidfdFlags, pidfd_open};
use serde_json::json;

use crate::bed::Bed;
use crate::floor;
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
    has_files_of(bed, peer, &bed.reference())
}

/// The same of the image by another of its names.
pub fn has_files_of(bed: &Bed, peer: &Peer, reference: &str) -> anyhow::Result<()> {
    let words = ["ls", "/usr/lib", &format!("/{}", bed.image.some_file)];
    let said = match peer.speaks {
        Speaks::Docker => peer.ask(&[&["run", "--rm", "--network", "none", reference], words.as_slice()].concat())?,
        Speaks::Ctr => peer.ask(&[&["run", "--rm", reference, "proof"], words.as_slice()].concat())?,
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
            io::copy(&mut bed.image.tar(layer)?, &mut File::create(&path)?)?;
        }
    }
    Ok(place)
}

/// The image as directories, made once: each layer in one that is called by its number, and `tree` with all of them.
pub fn unpacked(bed: &Bed) -> anyhow::Result<PathBuf> {
    let place = bed.directory("unpacked")?;
    if place.join("tree").exists() {
        return Ok(place);
    }
    unpack_layers(bed, &place)?;
    let draft = place.join("draft");
    fs::create_dir(&draft)?;
    for layer in &bed.image.layers {
        for entry in tar::Archive::new(bed.image.tar(layer)?).entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            match name.strip_prefix(".wh.") {
                Some(hidden) => fs::remove_file(draft.join(path.with_file_name(hidden)))?,
                None => drop(entry.unpack_in(&draft)?),
            }
        }
    }
    fs::rename(draft, place.join("tree"))?;
    Ok(place)
}

/// The layers' tars, to be unpacked below a directory of that name.
pub fn floor_of_layers(bed: &Bed, name: &str) -> anyhow::Result<floor::Layers> {
    let tars = tars(bed)?;
    let layers = bed.image.layers.iter().map(|layer| (tars.join(&layer.diff_id), layer.diff_id.clone()));
    floor::Layers::of(layers.collect(), &bed.directory(name)?)
}

/// The least that has to be done for a container.
pub struct Floor {
    merged: PathBuf,
    options: String,
}

/// A container of the floor's that runs; it ends with this value.
pub struct Running {
    floor: Floor,
    pid: Pid,
    /// Of its first process.
    namespaces: OwnedFd,
    /// The PID namespace of our own children.
    ours: File,
}

/// Enough for a few system calls.
const STACK_BYTES: usize = 256 << 10;

/// What every container has of its own.
const NAMESPACES: CloneFlags = CloneFlags::CLONE_NEWNS
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWUTS)
    .union(CloneFlags::CLONE_NEWNET);

impl Floor {
    /// One of the image.
    pub fn make(bed: &Bed) -> anyhow::Result<Floor> {
        Floor::over(&layers(bed)?, &bed.directory("floor")?)
    }

    /// One of these layers, the lowest first; what it changes is in `upper` of `place`.
    pub fn over(layers: &[PathBuf], place: &Path) -> anyhow::Result<Floor> {
        let lowers: Vec<String> = layers.iter().rev().map(|layer| layer.display().to_string()).collect();
        let [upper, work, merged] = ["upper", "work", "merged"].map(|name| place.join(name));
        for directory in [&upper, &work, &merged] {
            fs::create_dir_all(directory)?;
        }
        let options = format!("lowerdir={},upperdir={},workdir={}", lowers.join(":"), upper.display(), work.display());
        Ok(Floor { merged, options })
    }

    /// Mounts, makes namespaces, executes the words in them, waits, and unmounts.
    pub fn run(&self, words: &[&str]) -> anyhow::Result<()> {
        self.mount()?;
        let ended = self.begin(words).and_then(|pid| Ok(waitpid(pid, None)?));
        umount2(&self.merged, MntFlags::empty())?;
        has_ended_well(words, ended?)
    }

    /// Mounts, makes namespaces and executes the words in them, and waits for nothing.
    pub fn running(self, words: &[&str]) -> anyhow::Result<Running> {
        let ours = File::open("/proc/self/ns/pid")?;
        self.mount()?;
        let pid = self.begin(words)?;
        let namespaces =
            pidfd_open(rustix::process::Pid::from_raw(pid.as_raw()).context("no process")?, PidfdFlags::empty())?;
        Ok(Running { floor: self, pid, namespaces, ours })
    }

    fn mount(&self) -> nix::Result<()> {
        mount(Some("overlay"), &self.merged, Some("overlay"), MsFlags::empty(), Some(self.options.as_str()))
    }

    fn begin(&self, words: &[&str]) -> anyhow::Result<Pid> {
        spawned(words, NAMESPACES | CloneFlags::CLONE_NEWPID, || enter(&self.merged))
    }
}

impl Running {
    /// Joins its namespaces, executes the words in them, and waits.
    pub fn exec(&self, words: &[&str]) -> anyhow::Result<()> {
        // Only children come into another PID namespace.
        setns(&self.namespaces, CloneFlags::CLONE_NEWPID)?;
        let child = spawned(words, CloneFlags::empty(), || setns(&self.namespaces, NAMESPACES));
        setns(&self.ours, CloneFlags::CLONE_NEWPID)?;
        has_ended_well(words, waitpid(child?, None)?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let end = || -> nix::Result<()> {
            kill(self.pid, Signal::SIGKILL)?;
            waitpid(self.pid, None)?;
            umount2(&self.floor.merged, MntFlags::empty())
        };
        if let Err(error) = end() {
            eprintln!("cannot end a container of the floor: {error}");
        }
    }
}

/// The image's layers as directories, the lowest first.
pub fn layers(bed: &Bed) -> anyhow::Result<Vec<PathBuf>> {
    let place = unpacked(bed)?;
    Ok((0..bed.image.layers.len()).map(|at| place.join(at.to_string())).collect())
}

fn has_ended_well(words: &[&str], status: WaitStatus) -> anyhow::Result<()> {
    ensure!(matches!(status, WaitStatus::Exited(_, 0)), "{words:?} in a container ended with {status:?}");
    Ok(())
}

/// A child with new namespaces of these kinds that executes the words when it has done `first`, which makes system calls only.
fn spawned(words: &[&str], namespaces: CloneFlags, first: impl Fn() -> nix::Result<()>) -> anyhow::Result<Pid> {
    let words = words.iter().map(|word| CString::new(*word)).collect::<Result<Vec<_>, _>>()?;
    let pointers: Vec<*const libc::c_char> = words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
    let variables = [ptr::null()];
    let mut stack = vec![0; STACK_BYTES];
    let child = || {
        if first().is_ok() {
            // SAFETY: all are strings and arrays that end with a zero, and outlive the call.
            unsafe { libc::execve(pointers[0], pointers.as_ptr(), variables.as_ptr()) };
        }
        1
    };
    let flags = namespaces | CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // SAFETY: this thread waits until the child, which has a stack of its own and makes system calls only, is another program.
    let child = unsafe { clone(Box::new(child), &mut stack, flags, Some(libc::SIGCHLD)) };
    child.context("cannot make namespaces")
}

fn enter(root: &Path) -> nix::Result<()> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    chdir(root)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>)
}
