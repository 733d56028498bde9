//! Layers that somebody edited while they were not mounted: what is promised of that holds, and nothing else is harmed.
//!
//! Checklist: HL-06, IN-05~, WH-09, XA-13

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, ensure};
use rustix::fs::XattrFlags;

use super::Stage;
use crate::laws::{Judged, UPPER_LAYER};

/// What a subject lacks that is not [`is_edited_in_place`].
pub(super) const EDITABLE: &str = "lower layers that show what is changed in them while nothing is mounted";

/// Whether a layer's directory can be edited with effect: only an overlay shows what is in its layers by then.
pub(super) fn is_edited_in_place(stage: &Stage<'_>) -> bool {
    stage.overlay_options().is_some_and(|options| options.iter().all(|(name, _)| name != "datadir+"))
}

/// A file of a lower layer that gets a further name there, between two mounts, can be read and removed by each of its names.
pub fn a_name_added_to_a_lower_layer_does_no_harm(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    if !is_edited_in_place(stage) {
        return Ok(Judged::Lacking(EDITABLE));
    }
    fs::write(stage.at("one"), "below")?;
    fs::hard_link(stage.at("one"), stage.at("two"))?;
    stage.commit()?;
    OpenOptions::new().append(true).open(stage.at("one"))?.write_all(b", and above")?;
    stage.edit(|lower, _| {
        let lower = lower.context("there is no lower layer")?;
        fs::hard_link(lower.join("two"), lower.join("three")).context("cannot give a further name")
    })?;
    stage.look();
    ensure!(
        fs::read_to_string(stage.at("one"))? == "below, and above",
        "the name that was written to shows something else"
    );
    for name in ["two", "three"] {
        let content = fs::read_to_string(stage.at(name)).with_context(|| format!("cannot read {name}"))?;
        ensure!(["below", "below, and above"].contains(&content.as_str()), "{name} shows {content:?}");
    }
    for name in ["one", "two", "three"] {
        fs::remove_file(stage.at(name)).with_context(|| format!("cannot remove {name}"))?;
    }
    stage.remount()?;
    let left = fs::read_dir(stage.root())?.count();
    ensure!(left == 0, "{left} names are there after all were removed");
    Ok(Judged::Held)
}

/// A file of the upper layer that was copied there with overlayfs's own attributes, as `cp --preserve=all` does, is another file; while
/// either is in use the other may be refused as stale (`ESTALE`, `ovl_verify_inode` of `fs/overlayfs/inode.c`), since both say that they are a
/// copy of one.
pub fn a_copied_copy_is_a_file_of_its_own(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    if stage.overlay_options().is_none() {
        return Ok(Judged::Lacking(UPPER_LAYER));
    }
    fs::write(stage.at("one"), "below")?;
    stage.commit()?;
    OpenOptions::new().append(true).open(stage.at("one"))?.write_all(b", and above")?;
    stage.edit(|_, upper| {
        let upper = upper.context("there is no upper layer")?;
        copy_with_attributes(&upper.join("one"), &upper.join("two"))
    })?;
    OpenOptions::new().append(true).open(stage.at("two"))?.write_all(b", twice")?;
    stage.look();
    for (first, second) in [("two", "one"), ("one", "two")] {
        for (name, is_alone) in [(first, true), (second, false)] {
            let expected = if name == "one" { "below, and above" } else { "below, and above, twice" };
            let (content, meta) = (fs::read_to_string(stage.at(name)), fs::metadata(stage.at(name)));
            let is_stale = content.as_ref().is_err_and(|error| error.raw_os_error() == Some(nix::libc::ESTALE));
            if is_stale && !is_alone {
                continue;
            }
            let (content, links) = (content.with_context(|| format!("cannot read {name}"))?, meta?.nlink());
            ensure!(content == expected, "{name} shows {content:?}, not {expected:?}");
            let is_counted = stage.promises.numbers_of_names_survive_a_remount;
            ensure!(links == 1 || !is_counted, "{name} has {links} names");
        }
        stage.remount()?;
    }
    Ok(Judged::Held)
}

