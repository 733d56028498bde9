//! What overlayfs mounts and what it refuses: mounts by hand, with the options of the subject.
//!
//! Checklist: MN-01, MN-02~, MN-03, MN-04, MN-05, MN-12, NX-01~, IN-06, FD-09

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, bail, ensure};
use rustix::io::Errno;

use super::Stage;
use super::stage::{Mounted, tmpfs_of, within};
use crate::laws::Judged;
use crate::mapping::Shared;
use crate::overlayfs::{self, Layers};

const LACKING: Judged = Judged::Lacking("mount options of the kernel's overlayfs");

/// Directories to be mounted by the subject's options, with others added or in their stead.
struct ByHand {
    options: Vec<(String, String)>,
}

impl ByHand {
    fn of(stage: &Stage<'_>) -> Option<ByHand> {
        let mut options = stage.overlay_options()?;
        // Not the kernel's word, but the subject's.
        options.retain(|(name, _)| name != "datadir+");
        Some(ByHand { options })
    }

    fn has(&self, name: &str, value: &str) -> bool {
        self.options.iter().any(|option| (option.0.as_str(), option.1.as_str()) == (name, value))
    }

    fn with(&self, name: &str, value: &str) -> ByHand {
        let mut options = self.options.clone();
        options.retain(|option| option.0 != name);
        options.push((name.to_owned(), value.to_owned()));
        ByHand { options }
    }

    fn mount(&self, lowers: &[&Path], upper: Option<(&Path, &Path)>) -> Result<OwnedFd, Errno> {
        let options = self.options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let lowers = lowers.iter().map(|lower| lower.to_path_buf()).collect();
        let upper = upper.map(|(upper, work)| (upper.to_owned(), work.to_owned()));
        overlayfs::mount(options, &Layers { lowers, data: Vec::new(), upper })
    }
}

/// Two lower directories, an upper and a work directory.
struct Directories {
    lower: PathBuf,
    other: PathBuf,
    upper: PathBuf,
    work: PathBuf,
}

fn directories(stage: &Stage<'_>) -> anyhow::Result<Directories> {
    let [lower, other, upper, work] = ["lower", "other", "upper", "work"].map(|name| stage.directory(name));
    let directories = Directories { lower: lower?, other: other?, upper: upper?, work: work? };
    fs::write(directories.lower.join("file"), "lower")?;
    fs::write(directories.other.join("file"), "other")?;
    Ok(directories)
}

fn refused_with(mounted: Result<OwnedFd, Errno>, expected: Errno, what: &str) -> anyhow::Result<()> {
    match mounted {
        Err(errno) if errno == expected => Ok(()),
        Err(errno) => bail!("{what} is refused with {errno:?}, not with {expected:?}"),
        Ok(_) => bail!("{what} is mounted"),
    }
}

/// Lower layers alone give a tree that is read only.
pub fn without_an_upper_layer_nothing_is_written(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    let Some(by_hand) = ByHand::of(stage) else { return Ok(LACKING) };
    let Directories { lower, other, .. } = directories(stage)?;
    let mounted = by_hand.mount(&[&lower, &other], None).context("cannot mount lower layers alone")?;
    stage.look_at(&within(&mounted));
    let file = within(&mounted).join("file");
    ensure!(fs::read_to_string(&file)? == "other", "the topmost of the lower layers does not show");
    let writes = [
        ("write", File::options().append(true).open(&file).map(drop)),
        ("unlink", fs::remove_file(&file)),
        ("create", fs::write(within(&mounted).join("new"), "")),
    ];
    for (what, result) in writes {
        let errno = result.as_ref().err().and_then(io::Error::raw_os_error);
        ensure!(errno == Some(nix::libc::EROFS), "to {what} gives {result:?}");
    }
    Ok(Judged::Held)
}

/// What was left in the work directory when the machine went down is gone after the next mount, what was in the upper is there, and can be
/// changed.
pub fn what_a_crash_left_in_the_work_directory_is_cleared(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    fs::write(stage.at("file"), "lower")?;
    stage.commit()?;
    let Some(scratch) = stage.work().map(|work| work.join("work")) else {
        return Ok(LACKING);
    };
    fs::write(stage.at("file"), "upper")?;
    stage.edit(|_, _| {
        fs::write(scratch.join("#17"), "half a copy")?;
        Ok(fs::create_dir_all(scratch.join("#18/nested"))?)
    })?;
    stage.look();
    let left: Vec<_> =
        fs::read_dir(&scratch)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>()?;
    // A volatile overlay says so.
    let left: Vec<_> = left.iter().filter(|name| *name != "incompat").collect();
    ensure!(left.is_empty(), "{left:?} are still in the work directory");
    ensure!(fs::read_to_string(stage.at("file"))? == "upper", "what was written before is not there");
    fs::write(stage.at("file"), "changed").context("what was written before cannot be changed any more")?;
    Ok(Judged::Held)
}

