//! Attributes that no step sets: those of chattr(1), and overlayfs's own.
//!
//! Checklist: CU-11, PM-03, XA-04, XA-13

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rustix::fs::{IFlags, XattrFlags, ioctl_getflags, ioctl_setflags};
use rustix::io::Errno;

use super::Stage;
use super::edited::{EDITABLE, is_edited_in_place};
use super::stage::within;
use crate::laws::{Judged, UPPER_LAYER};
use crate::overlayfs::{self, Layers};
use crate::private::is_origin;

const LACKING: Judged = Judged::Lacking("file attributes as chattr(1) sets them");

/// Takes the flags away in the end, since nobody else could remove the files.
struct Flagged(PathBuf);

impl Flagged {
    fn set(path: PathBuf, flags: IFlags) -> Result<Flagged, Errno> {
        let file = rustix::fs::open(&path, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())?;
        ioctl_setflags(&file, flags | ioctl_getflags(&file)?)?;
        Ok(Flagged(path))
    }

    fn flags(path: &Path) -> anyhow::Result<IFlags> {
        ioctl_getflags(File::open(path)?).context("cannot read the file attributes")
    }
}

impl Drop for Flagged {
    fn drop(&mut self) {
        let cleared = File::open(&self.0).map_err(|_| Errno::NOENT).and_then(|file| {
            ioctl_setflags(&file, ioctl_getflags(&file)?.difference(IFlags::APPEND | IFlags::IMMUTABLE))
        });
        if let Err(errno) = cleared {
            eprintln!("layerlab-laws: cannot take the file attributes of {} away: {errno}", self.0.display());
        }
    }
}

/// Files that are immutable or to be appended to only (chattr(1)) are so in every layer, by every name, and after a remount.
pub fn file_attributes_are_kept_and_enforced(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    let trial = stage.directory("trial")?.join("file");
    fs::write(&trial, "")?;
    match Flagged::set(trial, IFlags::IMMUTABLE) {
        // Only root of the first user namespace may, and not every file system has them.
        Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::PERM) => {
            return Ok(LACKING);
        }
        set => drop(set?),
    }
    let names = ["below-append", "below-immutable", "above-append", "above-immutable"];
    for name in &names[..2] {
        fs::write(stage.at(name), "first")?;
    }
    stage.commit()?;
    for name in &names[2..] {
        fs::write(stage.at(name), "first")?;
    }
    let flags_of = |name: &str| if name.ends_with("append") { IFlags::APPEND } else { IFlags::IMMUTABLE };
    let set = |stage: &Stage<'_>| {
        let set = names.iter().map(|name| Flagged::set(stage.at(name), flags_of(name)));
        set.collect::<Result<Vec<_>, _>>().context("cannot set file attributes")
    };
    match set(stage) {
        // A program that unites trees may know nothing of them.
        Err(error) if error.downcast_ref() == Some(&Errno::NOTTY) && stage.overlay_options().is_none() => {
            return Ok(LACKING);
        }
        // They are taken away by the merged tree that is mounted last.
        flagged => flagged?.into_iter().for_each(std::mem::forget),
    }
    stage.remount()?;
    let _cleared = names.map(|name| Flagged(stage.at(name)));
    stage.look();
    for name in names {
        let path = stage.at(name);
        let flags = Flagged::flags(&path)?;
        ensure!(flags.contains(flags_of(name)), "{name} has the attributes {flags:?} after a remount");
        let refusals = [
            ("unlink", fs::remove_file(&path)),
            ("rename", fs::rename(&path, stage.at("elsewhere"))),
            ("link", fs::hard_link(&path, stage.at("elsewhere"))),
            ("chmod", fs::set_permissions(&path, Permissions::from_mode(0o600))),
            ("truncate", OpenOptions::new().write(true).truncate(true).open(&path).map(drop)),
        ];
        for (what, result) in refusals {
            let errno = result.as_ref().err().and_then(std::io::Error::raw_os_error);
            ensure!(errno == Some(nix::libc::EPERM), "{what} of {name} gives {result:?}");
        }
        let appended = OpenOptions::new().append(true).open(&path).and_then(|mut file| file.write_all(b" second"));
        let is_append = name.ends_with("append");
        ensure!(appended.is_ok() == is_append, "to append to {name} gives {appended:?}");
        let expected = if is_append { "first second" } else { "first" };
        ensure!(fs::read_to_string(&path)? == expected, "{name} has another content");
    }
    Ok(Judged::Held)
}

