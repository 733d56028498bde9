//! The kernel's overlayfs, bare, with chosen mount options.
//!
//! ```text
//! PLACE/0 PLACE/1 …   the layers, the lowest first; the last is the upper one
//! PLACE/work          overlayfs's work directory
//! ```

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use layerlab_engine::sys::namespace;
use layerlab_model::promises::Promises;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use super::{Stack, Subject, SubjectError};
use crate::machine::Host;

/// overlayfs with these options; every other feature is off.
pub struct Overlay {
    name: &'static str,
    options: &'static [(&'static str, &'static str)],
}

const OFF: [(&str, &str); 3] = [("index", "off"), ("metacopy", "off"), ("redirect_dir", "off")];

/// Each set of options that is a subject.
pub fn all() -> impl Iterator<Item = Overlay> {
    let known: [(&str, &[(&str, &str)]); 4] = [
        ("overlay", &OFF),
        ("overlay-redirect", &[("index", "off"), ("metacopy", "off"), ("redirect_dir", "on")]),
        ("overlay-xino", &[("index", "off"), ("metacopy", "off"), ("redirect_dir", "off"), ("xino", "on")]),
        ("overlay-volatile", &[("index", "off"), ("metacopy", "off"), ("redirect_dir", "off"), ("volatile", "")]),
    ];
    known.into_iter().map(|(name, options)| Overlay { name, options })
}

impl Overlay {
    fn has(&self, option: (&str, &str)) -> bool {
        self.options.contains(&option)
    }
}

impl Subject for Overlay {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn promises(&self, host: &Host) -> Promises {
        Promises {
            copies_can_be_linked: host.promises().first_namespace,
            inode_numbers_survive_a_remount: host.promises().first_namespace,
            refused_xattrs_copy_up: true,
            refused_renames_prepare: true,
            missing_acls_are_missed_below: true,
            further_names_are_listed_with_their_inode: false,
            lower_directories_move: self.has(("redirect_dir", "on")),
            ..host.promises()
        }
    }

    fn refusal(&self, host: &Host) -> Option<String> {
        let is_roots = self.has(("redirect_dir", "on")) && !host.promises().first_namespace;
        is_roots.then(|| "the kernel follows redirects of the first user namespace's root only".to_owned())
    }

    fn mount_options(&self) -> Option<String> {
        let option = |(name, value): &(&str, &str)| match *value {
            "" => (*name).to_owned(),
            value => format!("{name}={value}"),
        };
        Some(self.options.iter().map(option).collect::<Vec<_>>().join(","))
    }

    fn begin(&self, place: &Path) -> Result<Box<dyn Stack>, SubjectError> {
        let mut mounted = Mounted { place: place.to_owned(), options: self.options, layers: 0, upper: None };
        let work = place.join("work");
        fs::create_dir(&work).map_err(SubjectError::of("mkdir", &work))?;
        mounted.add_layer()?;
        Ok(Box::new(mounted))
    }
}

struct Mounted {
    place: PathBuf,
    options: &'static [(&'static str, &'static str)],
    layers: usize,
    upper: Option<OwnedFd>,
}

impl Mounted {
    fn layer(&self, number: usize) -> PathBuf {
        self.place.join(number.to_string())
    }

    fn add_layer(&mut self) -> Result<(), SubjectError> {
        let path = self.layer(self.layers);
        DirBuilder::new().mode(0o755).create(&path).map_err(SubjectError::of("mkdir", &path))?;
        let upper = rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        self.upper = Some(upper.map_err(SubjectError::of("open", &path))?);
        self.layers += 1;
        Ok(())
    }

    fn try_mount(&self) -> Result<OwnedFd, rustix::io::Errno> {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        let context = context.as_fd();
        fsconfig_set_string(context, "source", "overlay")?;
        let is_user_namespace = namespace::is_user_namespace();
        if is_user_namespace {
            fsconfig_set_flag(context, "userxattr")?;
        }
        // With `userxattr` the kernel takes a word about these for a contradiction, and they are off.
        let is_fixed = |name: &str| is_user_namespace && ["metacopy", "redirect_dir"].contains(&name);
        for (name, value) in self.options.iter().filter(|(name, _)| !is_fixed(name)) {
            match *value {
                "" => fsconfig_set_flag(context, *name)?,
                value => fsconfig_set_string(context, *name, value)?,
            }
        }
        let upper = self.layers - 1;
        if upper == 0 {
            let empty = self.place.join("none");
            match rustix::fs::mkdir(&empty, Mode::from_raw_mode(0o755)) {
                Err(rustix::io::Errno::EXIST) => {}
                made => made?,
            }
            fsconfig_set_string(context, "lowerdir+", empty)?;
        }
        for lower in (0..upper).rev() {
            fsconfig_set_string(context, "lowerdir+", self.layer(lower))?;
        }
        fsconfig_set_string(context, "upperdir", self.layer(upper))?;
        fsconfig_set_string(context, "workdir", self.place.join("work"))?;
        fsconfig_create(context)?;
        fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    }
}

impl Stack for Mounted {
    fn mount(&mut self) -> Result<OwnedFd, SubjectError> {
        self.try_mount().map_err(SubjectError::of("mount overlay of", &self.place))
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

    fn lowers(&self) -> Vec<PathBuf> {
        (0..self.layers - 1).map(|number| self.layer(number)).collect()
    }

    fn commit(&mut self) -> Result<(), SubjectError> {
        let from = self.layer(self.layers - 1);
        let meta = fs::metadata(&from).map_err(SubjectError::of("stat", &from))?;
        self.add_layer()?;
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