/// An upper or work directory that is in use is not mounted once more: refused with an index, warned of in the kernel's log without
/// (`ovl_report_in_use` of `fs/overlayfs/super.c`).
pub fn an_upper_layer_is_not_mounted_twice(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    let Some(by_hand) = ByHand::of(stage) else { return Ok(LACKING) };
    if !by_hand.has("index", "on") {
        return Ok(Judged::Lacking("index, without which the kernel only warns"));
    }
    let Directories { lower, upper, work, other } = directories(stage)?;
    let mounted = by_hand.mount(&[&lower], Some((&upper, &work))).context("cannot mount")?;
    stage.look();
    refused_with(by_hand.mount(&[&lower], Some((&upper, &other))), Errno::BUSY, "an upper directory that is in use")?;
    drop(mounted);
    by_hand.mount(&[&lower], Some((&upper, &work))).context("what is not in use any more")?;
    Ok(Judged::Held)
}

/// With an index an upper layer belongs to its lower layer, and is refused on another with `ESTALE`.
pub fn layers_of_another_stack_are_refused(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    let Some(by_hand) = ByHand::of(stage) else { return Ok(LACKING) };
    if !by_hand.has("index", "on") {
        return Ok(Judged::Lacking("index, by which it would know its lower layers"));
    }
    let Directories { lower, other, upper, work } = directories(stage)?;
    drop(by_hand.mount(&[&lower], Some((&upper, &work))).context("cannot mount")?);
    stage.look();
    refused_with(
        by_hand.mount(&[&other], Some((&upper, &work))),
        Errno::STALE,
        "an upper layer on a lower one of another stack",
    )?;
    drop(by_hand.mount(&[&lower], Some((&upper, &work))).context("cannot mount it on its own lower layer again")?);
    Ok(Judged::Held)
}

/// What is tried: the upper directory, the work directory, the lower ones, each below a directory that was never mounted; the refusal that is
/// expected, and what it is called.
type Try<'a> = (&'a str, &'a str, &'a [&'a str], Option<Errno>, &'a str);

/// A layer in a layer is refused with `ELOOP`, a work directory in the upper one or the other way round with `EINVAL`.
pub fn layers_within_one_another_are_refused(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    let Some(by_hand) = ByHand::of(stage) else { return Ok(LACKING) };
    let tries: [Try<'_>; 7] = [
        ("a", "a/work", &["b"], Some(Errno::INVAL), "a work directory in the upper one"),
        ("a/upper", "a", &["b"], Some(Errno::INVAL), "an upper directory in the work directory"),
        ("a", "a", &["b"], Some(Errno::INVAL), "one directory as upper and work directory"),
        ("a", "b", &["a"], Some(Errno::LOOP), "one directory as upper and lower layer"),
        ("a", "b", &["a/lower"], Some(Errno::LOOP), "a lower layer in the upper one"),
        ("a", "b", &["c", "c/lower"], Some(Errno::LOOP), "a lower layer in a lower one"),
        ("a", "b", &["c", "d"], None, "what is side by side"),
    ];
    for (number, (upper, work, lowers, expected, what)) in tries.into_iter().enumerate() {
        let place = stage.directory(&number.to_string())?;
        let made = |path: &&str| fs::create_dir_all(place.join(path)).map(|()| place.join(path));
        let lowers = lowers.iter().map(made).collect::<Result<Vec<_>, _>>()?;
        let lowers: Vec<&Path> = lowers.iter().map(PathBuf::as_path).collect();
        let (upper, work) = (made(&upper)?, made(&work)?);
        stage.look_at(&place);
        let mounted = by_hand.mount(&lowers, Some((&upper, &work)));
        match expected {
            Some(expected) => refused_with(mounted, expected, what)?,
            None => drop(mounted.with_context(|| format!("cannot mount {what}"))?),
        }
    }
    Ok(Judged::Held)
}

/// What an overlay shows is refused as an upper directory with `EINVAL`.
pub fn an_overlay_is_no_upper_layer(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    let Some(by_hand) = ByHand::of(stage) else { return Ok(LACKING) };
    let Directories { lower, other, upper, work } = directories(stage)?;
    let mounted = by_hand.mount(&[&lower], Some((&upper, &work))).context("cannot mount")?;
    let (inner_upper, inner_work) = (within(&mounted).join("upper"), within(&mounted).join("work"));
    fs::create_dir(&inner_upper)?;
    fs::create_dir(&inner_work)?;
    stage.look_at(&within(&mounted));
    refused_with(
        by_hand.mount(&[&other], Some((&inner_upper, &inner_work))),
        Errno::INVAL,
        "an upper layer on an overlay",
    )?;
    Ok(Judged::Held)
}

