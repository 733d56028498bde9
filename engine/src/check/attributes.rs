//! The attributes of a layer's files: mode, owner, time and xattrs as the header in the layer's tar has them, and as the disk has them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use super::acl;
use super::place::Place;
use super::tree::CAPABILITY;
use crate::layer::archive::{Entry, Kind, Time};
use crate::layer::whiteout::is_overlay_private;
use crate::sys::namespace;

/// Times that every file system keeps, in seconds: some know no others, and Docker sets earlier ones to the first of these.
const KEPT_SECONDS: std::ops::RangeInclusive<i64> = 0..=0x7fff_ffff;
/// Xattrs that programs leave on files which they show otherwise than they lie there; and what xfs calls access control lists beside their
/// names (Linux, `fs/xfs/xfs_acl.h`).
const NOTES: [&[u8]; 4] =
    [b"user.fuseoverlayfs.", b"user.containers.", b"user.rootlesscontainers", b"trusted.SGI_ACL_"];

/// What a file has to be given to be as its header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    mode: Option<u32>,
    owner: Option<(u32, u32)>,
    mtime: Option<Time>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Xattrs that it has and should not have.
    no_xattrs: Vec<Vec<u8>>,
}

/// What the place of the layers keeps of what it is given.
pub(super) struct Keeping {
    /// Whether files have the owners of their headers: an ordinary user may have given them up, and sees others than were given.
    owners: bool,
    /// Whether the owners that access control lists name are seen as they were given.
    lists: bool,
    /// A nameless file beside the layers, to try whether an xattr can be given; some file systems know none.
    probe: Option<OwnedFd>,
}

/// What came of a comparison.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// In what a file differs from its header, and what it has to be given.
    pub wrong: Option<(String, Attributes)>,
    /// Whether it lacks xattrs of which nobody can tell whether it could have them here.
    pub is_blind: bool,
}

impl Keeping {
    pub(super) fn of(place: &Place) -> Keeping {
        // A data root of an ordinary user, or of a dockerd that maps users, has shifted owners.
        let is_roots = fs::metadata(&place.data_root).is_ok_and(|meta| (meta.uid(), meta.gid()) == (0, 0));
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let probe = rustix::fs::open(place.home(), flags, Mode::RUSR | Mode::WUSR).ok();
        let is_mapped = namespace::is_user_namespace();
        Keeping { owners: is_roots && !is_mapped, lists: is_roots || is_mapped, probe }
    }

    /// Whether files can have an xattr here; nothing where that cannot be tried.
    fn keeps_xattr(&self, name: &[u8], value: &[u8]) -> Option<bool> {
        // No file has a list that directories hand down.
        let name = OsStr::from_bytes(if name == acl::DEFAULT { acl::ACCESS } else { name });
        let probe = self.probe.as_ref()?;
        Some(rustix::fs::fsetxattr(probe, name, value, XattrFlags::empty()).is_ok())
    }

    /// In what the file at `path` differs from its header. The root of a layer is what dockerd makes and mounts upon: its time is nobody's.
    pub(super) fn difference(&self, entry: &Entry, meta: &Metadata, path: &Path, is_root: bool) -> Judged {
        let kind = meta.file_type();
        let is_whiteout_device = kind.is_char_device() && meta.rdev() == 0;
        let (mut wrong, mut wanted) = (Vec::new(), Attributes::none());
        let (mode, found) = (entry.mode & 0o7777, meta.mode() & 0o7777);
        if !kind.is_symlink() && !is_whiteout_device {
            wanted.mode = Some(mode);
            if mode != found {
                wrong.push(format!("has the mode {found:04o}, and not {mode:04o}"));
            }
        }
        if self.owners {
            wanted.owner = Some((entry.uid, entry.gid));
            if wanted.owner != Some((meta.uid(), meta.gid())) {
                let (uid, gid) = (meta.uid(), meta.gid());
                wrong.push(format!("belongs to {uid}:{gid}, and not to {}:{}", entry.uid, entry.gid));
            }
        }
        // To which of its names a symbolic link with several owes its time engines do not agree.
        let has_time =
            !(is_root || (kind.is_symlink() && meta.nlink() > 1)) && KEPT_SECONDS.contains(&entry.mtime.seconds);
        if has_time {
            wanted.mtime = Some(entry.mtime);
            let is_same_part = meta.mtime_nsec() == i64::from(entry.mtime.nanoseconds) || meta.mtime_nsec() == 0;
            if meta.mtime() != entry.mtime.seconds || !is_same_part {
                let found = Time { seconds: meta.mtime(), nanoseconds: meta.mtime_nsec() as u32 };
                wrong.push(format!("has the time {}, and not {}", shown(found), shown(entry.mtime)));
            }
        }
        let mut is_blind = false;
        if kind.is_file() || kind.is_dir() {
            match xattrs_of(path) {
                Ok(here) => is_blind = self.judge_xattrs(entry, path, &here, &mut wrong, &mut wanted),
                Err(_) => is_blind = true,
            }
        }
        Judged { wrong: (!wrong.is_empty()).then(|| (wrong.join(", "), wanted)), is_blind }
    }

