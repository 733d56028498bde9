//! What is open, mapped, locked or watched goes on to be so when its file is copied up.
//!
//! Checklist: FD-02, FD-04, FD-05~, FD-08, IN-07, N-12, N-30~

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use anyhow::{Context, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{FlockOperation, flock};

use super::Stage;
use crate::case::prepare_thread;
use crate::laws::Judged;
use crate::mapping::Shared;

fn open_to_write(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new().read(true).write(true).open(path).context("cannot open to write")
}

/// Overwrites the beginning.
fn overwrite(mut file: &File, bytes: &[u8]) -> anyhow::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(bytes).context("cannot write")
}

const OLD: [u8; 4096] = [b'a'; 4096];
const NEW: [u8; 4096] = [b'b'; 4096];

/// A shared mapping shows what is written to its file through another open file. Of a file of a lower layer that was opened only to be read
/// it may go on to show the old content, all of it (overlayfs, "Non-standard behavior"); so do programs that run from there.
pub fn mappings_show_what_is_written(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    for name in ["early", "late"] {
        fs::write(stage.at(name), OLD)?;
    }
    stage.commit()?;
    fs::write(stage.at("own"), OLD)?;
    let early = Shared::new(File::open(stage.at("early"))?, OLD.len())?;
    let late_file = open_to_write(&stage.at("late"))?;
    let late = Shared::new(File::open(stage.at("late"))?, OLD.len())?;
    let own = Shared::new(File::open(stage.at("own"))?, OLD.len())?;
    for name in ["early", "own"] {
        overwrite(&open_to_write(&stage.at(name))?, &NEW)?;
    }
    overwrite(&late_file, &NEW)?;
    stage.look();
    ensure!(own.bytes() == NEW, "a mapping of a new file does not show what was written since");
    ensure!(late.bytes() == NEW, "a mapping made after the copy-up does not show what was written since");
    let may_be_old = stage.promises.layers && early.bytes() == OLD;
    ensure!(
        early.bytes() == NEW || may_be_old,
        "a mapping made before the copy-up shows neither the old content nor the new"
    );
    Ok(Judged::Held)
}

/// A lock of an open file description.
fn lock_description(file: &File, kind: i32) -> Result<(), Errno> {
    let lock =
        nix::libc::flock { l_type: kind as i16, l_whence: nix::libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).map(drop)
}

/// A lock that was taken on a file of a lower layer keeps others off after its copy-up, and lets them in when it is given up.
pub fn locks_survive_a_copy_up(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    for name in ["whole", "range"] {
        fs::write(stage.at(name), "below")?;
    }
    stage.commit()?;
    let (whole, range) = (File::open(stage.at("whole"))?, File::open(stage.at("range"))?);
    flock(&whole, FlockOperation::LockExclusive).context("flock of a file that is open to be read")?;
    lock_description(&range, nix::libc::F_RDLCK).context("a read lock of a file that is open to be read")?;
    for name in ["whole", "range"] {
        overwrite(&open_to_write(&stage.at(name))?, b"above")?;
    }
    stage.look();
    let (other_whole, other_range) = (open_to_write(&stage.at("whole"))?, open_to_write(&stage.at("range"))?);
    let try_whole = || flock(&other_whole, FlockOperation::NonBlockingLockExclusive);
    let try_range = || lock_description(&other_range, nix::libc::F_WRLCK);
    ensure!(try_whole() == Err(rustix::io::Errno::WOULDBLOCK), "flock does not keep another off: {:?}", try_whole());
    ensure!(try_range() == Err(Errno::EAGAIN), "a lock of a range does not keep another off: {:?}", try_range());
    drop((whole, range));
    ensure!(try_whole().is_ok() && try_range().is_ok(), "a lock that was given up keeps others off");
    Ok(Judged::Held)
}

/// Where a file is of the device that its file system is, `/proc/locks` names its locks by the inode number that stat(2) shows.
pub fn locks_name_the_inode_that_stat_names(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    fs::write(stage.at("below"), "below")?;
    stage.commit()?;
    fs::write(stage.at("above"), "above")?;
    let mut is_judged = false;
    let root = fs::metadata(stage.root())?.dev();
    for name in ["below", "above"] {
        let file = File::open(stage.at(name))?;
        flock(&file, FlockOperation::LockExclusive)?;
        stage.look();
        let meta = fs::metadata(stage.at(name))?;
        // Files of an overlay over several file systems are of devices of their own, which nobody is mounted on.
        if meta.dev() != root {
            continue;
        }
        is_judged = true;
        let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
        let number = format!(":{} ", meta.ino());
        let locks = fs::read_to_string("/proc/locks").context("cannot read /proc/locks")?;
        let ours = format!(" {} ", std::process::id());
        let is_named = |line: &str| line.contains("FLOCK") && line.contains(&number);
        ensure!(
            locks.lines().any(is_named),
            "/proc/locks has no lock of {name}, {major:02x}:{minor:02x}{number}but of this process\n{}",
            locks.lines().filter(|line| line.contains(&ours)).collect::<Vec<_>>().join("\n")
        );
    }
    Ok(if is_judged { Judged::Held } else { Judged::Lacking("files of the device that it is itself") })
}