/// The merged tree of a stack is a lower layer as any other: copied up, hidden, and unchanged by that.
pub fn an_overlay_lies_on_an_overlay(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    let Some(by_hand) = ByHand::of(stage) else { return Ok(LACKING) };
    fs::create_dir_all(stage.at("dir/deep"))?;
    for name in ["dir/one", "dir/two", "dir/deep/three"] {
        fs::write(stage.at(name), "first")?;
    }
    stage.commit()?;
    fs::write(stage.at("dir/two"), "second")?;
    fs::remove_file(stage.at("dir/one"))?;
    let Directories { upper, work, .. } = directories(stage)?;
    // What is mounted at no place is a layer since Linux 6.15 only (`clone_private_mount` of `fs/namespace.c`).
    let outer = stage.attached("outer")?;
    // An index needs file handles of the lower layer, which an overlay gives with nfs_export alone: the kernel drops it then.
    let inner =
        by_hand.mount(&[outer.path()], Some((&upper, &work))).context("cannot mount an overlay on an overlay")?;
    let at = |name: &str| within(&inner).join(name);
    ensure!(!at("dir/one").exists(), "what the outer one hides shows in the inner one");
    ensure!(fs::read_to_string(at("dir/two"))? == "second", "the upper layer of the outer one does not show");
    File::options().append(true).open(at("dir/two"))?.write_all(b", third")?;
    fs::remove_dir_all(at("dir/deep"))?;
    fs::create_dir(at("dir/deep"))?;
    stage.look_at(&within(&inner));
    ensure!(fs::read_to_string(at("dir/two"))? == "second, third", "what is written to the inner one does not show");
    ensure!(fs::read_dir(at("dir/deep"))?.count() == 0, "a directory that was made anew is not empty");
    ensure!(fs::read_to_string(stage.at("dir/two"))? == "second", "a write to the inner overlay changed the outer one");
    ensure!(
        fs::read_to_string(stage.at("dir/deep/three"))? == "first",
        "a removal in the inner overlay changed the outer one"
    );
    Ok(Judged::Held)
}

