//! The kernel's overlayfs, bare, with chosen mount options.
//!
//! ```text
//! PLACE/0 PLACE/1 …   the layers, the lowest first; the last is the upper one
//! PLACE/data-0 …      the content of the files of layer 0 …, where there are data-only layers
//! PLACE/work          overlayfs's work directory, a new one for each layer
//! another file system layers 0, 2 … once they are frozen, and an empty one below all, where inode numbers of two are wanted
//! ```
//!
//! Checklist: XA-09, HL-03, HL-04~, MN-06~, MN-07~, MT-01, MT-02~

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use layerlab_model::promises::Promises;
use rustix::fs::{CWD, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, move_mount, unmount,
};

use super::carry::carry;
use super::data_only::move_contents;
use super::{Stack, Subject, SubjectError};
use crate::backing::BUSY_MAX;
use crate::machine::Host;
use crate::overlayfs::{self, Layers};

/// overlayfs with these options; every other feature is off.
pub struct Overlay {
    name: &'static str,
    options: &'static [(&'static str, &'static str)],
}

const OFF: [(&str, &str); 3] = [("index", "off"), ("metacopy", "off"), ("redirect_dir", "off")];

/// Each set of options that is a subject.
pub fn all() -> impl Iterator<Item = Overlay> {
    let known: [(&str, &[(&str, &str)]); 10] = [
        ("overlay", &OFF),
        ("overlay-redirect", &[("index", "off"), ("metacopy", "off"), ("redirect_dir", "on")]),
        ("overlay-xino", &[("index", "off"), ("metacopy", "off"), ("redirect_dir", "off"), XINO]),
        ("overlay-volatile", &[("index", "off"), ("metacopy", "off"), ("redirect_dir", "off"), ("volatile", "")]),
        ("overlay-userxattr", &[("userxattr", ""), ("index", "off")]),
        ("overlay-index", &[("index", "on"), ("metacopy", "off"), ("redirect_dir", "off")]),
        ("overlay-metacopy", &[("index", "off"), ("metacopy", "on"), ("redirect_dir", "on")]),
        ("overlay-redirect-index", &[("index", "on"), ("metacopy", "off"), ("redirect_dir", "on")]),
        ("overlay-nfs-export", &[("index", "on"), ("metacopy", "off"), ("redirect_dir", "on"), ("nfs_export", "on")]),
        ("overlay-data-only", &[("index", "off"), ("metacopy", "on"), ("redirect_dir", "on"), DATA_ONLY]),
    ];
    known.into_iter().map(|(name, options)| Overlay { name, options })
}

const XINO: (&str, &str) = ("xino", "on");
const USERXATTR: (&str, &str) = ("userxattr", "");
/// A word of our own, the last one: the content of each layer is in a data-only layer beside it.
const DATA_ONLY: (&str, &str) = ("datadir+", "");

impl Overlay {
    fn has(&self, option: (&str, &str)) -> bool {
        self.options.contains(&option)
    }

    /// The options that mountinfo shows of a stack below the empty directory `place`.
    fn shown_options(&self, place: &Path) -> Result<String, SubjectError> {
        let mut stack = self.begin(place)?;
        stack.commit()?;
        let mounted = stack.mount()?;
        let shown = options_of(&mounted, &place.join("merged"));
        drop(mounted);
        stack.unmount()?;
        shown.map_err(SubjectError::of("ask for the mount options of", place))
    }
}

