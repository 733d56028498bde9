//! What is open, mapped, locked or watched goes on to be so when its file is copied up.
//!
//! Checklist: FD-02, FD-04, FD-05~, FD-08, IN-07, N-12, N-30~

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc;
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

/// A lock of the whole file of this kind (`F_RDLCK`, `F_WRLCK`).
fn lock(kind: i32) -> nix::libc::flock {
    nix::libc::flock { l_type: kind as i16, l_whence: nix::libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 }
}

/// A lock that was taken on a file of a lower layer keeps others off after its copy-up, and lets them in when it is given up: that of
/// flock(2), that of an open file description, and that of a process.
pub fn locks_survive_a_copy_up(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    let names = ["whole", "description", "process"];
    for name in names {
        fs::write(stage.at(name), "below")?;
    }
    stage.commit()?;
    let [whole, description, process] = names.map(|name| File::open(stage.at(name)));
    let (whole, description, process) = (whole?, description?, process?);
    flock(&whole, FlockOperation::LockExclusive).context("flock of a file that is open to be read")?;
    let read_lock = lock(nix::libc::F_RDLCK);
    fcntl(&description, FcntlArg::F_OFD_SETLK(&read_lock)).context("a read lock of a file that is open to be read")?;
    fcntl(&process, FcntlArg::F_SETLK(&read_lock))
        .context("a process's read lock of a file that is open to be read")?;
    let open_all = || names.iter().map(|name| open_to_write(&stage.at(name))).collect::<anyhow::Result<Vec<_>>>();
    // They stay open: a process's lock goes with the first of its open files that is closed.
    let writers = open_all()?;
    writers.iter().try_for_each(|file| overwrite(file, b"above"))?;
    stage.look();
    let others = open_all()?;
    // They conflict with those of a description, even within one process (fcntl(2)).
    let try_range = |file: &File| fcntl(file, FcntlArg::F_OFD_SETLK(&lock(nix::libc::F_WRLCK))).map(drop);
    let try_whole = || flock(&others[0], FlockOperation::NonBlockingLockExclusive);
    ensure!(try_whole() == Err(rustix::io::Errno::WOULDBLOCK), "flock does not keep another off: {:?}", try_whole());
    for (file, whose) in others[1..].iter().zip(["a description", "a process"]) {
        let tried = try_range(file);
        ensure!(tried == Err(Errno::EAGAIN), "the lock of {whose} does not keep another off: {tried:?}");
    }
    drop((whole, description, process));
    try_whole().context("flock that was given up keeps others off")?;
    for file in &others[1..] {
        try_range(file).context("a lock that was given up keeps others off")?;
    }
    Ok(Judged::Held)
}

/// How many times `/proc/locks` is read before it is said that it does not name a lock.
const READS_OF_LOCKS: usize = 200;

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
        // Files of an overlay over several file systems are of devices of their own, on which nothing is mounted.
        if meta.dev() != root {
            continue;
        }
        is_judged = true;
        let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
        let number = format!(":{} ", meta.ino());
        let ours = format!(" {} ", std::process::id());
        let is_named = |line: &str| line.contains("FLOCK") && line.contains(&ours) && line.contains(&number);
        let mut locks = String::new();
        // The kernel gives that list out by positions, a page at a time: where others let go of a lock meanwhile, lines are missing.
        for _ in 0..READS_OF_LOCKS {
            locks = fs::read_to_string("/proc/locks").context("cannot read /proc/locks")?;
            if locks.lines().any(is_named) {
                break;
            }
        }
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
        let path = stage.at(name);
        // Whoever does not go on any more lets the other go on: a channel is closed by its end.
        let ((sits_down, has_sat_down), (has_tried, others_tried)) = (mpsc::channel(), mpsc::channel());
        thread::scope(|scope| {
            // Dropped with this closure, however it ends.
            let (path, has_tried) = (&path, has_tried);
            let sitting = scope.spawn(move || {
                let here =
                    || rustix::process::getcwd(Vec::new()).context("the working directory is not known any more");
                prepare_thread()?;
                std::env::set_current_dir(path)?;
                let before = here()?;
                sits_down.send(())?;
                others_tried.recv()?;
                let after = here()?;
                ensure!(before == after, "the working directory was {before:?} and is {after:?}");
                ensure!(Path::new("full").is_dir(), "from the working directory nothing is found any more");
                Ok(())
            });
            let is_sitting = has_sat_down.recv().is_ok();
            let refused = fs::remove_dir(path).map_err(|error| error.kind());
            stage.look();
            if is_sitting {
                // Whoever has gone by now says why.
                let _ = has_tried.send(());
            }
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
    // As `tail -f` goes on to read. overlayfs's document lets it see the old content; the kernel shows the new one, since it looks for the
    // file that is the real one at each read (`ovl_real_file` of `fs/overlayfs/file.c`), and programs count on it.
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut tail, &mut rest)?;
    ensure!(rest == "two\n", "a file that was open to be read shows {rest:?} of what was appended");
    Ok(Judged::Held)
}