/// File attributes that a file has in a lower layer are enforced there, and come up with it.
pub fn file_attributes_come_up_with_their_file(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    if !is_edited_in_place(stage) {
        return Ok(Judged::Lacking(EDITABLE));
    }
    let files = [("append", IFlags::APPEND), ("immutable", IFlags::IMMUTABLE), ("unread", IFlags::NOATIME)];
    for (name, _) in files {
        fs::write(stage.at(name), "below")?;
    }
    stage.commit()?;
    let mut flagged = Vec::new();
    let mut refusal = None;
    stage.edit(|lower, _| {
        let lower = lower.context("there is no lower layer")?;
        for (name, flags) in files {
            match Flagged::set(lower.join(name), flags) {
                Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::PERM) => refusal = Some(LACKING),
                set => flagged.push(set?),
            }
        }
        Ok(())
    })?;
    if let Some(lacking) = refusal {
        return Ok(lacking);
    }
    if !is_copied_up_by_the_kernel(stage)? {
        return Ok(Judged::Lacking("file attributes that come up with their file (Linux 5.15)"));
    }
    let open = |name: &str| OpenOptions::new().append(true).open(stage.at(name));
    open("append")?.write_all(b", above").context("cannot append to what is to be appended to")?;
    fs::set_permissions(stage.at("unread"), Permissions::from_mode(0o600))?;
    let opened = open("immutable").map(drop).map_err(|error| error.raw_os_error());
    ensure!(opened == Err(Some(nix::libc::EPERM)), "to write to an immutable file gives {opened:?}");
    stage.look();
    for moment in ["at once", "after a remount"] {
        for (name, flags) in files {
            let found = Flagged::flags(&stage.at(name))?;
            ensure!(found.contains(flags), "{moment} {name} has the attributes {found:?}");
        }
        for name in ["append", "immutable"] {
            let removed = fs::remove_file(stage.at(name)).map_err(|error| error.raw_os_error());
            ensure!(removed == Err(Some(nix::libc::EPERM)), "{moment} to remove {name} gives {removed:?}");
        }
        if moment == "at once" {
            stage.remount()?;
        }
    }
    let content = fs::read_to_string(stage.at("append"))?;
    ensure!(content == "below, above", "what was appended to is {content:?}");
    Ok(Judged::Held)
}

/// Whether the kernel's own overlayfs brings a file attribute up (`ovl_copy_fileattr` of `fs/overlayfs/copy_up.c`, Linux 5.15); tried beside the subject.
fn is_copied_up_by_the_kernel(stage: &Stage<'_>) -> anyhow::Result<bool> {
    let [lower, upper, work] = ["kernel-lower", "kernel-upper", "kernel-work"].map(|name| stage.directory(name));
    let (lower, upper) = (lower?, upper?);
    fs::write(lower.join("file"), "")?;
    let _flagged = Flagged::set(lower.join("file"), IFlags::NOATIME)?;
    let layers = Layers { lowers: vec![lower], data: Vec::new(), upper: Some((upper.clone(), work?)) };
    let mounted = overlayfs::mount([], &layers).context("cannot mount an overlay")?;
    fs::set_permissions(within(&mounted).join("file"), Permissions::from_mode(0o600))?;
    Ok(Flagged::flags(&upper.join("file"))?.contains(IFlags::NOATIME))
}

fn attribute(path: &Path, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let mut value = vec![0; 256];
    match rustix::fs::lgetxattr(path, name, &mut value[..]) {
        Ok(length) => Ok(Some(value[..length].to_vec())),
        Err(Errno::NODATA) => Ok(None),
        Err(errno) => Err(errno).with_context(|| format!("cannot read {name} of {}", path.display())),
    }
}

