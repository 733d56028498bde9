//! What a storage driver does otherwise than all the others: what it cannot see of a change, or cannot keep of a file.

/// One difference. Whoever holds a driver to what all promise asks it for these first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deviation {
    /// Nothing is mounted: a layer is a whole tree.
    MountsNothing,
    /// A directory that a layer's tar says nothing of stays what it is below.
    UnnamedDirectoriesStay,
    /// What a layer has from below is copied, and takes room of its own unless the file system shares it.
    CopiesWhole,
    /// A committed layer is the upper directory: it has what was copied up too, be it as before again, and hides what a new directory
    /// took the place of all at once.
    LayerIsTheUpper,
    /// A device 0:0 in an image says that a name is gone, as overlayfs has it.
    NullDevicesHide,
    /// A directory that took the place of another and looks the same is not told.
    EqualDirectoriesUnseen,
    /// A directory of which only the time is another is not told, since two trees are compared.
    DirectoryTimesUnseen,
    /// A file cannot have xattrs that are called as an overlay's own (`user.overlay.*`, `trusted.overlay.*`).
    NoOverlayXattrs,
    /// A link, or a directory above something, that is copied up gets the time of the copy; where an ordinary user has a single ID the root, too.
    CopiesLoseTimes,
    /// The bits that give a user or a group are lost when a file is copied up, and an xattr of a link is given to what the link points to.
    CopiesLoseAttributes,
    /// When a file loses a name, its others are copied up, and are files of their own.
    NamesComeApart,
    /// Files that are immutable, or can only be added to, are not known.
    NoFileFlags,
    /// Holes are zeros, and written when a file is copied up.
    NoHoles,
    /// The name of a file has to leave room for `.wh.` before it, and must not begin with that.
    WhiteoutNamesTaken,
}

impl Deviation {
    /// In a sentence.
    pub fn told(self) -> &'static str {
        match self {
            Deviation::MountsNothing => "nothing is mounted: a layer is a whole tree",
            Deviation::UnnamedDirectoriesStay => {
                "a directory that the tar of a layer has no entry for stays what it is below"
            }
            Deviation::CopiesWhole => "a layer is copied in full from the one below",
            Deviation::LayerIsTheUpper => {
                "a committed layer is the upper directory, with what was copied up and is as it was before"
            }
            Deviation::NullDevicesHide => "a device 0:0 in an image says that a name is gone",
            Deviation::EqualDirectoriesUnseen => {
                "a directory that took the place of another and looks the same is not told"
            }
            Deviation::DirectoryTimesUnseen => "a directory of which only the time is another is not told",
            Deviation::NoOverlayXattrs => "files cannot have xattrs that are called as an overlay's own",
            Deviation::CopiesLoseTimes => {
                "links that are copied up, and directories above what is, get the time of the copy"
            }
            Deviation::CopiesLoseAttributes => {
                "files that are copied up lose their set-user-ID and set-group-ID bits, links their xattrs"
            }
            Deviation::NamesComeApart => "the other names of a file that loses one are files of their own",
            Deviation::NoFileFlags => "files cannot be made immutable",
            Deviation::NoHoles => "holes in files are read and written as zeros",
            Deviation::WhiteoutNamesTaken => {
                "names that begin with .wh., or leave no room for that before them, cannot be removed or used"
            }
        }
    }
}
