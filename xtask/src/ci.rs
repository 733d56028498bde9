//! `cargo xtask ci`: all that a change must pass, in the order in which it fails fastest.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, bail, ensure};

use crate::at_once::at_once;
use crate::{Verb, bugs, call, fmt, lint, test};

pub const VERB: Verb = Verb {
    name: "ci",
    summary: "fmt, lint, test (which replays as root, rootless and on a required docker, with which it takes turns), bugs --check, replay the walkthroughs as ordinary users (--user NAME \
              adds one) and on a required podman",
    run,
};

/// Names the directory of the documents that walkthroughs retell.
const DOCUMENTS: &str = "LAYERLAB_DOCUMENTS";

/// A user without subordinate IDs, whom every host has.
const NOBODY: User = User { uid: 65534, gid: 65534 };

#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    let user = match arguments {
        [] => None,
        [flag, name] if flag == "--user" => Some((name.as_str(), named(name)?)),
        _ => bail!("what is meant by {arguments:?}? ci takes --user NAME only"),
    };
    let is_root = fs::metadata("/proc/self")?.uid() == 0;
    check("fmt", || (fmt::VERB.run)(&["--check".into()]))?;
    check("lint", || (lint::VERB.run)(&[]))?;
    check("test", || test::all(&requirements(is_root)))?;
    // The tests built all programs, and replayed all pages as whoever calls this, in a user namespace, and on docker.
    if !is_root {
        println!("==> skipped: seeded bugs, and replay as other users and on podman, need root");
        return Ok(0);
    }
    let mut bugs = Command::new(call::built("layerlab-bugs")?);
    bugs.arg("--check").arg(call::root().join(bugs::MATRIX));
    let mut podman = call::lab()?;
    podman.args(["replay", "walkthroughs", "cases", "--on", "podman", "--require", "podman"]);
    let stage = Stage::make()?;
    let mut rest = vec![
        ("bugs".to_owned(), bugs),
        ("replay on podman".to_owned(), podman),
        ("replay as nobody, who has a single ID".to_owned(), stage.replay_as(NOBODY)?),
    ];
    if let Some((name, user)) = user {
        rest.push((format!("replay as {name}"), stage.replay_as(user)?));
    }
    let failed = at_once(rest.len(), rest);
    ensure!(failed.is_empty(), "failed: {}", failed.join("; "));
    Ok(0)
}

/// What a test machine can do must not be skipped; the source documents are no part of a clone, but may lie beside it.
fn requirements(is_root: bool) -> Vec<(&'static str, OsString)> {
    let mut required = if is_root {
        "root,user,docker,podman,docker-registry,skopeo,containers-storage,containerd,umoci,chromium,bash,zsh,fish,fuse,fuse-overlayfs,overlay,tmpfs,ext4,xfs,btrfs,erofs,\
         squashfs,\
         kernel-log,gnu-tar"
    } else {
        "user,overlay,tmpfs"
    }
    .to_owned();
    let mut variables = Vec::new();
    let beside = call::root().join("../shared/walkthroughs");
    let documents = std::env::var_os(DOCUMENTS).or_else(|| beside.is_dir().then(|| beside.into()));
    if let Some(documents) = documents {
        required += ",documents";
        variables.push((DOCUMENTS, documents));
    }
    variables.push(("LAYERLAB_REQUIRE", required.into()));
    // Programs of tests run side by side already; those in a lab wait for containers half of the time.
    let threads = 1 + thread::available_parallelism().map_or(1, usize::from);
    variables.push(("RUST_TEST_THREADS", threads.to_string().into()));
    variables
}

fn check(what: &str, run: impl FnOnce() -> anyhow::Result<u8>) -> anyhow::Result<()> {
    println!("==> {what}");
    let begun = Instant::now();
    match run()? {
        0 => println!("==> {what}: {} s", begun.elapsed().as_secs()),
        status => bail!("{what} ended with status {status}"),
    }
    Ok(())
}

/// Looks a user up in /etc/passwd (passwd(5)).
fn named(name: &str) -> anyhow::Result<User> {
    let text = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name));
    let fields: Vec<&str> = line.with_context(|| format!("there is no user {name}"))?.split(':').collect();
    match fields.as_slice() {
        [_, _, uid, gid, ..] => Ok(User { uid: uid.parse()?, gid: gid.parse()? }),
        _ => bail!("/etc/passwd has no IDs for {name}"),
    }
}

/// Copies of what a replay needs, in a directory that every user may read, since a checkout often lies in one that only
/// its owner may enter. Removed when dropped.
struct Stage {
    directory: PathBuf,
}

impl Stage {
    fn make() -> anyhow::Result<Stage> {
        let directory = std::env::temp_dir().join(format!("layerlab-ci-{}", std::process::id()));
        fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let stage = Stage { directory };
        for program in ["layerlab", "layerlab-lab"] {
            fs::copy(call::built(program)?, stage.directory.join(program))?;
        }
        let output = call::lab()?.arg("prepare").output().context("cannot ask layerlab-lab what it prepared")?;
        let text = String::from_utf8(output.stdout)?;
        let [guest, images, packages] = text.lines().collect::<Vec<_>>()[..] else {
            bail!("layerlab-lab prepare said {text:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        fs::copy(guest, stage.directory.join("guest"))?;
        copy_tree(Path::new(images), &stage.directory.join("images"))?;
        copy_tree(Path::new(packages), &stage.directory.join("packages"))?;
        // The tests replayed all pages in a user namespace: what other users' own make of it the walkthroughs show.
        copy_pages(&call::root().join("scenarios/walkthroughs"), &stage.directory)?;
        for entry in fs::read_dir(&stage.directory)? {
            let entry = entry?;
            let mode = entry.metadata()?.permissions().mode();
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode | 0o555))?;
        }
        fs::set_permissions(&stage.directory, fs::Permissions::from_mode(0o755))?;
        Ok(stage)
    }

    fn replay_as(&self, user: User) -> anyhow::Result<Command> {
        let at = |name: &str| self.directory.join(name);
        let mut lab = Command::new(at("layerlab-lab"));
        lab.arg("replay").uid(user.uid).gid(user.gid).current_dir(&self.directory);
        lab.env("LAYERLAB_ENGINE", at("layerlab")).env("LAYERLAB_GUEST", at("guest"));
        lab.env("LAYERLAB_IMAGES", at("images")).env("LAYERLAB_PACKAGES", at("packages")).env("HOME", &self.directory);
        let entries = fs::read_dir(&self.directory)?.collect::<Result<Vec<_>, _>>()?;
        let mut pages: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
        pages.sort();
        lab.args(pages);
        Ok(lab)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("cannot remove {}: {error}", self.directory.display());
        }
    }
}

fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to)?;
            fs::set_permissions(&to, fs::Permissions::from_mode(0o644))?;
        }
    }
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Copies every page in `from` into `to`.
fn copy_pages(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|extension| extension == "md")) {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}
