//! What a subject promises beyond the common rules: each is a documented choice, never an excuse found afterwards.

use serde::{Deserialize, Serialize};

/// This file: what is said of a promise here is told where somebody makes it otherwise.
const SOURCE: &str = include_str!("promises.rs");

/// What is said of a promise, with its source; nothing of what is no promise.
pub fn about(promise: &str) -> String {
    let mut about = String::new();
    for line in SOURCE.lines().map(str::trim) {
        match line.strip_prefix("///") {
            Some(more) => about += more,
            None if line.starts_with(&format!("pub {promise}:")) => return about.trim().to_owned(),
            None => about.clear(),
        }
    }
    String::new()
}

/// What a union mount, and the machine it is on, do where systems differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promises {
    /// There are layers at all: a plain directory has none, and a commit changes nothing.
    pub layers: bool,
    /// The mode of the root directory of an empty layer that lies on nothing: 0755 with Docker's drivers, 0555 with containers-storage's (`defaultPerms` of its
    /// `drivers/overlay/overlay.go` and `drivers/vfs/driver.go`).
    pub root_mode: u32,
    /// The root directory of a new layer has mode and owner of the one below; else it is root's, mode 0755. Docker's
    /// `overlay2` makes it so (`create` of moby's `overlay2.go`); containers-storage inherits.
    pub root_is_inherited: bool,
    /// An inherited root directory has the mode too; containerd's `overlayfs` gives it the owner alone (`prepareDirectory` and `createSnapshot` of its
    /// `snapshots/overlay/overlay.go`): it is 0755 then.
    pub root_mode_is_inherited: bool,
    /// An inherited root directory has the owner too; Docker's legacy `overlay` driver makes it root's.
    pub root_owner_is_inherited: bool,
    /// How many layers can lie below the upper one. Where there are as many, a commit copies the upper layer, as Docker's legacy
    /// `overlay` driver does with the layer right below a container's (`Create` of moby's `overlay.go`), and the tree stays as it is. The
    /// copy has none of overlayfs's notes of where something came from, so that it is listed with other inode numbers than it has; and of a
    /// directory in it that nothing lies below `docker diff` may say that it took the place of another: the kernel marks those as it likes.
    pub layers_max: usize,
    /// A layer that is committed is what it was. Docker's is what comes through a tar: times are whole seconds since 1970, of attributes `security.capability` alone is left, and there are
    /// no sockets (`FileInfoHeader`, `ReadSecurityXattrToTarHeader` and `addTarFile` of moby's `pkg/archive/archive.go`): other times, attributes and sockets are not made then.
    pub layers_are_whole: bool,
    /// Setting an attribute copies its file up even if it is then refused (`ovl_xattr_set` of `fs/overlayfs/xattrs.c`).
    pub refused_xattrs_copy_up: bool,
    /// A rename over a directory that is not empty, when the upper layer's file system refuses it, has copied up what it needs
    /// and marked a directory opaque that hides nothing (`ovl_rename` of `fs/overlayfs/dir.c`).
    pub refused_renames_prepare: bool,
    /// How many layers can lie below the upper one (`OVL_MAX_STACK` of `fs/overlayfs/params.h`); of what a further one does nothing is
    /// promised, and it is not done.
    pub lower_layers_max: usize,
    /// A directory of a lower layer can be renamed (overlayfs: `redirect_dir=on`); else `EXDEV`. So it is refused when its path there is
    /// longer than a redirect may be (`redirect_max`, 256 by default) and it gets another parent. If that takes the place of a
    /// directory nothing is promised, and it is not done: `ovl_rename` has taken the whiteouts out of that one by then.
    pub lower_directories_move: bool,
    /// To open a name as a directory that is to be made is refused with `EINVAL`. Before Linux 6.4 a file was made, and then it was no directory (`build_open_flags` of
    /// `fs/open.c`): nothing is promised then, and it is not done.
    pub directories_are_not_made_by_open: bool,
    /// Files can be opened with `O_DIRECT` (open(2)): file systems in memory learned it late. Where they cannot, they are refused after they
    /// were made or copied up, and it is not done.
    pub files_open_directly: bool,
    /// A file that is copied up can be given another name in the same mount, and both are one file. In a user namespace
    /// overlayfs cannot keep where a file was copied from and takes the names for two files until the next mount: they show
    /// two inode numbers, a `chown` by one is not seen by the other, a rename of one to the other fails with `ESTALE`.
    /// Nothing is promised then, and it is not done.
    pub copies_can_be_linked: bool,
    /// Names of one file in a lower layer stay names of one file when it is copied up (overlayfs: `index=on`, "Index" of its
    /// document), until that copy is in a lower layer itself: names that were not used are not in it, and are names of the old file
    /// again.
    pub hard_links_survive_copy_up: bool,
    /// What is removed is copied up first, so that its file handle is known to be stale (overlayfs: `nfs_export=on`; `ovl_nlink_start`
    /// of `fs/overlayfs/util.c`).
    pub removed_is_copied_up: bool,
    /// A file is copied up without its content until it is opened to be written to, or truncated (overlayfs: `metacopy=on`, "Metadata
    /// only copy up" of its document). When the content follows later the file has changed by that, even if nothing is written then
    /// (`ovl_copy_up_meta_inode_data` of `fs/overlayfs/copy_up.c` puts no time back), unless it is all hole (`ovl_copy_up_file` leaves holes
    /// out): a layer with such files is not made.
    pub content_stays_below: bool,
    /// A file that was copied up keeps its inode number when it is mounted again; not in a user namespace, for the
    /// same reason.
    pub inode_numbers_survive_a_remount: bool,
    /// A file shows as many names as before when it is mounted again; not with `nfs_export=on`, where a file that had one name below has an
    /// entry in the index, which is then counted, too (`ovl_get_nlink` of `fs/overlayfs/inode.c`).
    pub numbers_of_names_survive_a_remount: bool,
    /// Links, pipes, sockets and devices that are copied up are known as copies, as files are. With `userxattr` they cannot be told where they were copied from,
    /// since attributes of users are for files and directories (xattr(7); `ovl_set_origin_fh` of `fs/overlayfs/copy_up.c` goes on
    /// without): nothing is promised then of a further name of a copy, and its inode number changes when it is mounted again.
    pub origins_of_nodes_are_kept: bool,
    /// What is done to an open directory that was removed changes nothing else. overlayfs copies one of a lower layer up to its old
    /// name, over an empty directory that has that name by now (`ovl_copy_up_one` of `fs/overlayfs/copy_up.c`): nothing is
    /// promised then, and it is not done.
    pub removed_directories_stay_removed: bool,
    /// Root is root of the first user namespace (user_namespaces(7)): only that makes and opens device files, sets `trusted.`
    /// attributes, and writes to a file without taking its set-user-ID and set-group-ID bits away.
    pub first_namespace: bool,
    /// A directory that changes places with something in another directory keeps the time of its last change; not on xfs, where its
    /// `..` is written anew (`xfs_cross_rename` of `fs/xfs/xfs_inode.c`). overlayfs exchanges what moves to a name with a whiteout;
    /// nothing is promised of that then, and it is not done.
    pub exchanged_directories_keep_their_time: bool,
    /// To rename a directory over one that is not empty is refused with `ENOTEMPTY`; on xfs with `EEXIST`. rename(2) allows both.
    pub full_directories_are_not_empty: bool,
    /// A hole punched where nothing was is a change as every other: it moves the time and takes privileges away; not on btrfs, which
    /// finds nothing to do (`btrfs_punch_hole` of `fs/btrfs/file.c`). Nothing is promised then, and it is not done.
    pub holes_are_punched_again: bool,
    /// truncate(2) to the length that the file has is a change as every other: it moves the time and takes privileges away. POSIX asks for
    /// neither, and most file systems compare the two (`xfs_setattr_size` of `fs/xfs/xfs_iops.c`, `btrfs_setsize` of `fs/btrfs/inode.c`;
    /// `shmem_setattr` of `mm/shmem.c` does unless room behind the end was allocated). Nothing is promised then, and it is not done.
    pub truncating_to_the_same_length_is_a_change: bool,
    /// A rename that leaves a whiteout and is refused changes no time; on ext4 it has written the whiteout and takes it back
    /// (`ext4_rename` of `fs/ext4/namei.c`). Nothing is promised then, and it is not done.
    pub refused_whiteouts_keep_times: bool,
    /// The file system keeps access control lists (acl(5)); else they are refused with `EOPNOTSUPP`.
    pub has_acls: bool,
    /// Files and directories can have attributes of users (`user.`, xattr(7)); else they are refused with `EOPNOTSUPP`, as by file systems in
    /// memory before Linux 6.6 (`shmem_xattr_handlers` of `mm/shmem.c`).
    pub has_user_xattrs: bool,
    /// The name of an attribute is read before the file is looked for (`import_xattr_name` of `fs/xattr.c`); before Linux 6.13 after it, so that another
    /// refusal comes first.
    pub attributes_are_named_first: bool,
    /// An access control list that is set without a byte is removed; before Linux 6.2 that is refused (`posix_acl_from_xattr` of `fs/posix_acl.c`). Nothing is
    /// promised then, and it is not done.
    pub empty_lists_remove: bool,
    /// Room that is given to a file moves its time and takes privileges away, whatever else comes of it; before Linux 5.18 only if it got longer, or not at all
    /// (`ext4_fallocate` of `fs/ext4/extents.c`, `shmem_fallocate` of `mm/shmem.c`). Nothing is promised then, and it is not done.
    pub room_is_a_change: bool,
    /// To remove an access control list that is not there is refused with `ENODATA` while the file lies in a lower layer
    /// (`ovl_set_or_remove_acl` of `fs/overlayfs/inode.c`); else it succeeds.
    pub missing_acls_are_missed_below: bool,
    /// A device file that would be a whiteout is not made (`ovl_mknod` of `fs/overlayfs/dir.c`). Nothing is promised elsewhere, where
    /// it is one to whoever stacks it, and it is not done.
    pub whiteouts_are_refused: bool,
    /// A further name of a file that was copied up is listed with its inode number (`d_ino`); not where overlayfs keeps its list of a
    /// directory of the upper layer, which a new link does not renew (`ovl_instantiate` of `fs/overlayfs/dir.c`).
    pub further_names_are_listed_with_their_inode: bool,
    /// A diff sees every change; else it compares two trees, as all of Docker's drivers but `overlay2` and `aufs` do
    /// (`NewNaiveDiffDriver` of moby's `fsdiff.go`, `changesDiff` of its archive package): the time of a directory stays unseen. (Docker's own
    /// misses more, content of the same size and time and which names are one file above all, since it looks at what lstat(2) tells of each name.)
    pub diffs_see_everything: bool,
    /// A directory that took the place of another and looks the same is told by `docker diff`: an overlay marks it as opaque, a snapshot
    /// keeps inode numbers. Docker never tells it, and of a copy nobody can.
    pub replaced_directories_are_told: bool,
    /// A directory's time moves only when the directory changes. fuse-overlayfs gives the copy of a directory its time before it writes to it, and writes to one that it
    /// only looks at (`create_directory` and `copyup` of its `main.c`): nothing is promised of the time of any directory then, and it is not compared.
    pub directories_keep_their_time: bool,
    /// A time that the kernel's clock gave to a file stays what it was shown as. Not where the kernel keeps it for a program that is told later (FUSE's
    /// writeback cache, which `ovl_init` of fuse-overlayfs asks for): it is not compared then. One that somebody set is.
    pub clock_times_are_kept: bool,
    /// How long a name can be; 255 with Linux (`NAME_MAX`). fuse-overlayfs wants room for `.wh.` before it (`get_fs_namemax` of its `utils.c`), refuses longer ones in an order
    /// of its own, and release 1.10 breaks off when one of 255 bytes of a lower layer is changed or removed: nothing is promised of longer ones then, and it is
    /// not done.
    pub name_bytes_max: usize,
    /// A name that begins with `.wh.` is a name. fuse-overlayfs refuses it or takes it for a whiteout (`ovl_do_open` and `load_dir` of its `main.c`): nothing is promised then, and it is not
    /// done.
    pub whiteout_names_are_names: bool,
    /// The names of one file can be in a lower layer. fuse-overlayfs parts them when one of them is removed, and shows a mixture of the two contents when one was written to
    /// (`do_rm` and `register_inode` of its `main.c`): a layer with such files is not made then.
    pub names_of_one_file_can_lie_below: bool,
    /// What is copied up is as it was. fuse-overlayfs makes the copy of a link anew, and of a node that it can open a file (`copyup` of its `main.c`): nothing is promised then of links
    /// and nodes in a lower layer that are changed or removed, and it is not done.
    pub copies_are_whole: bool,
    /// A file that was copied up before the last mount can be given another name. fuse-overlayfs tells a copy by the path that it was copied from, and takes the two for two files
    /// when it is mounted again (`make_ovl_node` of its `main.c`): nothing is promised then, and it is not done.
    pub copies_can_be_linked_later: bool,
    /// The number of names of a file is how many it has. fuse-overlayfs counts those that it was asked about (`rpl_stat` of its `main.c`): it is not compared then.
    pub numbers_of_names_are_counted: bool,
    /// A symbolic link can have attributes of its own. fuse-overlayfs gives them to what the link leads to outside of the tree (`direct_setxattr` of its `direct.c`): none is set
    /// then.
    pub links_have_xattrs: bool,
    /// A file can have its set-user-ID and set-group-ID bits, which go when another writes to it, and a directory hands the latter down. In fuse-overlayfs they are lost by a
    /// copy-up, stay when another writes, and are not handed down (`copyup`, `ovl_write_buf` and `create_directory` of its `main.c`): none is given then.
    pub set_id_bits_are_kept: bool,
    /// Devices can be opened, or are refused, as Linux has it. Not where the lowest layer is no mount and the others are mounts without devices (`nodev`), as libfuse
    /// makes them (`fuse_mount_sys` of its `lib/mount.c`): it is not done then.
    pub devices_open: bool,
    /// What was removed and is still open is changed, or refused, as the kernel's overlayfs has it. fuse-overlayfs changes it, and gives back names that are gone (`ovl_setattr` and
    /// `ovl_link` of its `main.c`): only reading and writing are done then.
    pub removed_files_can_be_changed: bool,
    /// A write through a mapping leaves a file its capabilities. Not where the kernel hands the pages to a program that writes them (FUSE): it is not done with such a file then.
    pub mappings_leave_capabilities: bool,
    /// Two names can change places. fuse-overlayfs forgets what they hide in the layers below, which shows when one of them is removed (`ovl_rename_exchange` of its `main.c`): it is
    /// not done then.
    pub names_are_exchanged: bool,
    /// A directory that takes the place of something in a layer below can be moved there, and on, and be removed, and takes directories in. With fuse-overlayfs what lay there may show
    /// again, or be in the way (`ovl_rename_direct` of its `main.c` leaves a whiteout by `last_layer`, which such a directory has not): it is not done then.
    pub replacing_directories_move: bool,
    /// Files have holes where nothing was written, and tell of them (lseek(2), `SEEK_HOLE`). fuse-overlayfs answers no such question, and writes them out (`copyup` of its
    /// `main.c`).
    pub files_have_holes: bool,
    /// Files can be opened that have no name yet (open(2), `O_TMPFILE`); fuse-overlayfs knows no such request of FUSE, overlayfs none before Linux 6.3 (`ovl_tmpfile` of
    /// `fs/overlayfs/dir.c`): it is not done then.
    pub files_open_unnamed: bool,
    /// Access control lists are the kernel's (acl(5)). fuse-overlayfs hands the list of a directory down without the mode that follows from it (`inherit_acl` of its
    /// `main.c`): none is set or removed then.
    pub lists_are_kept: bool,
    /// What several do to the same names at once leaves what is shown then. With fuse-overlayfs a remount may show what was cut off from a file while another wrote to
    /// it, which the kernel holds back for the program (FUSE's writeback cache), and a name that was removed: it is not looked at again then.
    pub crowds_are_kept: bool,
    /// What stacks them takes layers at any path, with blanks and commas in it. Who hands paths to mount(2) in one string of options has to escape them; where that is
    /// not done, a path without is given.
    pub paths_are_odd: bool,
    /// The machine's settings.
    pub protected: Protected,
}

