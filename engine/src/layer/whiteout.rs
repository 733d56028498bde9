//! Deletions: how a layer says "this name is gone", in a tar and in an overlayfs directory.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::root;

/// The start of a whiteout's name in a tar (OCI image-spec, `layer.md`, "Whiteouts").
pub const PREFIX: &str = ".wh.";
/// The start of AUFS' own bookkeeping names, which are no content.
const AUFS_PREFIX: &str = ".wh..wh.";
/// How long a name can be on disk (`NAME_MAX`).
const NAME_MAX_BYTES: usize = 255;

/// What the file is called that says that `name` is gone; nothing for one too long to have such a file.
pub(super) fn file_name(name: &OsStr) -> Option<OsString> {
    let file_name = [PREFIX.as_bytes(), name.as_bytes()].concat();
    (file_name.len() <= NAME_MAX_BYTES).then(|| OsString::from_vec(file_name))
}

/// Whether a tar can say that `name` is gone: there is room for what stands before it.
pub fn can_be_hidden(name: &OsStr) -> bool {
    file_name(name).is_some()
}

/// The name in a tar that makes its directory opaque (OCI image-spec, `layer.md`, "Opaque Whiteout").
pub const OPAQUE: &str = ".wh..wh..opq";

/// The xattr namespace in which overlayfs keeps its marks: `User` for mounts with `userxattr`, `Trusted` otherwise. With `None` deletions
/// are files that have the names they have in a tar, which fuse-overlayfs reads for root and ordinary users alike, and which whole trees are made of: there a device 0:0 is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlayXattr {
    Trusted,
    User,
    None,
}

impl OverlayXattr {
    /// The xattr that makes a directory opaque; its value is `y` (kernel, `overlayfs.rst`, "whiteouts and opaque
    /// directories").
    pub fn opaque(self) -> Option<&'static str> {
        match self {
            OverlayXattr::Trusted => Some("trusted.overlay.opaque"),
            OverlayXattr::User => Some("user.overlay.opaque"),
            OverlayXattr::None => None,
        }
    }

    /// Whether the directory `name` in `directory` hides what lies below it.
    pub(super) fn is_opaque(self, directory: BorrowedFd<'_>, name: &OsStr) -> Result<bool, Errno> {
        match self.opaque() {
            Some(mark) => Ok(root::xattr(directory, name, mark)?.as_deref() == Some(b"y")),
            None => {
                let inside = root::open_real_directory(directory, name)?;
                Ok(root::stat(inside.as_fd(), OsStr::new(OPAQUE))?.is_some())
            }
        }
    }

    /// What the entry `name` of an unpacked layer hides, if it is no entry itself. Where deletions are files, a device is one only
    /// if the name that is gone is too long for a file to say so.
    pub(super) fn hides<'a>(self, name: &'a OsStr, stat: &Stat) -> Option<Hides<'a>> {
        let is_whiteout = is_device(stat) && (self != OverlayXattr::None || file_name(name).is_none());
        match meaning(name) {
            _ if is_whiteout => Some(Hides::Name(name)),
            Meaning::Whiteout(hidden) if self == OverlayXattr::None => Some(Hides::Name(hidden)),
            Meaning::Opaque if self == OverlayXattr::None => Some(Hides::Below),
            _ => None,
        }
    }

    /// Whether an xattr would be taken for a mark, and so is nothing to unpack.
    pub(super) fn is_private(self, xattr: &[u8]) -> bool {
        is_overlay_private(xattr) || (self == OverlayXattr::None && xattr.starts_with(b"user.fuseoverlayfs."))
    }
}

/// What a mark in an unpacked layer hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hides<'a> {
    /// What lower layers have under this name.
    Name(&'a OsStr),
    /// What lower layers have in the directory that the mark is in.
    Below,
}

/// Whether an xattr is the mark of an opaque directory, of either namespace.
pub fn is_opaque_mark(xattr: &str) -> bool {
    [OverlayXattr::Trusted, OverlayXattr::User].iter().any(|marks| marks.opaque() == Some(xattr))
}

/// Whether this is how overlayfs marks a deleted name.
pub(super) fn is_device(stat: &Stat) -> bool {
    root::file_type(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Whether an xattr is one of overlayfs' own marks, of either namespace.
pub fn is_overlay_private(xattr: &[u8]) -> bool {
    xattr.starts_with(b"trusted.overlay.") || xattr.starts_with(b"user.overlay.")
}

/// What the last component of a tar entry's name asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// An entry like any other.
    Content,
    /// `.wh..wh..opq`: hide everything that lower layers have in this directory.
    Opaque,
    /// `.wh.NAME`: hide the `NAME` of lower layers.
    Whiteout(&'a OsStr),
    /// Another `.wh..wh.` name: bookkeeping of AUFS.
    AufsMetadata,
    /// `.wh.`, `.wh..` or `.wh...`: a whiteout of nothing, of the directory itself or of its parent.
    Nonsense,
}

/// Reads the last component of a tar entry's name.
pub fn meaning(name: &OsStr) -> Meaning<'_> {
    let bytes = name.as_bytes();
    if bytes == OPAQUE.as_bytes() {
        return Meaning::Opaque;
    }
    if bytes.starts_with(AUFS_PREFIX.as_bytes()) {
        return Meaning::AufsMetadata;
    }
    match bytes.strip_prefix(PREFIX.as_bytes()) {
        None => Meaning::Content,
        Some(b"" | b"." | b"..") => Meaning::Nonsense,
        Some(hidden) => Meaning::Whiteout(OsStr::from_bytes(hidden)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: WH-11
    #[test]
    fn names_mean_what_the_image_spec_says() {
        let table = [
            ("file", Meaning::Content),
            ("x.wh.y", Meaning::Content),
            (".wh", Meaning::Content),
            (".wh.file", Meaning::Whiteout(OsStr::new("file"))),
            (".wh..hidden", Meaning::Whiteout(OsStr::new(".hidden"))),
            (".wh..wh..opq", Meaning::Opaque),
            (".wh..wh.plnk", Meaning::AufsMetadata),
            (".wh.", Meaning::Nonsense),
            (".wh..", Meaning::Nonsense),
            (".wh...", Meaning::Nonsense),
        ];
        for (name, expected) in table {
            assert_eq!(meaning(OsStr::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn a_neighbour_of_overlays_namespace_is_not_private() {
        assert!(is_overlay_private(b"user.overlay.opaque") && is_overlay_private(b"trusted.overlay.redirect"));
        assert!(!is_overlay_private(b"trusted.overlayxxx") && !is_overlay_private(b"user.mime"));
    }
}