/// fsync(2), fdatasync(2) and syncfs(2) succeed on what is new, what is copied up, what lies below, and on directories.
pub fn fsync_succeeds_on_files_of_every_layer(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    fs::create_dir(stage.at("dir"))?;
    for name in ["below", "copied"] {
        fs::write(stage.at(name), name)?;
    }
    stage.commit()?;
    fs::write(stage.at("new"), "new")?;
    let copied = open_to_write(&stage.at("copied"))?;
    overwrite(&copied, b"COPIED")?;
    stage.look();
    for name in ["below", "copied", "new", "dir"] {
        let file = File::open(stage.at(name)).with_context(|| format!("cannot open {name}"))?;
        file.sync_all().with_context(|| format!("fsync of {name}"))?;
        file.sync_data().with_context(|| format!("fdatasync of {name}"))?;
        rustix::fs::syncfs(&file).with_context(|| format!("syncfs by {name}"))?;
    }
    drop(copied);
    stage.remount()?;
    ensure!(fs::read(stage.at("copied"))? == b"COPIED", "what was synced is not there after a remount");
    Ok(Judged::Held)
}

/// A process knows where it is after somebody was refused to remove its directory.
pub fn a_working_directory_survives_a_refused_rmdir(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    fs::create_dir_all(stage.at("below/full"))?;
    stage.commit()?;
    fs::create_dir_all(stage.at("above/full"))?;
    for name in ["below", "above"] {
        let (path, moments) = (stage.at(name), Barrier::new(2));
        thread::scope(|scope| {
            let sitting = scope.spawn(|| {
                let here =
                    || rustix::process::getcwd(Vec::new()).context("the working directory is not known any more");
                let sits = prepare_thread().map_err(Into::into).and_then(|()| Ok(std::env::set_current_dir(&path)?));
                let before = sits.and_then(|()| here());
                // The first moment: it sits. The second: others have tried.
                moments.wait();
                moments.wait();
                let (before, after) = (before?, here()?);
                ensure!(before == after, "the working directory was {before:?} and is {after:?}");
                ensure!(Path::new("full").is_dir(), "from the working directory nothing is found any more");
                Ok(())
            });
            moments.wait();
            let refused = fs::remove_dir(&path).map_err(|error| error.kind());
            stage.look();
            moments.wait();
            let sat = sitting.join().unwrap_or_else(|_| bail!("a thread panicked"));
            let expected = Err(std::io::ErrorKind::DirectoryNotEmpty);
            ensure!(refused == expected, "to remove a full directory gives {refused:?}");
            sat
        })
        .with_context(|| format!("/{name}"))?;
    }
    Ok(Judged::Held)
}

/// inotify(7) tells of what is done to a file of a lower layer after it was copied up, and in its directory.
pub fn watches_see_what_is_done_after_a_copy_up(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    fs::create_dir(stage.at("dir"))?;
    fs::write(stage.at("dir/log"), "one\n")?;
    stage.commit()?;
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let log = inotify::add_watch(&watch, stage.at("dir/log"), WatchFlags::MODIFY)?;
    let names = WatchFlags::CREATE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO | WatchFlags::DELETE;
    let dir = inotify::add_watch(&watch, stage.at("dir"), names)?;
    let mut tail = File::open(stage.at("dir/log"))?;
    tail.seek(SeekFrom::End(0))?;
    OpenOptions::new().append(true).open(stage.at("dir/log"))?.write_all(b"two\n")?;
    fs::write(stage.at("dir/new"), "new")?;
    fs::rename(stage.at("dir/new"), stage.at("dir/other"))?;
    fs::remove_file(stage.at("dir/other"))?;
    stage.look();
    let mut seen = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&watch, &mut buffer);
    loop {
        match reader.next() {
            Ok(event) => seen.push((event.wd(), event.events())),
            Err(rustix::io::Errno::AGAIN) => break,
            Err(errno) => return Err(errno).context("cannot read what was watched"),
        }
    }
    let expected = [
        (log, ReadFlags::MODIFY),
        (dir, ReadFlags::CREATE),
        (dir, ReadFlags::MOVED_FROM),
        (dir, ReadFlags::MOVED_TO),
        (dir, ReadFlags::DELETE),
    ];
    ensure!(seen == expected, "inotify tells of {seen:?}, not of {expected:?}");
    // As `tail -f` goes on to read: what is open already sees the new content (overlayfs, "Non-standard behavior": it need not).
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut tail, &mut rest)?;
    ensure!(rest == "two\n", "a file that was open to be read shows {rest:?} of what was appended");
    Ok(Judged::Held)
}
