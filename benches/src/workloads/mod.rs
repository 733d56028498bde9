//! What is measured: each workload is one file that says what it asks, how each peer does it, and how it is seen that it was done.
//!
//! *Holds*: all peers of a workload do the same work on the same files; what is arranged is not timed. To add one: copy its neighbour, list
//! it below.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use anyhow::{bail, ensure};

use crate::bed::{Bed, Scale};
use crate::container;
use crate::floor::Layers;
use crate::peers::{Peer, Speaks};
use crate::task::Task;

mod build;
mod build_cached;
mod check;
mod commit;
mod commit_file;
mod create;
mod diff;
mod exec;
mod export;
mod first_chmod;
mod first_chown;
mod first_setcap;
mod first_write;
mod images;
mod import;
mod list_through;
mod load;
mod look_through;
mod prune;
mod ps;
mod pull;
mod pull_half;
mod pull_zstd;
mod rmi;
mod run;
mod run_at_once;
mod save;

/// One question.
pub struct Workload {
    pub name: &'static str,
    /// In a sentence.
    pub question: &'static str,
    /// What may favour somebody, and what the floor is.
    pub fairness: &'static str,
    /// Of what there is more or less to do.
    pub unit: &'static str,
    /// How much everybody has to do.
    pub amounts: fn(Scale) -> Vec<u64>,
    /// How much we and the floor have to do besides, to see how it grows.
    pub growth: fn(Scale) -> Vec<u64>,
    /// How often at most, for a full run: where all peers together take long it is less often.
    pub samples: usize,
    /// How many times faster than whom we want to be.
    pub goals: &'static [(&'static str, f64)],
    /// How a peer does so much of it; none for one that cannot.
    pub task: for<'a> fn(&'a Bed, &'a Peer, u64) -> anyhow::Result<Option<Task<'a>>>,
}

/// All of them, in the order of the report.
pub static ALL: [Workload; 27] = [
    pull::WORKLOAD,
    pull_half::WORKLOAD,
    pull_zstd::WORKLOAD,
    run::WORKLOAD,
    run_at_once::WORKLOAD,
    exec::WORKLOAD,
    ps::WORKLOAD,
    images::WORKLOAD,
    diff::WORKLOAD,
    commit::WORKLOAD,
    commit_file::WORKLOAD,
    save::WORKLOAD,
    load::WORKLOAD,
    export::WORKLOAD,
    import::WORKLOAD,
    build::WORKLOAD,
    build_cached::WORKLOAD,
    create::WORKLOAD,
    first_write::WORKLOAD,
    first_chmod::WORKLOAD,
    first_chown::WORKLOAD,
    first_setcap::WORKLOAD,
    look_through::WORKLOAD,
    list_through::WORKLOAD,
    rmi::WORKLOAD,
    prune::WORKLOAD,
    check::WORKLOAD,
];

/// The one of that name.
pub fn named(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}

/// For what does not grow.
fn once(_: Scale) -> Vec<u64> {
    vec![1]
}

fn none(_: Scale) -> Vec<u64> {
    Vec::new()
}

/// Lets a peer have no image at all, and nothing that came with one.
fn without_image(bed: &Bed, peer: &Peer) -> anyhow::Result<()> {
    match peer.speaks {
        Speaks::Docker => {
            remove_images(peer, |_| true)?;
            has_no_image(peer)?;
        }
        Speaks::Ctr => {
            for reference in peer.ask(&["images", "ls", "--quiet"])?.split_whitespace() {
                peer.ask(&["images", "rm", "--sync", reference])?;
            }
            let left = peer.ask(&["content", "ls", "--quiet"])?;
            ensure!(left.trim().is_empty(), "containerd keeps of the image: {left}");
        }
        Speaks::Tools => drop(bed.emptied("oci")?),
        _ => {}
    }
    Ok(())
}

/// Lets a peer have no other image than that one: what builds have left would keep its layers.
fn alone(bed: &Bed, peer: &Peer) -> anyhow::Result<()> {
    if !peer.speaks_docker() {
        return Ok(());
    }
    remove_images(peer, |id| !is_id(bed, id))?;
    let left = peer.ask(&["images", "--all", "--quiet", "--no-trunc"])?;
    ensure!(left.lines().all(|id| is_id(bed, id)), "{} has other images, too: {left}", peer.name);
    Ok(())
}

fn remove_images(peer: &Peer, which: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let ids = peer.ask(&["images", "--all", "--quiet", "--no-trunc"])?;
    let mut ids: Vec<&str> = ids.lines().filter(|id| which(id)).collect();
    ids.dedup();
    if ids.is_empty() {
        return Ok(());
    }
    // One may have gone with another: what counts is what is left.
    drop(peer.ask(&[&["rmi", "--force"], ids.as_slice()].concat()));
    Ok(())
}

/// That a peer has no image, not even one without a name.
fn has_no_image(peer: &Peer) -> anyhow::Result<()> {
    let left = peer.ask(&["images", "--all", "--quiet"])?;
    ensure!(left.trim().is_empty(), "{} has images still: {left}", peer.name);
    Ok(())
}

/// podman leaves out what kind of digest it is.
fn is_id(bed: &Bed, id: &str) -> bool {
    bed.image.id.trim_start_matches("sha256:") == id.trim().trim_start_matches("sha256:")
}