/// A copy says where it came from, its directory that it has such, and with an index the file how many names it has, each in
/// overlayfs's own form.
pub fn private_attributes_are_well_formed(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    let Some(prefix) = stage.private_prefix() else { return Ok(Judged::Lacking(UPPER_LAYER)) };
    fs::create_dir(stage.at("dir"))?;
    for name in ["dir/file", "dir/linked"] {
        fs::write(stage.at(name), "below")?;
    }
    fs::hard_link(stage.at("dir/linked"), stage.at("dir/other"))?;
    stage.commit()?;
    for name in ["dir/file", "dir/linked"] {
        OpenOptions::new().append(true).open(stage.at(name))?.write_all(b"above")?;
    }
    stage.look();
    let upper = stage.upper_root().context("there is no upper layer any more")?;
    let named = |path: &str, name: &str| attribute(&upper.join(path), &format!("{prefix}{name}"));
    for path in ["dir", "dir/file", "dir/linked"] {
        let origin = named(path, "origin")?;
        // Of names of one file without an index nothing can be said: they are two files from now on (`ovl_set_origin`).
        let may_lack = path == "dir/linked" && !stage.promises.hard_links_survive_copy_up;
        let is_right = origin.as_deref().map_or(may_lack, is_origin);
        ensure!(is_right, "{path} has the origin {origin:02x?}");
    }
    let impure = named("dir", "impure")?;
    ensure!(impure.as_deref() == Some(b"y"), "the directory of copies is {impure:?}, not impure");
    if stage.promises.hard_links_survive_copy_up {
        let links = named("dir/linked", "nlink")?.unwrap_or_default();
        let text = String::from_utf8_lossy(&links).into_owned();
        let (base, rest) = text.split_at_checked(1).unwrap_or_default();
        let is_right = ["U", "L"].contains(&base) && rest.starts_with(['+', '-']) && rest.parse::<i32>().is_ok();
        ensure!(is_right, "a file with two names has the attribute nlink {text:?}");
    }
    Ok(Judged::Held)
}

/// Attributes of an overlay within are kept for it, escaped, and mean nothing to the one that keeps them (overlayfs, "Nesting overlayfs
/// mounts"; Linux 6.7).
pub fn private_attributes_of_an_inner_overlay_are_kept(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    const LACKING: Judged = Judged::Lacking("private attributes for overlays within it (Linux 6.7)");
    // A driver that copies the upper layer leaves out what is private to overlays.
    let Some(private) = stage.private_prefix().filter(|_| stage.promises.layers_max > 1) else { return Ok(LACKING) };
    fs::create_dir(stage.at("dir"))?;
    fs::write(stage.at("dir/below"), "below")?;
    stage.commit()?;
    let opaque = format!("{private}opaque");
    match rustix::fs::setxattr(stage.at("dir"), &opaque, b"y", XattrFlags::empty()) {
        Err(Errno::OPNOTSUPP | Errno::PERM) => return Ok(LACKING),
        set => set.context("cannot set a private attribute")?,
    }
    let upper = stage.upper_root().context("there is no upper layer any more")?;
    let escaped = attribute(&upper.join("dir"), &format!("{private}overlay.opaque"))?;
    ensure!(escaped.as_deref() == Some(b"y"), "in the upper layer it is not escaped");
    for mounted in ["at once", "after a remount", "in a lower layer"] {
        match mounted {
            "after a remount" => stage.remount()?,
            "in a lower layer" => stage.commit()?,
            _ => {}
        }
        stage.look();
        let seen = attribute(&stage.at("dir"), &opaque)?;
        ensure!(seen.as_deref() == Some(b"y"), "{mounted} the attribute is {seen:?}");
        ensure!(stage.at("dir/below").is_file(), "{mounted} it hides what lies below");
    }
    Ok(Judged::Held)
}
