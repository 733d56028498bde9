//! Mode, owner, time and extended attributes: `fs/attr.c`, `fs/xattr.c`.

use super::acl::follow_mode;
use super::walk::Last;
use super::{Machine, WRITE};
use crate::acl::Acl;
use crate::errno::Errno;
use crate::inode::{At, Inode, Meta, Stamp, Time, mode};
use crate::operation::{Answer, Before, List, Target, User};
use crate::text::Text;
use crate::union::Seen;

/// Longest name of an extended attribute (`XATTR_NAME_MAX`).
const XATTR_NAME_BYTES_MAX: usize = 255;

pub(super) const CAPABILITY: &str = "security.capability";

impl Machine {
    /// What `target` is, and the upper inode of it once somebody asks.
    pub(super) fn target(&self, user: User, target: &Target, last: Last) -> Result<At, Errno> {
        match target {
            Target::Path(path) => Ok(self.existing(user, path, last)?.1.top()),
            Target::Slot(slot) => Ok(self.slot(*slot)?.at),
        }
    }

    pub(super) fn changed_target(&mut self, user: User, target: &Target, last: Last) -> Result<&mut Inode, Errno> {
        let inode = match target {
            Target::Path(path) => {
                let (path, _) = self.existing(user, path, last)?;
                self.copied_up(&path)?
            }
            Target::Slot(slot) => self.changed(*slot)?,
        };
        Ok(self.union.upper_mut(inode))
    }

    /// Of a file that was copied up extended attributes are set on the copy, without giving it this name, too (`ovl_xattr_set` of
    /// `fs/overlayfs/xattrs.c`).
    pub(super) fn inode_with_xattrs(&mut self, user: User, target: &Target, last: Last) -> Result<&mut Inode, Errno> {
        let at = self.target(user, target, last)?;
        match self.union.is_upper(at) {
            true => Ok(self.union.upper_mut(at.inode)),
            false => self.changed_target(user, target, last),
        }
    }

    pub(super) fn chmod(&mut self, user: User, target: &Target, bits: u32) -> Result<Answer, Errno> {
        let at = self.target(user, target, Last::FOLLOWED)?;
        let meta = &self.union.inode(at).meta;
        if !user.owns(meta) {
            return Err(Errno::PERM);
        }
        let lost = if user.is_in_group(meta.gid) { 0 } else { mode::SET_GID };
        let meta = &mut self.changed_target(user, target, Last::FOLLOWED)?.meta;
        meta.mode = bits & mode::ALL & !lost;
        follow_mode(meta);
        Ok(Answer::Done)
    }

    /// chown(2): the bits that give privileges go, for root too; so do capabilities. A directory keeps its bits.
    pub(super) fn chown(&mut self, user: User, target: &Target, uid: u32, gid: u32) -> Result<Answer, Errno> {
        let at = self.target(user, target, Last::ITSELF)?;
        let meta = &self.union.inode(at).meta;
        let may_uid = user.has_capabilities() || meta.uid == user.id() && uid == meta.uid;
        let may_gid = user.has_capabilities() || meta.uid == user.id() && (gid == meta.gid || gid == user.id());
        if !may_uid || !may_gid {
            return Err(Errno::PERM);
        }
        let inode = self.changed_target(user, target, Last::ITSELF)?;
        if !inode.is_directory() {
            let meta = &mut inode.meta;
            meta.mode &= !mode::SET_UID;
            meta.mode &= !set_gid_to_drop(user, meta);
            meta.xattrs.remove(&Text::from(CAPABILITY));
        }
        inode.meta.uid = uid;
        inode.meta.gid = gid;
        Ok(Answer::Done)
    }

    pub(super) fn set_time(&mut self, user: User, target: &Target, last: Last, time: Time) -> Result<Answer, Errno> {
        let at = self.target(user, target, last)?;
        if !user.owns(&self.union.inode(at).meta) {
            return Err(Errno::PERM);
        }
        self.changed_target(user, target, last)?.meta.mtime = Stamp::Set(time);
        Ok(Answer::Done)
    }

    /// Who may write to it may say that it changed now (utimensat(2), "Permissions requirements").
    pub(super) fn touch(&mut self, user: User, target: &Target) -> Result<Answer, Errno> {
        let at = self.target(user, target, Last::FOLLOWED)?;
        if !user.owns(&self.union.inode(at).meta) {
            self.may(user, &Seen::Other(at), WRITE)?;
        }
        let now = self.union.now();
        self.changed_target(user, target, Last::FOLLOWED)?.meta.mtime = now;
        Ok(Answer::Done)
    }

