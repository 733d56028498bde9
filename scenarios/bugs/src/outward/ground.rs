//! The tree that a detector finds in a mount: two lower layers, in which nothing is wrong; `scenarios/bugs/README.md` lists it.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use layerlab_model::promises::Promises;
use layerlab_properties::machine::Host;
use layerlab_properties::subjects::{Stack, Subject, SubjectError};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use crate::bug::below;

/// When everything in it was changed last.
pub const TIME: i64 = 1_000_000_000;
/// A user who is not the superuser.
const SOMEBODY: u32 = 1000;

/// A subject that begins with these layers.
pub struct Furnished(pub Box<dyn Subject>);

impl Subject for Furnished {
    fn name(&self) -> String {
        self.0.name()
    }

    fn promises(&self, host: &Host) -> Promises {
        self.0.promises(host)
    }

    fn refusal(&self, host: &Host) -> Option<String> {
        self.0.refusal(host)
    }

    fn refusal_on(&self, place: &Path) -> Option<String> {
        self.0.refusal_on(place)
    }

    fn begin(&self, place: &Path) -> Result<Box<dyn Stack>, SubjectError> {
        let mut stack = self.0.begin(place)?;
        for layer in [lowest, upper] {
            let root = stack.mount()?;
            let path = format!("/proc/self/fd/{}/", std::os::fd::AsRawFd::as_raw_fd(&root));
            layer(Path::new(&path)).map_err(SubjectError::of("furnish", place))?;
            drop(root);
            stack.unmount()?;
            stack.commit()?;
        }
        Ok(stack)
    }
}

fn lowest(root: &Path) -> io::Result<()> {
    for directory in ["dir", "dir/sub", "replaced"] {
        fs::create_dir(root.join(directory))?;
    }
    for name in ["file", "deleted", "changed", "set-user", "one", "owned", "dir/a", "dir/b", "dir/c", "dir/d", "dir/e"]
    {
        fs::write(root.join(name), format!("{}\n", name.rsplit('/').next().unwrap_or(name)))?;
    }
    fs::write(root.join("dir/sub/deep"), "deep\n")?;
    fs::write(root.join("replaced/old"), "old\n")?;
    fs::hard_link(root.join("one"), root.join("other"))?;
    symlink("file", root.join("link"))?;
    rustix::fs::mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o644), 0)?;
    chown(root.join("owned"), Some(SOMEBODY), Some(SOMEBODY))?;
    fs::set_permissions(root.join("owned"), fs::Permissions::from_mode(0o600))?;
    fs::set_permissions(root.join("set-user"), fs::Permissions::from_mode(0o4755))?;
    rustix::fs::setxattr(root.join("file"), "user.note", b"below", XattrFlags::empty())?;
    dated(root)
}

fn upper(root: &Path) -> io::Result<()> {
    fs::remove_file(root.join("deleted"))?;
    fs::remove_dir_all(root.join("replaced"))?;
    fs::create_dir(root.join("replaced"))?;
    fs::write(root.join("replaced/new"), "new\n")?;
    fs::write(root.join("changed"), "changed above\n")?;
    fs::write(root.join("added"), "added\n")?;
    for name in ["replaced/new", "replaced", "changed", "added", ""] {
        date(&root.join(name))?;
    }
    Ok(())
}

fn dated(root: &Path) -> io::Result<()> {
    below(root)?.iter().try_for_each(|path| date(path))?;
    date(root)
}

fn date(path: &Path) -> io::Result<()> {
    let time = Timespec { tv_sec: TIME, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
