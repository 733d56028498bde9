//! Deletions: how a layer says "this name is gone", in a tar and in an overlayfs directory.

use std::borrow::Cow;
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
/// How long a name can be on disk (`NAME_MAX`), and that of an xattr (`XATTR_NAME_MAX`).
const NAME_MAX_BYTES: usize = 255;
/// What an overlay's own xattrs begin with, of either namespace.
const TRUSTED: &str = "trusted.overlay.";
const USER: &str = "user.overlay.";
/// What stands behind that in the name of one that is a file's own, and not the overlay's.
const ESCAPE: &str = "overlay.";

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

/// How what is stacked says what is gone, and which xattrs it would take for its own: an image may hold files with such xattrs, which must
/// not mean anything then.
///
/// An overlay of the kernel keeps its marks in one xattr namespace, and reads none of the other. A file's own xattr of that name lies there
/// under an escaped one, `user.overlay.overlay.NAME`, which an overlay since Linux 6.7 shows as `user.overlay.NAME` and an older one not at all
/// (`overlayfs.rst`, "Nested overlayfs mounts"). Both are so within one way of mounting: whoever takes layers of root into a user namespace, where
/// overlays read `user.overlay.*`, gives an image's xattrs of these names a meaning, and the marks of root none. A directory of the image would then hide or rename what the
/// same image has; an overlay's xattrs never lead out of its layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlayXattr {
    /// `trusted.overlay.*`: overlays that root mounts.
    Trusted,
    /// `user.overlay.*`: those that are mounted with `userxattr`.
    User,
    /// Of the program fuse-overlayfs, for root and ordinary users alike: deletions are files that have the names they have in a tar. The
    /// program takes the xattrs of both namespaces and its own for marks, knows no escape, and shows none: a file cannot have them.
    Program,
    /// Nothing is stacked: deletions are files that have the names they have in a tar until they are carried out, a device 0:0 is one, and an xattr is an xattr.
    None,
}