/// Lets a peer have the image.
fn with_image(bed: &Bed, peer: &Peer) -> anyhow::Result<()> {
    let reference = bed.reference();
    match peer.speaks {
        Speaks::Docker if peer.ask(&["image", "inspect", &reference]).is_err() => {
            drop(peer.ask(&["pull", "--quiet", &reference])?)
        }
        Speaks::Ctr if !peer.ask(&["images", "ls", "--quiet"])?.contains(&reference) => {
            peer.ask(&["images", "pull", "--plain-http", &reference])?;
        }
        _ => {}
    }
    Ok(())
}

/// That a peer with `docker`'s words has the image, and that it is the one that was served.
fn has_image(bed: &Bed, peer: &Peer, reference: &str) -> anyhow::Result<()> {
    let id = peer.ask(&["image", "inspect", "--format", "{{.Id}}", reference])?;
    ensure!(is_id(bed, &id), "{} has an image {id} and not {}", peer.name, bed.image.id);
    Ok(())
}

/// That it has an image of that name with so many layers.
fn has_layers(peer: &Peer, reference: &str, layers: usize) -> anyhow::Result<()> {
    let found = peer.ask(&["image", "inspect", "--format", "{{len .RootFS.Layers}}", reference])?;
    ensure!(found.trim() == layers.to_string(), "{}'s image has {} layers and not {layers}", peer.name, found.trim());
    Ok(())
}

/// That a container of an image that a peer has made says `expected` when it runs `words`.
fn shows(peer: &Peer, reference: &str, words: &[&str], expected: &str) -> anyhow::Result<()> {
    let said = peer.ask(&[&["run", "--rm", "--network", "none", reference], words].concat())?;
    ensure!(said.trim() == expected, "{words:?} in {}'s {reference} says {said:?} and not {expected:?}", peer.name);
    Ok(())
}

/// How many files lie in one directory of those that [`changed`] makes.
const FILES_IN_DIRECTORY: u64 = 100;

/// The names below `/data` when `files` files have been made, `/data` with them.
fn names_of(files: u64) -> u64 {
    1 + files.div_ceil(FILES_IN_DIRECTORY) + files
}

/// A container called `name` that has made `files` small files below `/data`, and has ended.
fn changed(bed: &Bed, peer: &Peer, name: &str, files: u64) -> anyhow::Result<()> {
    let script = format!(
        "mkdir /data; i=0; while [ $i -lt {files} ]; do d=/data/$((i / {FILES_IN_DIRECTORY})); \
         if [ $((i % {FILES_IN_DIRECTORY})) -eq 0 ]; then mkdir $d; fi; echo $i > $d/$i; i=$((i + 1)); done"
    );
    with_image(bed, peer)?;
    forget(peer, name);
    peer.ask(&["run", "--name", name, "--network", "none", &bed.reference(), "sh", "-c", &script]).map(drop)
}

/// A container called `name` that never ran.
fn created(bed: &Bed, peer: &Peer, name: &str) -> anyhow::Result<()> {
    with_image(bed, peer)?;
    forget(peer, name);
    peer.ask(&["create", "--name", name, "--network", "none", &bed.reference(), "true"]).map(drop)
}

/// Removes a container that may be there.
fn forget(peer: &Peer, name: &str) {
    // It fails where there is none.
    drop(peer.ask(&["rm", "--force", name]));
}

/// The same files in a directory, for the floor.
fn changed_directory(bed: &Bed, name: &str, files: u64) -> anyhow::Result<std::path::PathBuf> {
    let root = bed.emptied(name)?;
    for number in 0..files {
        let directory = root.join("data").join((number / FILES_IN_DIRECTORY).to_string());
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(number.to_string()), format!("{number}\n"))?;
    }
    Ok(root)
}

/// The floor of what only has to answer: a process that starts and ends, the image's `true`.
fn started(bed: &Bed) -> anyhow::Result<Task<'_>> {
    let program = container::unpacked(bed)?.join("tree/bin/true");
    Ok(Task::command(move || Command::new(&program)))
}

/// The floor of what unpacks layers.
fn unpacked<'a>(layers: Layers, unpack: impl Fn(&Layers) -> anyhow::Result<()> + 'a) -> Task<'a> {
    let layers = Rc::new(layers);
    let (before, check, after) = (Rc::clone(&layers), Rc::clone(&layers), Rc::clone(&layers));
    Task::call(move || unpack(&layers))
        .before(move || before.emptied())
        .check(move |_| check.are_unpacked())
        .after(move || after.emptied())
}

/// Removes a file that may be there.
pub fn removed<'a>(path: &Path) -> impl FnMut() -> anyhow::Result<()> + 'a {
    let path = path.to_owned();
    move || match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// That a tar has a member whose name ends like this; how many members it has.
fn members(path: &Path, wanted: &str) -> anyhow::Result<u64> {
    let mut tar = tar::Archive::new(fs::File::open(path)?);
    let (mut count, mut is_there) = (0, false);
    for entry in tar.entries()? {
        let entry = entry?;
        count += 1;
        is_there |= entry.path_bytes().ends_with(wanted.as_bytes());
    }
    if !is_there {
        bail!("{} has no {wanted}", path.display());
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_workload_is_forgotten_and_each_says_what_it_asks() {
        let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/workloads")).unwrap();
        let mut files: Vec<String> =
            files.map(|file| file.unwrap().path().file_stem().unwrap().display().to_string()).collect();
        files.retain(|name| name != "mod");
        files.sort();
        let mut listed: Vec<String> = ALL.iter().map(|workload| workload.name.replace('-', "_")).collect();
        listed.sort();
        assert_eq!(files, listed);
        assert!(ALL.iter().all(|workload| workload.question.ends_with('?') && !workload.fairness.is_empty()));
    }
}
