//! Copy-up of what is large, sparse, or more than there is room for.
//!
//! Checklist: CU-02, CU-06, CU-10, CU-12, RD-06

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use super::Stage;
use super::stage::tmpfs_of;
use crate::laws::{COPY_UP, Judged, UPPER_LAYER};

const MIB: u64 = 1 << 20;

fn write_at(file: &mut File, offset: u64, bytes: &[u8]) -> anyhow::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes).with_context(|| format!("cannot write at {offset}"))
}

/// Where the data of a file begin and end (lseek(2), `SEEK_DATA`).
fn data_of(path: &Path) -> anyhow::Result<Vec<(u64, u64)>> {
    let file = File::open(path)?;
    let mut ranges = Vec::new();
    let mut at = 0;
    loop {
        let from = match rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) {
            Ok(from) => from,
            Err(Errno::NXIO) => return Ok(ranges),
            Err(errno) => return Err(errno).context("cannot look for data"),
        };
        at = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(from))?;
        ranges.push((from, at));
    }
}

/// A file with holes has them where they were after its copy-up, takes no more room, and has its content.
pub fn holes_stay_holes(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    if !stage.promises.files_have_holes {
        return Ok(Judged::Unpromised("holes in its files", "files_have_holes"));
    }
    let path = |stage: &Stage<'_>| stage.at("sparse");
    let mut file = File::create(path(stage))?;
    file.set_len(16 * MIB)?;
    for (number, offset) in [2 * MIB, 9 * MIB].into_iter().enumerate() {
        write_at(&mut file, offset, &vec![b'1' + number as u8; MIB as usize])?;
    }
    file.sync_all()?;
    drop(file);
    stage.commit()?;
    let before = (data_of(&path(stage))?, fs::read(path(stage))?);
    if before.0.len() < 2 {
        bail!("the lower layer has no holes any more: data at {:?}", before.0);
    }
    fs::set_permissions(path(stage), Permissions::from_mode(0o600))?;
    OpenOptions::new().append(true).open(path(stage))?;
    stage.look();
    let after = data_of(&path(stage))?;
    ensure!(after == before.0, "the data were at {:?} and are at {after:?}", before.0);
    let room = fs::metadata(path(stage))?.blocks() * 512;
    ensure!(room < 4 * MIB, "a file with 2 MiB of data takes {room} bytes");
    ensure!(fs::read(path(stage))? == before.1, "the content is another than before the copy-up");
    Ok(Judged::Held)
}

/// A file of more than 4 GiB keeps its length and what is on both sides of that.
pub fn four_gibibytes_are_copied_up(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    const LIMIT: u64 = 1 << 32;
    if !stage.promises.files_have_holes {
        return Ok(Judged::Unpromised("holes in its files", "files_have_holes"));
    }
    let mut file = File::create(stage.at("large"))?;
    for offset in [0, LIMIT - 4, LIMIT + MIB] {
        write_at(&mut file, offset, b"landmark")?;
    }
    drop(file);
    stage.commit()?;
    fs::set_permissions(stage.at("large"), Permissions::from_mode(0o600))?;
    // With metadata-only copies the content follows only now.
    let mut file = OpenOptions::new().read(true).write(true).open(stage.at("large")).context("cannot open to write")?;
    stage.look();
    let length = file.metadata()?.len();
    ensure!(length == LIMIT + MIB + 8, "its length is {length} after the copy-up");
    for offset in [0, LIMIT - 4, LIMIT + MIB] {
        let mut found = [0; 8];
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut found)?;
        ensure!(&found == b"landmark", "at {offset} there is {found:?} after the copy-up");
    }
    Ok(Judged::Held)
}

/// When it was last read and written to, to the nanosecond; an answer that the file is asked for changes neither.
fn times_of(path: &Path) -> anyhow::Result<[(i64, i64); 2]> {
    let meta = fs::symlink_metadata(path)?;
    Ok([(meta.atime(), meta.atime_nsec()), (meta.mtime(), meta.mtime_nsec())])
}

/// Both times of a file come up with it, and either can be set alone (utimensat(2), `UTIME_OMIT`).
pub fn times_come_up_and_are_set_one_by_one(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    const OMIT: Timespec = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    const SET: (i64, i64) = (1_300_000_000, 7_000_000);
    if !stage.promises.layers_are_whole {
        return Ok(Judged::Lacking("layers that keep parts of a second"));
    }
    let set = |path: &Path, last_access: Timespec, last_modification: Timespec| {
        let times = Timestamps { last_access, last_modification };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).context("cannot set times")
    };
    let at = |(tv_sec, tv_nsec)| Timespec { tv_sec, tv_nsec };
    let names = ["chmod", "atime", "mtime"];
    for name in names {
        fs::write(stage.at(name), "below")?;
        set(&stage.at(name), at((1_100_000_000, 3_000_000)), at((1_200_000_000, 5_000_000)))?;
    }
    stage.commit()?;
    let mut expected = [[(0, 0); 2]; 3];
    for (times, name) in expected.iter_mut().zip(names) {
        *times = times_of(&stage.at(name))?;
    }
    ensure!(expected[0][1] == (1_200_000_000, 5_000_000), "the lower layer has another time: {expected:?}");
    fs::set_permissions(stage.at("chmod"), Permissions::from_mode(0o600))?;
    set(&stage.at("atime"), at(SET), OMIT)?;
    set(&stage.at("mtime"), OMIT, at(SET))?;
    expected[1][0] = SET;
    expected[2][1] = SET;
    stage.look();
    for moment in ["at once", "after a remount"] {
        for (expected, name) in expected.iter().zip(names) {
            let found = times_of(&stage.at(name))?;
            ensure!(found == *expected, "{moment} /{name} was read and written at {found:?}, not {expected:?}");
        }
        if moment == "at once" {
            stage.remount()?;
        }
    }
    Ok(Judged::Held)
}