impl OverlayXattr {
    /// The xattr that makes a directory opaque; its value is `y` (kernel, `overlayfs.rst`, "whiteouts and opaque
    /// directories").
    pub fn opaque(self) -> Option<&'static str> {
        match self {
            OverlayXattr::Trusted => Some("trusted.overlay.opaque"),
            OverlayXattr::User => Some("user.overlay.opaque"),
            OverlayXattr::Program | OverlayXattr::None => None,
        }
    }

    /// Whether deletions are files that have the names they have in a tar.
    pub(super) fn has_files(self) -> bool {
        self.opaque().is_none()
    }

    /// What the names of an overlay's xattrs begin with.
    fn prefix(self) -> Option<&'static str> {
        match self {
            OverlayXattr::Trusted => Some(TRUSTED),
            OverlayXattr::User => Some(USER),
            OverlayXattr::Program | OverlayXattr::None => None,
        }
    }

    /// Under which name the xattr `name` of a file lies in a layer; nothing where it can have none.
    pub(super) fn kept(self, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        if self == OverlayXattr::Program && self.is_mark(name) {
            return None;
        }
        let Some((prefix, rest)) =
            self.prefix().and_then(|prefix| Some((prefix, name.strip_prefix(prefix.as_bytes())?)))
        else {
            return Some(Cow::Borrowed(name));
        };
        let escaped = [prefix.as_bytes(), ESCAPE.as_bytes(), rest].concat();
        (escaped.len() <= NAME_MAX_BYTES).then_some(Cow::Owned(escaped))
    }

    /// The name by which an overlay shows the xattr `name` of a file in a layer; nothing for a mark.
    pub(super) fn shown(self, name: &str) -> Option<Cow<'_, str>> {
        let unescaped = self.prefix().and_then(|prefix| {
            let rest = name.strip_prefix(prefix)?.strip_prefix(ESCAPE)?;
            Some([prefix, rest].concat())
        });
        match unescaped {
            Some(name) => Some(Cow::Owned(name)),
            None => (!self.is_mark(name.as_bytes())).then_some(Cow::Borrowed(name)),
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
        let is_whiteout = is_device(stat) && (!self.has_files() || file_name(name).is_none());
        match meaning(name) {
            _ if is_whiteout => Some(Hides::Name(name)),
            Meaning::Whiteout(hidden) if self.has_files() => Some(Hides::Name(hidden)),
            Meaning::Opaque if self.has_files() => Some(Hides::Below),
            _ => None,
        }
    }

    /// Whether an xattr in a layer is a mark, or would be taken for one.
    pub(super) fn is_mark(self, xattr: &[u8]) -> bool {
        match self {
            OverlayXattr::None => false,
            OverlayXattr::Program => is_overlay_private(xattr) || xattr.starts_with(b"user.fuseoverlayfs."),
            OverlayXattr::Trusted | OverlayXattr::User => {
                let rest = self.prefix().and_then(|prefix| xattr.strip_prefix(prefix.as_bytes()));
                rest.is_some_and(|rest| !rest.starts_with(ESCAPE.as_bytes()))
            }
        }
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

/// Whether this is how overlayfs marks a deleted name.
pub(super) fn is_device(stat: &Stat) -> bool {
    root::file_type(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Whether an xattr has the name of one of overlayfs' own, of either namespace.
pub fn is_overlay_private(xattr: &[u8]) -> bool {
    xattr.starts_with(TRUSTED.as_bytes()) || xattr.starts_with(USER.as_bytes())
}

/// What the xattrs begin with by which overlays mark their directories, the kernel's for root and for others, and the program's.
const MARKS: [&str; 3] = [TRUSTED, USER, "user.fuseoverlayfs."];

/// Whether an xattr, of whatever overlay, can make a directory opaque.
pub(super) fn makes_opaque(xattr: &str) -> bool {
    MARKS.iter().any(|prefix| xattr.strip_prefix(prefix) == Some("opaque"))
}

/// Whether an xattr, of whatever overlay, can say that what lies below a directory has another name there.
pub(super) fn is_redirect(xattr: &str) -> bool {
    MARKS.iter().any(|prefix| xattr.strip_prefix(prefix) == Some("redirect"))
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
    fn an_xattr_that_would_be_a_mark_is_escaped_and_shown_by_its_own_name() {
        use OverlayXattr::{None as Nothing, Program, Trusted, User};
        let (trusted, user) = ("trusted.overlay.opaque", "user.overlay.redirect");
        let (kept_trusted, kept_user) = ("trusted.overlay.overlay.opaque", "user.overlay.overlay.redirect");
        let table = [
            (Trusted, trusted, Some(kept_trusted)),
            (Trusted, user, Some(user)),
            (User, user, Some(kept_user)),
            (User, trusted, Some(trusted)),
            (User, kept_user, Some("user.overlay.overlay.overlay.redirect")),
            (Program, user, None),
            (Program, trusted, None),
            (Program, "user.fuseoverlayfs.opaque", None),
            (Program, "user.mime", Some("user.mime")),
            (Nothing, trusted, Some(trusted)),
            (Nothing, "user.fuseoverlayfs.opaque", Some("user.fuseoverlayfs.opaque")),
        ];
        for (marks, name, kept) in table {
            assert_eq!(marks.kept(name.as_bytes()).as_deref(), kept.map(str::as_bytes), "{marks:?} {name}");
            if let Some(kept) = kept {
                assert!(!marks.is_mark(kept.as_bytes()), "{marks:?} {kept}");
                assert_eq!(marks.shown(kept).as_deref(), Some(name), "{marks:?} {kept}");
            }
        }
        assert!(Trusted.is_mark(trusted.as_bytes()) && Trusted.shown(trusted).is_none());
        assert!(User.is_mark(user.as_bytes()) && User.shown(user).is_none());
        let long = format!("user.overlay.{}", "x".repeat(240));
        assert!(User.kept(long.as_bytes()).is_none(), "there is no room to escape it");
    }

    #[test]
    fn a_neighbour_of_overlays_namespace_is_not_private() {
        assert!(is_overlay_private(b"user.overlay.opaque") && is_overlay_private(b"trusted.overlay.redirect"));
        assert!(!is_overlay_private(b"trusted.overlayxxx") && !is_overlay_private(b"user.mime"));
    }
}