    /// Says whether something is lacking of which nobody can tell why.
    fn judge_xattrs(
        &self,
        entry: &Entry,
        path: &Path,
        here: &BTreeMap<Vec<u8>, Vec<u8>>,
        wrong: &mut Vec<String>,
        wanted: &mut Attributes,
    ) -> bool {
        let mut is_blind = false;
        let is_file = entry.kind != Kind::Directory;
        let judged = |name: &[u8]| match acl::is_list(name) {
            true => self.lists,
            false => is_judged(name) && (is_file || name != CAPABILITY.as_bytes()),
        };
        for (name, value) in entry.xattrs.iter().filter(|(name, _)| judged(name)) {
            let found = here.get(name).map(Vec::as_slice);
            let is_same = match acl::is_list(name) {
                true => acl::is_same(name, value, entry.mode, found),
                false => found == Some(value),
            };
            if is_same {
                continue;
            }
            let what = if found.is_some() { "has another xattr" } else { "lacks the xattr" };
            match self.keeps_xattr(name, value) {
                Some(true) => wrong.push(format!("{what} {}", String::from_utf8_lossy(name))),
                Some(false) => {}
                None => is_blind = true,
            }
        }
        // With dockerd, what is unpacked into a directory with a list to hand down has one from there.
        let has_inherited = || path.parent().is_some_and(|parent| xattr(parent, acl::DEFAULT).is_ok());
        for name in here.keys().filter(|name| judged(name) && !entry.xattrs.contains_key(*name)) {
            // Docker leaves a directory what it has from the layer below.
            if is_file && !(acl::is_list(name) && has_inherited()) {
                wrong.push(format!("has the xattr {}, with which it did not come", String::from_utf8_lossy(name)));
                wanted.no_xattrs.push(name.clone());
            }
        }
        wanted.xattrs =
            entry.xattrs.iter().filter(|(name, _)| judged(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
        is_blind
    }
}

/// Those that a layer gives, and nobody else: no marks of overlayfs, no labels. Access control lists are judged apart, since a mode changes them.
fn is_judged(name: &[u8]) -> bool {
    let is_given = name.starts_with(b"user.") || name.starts_with(b"trusted.") || name == CAPABILITY.as_bytes();
    is_given && !is_overlay_private(name) && !NOTES.iter().any(|note| name.starts_with(note))
}

fn shown(time: Time) -> String {
    let nanoseconds = i32::try_from(time.nanoseconds).unwrap_or_default();
    let moment = jiff::Timestamp::new(time.seconds, nanoseconds);
    moment.map_or_else(|_| format!("{} s", time.seconds), |moment| moment.to_string())
}

/// The xattrs of a file or directory that can be read.
fn xattrs_of(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut names = vec![0; 64 << 10];
    let length = match rustix::fs::llistxattr(path, names.as_mut_slice()) {
        Err(Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.filter_map(|name| Some((name.to_vec(), xattr(path, name).ok()?))).collect())
}

/// The value of one xattr.
pub(super) fn xattr(path: &Path, name: &[u8]) -> io::Result<Vec<u8>> {
    // XATTR_SIZE_MAX
    let mut value = vec![0; 64 << 10];
    let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), value.as_mut_slice())?;
    value.truncate(length);
    Ok(value)
}

/// Whether a program has the same capabilities at both places.
pub(super) fn has_same_capabilities(one: &Path, other: &Path) -> bool {
    let of = |path| xattr(path, CAPABILITY.as_bytes()).ok();
    of(one) == of(other)
}

impl Attributes {
    fn none() -> Attributes {
        Attributes { mode: None, owner: None, mtime: None, xattrs: BTreeMap::new(), no_xattrs: Vec::new() }
    }

    /// Gives them to the file at `path`. Owner first, since a change of it takes setuid bits and capabilities; times last: whoever is
    /// killed in between leaves what is found again.
    pub(super) fn give(&self, path: &Path) -> io::Result<()> {
        if let Some((uid, gid)) = self.owner {
            std::os::unix::fs::lchown(path, Some(uid), Some(gid))?;
        }
        for (name, value) in &self.xattrs {
            match rustix::fs::lsetxattr(path, OsStr::from_bytes(name), value, XattrFlags::empty()) {
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        for name in &self.no_xattrs {
            match rustix::fs::lremovexattr(path, OsStr::from_bytes(name)) {
                Ok(()) | Err(Errno::NODATA) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if let Some(mode) = self.mode
            && !fs::symlink_metadata(path)?.is_symlink()
        {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        let Some(mtime) = self.mtime else { return Ok(()) };
        let time = Timespec { tv_sec: mtime.seconds, tv_nsec: i64::from(mtime.nanoseconds) };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_xattr_is_told_where_it_could_be_and_not_known_where_that_cannot_be_tried() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("su");
        fs::write(&path, "").unwrap();
        let meta = fs::symlink_metadata(&path).unwrap();
        let entry = Entry {
            name: b"su".to_vec(),
            kind: Kind::File,
            link_name: Vec::new(),
            mode: meta.mode() & 0o7777,
            uid: 0,
            gid: 0,
            size_bytes: 0,
            extents: None,
            mtime: Time { seconds: meta.mtime(), nanoseconds: meta.mtime_nsec() as u32 },
            xattrs: BTreeMap::from([(b"user.origin".to_vec(), b"here".to_vec())]),
        };
        let judged = |probe: Option<OwnedFd>| {
            Keeping { owners: false, lists: false, probe }.difference(&entry, &meta, &path, false)
        };
        let blind = judged(None);
        assert!(blind.is_blind && blind.wrong.is_none());
        // A file of the same place can have what it lacks.
        let seeing = judged(Some(fs::File::create(place.path().join("probe")).unwrap().into()));
        assert!(!seeing.is_blind);
        assert_eq!(seeing.wrong.unwrap().0, "lacks the xattr user.origin");
    }
}