/// A copy-up for which there is no room is refused with `ENOSPC`, leaves the file as it was and no room taken, and succeeds when there is room
/// again.
pub fn a_full_disk_leaves_the_file_as_it_was(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    if !stage.promises.layers {
        return Ok(Judged::Lacking(COPY_UP));
    }
    let place = stage.directory("small")?;
    let small = tmpfs_of(16 * MIB, &place)?;
    let mut stage = stage.again_in(small.path())?;
    let content: Vec<u8> = (0..4 * MIB).map(|at| (at % 251) as u8).collect();
    fs::write(stage.at("file"), &content)?;
    stage.commit()?;
    let ballast = small.path().join("ballast");
    let fill = || -> anyhow::Result<u64> {
        let mut file = File::create(&ballast)?;
        let about = rustix::fs::statvfs(small.path())?;
        let room = about.f_bavail * about.f_frsize;
        // Half of what the file takes is left.
        for _ in 0..(room.saturating_sub(2 * MIB)) / 4096 {
            file.write_all(&[0; 4096]).context("cannot fill it up")?;
        }
        Ok(rustix::fs::statfs(small.path())?.f_bfree)
    };
    let free = fill()?;
    let refused = OpenOptions::new().append(true).open(stage.at("file")).map_err(|error| error.raw_os_error());
    stage.look();
    let full = Some(nix::libc::ENOSPC);
    ensure!(refused.as_ref().err() == Some(&full), "to copy 4 MiB to where 2 MiB are free gives {refused:?}");
    let left = rustix::fs::statfs(small.path())?.f_bfree;
    ensure!(left == free, "{free} blocks were free before the copy-up that was refused, {left} are now");
    ensure!(fs::read(stage.at("file"))? == content, "the file has another content after a copy-up that was refused");
    fs::remove_file(&ballast)?;
    OpenOptions::new().append(true).open(stage.at("file")).context("there is room again")?.write_all(b"more")?;
    stage.remount()?;
    let expected = [&content[..], b"more"].concat();
    ensure!(fs::read(stage.at("file"))? == expected, "the file has not what was written when there was room again");
    Ok(Judged::Held)
}

/// A file of a lower layer that was changed, and for whose whiteout there is no room, is deleted all the same, or that is refused and the file is as it
/// was, at once and after a remount; when there is room again it is deleted.
pub fn a_deletion_without_room_is_done_or_leaves_the_file(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    if !stage.promises.layers {
        return Ok(Judged::Lacking(COPY_UP));
    }
    let place = stage.directory("small")?;
    let small = tmpfs_of(16 * MIB, &place)?;
    let mut stage = stage.again_in(small.path())?;
    fs::write(stage.at("file"), "below")?;
    stage.commit()?;
    // fuse-overlayfs 1.10 breaks off there, or says that a file stays which is gone.
    if stage.upper_root().is_none() {
        return Ok(Judged::Lacking(UPPER_LAYER));
    }
    fs::write(stage.at("file"), "changed")?;
    let ballast = small.path().join("ballast");
    fs::create_dir(&ballast)?;
    let is_full = |number: u64| {
        let made = File::create(ballast.join(number.to_string()));
        made.is_err_and(|error| error.kind() == io::ErrorKind::StorageFull)
    };
    ensure!((0..1 << 16).any(is_full), "a small file system does not fill up with files");
    let is_refused = fs::remove_file(stage.at("file")).is_err();
    stage.look();
    for moment in ["at once", "after a remount"] {
        match fs::read_to_string(stage.at("file")) {
            Err(_) if is_refused => bail!("{moment} it is gone, though that was refused"),
            Ok(content) if is_refused => ensure!(content == "changed", "{moment} it has {content:?}"),
            found => ensure!(found.is_err(), "{moment} it is there, though it was deleted"),
        }
        if moment == "at once" {
            fs::remove_dir_all(&ballast)?;
            stage.remount()?;
        }
    }
    if is_refused {
        fs::remove_file(stage.at("file")).context("there is room again")?;
    }
    stage.remount()?;
    ensure!(!stage.at("file").exists(), "it is there, though it was deleted when there was room again");
    Ok(if is_refused { Judged::Held } else { Judged::Lacking("whiteouts that take room") })
}

/// The link count of a directory is 1 always, or counts its subdirectories.
pub fn links_of_directories_are_counted_or_constant(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    fs::create_dir_all(stage.at("below/one"))?;
    stage.commit()?;
    fs::create_dir_all(stage.at("above/one"))?;
    for name in ["below", "above", "."] {
        let counted = || -> anyhow::Result<(u64, u64)> {
            let entries = fs::read_dir(stage.at(name))?.collect::<Result<Vec<_>, _>>()?;
            Ok((entries.len() as u64, fs::metadata(stage.at(name))?.nlink()))
        };
        for step in ["at first", "with one more", "without it again"] {
            let more = stage.at(name).join("more");
            match step {
                "with one more" => fs::create_dir(more)?,
                "without it again" => fs::remove_dir(more)?,
                _ => {}
            }
            stage.look();
            let (directories, links) = counted()?;
            let is_right = links == 1 || links == 2 + directories;
            ensure!(is_right, "/{name} with {directories} subdirectories has {links} links {step}");
        }
    }
    Ok(Judged::Held)
}