    /// xattr(7), `xattr_permission` of `fs/xattr.c`.
    pub(super) fn may_set_xattr(&self, user: User, at: At, name: &Text) -> Result<(), Errno> {
        let inode = self.union.inode(at);
        let name = name.as_bytes();
        if name.starts_with(b"security.capability") {
            return if user.has_capabilities() { Ok(()) } else { Err(Errno::PERM) };
        }
        if name.starts_with(b"trusted.") {
            return if user.has_capabilities() && self.promises.first_namespace { Ok(()) } else { Err(Errno::PERM) };
        }
        if !has_handler(name) {
            return self.may(user, &Seen::Other(at), WRITE);
        }
        if !inode.is_file() && !inode.is_directory() {
            return Err(Errno::PERM);
        }
        if inode.is_directory() && inode.meta.mode & mode::STICKY != 0 && !user.owns(&inode.meta) {
            return Err(Errno::PERM);
        }
        self.may(user, &Seen::Other(at), WRITE)
    }

    /// Whether the file system keeps extended attributes of such names.
    fn keeps(&self, name: &Text) -> bool {
        has_handler(name.as_bytes()) && (self.promises.has_user_xattrs || !name.as_bytes().starts_with(b"user."))
    }

    /// The file of which an attribute is meant.
    fn target_of(&self, user: User, target: &Target, last: Last, name: &Text) -> Result<At, Errno> {
        if self.promises.attributes_are_named_first {
            self.can_be_named(target, name)?;
        }
        let at = self.target(user, target, last)?;
        self.can_be_named(target, name)?;
        Ok(at)
    }

    /// Who has no open file does not ask.
    fn can_be_named(&self, target: &Target, name: &Text) -> Result<(), Errno> {
        if let Target::Slot(slot) = target
            && !self.open.contains_key(slot)
        {
            return Err(Errno::BADF);
        }
        if (1..=XATTR_NAME_BYTES_MAX).contains(&name.0.len()) { Ok(()) } else { Err(Errno::RANGE) }
    }

    pub(super) fn set_xattr(
        &mut self,
        user: User,
        target: &Target,
        last: Last,
        (name, value): (&Text, &[u8]),
        before: Before,
    ) -> Result<Answer, Errno> {
        let at = self.target_of(user, target, last, name)?;
        if let Some(list) = List::of_xattr(name) {
            // `do_setxattr` of `fs/xattr.c`: whether there is one already is not asked.
            return self.set_acl(user, target, list, &Acl::of_bytes(value)?);
        }
        self.may_set_xattr(user, at, name)?;
        let refusal = match (before, self.union.inode(at).meta.xattrs.contains_key(name)) {
            _ if !self.keeps(name) => Some(Errno::OPNOTSUPP),
            (Before::Absent, true) => Some(Errno::EXIST),
            (Before::Present, false) => Some(Errno::NODATA),
            _ => None,
        };
        if let Some(refusal) = refusal {
            if self.promises.refused_xattrs_copy_up {
                self.inode_with_xattrs(user, target, last)?;
            }
            return Err(refusal);
        }
        self.inode_with_xattrs(user, target, last)?.meta.xattrs.insert(name.clone(), value.to_vec());
        Ok(Answer::Done)
    }

    pub(super) fn remove_xattr(&mut self, user: User, target: &Target, name: &Text) -> Result<Answer, Errno> {
        if let Some(list) = List::of_xattr(name) {
            return self.set_acl(user, target, list, &Acl::default());
        }
        let at = self.target_of(user, target, Last::FOLLOWED, name)?;
        self.may_set_xattr(user, at, name)?;
        if !self.keeps(name) {
            return Err(Errno::OPNOTSUPP);
        }
        if !self.union.inode(at).meta.xattrs.contains_key(name) {
            return Err(Errno::NODATA);
        }
        self.inode_with_xattrs(user, target, Last::FOLLOWED)?.meta.xattrs.remove(name);
        Ok(Answer::Done)
    }
}

/// Whether file systems keep extended attributes of such names (`xattr_resolve_name` of `fs/xattr.c`).
fn has_handler(name: &[u8]) -> bool {
    [&b"user."[..], b"trusted.", b"security."].iter().any(|prefix| name.starts_with(prefix))
}

/// `setattr_should_drop_sgid` of `fs/attr.c`.
pub(super) fn set_gid_to_drop(user: User, meta: &Meta) -> u32 {
    match meta.mode & mode::GROUP_EXECUTE != 0 || !user.is_in_group(meta.gid) {
        true => mode::SET_GID,
        false => 0,
    }
}