/// With `uuid=on` statfs(2) gives an identity that no other overlay has, and that is the same at the next mount (overlayfs, "UUID and fsid";
/// Linux 6.6).
pub fn a_file_system_has_an_identity_of_its_own(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    let Some(by_hand) = ByHand::of(stage) else { return Ok(LACKING) };
    let Directories { lower, other, upper, work } = directories(stage)?;
    // An older `uuid=on` is about file handles.
    if by_hand.with("uuid", "null").mount(&[&lower, &other], None).is_err_and(|errno| errno == Errno::INVAL) {
        return Ok(Judged::Lacking("uuid among its mount options (Linux 6.6)"));
    }
    let by_hand = by_hand.with("uuid", "on");
    let identity = |upper: &Path, work: &Path| -> Result<_, Errno> {
        let mounted = by_hand.mount(&[&lower], Some((upper, work)))?;
        Ok(format!("{:?}", rustix::fs::fstatfs(&mounted)?.f_fsid))
    };
    let first = identity(&upper, &work).context("cannot mount with uuid=on")?;
    match fs::remove_dir_all(work.join("work/incompat")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    stage.look();
    let again = identity(&upper, &work).context("cannot mount with uuid=on again")?;
    ensure!(first == again, "its identity was {first} and is {again} at the next mount");
    let more = stage.directory("more")?;
    let another = identity(&other, &more).context("cannot mount another with uuid=on")?;
    ensure!(first != another, "two overlays have the identity {first}");
    Ok(Judged::Held)
}

/// Two files that have one inode number in two layers on two file systems are two files: by stat(2), read, mapped, and run.
pub fn files_with_one_number_in_two_layers_are_two(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    let Some(by_hand) = ByHand::of(stage) else { return Ok(LACKING) };
    // Two small programs, where they are where most systems have them.
    let mut programs = vec![("true", 0), ("false", 1)];
    if !programs.iter().all(|(name, _)| Path::new("/bin").join(name).exists()) {
        programs.clear();
    }
    let Directories { upper, work, .. } = directories(stage)?;
    let mut layers = Vec::new();
    for (index, name) in ["one", "two"].into_iter().enumerate() {
        // New file systems of one kind number their files alike.
        let layer = tmpfs_of(32 << 20, &stage.directory(&format!("layer-{name}"))?)?;
        fs::write(layer.path().join(name), name.repeat(2000))?;
        if let Some((program, _)) = programs.get(index) {
            fs::copy(Path::new("/bin").join(program), layer.path().join(program))?;
        }
        layers.push(layer);
    }
    let number = |layer: &Mounted, name: &str| fs::metadata(layer.path().join(name)).map(|meta| meta.ino());
    ensure!(number(&layers[0], "one")? == number(&layers[1], "two")?, "the two files could not be given one number");
    if let [(one, _), (two, _)] = programs[..] {
        ensure!(number(&layers[0], one)? == number(&layers[1], two)?, "the programs could not be given one number");
    }
    let mounted =
        by_hand.mount(&[layers[0].path(), layers[1].path()], Some((&upper, &work))).context("cannot mount")?;
    let at = |name: &str| within(&mounted).join(name);
    stage.look_at(&within(&mounted));
    let mut identities = Vec::new();
    for name in ["one", "two"] {
        let meta = fs::metadata(at(name))?;
        identities.push((meta.dev(), meta.ino()));
        let mapped = Shared::new(File::open(at(name))?, 6000)?;
        ensure!(mapped.bytes() == name.repeat(2000).as_bytes(), "{name} is mapped with another's content");
        ensure!(fs::read(at(name))? == name.repeat(2000).as_bytes(), "{name} is read with another's content");
    }
    ensure!(identities[0] != identities[1], "both files are number {:?}", identities[0]);
    for (program, status) in programs {
        let ended = Command::new(at(program)).status().with_context(|| format!("cannot run {program}"))?;
        ensure!(ended.code() == Some(status), "{program} ends with {ended}");
    }
    Ok(Judged::Held)
}

/// An erofs image (`mkfs.erofs`) is a lower layer as any other.
pub fn erofs_images_are_lower_layers(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    let made = |content: &Path, image: &Path| Command::new("mkfs.erofs").args([image, content]).output();
    images_are_lower_layers(stage, "erofs", made)
}

/// A squashfs image (`mksquashfs`) is a lower layer as any other.
pub fn squashfs_images_are_lower_layers(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    let made = |content: &Path, image: &Path| Command::new("mksquashfs").args([content, image]).output();
    images_are_lower_layers(stage, "squashfs", made)
}

/// What is in an image is copied up and hidden as elsewhere.
fn images_are_lower_layers(
    stage: &Stage<'_>,
    kind: &str,
    make: impl FnOnce(&Path, &Path) -> io::Result<Output>,
) -> anyhow::Result<Judged> {
    let Some(by_hand) = ByHand::of(stage) else { return Ok(LACKING) };
    if !stage.promises.first_namespace {
        return Ok(Judged::Lacking("images as lower layers, which only root mounts"));
    }
    let [content, upper, work, lower] = ["content", "upper", "work", "lower"].map(|name| stage.directory(name));
    let (content, upper, work, lower) = (content?, upper?, work?, lower?);
    fs::create_dir_all(content.join("dir/deep"))?;
    for name in ["kept", "dir/changed", "dir/removed", "dir/deep/gone"] {
        fs::write(content.join(name), "below")?;
    }
    let image = stage.place().join("image");
    match make(&content, &image) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Judged::Lacking("images as lower layers: install erofs-utils, squashfs-tools"));
        }
        made => {
            let made = made?;
            ensure!(made.status.success(), "the image cannot be made: {}", String::from_utf8_lossy(&made.stderr));
        }
    }
    let mounted = Command::new("mount").args(["-t", kind, "-o", "loop,ro"]).arg(&image).arg(&lower).output();
    let mounted = mounted.context("cannot call mount(8)")?;
    if !mounted.status.success() {
        return Ok(Judged::Lacking("images as lower layers: the kernel does not mount them"));
    }
    let lower = Mounted::on(&lower);
    let merged = by_hand.mount(&[lower.path()], Some((&upper, &work))).context("cannot mount on an image")?;
    let at = |name: &str| within(&merged).join(name);
    File::options().append(true).open(at("dir/changed"))?.write_all(b", above")?;
    fs::remove_file(at("dir/removed"))?;
    fs::remove_dir_all(at("dir/deep"))?;
    fs::create_dir(at("dir/deep"))?;
    stage.look_at(&within(&merged));
    ensure!(fs::read_to_string(at("kept"))? == "below", "a file shows something else");
    ensure!(fs::read_to_string(at("dir/changed"))? == "below, above", "an append is lost");
    ensure!(!at("dir/removed").exists(), "a file that was removed is there");
    ensure!(fs::read_dir(at("dir/deep"))?.count() == 0, "a directory that was made anew is not empty");
    Ok(Judged::Held)
}