/// Mounts it at a new directory for as long as that takes.
fn options_of(mounted: &OwnedFd, at: &Path) -> io::Result<String> {
    fs::create_dir(at)?;
    move_mount(mounted, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo");
    unmount(at, UnmountFlags::DETACH)?;
    // The fifth word is the place, the last one has the options of the file system (proc_pid_mountinfo(5)).
    let mounts = mounts?;
    let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let line = lines.find(|words| words.get(4).is_some_and(|word| Path::new(word) == at));
    let options = line.and_then(|words| words.last().map(|options| (*options).to_owned()));
    options.ok_or_else(|| io::Error::other("mountinfo does not show it"))
}

impl Subject for Overlay {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn promises(&self, host: &Host) -> Promises {
        let most = host.promises().lower_layers_max;
        Promises {
            lower_layers_max: match () {
                // Each needs a data-only layer.
                () if self.has(DATA_ONLY) => most / 2,
                // One is empty, on another file system.
                () if self.has(XINO) => most - 1,
                () => most,
            },
            copies_can_be_linked: host.promises().first_namespace,
            inode_numbers_survive_a_remount: host.promises().first_namespace,
            refused_xattrs_copy_up: true,
            refused_renames_prepare: true,
            missing_acls_are_missed_below: true,
            removed_directories_stay_removed: false,
            further_names_are_listed_with_their_inode: false,
            lower_directories_move: self.has(("redirect_dir", "on")),
            hard_links_survive_copy_up: self.has(("index", "on")),
            content_stays_below: self.has(("metacopy", "on")),
            removed_is_copied_up: self.has(("nfs_export", "on")),
            numbers_of_names_survive_a_remount: !self.has(("nfs_export", "on")),
            origins_of_nodes_are_kept: host.promises().first_namespace && !self.has(USERXATTR),
            ..host.promises()
        }
    }

    fn refusal(&self, host: &Host) -> Option<String> {
        if host.promises().first_namespace {
            return None;
        }
        let reason = match () {
            () if self.has(("redirect_dir", "on")) => {
                "the kernel follows redirects of the first user namespace's root only"
            }
            () if self.has(USERXATTR) => "in a user namespace every overlay is one with userxattr",
            () => return None,
        };
        Some(reason.to_owned())
    }

    /// Mounts once and asks the kernel which options are on: some it drops without a word (`ovl_make_workdir`, `ovl_get_indexdir` of
    /// `fs/overlayfs/super.c`).
    fn refusal_on(&self, place: &Path) -> Option<String> {
        let asked = self.options.iter().filter(|(_, value)| ["", "on"].contains(value));
        // The kernel does without, warns, and shows something else.
        if self.has(USERXATTR)
            && rustix::fs::setxattr(place, "user.layerlab", b"", XattrFlags::empty()) == Err(Errno::OPNOTSUPP)
        {
            return Some("the file system has no attributes of users".to_owned());
        }
        let tried =
            tempfile::tempdir_in(place).map_err(SubjectError::of("make a directory in", place)).and_then(|trial| {
                let shown = self.shown_options(trial.path())?;
                let dropped = asked.filter(|option| !is_on(&shown, option)).map(written);
                Ok(dropped.collect::<Vec<_>>())
            });
        match tried {
            Ok(dropped) if dropped.is_empty() => None,
            Ok(dropped) => Some(format!("the kernel drops {} there (its log says why)", dropped.join(", "))),
            Err(error) => Some(format!("the kernel refuses its options there (its log may say why): {error}")),
        }
    }

    fn mount_options(&self) -> Option<String> {
        Some(self.options.iter().map(written).collect::<Vec<_>>().join(","))
    }

    fn begin(&self, place: &Path) -> Result<Box<dyn Stack>, SubjectError> {
        // Inode numbers of one file system need no `xino`, and the kernel drops it.
        let foreign = self.has(XINO).then(nowhere).transpose();
        let foreign = foreign.map_err(SubjectError::of("make a file system of its own for", place))?;
        let mut mounted = Mounted { place: place.to_owned(), options: self.options, layers: 0, upper: None, foreign };
        mounted.add_layer()?;
        Ok(Box::new(mounted))
    }
}

/// As mount(8) has it.
fn written((name, value): &(&str, &str)) -> String {
    match *value {
        "" => (*name).to_owned(),
        value => format!("{name}={value}"),
    }
}

/// Whether the mount that shows these options has this one. What is as the module's parameter says is not shown
/// (`ovl_show_options` of `fs/overlayfs/params.c`).
fn is_on(shown: &str, (name, value): &(&str, &str)) -> bool {
    let is_flag = value.is_empty();
    let prefix = format!("{name}=");
    let stated = shown.split(',').find(|option| option.starts_with(&prefix));
    match stated {
        // Newer kernels take `volatile` for one value of `fsync` and show it so.
        _ if (*name, *value) == DATA_ONLY => shown.contains(",datadir+="),
        _ if is_flag => shown.split(',').any(|option| option.trim_start_matches("fsync=") == *name),
        Some(stated) => stated.strip_prefix(&prefix) == Some(value),
        None => {
            let parameter = fs::read_to_string(format!("/sys/module/overlay/parameters/{name}"));
            parameter.is_ok_and(|default| default.trim() == "Y")
        }
    }
}

struct Mounted {
    place: PathBuf,
    options: &'static [(&'static str, &'static str)],
    layers: usize,
    upper: Option<OwnedFd>,
    /// Another file system, on which every other frozen layer lies, and an empty one below all.
    foreign: Option<OwnedFd>,
}

/// A path to the root of what is mounted nowhere.
fn within(foreign: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", foreign.as_raw_fd()))
}

/// A file system that is mounted nowhere, with an empty directory `none`.
fn nowhere() -> Result<OwnedFd, Errno> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "mode", "755")?;
    fsconfig_create(context.as_fd())?;
    let mounted = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    rustix::fs::mkdirat(&mounted, "none", Mode::from_raw_mode(0o755))?;
    Ok(mounted)
}

