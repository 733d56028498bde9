//! The machine that laws run on: what this process may do here, read once and never guessed from a version.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use layerlab_model::acl::{ACCESS, Acl};
use layerlab_model::errno::Errno;
use layerlab_model::promises::{Promises, Protected};
use rustix::fs::{CWD, FallocateFlags, Mode, OFlags, RenameFlags, XattrFlags};

use crate::overlayfs::{self, Layers};

/// `XATTR_NAME_MAX` of `include/uapi/linux/limits.h`.
const XATTR_NAME_BYTES_MAX: usize = 255;

/// What the kernel and the privileges of this process allow.
#[derive(Debug, Clone)]
pub struct Host {
    /// Whether there is a second user to be.
    pub has_other_user: bool,
    /// The kernel's release.
    pub kernel: String,
    promises: Promises,
}

impl Host {
    /// Asks the kernel.
    pub fn probe(has_other_user: bool) -> Host {
        // Before Linux 6.4 it is read from /proc once, which a thread that has become another user may not do any more.
        let _ = rustix::param::page_size();
        let setting = |name: &str| {
            let text = fs::read_to_string(format!("/proc/sys/fs/protected_{name}")).unwrap_or_default();
            text.trim().parse::<u8>().unwrap_or(0)
        };
        let first_namespace = fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]));
        let protected = Protected {
            symlinks: setting("symlinks") > 0,
            hardlinks: setting("hardlinks") > 0,
            regular: setting("regular"),
            fifos: setting("fifos"),
        };
        Host {
            has_other_user,
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            promises: Promises { first_namespace, protected, ..Promises::COMMON },
        }
    }

    /// The same machine with what the file system of the directory `place` does in its own way. It is tried, not guessed.
    pub fn on(&self, place: &Path) -> io::Result<Host> {
        let trial = tempfile::tempdir_in(place)?;
        let promises = tried_in(trial.path(), self.promises)?;
        Ok(Host { promises, ..self.clone() })
    }

    /// What every subject on this machine promises at least.
    pub fn promises(&self) -> Promises {
        self.promises
    }
}

/// Tries, in the empty directory `place`, what file systems do in different ways; the promises say what and why.
fn tried_in(place: &Path, promises: Promises) -> io::Result<Promises> {
    let (moved, other) = (place.join("moved"), place.join("place/other"));
    fs::create_dir(&moved)?;
    fs::create_dir_all(&other)?;
    let before = UNIX_EPOCH + Duration::from_secs(1);
    fs::File::open(&moved)?.set_modified(before)?;
    rustix::fs::renameat_with(CWD, &moved, CWD, &other, RenameFlags::EXCHANGE)?;
    let keeps_time = fs::metadata(&other)?.modified()? == before;

    let refusal = fs::rename(&moved, place.join("place")).err().and_then(|error| error.raw_os_error());

    fs::File::open(place)?.set_modified(before)?;
    // Whoever may make no whiteout (in a user namespace) is refused before anything is written.
    let _ = rustix::fs::renameat_with(CWD, &moved, CWD, place.join("place"), RenameFlags::WHITEOUT);
    let keeps_time_of_parent = fs::metadata(place)?.modified()? == before;

    let file = place.join("file");
    let open = fs::File::create_new(&file)?;
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    open.set_modified(before)?;
    rustix::fs::fallocate(&open, punch, 0, 4096)?;
    let punching_changes = fs::metadata(&file)?.modified()? != before;

    open.set_modified(before)?;
    // By its path: for what is open a new time is asked for in any case.
    nix::unistd::truncate(&file, 0)?;
    let truncating_changes = fs::metadata(&file)?.modified()? != before;

    // Last: with room behind its end, a file in memory is another thing to truncate.
    open.set_modified(before)?;
    rustix::fs::fallocate(&open, FallocateFlags::KEEP_SIZE, 0, 4096)?;
    let room_changes = fs::metadata(&file)?.modified()? != before;

    let made = rustix::fs::open(
        place.join("made"),
        OFlags::CREATE | OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::from_raw_mode(0o755),
    );

    let direct = fs::OpenOptions::new().read(true).custom_flags(OFlags::DIRECT.bits().cast_signed()).open(&file);

    let too_long = format!("user.{}", "n".repeat(XATTR_NAME_BYTES_MAX));
    let unnamed = rustix::fs::setxattr(place.join("missing"), &*too_long, b"", XattrFlags::empty());
    let emptied = rustix::fs::setxattr(&file, ACCESS, b"", XattrFlags::empty());
    let attribute = rustix::fs::setxattr(&file, "user.layerlab", b"", XattrFlags::empty());

    let list: Acl = "u::rw-,u:0:r--,g::r--,m::r--,o::---".parse().map_err(io::Error::other)?;
    let set = rustix::fs::setxattr(&file, ACCESS, &list.bytes(), XattrFlags::empty());
    Ok(Promises {
        directories_are_not_made_by_open: made.is_err_and(|errno| errno == rustix::io::Errno::INVAL),
        files_open_directly: direct.is_ok(),
        files_open_unnamed: overlays_open_unnamed(place)?,
        has_acls: set != Err(rustix::io::Errno::OPNOTSUPP),
        attributes_are_named_first: unnamed == Err(rustix::io::Errno::RANGE),
        empty_lists_remove: emptied != Err(rustix::io::Errno::INVAL),
        room_is_a_change: room_changes,
        has_user_xattrs: attribute != Err(rustix::io::Errno::OPNOTSUPP),
        exchanged_directories_keep_their_time: keeps_time,
        full_directories_are_not_empty: refusal == Some(Errno::NOTEMPTY.0),
        refused_whiteouts_keep_times: keeps_time_of_parent,
        holes_are_punched_again: punching_changes,
        truncating_to_the_same_length_is_a_change: truncating_changes,
        ..promises
    })
}

/// Whether the kernel's overlayfs, with layers in `place`, opens files without a name; who cannot mount one is not asked.
fn overlays_open_unnamed(place: &Path) -> io::Result<bool> {
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| place.join(name));
    for directory in [&lower, &upper, &work] {
        fs::create_dir(directory)?;
    }
    let layers = Layers { lowers: vec![lower], data: Vec::new(), upper: Some((upper, work)) };
    let Ok(mounted) = overlayfs::mount([], &layers) else { return Ok(true) };
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(mounted, ".", flags, Mode::from_raw_mode(0o600)).is_ok())
}
