//! Access control lists: how they are set, and how they follow the mode (acl(5), `fs/posix_acl.c`).

use std::collections::BTreeMap;

use super::Machine;
use super::walk::Last;
use crate::acl::{ACCESS, Acl, DEFAULT, MODE_BITS};
use crate::errno::Errno;
use crate::inode::{At, Meta, mode};
use crate::operation::{Answer, List, Target, User};
use crate::text::Text;

impl List {
    /// The list that the extended attribute `name` holds.
    pub(super) fn of_xattr(name: &Text) -> Option<List> {
        [List::Access, List::Default].into_iter().find(|list| name.as_bytes() == list.xattr().as_bytes())
    }
}

/// The list of a file by which access is decided, if it has one.
pub(super) fn access(meta: &Meta) -> Option<Acl> {
    read(meta, ACCESS)
}

fn read(meta: &Meta, name: &str) -> Option<Acl> {
    if meta.xattrs.is_empty() {
        return None;
    }
    meta.xattrs.get(&Text::from(name)).and_then(|bytes| Acl::of_bytes(bytes).ok())
}

fn write(meta: &mut Meta, name: &str, acl: &Acl) {
    meta.xattrs.insert(Text::from(name), acl.bytes());
}

/// chmod(2) changes the list as well (`posix_acl_chmod`).
pub(super) fn follow_mode(meta: &mut Meta) {
    if let Some(acl) = access(meta) {
        let acl = acl.changed_to(meta.mode);
        write(meta, ACCESS, &acl);
    }
}

/// The mode and the extended attributes of what is made, with the mode `bits`, in a directory that may have a list for that
/// (`posix_acl_create`).
pub(super) fn inherited(directory: &Meta, bits: u32, is_directory: bool) -> (u32, BTreeMap<Text, Vec<u8>>) {
    let mut xattrs = BTreeMap::new();
    let Some(default) = read(directory, DEFAULT) else { return (bits, xattrs) };
    if is_directory {
        xattrs.insert(Text::from(DEFAULT), default.bytes());
    }
    let access = default.inherited_with(bits);
    if !access.is_mode() {
        xattrs.insert(Text::from(ACCESS), access.bytes());
    }
    (bits & !MODE_BITS | access.mode(), xattrs)
}

impl Machine {
    /// `set_posix_acl`; a list that was not there cannot be removed from a lower file in overlayfs (`ovl_set_or_remove_acl` of
    /// `fs/overlayfs/inode.c`).
    pub(super) fn set_acl(&mut self, user: User, target: &Target, list: List, acl: &Acl) -> Result<Answer, Errno> {
        let at = self.target(user, target, Last::FOLLOWED)?;
        let inode = self.union.inode(at);
        let is_removed = acl.0.is_empty();
        if !self.promises.has_acls {
            return Err(Errno::OPNOTSUPP);
        }
        if list == List::Default && !inode.is_directory() {
            return if is_removed { Ok(Answer::Done) } else { Err(Errno::ACCES) };
        }
        if !user.owns(&inode.meta) {
            return Err(Errno::PERM);
        }
        if !is_removed && !acl.is_valid() {
            return Err(Errno::INVAL);
        }
        let name = list.xattr();
        let is_missed = self.promises.missing_acls_are_missed_below && !self.union.is_upper(at);
        if is_removed && is_missed && !inode.meta.xattrs.contains_key(&Text::from(name)) {
            return Err(Errno::NODATA);
        }
        let meta = &mut self.inode_with_xattrs(user, target, Last::FOLLOWED)?.meta;
        if is_removed {
            meta.xattrs.remove(&Text::from(name));
            return Ok(Answer::Done);
        }
        write(meta, name, acl);
        if list == List::Access {
            // `posix_acl_update_mode`: what a mode says needs no list.
            meta.mode = meta.mode & !MODE_BITS | acl.mode();
            if !user.is_in_group(meta.gid) {
                meta.mode &= !mode::SET_GID;
            }
            if acl.is_mode() {
                meta.xattrs.remove(&Text::from(ACCESS));
            }
        }
        Ok(Answer::Done)
    }

    /// Whether to remove a list takes the set-group-ID bit from `at`: in tmpfs and overlayfs it does, when somebody outside of the
    /// group does it (`simple_set_acl` of `fs/posix_acl.c`, `ovl_set_acl` of `fs/overlayfs/inode.c`), elsewhere not.
    pub(super) fn may_lose_set_gid(&self, user: User, at: At) -> bool {
        let meta = &self.union.inode(at).meta;
        meta.mode & mode::SET_GID != 0 && !user.is_in_group(meta.gid)
    }
}
