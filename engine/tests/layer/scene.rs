//! Small trees and small tars to put layers into and to make them from.

use layerlab_scenarios::skip::skip;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use layerlab_engine::layer::{
    Contents, OverlayXattr, Owners, PackOptions, Packed, UnpackError, UnpackOptions, Unpacked,
};
use layerlab_engine::layer::{pack, unpack};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps};

/// Root of the machine; root of a user namespace may neither make devices nor set trusted xattrs.
pub fn is_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    let every_id = map.split_whitespace().eq(["0", "0", "4294967295"]);
    rustix::process::geteuid().is_root() && every_id
}

/// Whether to go on: false, and a word on stderr, without root.
pub fn root_is_here(test: &str) -> bool {
    if !is_root() {
        skip("root", &format!("{test} needs root"));
    }
    is_root()
}

/// How this user can unpack: as root everything, otherwise in the caller's name.
pub fn options() -> UnpackOptions {
    match is_root() {
        true => UnpackOptions { contents: Contents::Layer, overlay: OverlayXattr::Trusted, owners: Owners::AsRecorded },
        false => UnpackOptions { contents: Contents::Layer, overlay: OverlayXattr::User, owners: Owners::CallerOnly },
    }
}

pub fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub fn unpacked(tar: &[u8], root: &Path) -> Result<Unpacked, UnpackError> {
    unpack(tar, root, &options())
}

pub fn packed(root: &Path) -> (Packed, Vec<u8>) {
    let name = |id: u32| match id {
        0 => Some("root".to_owned()),
        33 => Some("www-data".to_owned()),
        _ => None,
    };
    let mut tar = Vec::new();
    let options = PackOptions { overlay: options().overlay, user_name: &name, group_name: &name };
    let packed = pack(root, &options, &mut tar).unwrap();
    assert_eq!(packed.tar_size_bytes, tar.len() as u64);
    assert_eq!(packed.diff_id, layerlab_engine::image::Digest::of(&tar));
    (packed, tar)
}

/// A tar with any bytes as names, which no well-meaning library would write.
#[derive(Default)]
pub struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    pub fn new() -> Tar {
        Tar::default()
    }

    pub fn file(self, name: &str, contents: &str) -> Tar {
        self.entry(b'0', name, "", 0o644, contents.as_bytes(), |_| {})
    }

    pub fn dir(self, name: &str, mode: u32) -> Tar {
        self.entry(b'5', name, "", mode, b"", |_| {})
    }

    pub fn symlink(self, name: &str, target: &str) -> Tar {
        self.entry(b'2', name, target, 0o777, b"", |_| {})
    }

    pub fn hard_link(self, name: &str, target: &str) -> Tar {
        self.entry(b'1', name, target, 0o644, b"", |_| {})
    }

    /// PAX records for the next entry.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Tar {
        let mut body = Vec::new();
        for (keyword, value) in records {
            let rest = keyword.len() + value.len() + 3;
            let length = (rest..).find(|length| length.to_string().len() + rest == *length).unwrap();
            body.extend_from_slice(&[format!("{length} {keyword}=").as_bytes(), value, b"\n"].concat());
        }
        self.entry(b'x', "pax", "", 0o644, &body, |_| {})
    }

    pub fn entry(
        mut self,
        kind: u8,
        name: &str,
        link: &str,
        mode: u32,
        body: &[u8],
        edit: impl FnOnce(&mut tar::Header),
    ) -> Tar {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_mode(mode);
        header.set_uid(u64::from(rustix::process::geteuid().as_raw()));
        header.set_gid(u64::from(rustix::process::getegid().as_raw()));
        header.set_size(body.len() as u64);
        header.set_mtime(1_000_000_000);
        edit(&mut header);
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(body);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// The tar so far, without the end mark.
    pub fn open_end(self) -> Vec<u8> {
        self.bytes
    }

    pub fn end(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }
}

/// What stands at a path; equal when no layer can tell the difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub what: String,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
}

/// Everything below `root`, by relative path; `.` is the root's own mode and owner.
pub fn listing(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut found = BTreeMap::new();
    list(root, Path::new(""), &mut BTreeMap::new(), &mut found);
    found
}