impl Mounted {
    fn layer(&self, number: usize) -> PathBuf {
        let is_frozen = number + 1 < self.layers;
        match &self.foreign {
            Some(foreign) if is_frozen && number.is_multiple_of(2) => within(foreign).join(number.to_string()),
            _ => self.place.join(number.to_string()),
        }
    }

    fn data(&self, number: usize) -> PathBuf {
        self.place.join(format!("data-{number}"))
    }

    /// An index belongs to one upper directory, and a frozen layer's files have the names that are in it and no others: so each
    /// layer has a work directory of its own, which goes when the layer is frozen.
    fn add_layer(&mut self) -> Result<(), SubjectError> {
        let work = self.place.join("work");
        match fs::remove_dir_all(&work) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SubjectError::of("remove", &work)(error)),
            _ => fs::create_dir(&work).map_err(SubjectError::of("mkdir", &work)),
        }?;
        self.layers += 1;
        let path = self.layer(self.layers - 1);
        DirBuilder::new().mode(0o755).create(&path).map_err(SubjectError::of("mkdir", &path))?;
        let upper = rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        self.upper = Some(upper.map_err(SubjectError::of("open", &path))?);
        Ok(())
    }

    fn try_mount(&self) -> Result<OwnedFd, Errno> {
        let upper = self.layers - 1;
        // The empty one on another file system is below all.
        let foreign = self.foreign.iter().map(|foreign| within(foreign).join("none"));
        let mut lowers: Vec<PathBuf> = foreign.chain((0..upper).map(|lower| self.layer(lower))).collect();
        if upper == 0 {
            lowers.push(overlayfs::empty(&self.place, "none")?);
        }
        let data = (0..upper).filter(|_| self.options.contains(&DATA_ONLY)).map(|lower| self.data(lower)).collect();
        let layers = Layers { lowers, data, upper: Some((self.layer(upper), self.place.join("work"))) };
        overlayfs::mount(self.options.iter().copied().filter(|option| *option != DATA_ONLY), &layers)
    }
}

impl Stack for Mounted {
    fn mount(&mut self) -> Result<OwnedFd, SubjectError> {
        let begun = Instant::now();
        loop {
            match self.try_mount() {
                // A child that another thread has just forked holds for a moment whatever was open here, the last mount too: as long the kernel keeps
                // one with an index from its directories.
                Err(Errno::BUSY) if begun.elapsed() < BUSY_MAX => thread::sleep(Duration::from_millis(1)),
                mounted => return mounted.map_err(SubjectError::of("mount overlay of", &self.place)),
            }
        }
    }

    /// A volatile overlay marks its work directory, and is not mounted again with the mark (overlayfs, "Volatile mount").
    fn unmount(&mut self) -> Result<(), SubjectError> {
        let mark = self.place.join("work/work/incompat");
        match fs::remove_dir_all(&mark) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SubjectError::of("remove", &mark)(error)),
            _ => Ok(()),
        }
    }

    fn upper(&self) -> Option<BorrowedFd<'_>> {
        self.upper.as_ref().map(AsFd::as_fd)
    }

    fn work(&self) -> Option<PathBuf> {
        Some(self.place.join("work"))
    }

    fn lowers(&self) -> Vec<PathBuf> {
        (0..self.layers - 1).map(|number| self.layer(number)).collect()
    }

    fn commit(&mut self) -> Result<(), SubjectError> {
        let from = self.layer(self.layers - 1);
        let meta = fs::metadata(&from).map_err(SubjectError::of("stat", &from))?;
        if self.options.contains(&DATA_ONLY) {
            let (number, data) = (self.layers - 1, self.data(self.layers - 1));
            fs::create_dir(&data).map_err(SubjectError::of("mkdir", &data))?;
            let moved = move_contents(&from, &data, &format!("{number}."));
            moved.map_err(SubjectError::of("move the content out of", &from))?;
        }
        self.add_layer()?;
        let frozen = self.layer(self.layers - 2);
        if frozen != from {
            carry(&from, &frozen).map_err(SubjectError::of("carry to another file system", &from))?;
        }
        let to = self.layer(self.layers - 1);
        let failed = || SubjectError::of("give the root's attributes to", &to);
        std::os::unix::fs::chown(
            &to,
            Some(std::os::unix::fs::MetadataExt::uid(&meta)),
            Some(std::os::unix::fs::MetadataExt::gid(&meta)),
        )
        .map_err(failed())?;
        fs::set_permissions(&to, meta.permissions()).map_err(failed())
    }
}
