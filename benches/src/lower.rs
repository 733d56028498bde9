//! A file that lies in an image, and what is done to it for the first time in a container that runs.
//!
//! *Why*: a storage driver that shares files has to copy one before it is changed, however small the change; one that shares nothing paid when
//! the container was made. *Holds*: the file is reached through the container's own root directory (`/proc/PID/root`), so that neither a
//! client nor the start of a process is in any figure; each time is that of a new container. *Source*: proc_pid_root(5), the kernel's
//! Documentation/filesystems/overlayfs.rst, "Non-directories".

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, ensure};

use crate::bed::{Bed, Scale};
use crate::container;
use crate::peers::{OURS, Peer, Speaks};
use crate::task::Task;

/// Where it lies in the image, and in a container.
const FILE: &str = "data/file";

/// How large it is: in KiB.
pub fn sizes(scale: Scale) -> Vec<u64> {
    scale.pick(vec![4, 1 << 10, 256 << 10], vec![4])
}

/// Whether a peer has containers that can be looked into. Where only that it works is wanted our drivers are enough: others are asked the same.
pub fn can(bed: &Bed, peer: &Peer) -> bool {
    match peer.speaks {
        Speaks::Docker => bed.scale == Scale::Full || peer.name == OURS,
        Speaks::Driver => true,
        _ => false,
    }
}

/// The name of an image that has a file of so many KiB, made if it is not there. It stays for the next workload.
pub fn image(bed: &Bed, peer: &Peer, kibibytes: u64) -> anyhow::Result<String> {
    let reference = format!("bench/lower-{kibibytes}");
    if peer.ask(&["image", "inspect", &reference]).is_err() {
        peer.ask(&["import", &tar(bed, kibibytes)?.display().to_string(), &reference])?;
    }
    Ok(reference)
}

/// Its tar, with the image's programs: made once.
fn tar(bed: &Bed, kibibytes: u64) -> anyhow::Result<PathBuf> {
    let path = bed.directory("archives")?.join(format!("lower-{kibibytes}"));
    if path.exists() {
        return Ok(path);
    }
    let root = bed.emptied("lower")?;
    let file = root.join(FILE);
    fs::create_dir_all(file.with_file_name(""))?;
    io::copy(&mut File::open("/dev/urandom")?.take(kibibytes << 10), &mut File::create(&file)?)?;
    let mut tar = tar::Builder::new(File::create(&path)?);
    tar.follow_symlinks(false);
    tar.append_dir_all("bin", container::unpacked(bed)?.join("tree/bin"))?;
    tar.append_dir_all("data", file.with_file_name(""))?;
    tar.finish()?;
    Ok(path)
}

/// A container called `name` of this image that sleeps: its root directory.
pub fn running(peer: &Peer, name: &str, reference: &str) -> anyhow::Result<PathBuf> {
    // It fails where there is none.
    drop(peer.ask(&["rm", "--force", name]));
    peer.ask(&["run", "--detach", "--name", name, "--network", "none", reference, "sleep", "100000"])?;
    let pid = peer.ask(&["inspect", "--format", "{{.State.Pid}}", name])?;
    let root = Path::new("/proc").join(pid.trim()).join("root");
    ensure!(root.join("bin").is_dir(), "{} has a container without a tree: {}", peer.name, root.display());
    Ok(root)
}

/// What is done to a file for the first time, and what is seen of it afterwards: an error where it did not happen.
pub struct Change {
    pub make: fn(&Path) -> anyhow::Result<()>,
    pub check: fn(&Path) -> anyhow::Result<()>,
}

/// Each time it is done in a new container, or, for the floor, to a copy that is made for it.
pub fn changed<'a>(bed: &'a Bed, peer: &'a Peer, kibibytes: u64, change: Change) -> anyhow::Result<Option<Task<'a>>> {
    const NAME: &str = "first";
    let Change { make, check } = change;
    let seen = move |file: &Path| -> anyhow::Result<()> {
        check(file).with_context(|| format!("the file of {} is not changed", peer.name))?;
        ensure!(file.metadata()?.len() == kibibytes << 10, "the file of {} has another size", peer.name);
        Ok(())
    };
    if peer.speaks == Speaks::Nothing {
        let place = bed.directory("floor-lower")?;
        let (from, to) = (place.join("from"), place.join("to"));
        io::copy(&mut File::open("/dev/urandom")?.take(kibibytes << 10), &mut File::create(&from)?)?;
        let (copy, done) = (to.clone(), to.clone());
        let task = Task::call(move || {
            fs::copy(&from, &copy)?;
            make(&copy)
        });
        return Ok(Some(
            task.before(crate::workloads::removed(&to))
                .check(move |_| seen(&done))
                .after(|| bed.emptied("floor-lower").map(drop))
                .weighed(),
        ));
    }
    if !can(bed, peer) {
        return Ok(None);
    }
    let reference = image(bed, peer, kibibytes)?;
    let root = Rc::new(RefCell::new(PathBuf::new()));
    let (of_call, of_check) = (Rc::clone(&root), Rc::clone(&root));
    Ok(Some(
        Task::call(move || make(&of_call.borrow().join(FILE)))
            .before(move || {
                *root.borrow_mut() = running(peer, NAME, &reference)?;
                Ok(())
            })
            .check(move |_| seen(&of_check.borrow().join(FILE)))
            .after(|| peer.ask(&["rm", "--force", NAME]).map(drop))
            .weighed(),
    ))
}