fn list(root: &Path, below: &Path, links: &mut BTreeMap<u64, PathBuf>, found: &mut BTreeMap<PathBuf, Seen>) {
    let mut entries: Vec<_> = fs::read_dir(root.join(below)).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let meta = fs::symlink_metadata(&path).unwrap();
        let relative = path.strip_prefix(root).unwrap().to_owned();
        let kind = meta.file_type();
        let mut what = match () {
            () if kind.is_dir() && opaque(&path) => "opaque directory".to_owned(),
            () if kind.is_dir() => "directory".to_owned(),
            () if kind.is_symlink() => format!("symlink to {}", fs::read_link(&path).unwrap().display()),
            () if kind.is_file() => format!("file {:?}", fs::read(&path).unwrap_or_default()),
            () if kind.is_fifo() => "fifo".to_owned(),
            () => format!("device {:o} {}", meta.mode() & 0o170_000, meta.rdev()),
        };
        if !kind.is_dir() && meta.nlink() > 1 {
            what += &format!(", the same as {}", links.entry(meta.ino()).or_insert(relative.clone()).display());
        }
        let seen = Seen {
            what,
            mode: meta.mode() & 0o7777,
            owner: (meta.uid(), meta.gid()),
            mtime: (meta.mtime(), meta.mtime_nsec()),
        };
        found.insert(relative.clone(), seen);
        if kind.is_dir() {
            list(root, &relative, links, found);
        }
    }
}

pub fn opaque(path: &Path) -> bool {
    let mut value = [0u8; 8];
    matches!(rustix::fs::lgetxattr(path, options().overlay.opaque().unwrap(), &mut value[..]), Ok(1))
        && value[0] == b'y'
}

pub fn is_whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_char_device() && meta.rdev() == 0)
}

/// A tree under construction. Times are set by [`Tree::times`], after everything is there.
pub struct Tree<'a>(pub &'a Path);

impl Tree<'_> {
    pub fn dir(&self, path: &str) -> &Self {
        fs::create_dir(self.0.join(path)).unwrap();
        self.mode(path, 0o755)
    }

    pub fn opaque_dir(&self, path: &str) -> &Self {
        self.dir(path).xattr(path, options().overlay.opaque().unwrap(), b"y")
    }

    pub fn file(&self, path: &str, contents: &str, mode: u32) -> &Self {
        let mut file = fs::File::create_new(self.0.join(path)).unwrap();
        file.write_all(contents.as_bytes()).unwrap();
        self.mode(path, mode)
    }

    pub fn symlink(&self, path: &str, target: &str) -> &Self {
        symlink(target, self.0.join(path)).unwrap();
        self
    }

    pub fn hard_link(&self, path: &str, first: &str) -> &Self {
        fs::hard_link(self.0.join(first), self.0.join(path)).unwrap();
        self
    }

    pub fn node(&self, path: &str, kind: FileType, device: (u32, u32), mode: u32) -> &Self {
        let number = rustix::fs::makedev(device.0, device.1);
        rustix::fs::mknodat(CWD, self.0.join(path), kind, Mode::from_raw_mode(mode), number).unwrap();
        if mode == 0 { self } else { self.mode(path, mode) }
    }

    pub fn whiteout(&self, path: &str) -> &Self {
        self.node(path, FileType::CharacterDevice, (0, 0), 0)
    }

    pub fn xattr(&self, path: &str, name: &str, value: &[u8]) -> &Self {
        rustix::fs::lsetxattr(self.0.join(path), name, value, rustix::fs::XattrFlags::empty()).unwrap();
        self
    }

    pub fn owner(&self, path: &str, uid: u32, gid: u32) -> &Self {
        std::os::unix::fs::lchown(self.0.join(path), Some(uid), Some(gid)).unwrap();
        self
    }

    pub fn mode(&self, path: &str, mode: u32) -> &Self {
        fs::set_permissions(self.0.join(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub fn time(&self, path: &str, seconds: i64, nanoseconds: i64) -> &Self {
        let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, self.0.join(path), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        self
    }

    /// The same whole second for everything in the tree.
    pub fn times(&self, seconds: i64) -> &Self {
        for path in listing(self.0).keys().rev() {
            self.time(std::str::from_utf8(path.as_os_str().as_bytes()).unwrap(), seconds, 0);
        }
        self
    }
}
