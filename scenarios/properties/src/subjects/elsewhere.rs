//! What a subject's layers are compared with: the same tars in an empty store of this engine, and a tree that lies on nothing.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use layerlab_engine::driver::{self, Availability, Driver};
use layerlab_engine::layer::{Kinship, Owners, changes};
use layerlab_model::text::Text;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;

use super::{Applied, Order, SubjectError, Tar};

/// The drivers that can be had below `place`.
pub fn drivers(place: &Path) -> Vec<&'static str> {
    let survey = driver::survey(place).into_iter();
    survey.filter(|(_, is)| matches!(is, Availability::Supported(_))).map(|(name, _)| name).collect()
}

/// The tree that all of `tars`, the lowest first, give in an empty store of the driver called `name`, below `place`.
pub fn applied(name: &str, tars: &[Tar], order: Order, place: &Path) -> Result<Applied, SubjectError> {
    let store = tempfile::tempdir_in(place).map_err(SubjectError::of("apply all layers in", place))?;
    let failed = || SubjectError::of("apply all layers in", store.path());
    let driver = driver::open(Some(name), store.path()).map_err(failed())?;
    let unpacked = |tar: &Tar| unpacked(tar, &*driver, store.path());
    let mut contents: Vec<_> = match order {
        Order::Upwards => tars.iter().map(unpacked).collect::<Result<_, _>>()?,
        Order::Downwards => tars.iter().rev().map(unpacked).collect::<Result<_, _>>()?,
        Order::Together => std::thread::scope(|scope| {
            let threads: Vec<_> = tars.iter().map(|tar| scope.spawn(|| unpacked(tar))).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
                Ok(unpacked) => unpacked,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            threads.into_iter().map(join).collect::<Result<_, _>>()
        })?,
    };
    if order == Order::Downwards {
        contents.reverse();
    }
    let ids: Vec<String> = (1..=contents.len()).map(|number| format!("{number:064x}")).collect();
    for (number, content) in contents.iter().enumerate() {
        let below = number.checked_sub(1).map(|below| ids[below].as_str());
        driver.adopt(&ids[number], below, content.path()).map_err(failed())?;
    }
    let top = ids.last().map_or("", String::as_str);
    let view = driver.view(top).map_err(failed())?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let tree: OwnedFd =
        rustix::fs::open(view.path(), flags, Mode::empty()).map_err(SubjectError::of("open", view.path()))?;
    Ok(Applied { tree, holds: vec![Box::new(view), Box::new(store)] })
}

/// What a tar holds, in a directory below `place` that `driver` can adopt.
pub fn unpacked(tar: &Tar, driver: &dyn Driver, place: &Path) -> Result<tempfile::TempDir, SubjectError> {
    let content = tempfile::tempdir_in(place).map_err(SubjectError::of("make a directory in", place))?;
    let unpacked = driver.unpack(&mut &tar.bytes[..], content.path(), Owners::AsRecorded, &mut std::io::sink());
    unpacked.map_err(SubjectError::of("unpack a layer in", place))?;
    Ok(content)
}

/// What `docker diff` would show of a tree that lies on nothing: all of it but its root, which is none of the case's.
pub fn all_of(tree: &Path) -> Result<Vec<(char, Text)>, SubjectError> {
    let nothing = tempfile::tempdir().map_err(SubjectError::of("compare with nothing", tree))?;
    let found =
        changes(nothing.path(), tree, Kinship::Unknown).map_err(SubjectError::of("compare with nothing", tree))?;
    let changes = found.iter().filter(|change| change.path != Path::new("/"));
    Ok(changes.map(|change| (change.kind.letter(), Text::from(change.path.as_os_str().as_bytes()))).collect())
}

/// Whether something is mounted at `path`.
pub fn is_mounted(path: &Path) -> bool {
    match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE) {
        Ok(looked) => looked.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        // Of a program that has ended.
        Err(errno) => errno == Errno::NOTCONN,
    }
}