/// What is no file handle in the place of an origin, and no number in the place of a number of names, harms nothing: the file has its
/// content and can be written to and removed (`ovl_get_fh` of `fs/overlayfs/namei.c`, `ovl_get_nlink` of `fs/overlayfs/inode.c`).
pub fn nonsense_in_private_attributes_does_no_harm(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    const NONSENSE: [&[u8]; 5] = [b"x", &[0; 30], &[0, 0xfb, 200, 0, 1], &[9, 0xfb, 4, 0], &[0xff; 200]];
    let Some(prefix) = stage.private_prefix() else { return Ok(Judged::Lacking(UPPER_LAYER)) };
    if stage.overlay_options().is_some_and(|options| options.contains(&("index".to_owned(), "on".to_owned()))) {
        return Ok(Judged::Lacking("upper layer whose attributes its mount leaves alone: an index verifies them"));
    }
    let name = |number: usize| format!("dir/{number}");
    fs::create_dir(stage.at("dir"))?;
    for number in 0..NONSENSE.len() {
        fs::write(stage.at(&name(number)), "below")?;
        fs::hard_link(stage.at(&name(number)), stage.at(&format!("{number}-linked")))?;
    }
    stage.commit()?;
    for number in 0..NONSENSE.len() {
        OpenOptions::new().append(true).open(stage.at(&name(number)))?.write_all(b", above")?;
    }
    stage.edit(|_, upper| {
        let upper = upper.context("there is no upper layer")?;
        for (number, value) in NONSENSE.iter().enumerate() {
            for attribute in ["origin", "nlink"] {
                let set = rustix::fs::setxattr(
                    upper.join(name(number)),
                    format!("{prefix}{attribute}"),
                    value,
                    XattrFlags::empty(),
                );
                set.with_context(|| format!("cannot set {attribute}"))?;
            }
        }
        Ok(())
    })?;
    stage.look();
    for number in 0..NONSENSE.len() {
        let file = stage.at(&name(number));
        let content = fs::read_to_string(&file).with_context(|| format!("cannot read {number}"))?;
        ensure!(content == "below, above", "{number} shows {content:?}");
        OpenOptions::new().append(true).open(&file)?.write_all(b", again").context("cannot append")?;
        ensure!(fs::read_to_string(&file)? == "below, above, again", "{number} shows not what was appended");
        fs::remove_file(&file).with_context(|| format!("cannot remove {number}"))?;
    }
    fs::remove_dir(stage.at("dir")).context("the directory is not empty")?;
    Ok(Judged::Held)
}

fn copy_with_attributes(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to)?;
    let mut names = vec![0; 4096];
    let length = rustix::fs::listxattr(from, &mut names[..])?;
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 4096];
        let length = rustix::fs::getxattr(from, name, &mut value[..])?;
        rustix::fs::setxattr(to, name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}

/// An empty file that is marked by an attribute, in a directory that says there are such, hides as a 0:0 device does (overlayfs,
/// "whiteouts and opaque directories"; Linux 6.7).
pub fn whiteouts_of_attributes_hide(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    const LACKING: Judged = Judged::Lacking("whiteouts that are attributes (Linux 6.7)");
    // A driver that copies the layer below unpacks a tar, which has no such marks.
    if !is_edited_in_place(stage) || stage.promises.layers_max == 1 {
        return Ok(Judged::Lacking("layers that are used as they are written"));
    }
    fs::create_dir(stage.at("dir"))?;
    for name in ["dir/hidden", "dir/shown"] {
        fs::write(stage.at(name), "below")?;
    }
    stage.commit()?;
    let prefix = stage.private_prefix().unwrap_or_default();
    // The kernel that escapes private attributes is the first that knows these.
    let probe = rustix::fs::setxattr(stage.at("dir"), format!("{prefix}probe"), b"y", XattrFlags::empty());
    if probe.is_err() {
        return Ok(LACKING);
    }
    fs::remove_dir_all(stage.at("dir"))?;
    fs::create_dir(stage.at("other"))?;
    // Layers that are written by others come through the same door: a layer of its own between the two.
    let mark = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::setxattr(path, format!("{prefix}{name}"), value, XattrFlags::empty())
            .with_context(|| format!("cannot mark {}", path.display()))
    };
    stage.edit(|_, upper| {
        let upper = upper.context("there is no upper layer")?;
        let hidden = upper.join("dir");
        // What removed the directory hides it: this layer now has one that hides only a name.
        fs::remove_file(&hidden).context("there is no whiteout of the directory")?;
        fs::create_dir(&hidden)?;
        mark(&hidden, "opaque", b"x")?;
        fs::write(hidden.join("hidden"), "")?;
        mark(&hidden.join("hidden"), "whiteout", b"y")
    })?;
    stage.commit()?;
    stage.look();
    ensure!(!stage.at("dir/hidden").exists(), "what is hidden by an attribute is found");
    ensure!(stage.at("dir/shown").is_file(), "what is not hidden is not found");
    let listed: Vec<_> =
        fs::read_dir(stage.at("dir"))?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>()?;
    ensure!(listed == ["shown"], "the directory is listed as {listed:?}");
    Ok(Judged::Held)
}