impl Promises {
    /// What the kernel's overlayfs with every option off does on most file systems, and would do without faults: whoever
    /// differs says in what.
    pub const COMMON: Promises = Promises {
        layers: true,
        lower_layers_max: 500,
        root_mode: 0o755,
        root_is_inherited: true,
        root_mode_is_inherited: true,
        root_owner_is_inherited: true,
        layers_max: usize::MAX,
        layers_are_whole: true,
        refused_xattrs_copy_up: false,
        refused_renames_prepare: false,
        lower_directories_move: false,
        directories_are_not_made_by_open: true,
        files_open_directly: true,
        copies_can_be_linked: true,
        hard_links_survive_copy_up: false,
        removed_is_copied_up: false,
        content_stays_below: false,
        inode_numbers_survive_a_remount: true,
        numbers_of_names_survive_a_remount: true,
        origins_of_nodes_are_kept: true,
        removed_directories_stay_removed: true,
        first_namespace: true,
        exchanged_directories_keep_their_time: true,
        full_directories_are_not_empty: true,
        refused_whiteouts_keep_times: true,
        holes_are_punched_again: true,
        truncating_to_the_same_length_is_a_change: true,
        has_acls: true,
        has_user_xattrs: true,
        attributes_are_named_first: true,
        empty_lists_remove: true,
        room_is_a_change: true,
        missing_acls_are_missed_below: false,
        whiteouts_are_refused: true,
        further_names_are_listed_with_their_inode: true,
        diffs_see_everything: true,
        replaced_directories_are_told: true,
        directories_keep_their_time: true,
        clock_times_are_kept: true,
        name_bytes_max: 255,
        whiteout_names_are_names: true,
        names_of_one_file_can_lie_below: true,
        copies_are_whole: true,
        devices_open: true,
        removed_files_can_be_changed: true,
        files_have_holes: true,
        files_open_unnamed: true,
        lists_are_kept: true,
        crowds_are_kept: true,
        paths_are_odd: true,
        names_are_exchanged: true,
        replacing_directories_move: true,
        set_id_bits_are_kept: true,
        mappings_leave_capabilities: true,
        numbers_of_names_are_counted: true,
        copies_can_be_linked_later: true,
        links_have_xattrs: true,
        protected: Protected { symlinks: false, hardlinks: false, regular: 0, fifos: 0 },
    };

    /// What a file system without layers does: who uses a tree and does not know of layers expects it.
    pub const WITHOUT_LAYERS: Promises = Promises {
        lower_directories_move: true,
        hard_links_survive_copy_up: true,
        whiteouts_are_refused: false,
        ..Promises::COMMON
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
