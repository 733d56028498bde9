//! The names that the host's own users and groups have, for tars that carry names beside numbers.

use nix::unistd::{Gid, Group, Uid, User};

/// The name of user `uid`, from the host's passwd.
pub fn user_name(uid: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

/// The user and the group of the user called `name`, from the host's passwd.
pub fn user_called(name: &str) -> Option<(u32, u32)> {
    User::from_name(name).ok().flatten().map(|user| (user.uid.as_raw(), user.gid.as_raw()))
}

/// The name of group `gid`, from the host's group file.
pub fn group_name(gid: u32) -> Option<String> {
    Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name)
}
