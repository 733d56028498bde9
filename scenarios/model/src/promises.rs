//! What a subject promises beyond the common rules: each is a documented choice, never an excuse found afterwards.

use serde::{Deserialize, Serialize};

/// What a union mount, and the machine it is on, do where systems differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promises {
    /// There are layers at all: a plain directory has none, and a commit changes nothing.
    pub layers: bool,
    /// The root directory of a new layer has mode and owner of the one below; else it is root's, mode 0755. Docker's
    /// `overlay2` makes it so (`create` of moby's `overlay2.go`); containers-storage inherits.
    pub root_is_inherited: bool,
    /// Setting an attribute copies its file up even if it is then refused (`ovl_xattr_set` of `fs/overlayfs/xattrs.c`).
    pub refused_xattrs_copy_up: bool,
    /// A rename over a directory that is not empty, when the upper layer's file system refuses it, has copied up what it needs
    /// and marked a directory opaque that hides nothing (`ovl_rename` of `fs/overlayfs/dir.c`).
    pub refused_renames_prepare: bool,
    /// A directory of a lower layer can be renamed (overlayfs: `redirect_dir=on`); else `EXDEV`. Nothing is promised of one whose
    /// old path is longer than a redirect may be (`redirect_max`, 256 by default) and that gets another parent.
    pub lower_directories_move: bool,
    /// A file that is copied up can be given another name in the same mount, and both are one file. In a user namespace
    /// overlayfs cannot keep where a file was copied from and takes the names for two files until the next mount: they show
    /// two inode numbers, a `chown` by one is not seen by the other, a rename of one to the other fails with `ESTALE`.
    /// Nothing is promised then, and it is not done.
    pub copies_can_be_linked: bool,
    /// A file that was copied up keeps its inode number when it is mounted again; not in a user namespace, for the
    /// same reason.
    pub inode_numbers_survive_a_remount: bool,
    /// Root is root of the first user namespace (user_namespaces(7)): only that makes and opens device files, sets `trusted.`
    /// attributes, and writes to a file without taking its set-user-ID and set-group-ID bits away.
    pub first_namespace: bool,
    /// A directory that changes places with something in another directory keeps the time of its last change; not on xfs, where its
    /// `..` is written anew (`xfs_cross_rename` of `fs/xfs/xfs_inode.c`). overlayfs exchanges what moves to a name with a whiteout;
    /// nothing is promised of that then, and it is not done.
    pub exchanged_directories_keep_their_time: bool,
    /// To rename a directory over one that is not empty is refused with `ENOTEMPTY`; on xfs with `EEXIST`. rename(2) allows both.
    pub full_directories_are_not_empty: bool,
    /// A hole punched where nothing was takes privileges away, as every other change does; not on btrfs, which finds nothing to do
    /// (`btrfs_punch_hole` of `fs/btrfs/file.c`). Nothing is promised then, and it is not done.
    pub punching_takes_privileges: bool,
    /// truncate(2) takes privileges away from a file that is empty and stays so, too; not on xfs, which finds nothing to do
    /// (`xfs_setattr_size` of `fs/xfs/xfs_iops.c`). Nothing is promised then, and it is not done.
    pub truncating_nothing_takes_privileges: bool,
    /// A rename that leaves a whiteout and is refused changes no time; on ext4 it has written the whiteout and takes it back
    /// (`ext4_rename` of `fs/ext4/namei.c`). Nothing is promised then, and it is not done.
    pub refused_whiteouts_keep_times: bool,
    /// The file system keeps access control lists (acl(5)); else they are refused with `EOPNOTSUPP`.
    pub has_acls: bool,
    /// To remove an access control list that is not there is refused with `ENODATA` while the file lies in a lower layer
    /// (`ovl_set_or_remove_acl` of `fs/overlayfs/inode.c`); else it succeeds.
    pub missing_acls_are_missed_below: bool,
    /// A device file that would be a whiteout is not made (`ovl_mknod` of `fs/overlayfs/dir.c`). Nothing is promised elsewhere, where
    /// it is one to whoever stacks it, and it is not done.
    pub whiteouts_are_refused: bool,
    /// A further name of a file that was copied up is listed with its inode number (`d_ino`); not where overlayfs keeps its list of a
    /// directory of the upper layer, which a new link does not renew (`ovl_instantiate` of `fs/overlayfs/dir.c`).
    pub further_names_are_listed_with_their_inode: bool,
    /// A diff sees every change; else it compares what lstat(2) tells, by name, as Docker's drivers without an upper layer do
    /// (`changesDiff` of moby's archive package): content of the same size and time, the time of a directory and which names are one file
    /// stay unseen.
    pub diffs_see_everything: bool,
    /// The machine's settings.
    pub protected: Protected,
}

impl Promises {
    /// What the kernel's overlayfs with every option off does on most file systems, and would do without faults: whoever
    /// differs says in what.
    pub const COMMON: Promises = Promises {
        layers: true,
        root_is_inherited: true,
        refused_xattrs_copy_up: false,
        refused_renames_prepare: false,
        lower_directories_move: false,
        copies_can_be_linked: true,
        inode_numbers_survive_a_remount: true,
        first_namespace: true,
        exchanged_directories_keep_their_time: true,
        full_directories_are_not_empty: true,
        refused_whiteouts_keep_times: true,
        punching_takes_privileges: true,
        truncating_nothing_takes_privileges: true,
        has_acls: true,
        missing_acls_are_missed_below: false,
        whiteouts_are_refused: true,
        further_names_are_listed_with_their_inode: true,
        diffs_see_everything: true,
        protected: Protected { symlinks: false, hardlinks: false, regular: 0, fifos: 0 },
    };
}

/// `/proc/sys/fs/protected_*` (proc_sys_fs(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Protected {
    /// Strangers' links in shared directories are not followed.
    pub symlinks: bool,
    /// Strangers' files get no further names.
    pub hardlinks: bool,
    /// Strangers' files in shared directories are not opened to be created: 0, 1 or 2.
    pub regular: u8,
    /// The same for named pipes.
    pub fifos: u8,
}
