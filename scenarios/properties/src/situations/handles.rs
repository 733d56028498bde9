//! File handles of the merged tree, as an NFS server keeps them for its clients.
//!
//! Checklist: NX-02~

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, ensure};
use nix::errno::Errno;

use super::Stage;
use crate::handle::Handle;
use crate::laws::Judged;

/// A handle finds its file, whatever was done to it since: copied up, renamed, or forgotten by an unmount; of a file that was removed it is
/// stale (overlayfs, "NFS export").
pub fn file_handles_find_their_files(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    const LACKING: Judged = Judged::Lacking("file handles (nfs_export), and the privilege to open them");
    let is_exported = |(name, value): &(String, String)| (name.as_str(), value.as_str()) == ("nfs_export", "on");
    if !stage.overlay_options().is_some_and(|options| options.iter().any(is_exported)) {
        return Ok(LACKING);
    }
    fs::create_dir(stage.at("dir"))?;
    for name in ["kept", "changed", "renamed", "removed", "dir/within"] {
        fs::write(stage.at(name), name)?;
    }
    stage.commit()?;
    fs::write(stage.at("new"), "new")?;
    // What it is called at first, and in the end.
    let names = [
        ("kept", Some("kept")),
        ("changed", Some("changed")),
        ("renamed", Some("dir/elsewhere")),
        ("dir/within", Some("dir/within")),
        ("new", Some("newer")),
        ("removed", None),
    ];
    let handle = |name: &str| Handle::of(&stage.at(name)).with_context(|| format!("no handle of {name}"));
    let handles = names.iter().map(|(name, _)| handle(name)).collect::<anyhow::Result<Vec<_>>>()?;
    if handles[0].open(&File::open(stage.root())?).err() == Some(Errno::EPERM) {
        return Ok(LACKING);
    }
    File::options().append(true).open(stage.at("changed"))?.write_all(b", and changed")?;
    fs::rename(stage.at("renamed"), stage.at("dir/elsewhere"))?;
    fs::rename(stage.at("new"), stage.at("newer"))?;
    fs::remove_file(stage.at("removed"))?;
    stage.look();
    for moment in ["at once", "after a remount"] {
        let mounted = File::open(stage.root())?;
        for (handle, (first, last)) in handles.iter().zip(names) {
            let opened = handle.open(&mounted);
            let Some(last) = last else {
                ensure!(
                    opened.as_ref().err() == Some(&Errno::ESTALE),
                    "{moment} {first}, which is removed: {opened:?}"
                );
                continue;
            };
            let mut file = opened.with_context(|| format!("{moment} the handle of {first} cannot be opened"))?;
            let mut content = String::new();
            file.read_to_string(&mut content)?;
            let expected = if first == "changed" { "changed, and changed" } else { first };
            ensure!(content == expected, "{moment} the handle of {first} shows {content:?}");
            let (by_handle, by_name) = (file.metadata()?.ino(), fs::metadata(stage.at(last))?.ino());
            ensure!(by_handle == by_name, "{moment} {last} is number {by_name}, by its handle {by_handle}");
        }
        drop(mounted);
        if moment == "at once" {
            stage.remount()?;
        }
    }
    Ok(Judged::Held)
}
