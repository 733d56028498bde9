//! Where a path leads, and what a user may do there (path_resolution(7)).

use super::acl::access;
use super::{Machine, SEARCH, WRITE};
use crate::errno::Errno;
use crate::inode::{Body, Meta, mode};
use crate::operation::User;
use crate::text::Text;
use crate::union::Seen;

/// Longest name of a file (`NAME_MAX`).
pub(super) const NAME_BYTES_MAX: usize = 255;
/// Longest path, its final zero byte included (`PATH_MAX`).
pub(super) const PATH_BYTES_MAX: usize = 4096;
/// How many symbolic links one path may lead through (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;

/// How the last name of a path is looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Last {
    /// It is followed, if it is a symbolic link.
    is_followed: bool,
    slash: Slash,
}

/// What a slash behind the last name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slash {
    /// That a directory is meant, to which a link leads, too (`lookup_last` of `fs/namei.c`).
    Directory,
    /// That a directory is meant, which open(2) does not make (`lookup_fast_for_open` of `fs/namei.c`).
    Refused,
    /// Nothing yet: the name is to be given or taken (`filename_parentat` of `fs/namei.c`).
    Kept,
}

impl Last {
    /// To whatever the name leads.
    pub(super) const FOLLOWED: Last = Last { is_followed: true, slash: Slash::Directory };
    /// The thing itself.
    pub(super) const ITSELF: Last = Last { is_followed: false, slash: Slash::Directory };
    /// The name, which is to be given or taken.
    pub(super) const NAME: Last = Last { is_followed: false, slash: Slash::Kept };

    /// What open(2) with `O_CREAT` or without looks for.
    pub(super) fn opened(is_followed: bool, is_created: bool) -> Last {
        Last { is_followed, slash: if is_created { Slash::Refused } else { Slash::Directory } }
    }
}

/// What kind of name a path ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// None: the path is the root's.
    Root,
    /// `.`
    Here,
    /// `..`
    Above,
    /// A name that can be given and taken.
    Name,
}

/// Where a path leads.
pub(super) struct Place {
    /// Real names from the root, of something that need not be there.
    pub(super) path: Vec<Text>,
    pub(super) seen: Option<Seen>,
    pub(super) end: End,
    /// Whether a slash comes behind the name that it ends with.
    pub(super) has_slash: bool,
}

impl Place {
    /// The last name is looked up only when every directory before it is found.
    pub(super) fn looked_up(self) -> Result<Place, Errno> {
        match self.path.last() {
            Some(name) if name.as_bytes().len() > NAME_BYTES_MAX => Err(Errno::NAMETOOLONG),
            _ => Ok(self),
        }
    }

    pub(super) fn there(self) -> Result<(Vec<Text>, Seen), Errno> {
        let Place { path, seen, .. } = self.looked_up()?;
        seen.map(|seen| (path, seen)).ok_or(Errno::NOENT)
    }

    /// Whether a slash says that a directory is meant, and something else is there.
    pub(super) fn is_no_directory(&self) -> bool {
        self.has_slash && !matches!(self.seen, Some(Seen::Directory(_)))
    }
}

impl Machine {
    pub(super) fn meta(&self, seen: &Seen) -> &Meta {
        &self.union.inode(seen.top()).meta
    }

    pub(super) fn link_content(&self, seen: &Seen) -> Option<&Text> {
        match &self.union.inode(seen.top()).body {
            Body::Symlink(content) => Some(content),
            _ => None,
        }
    }

    /// Whether `user` may do all of `wanted`: the owner's bits for the owner, the group's for the group, else the
    /// others' (path_resolution(7)). Root may read and write everything and search every directory. An access control list
    /// decides instead of the group's and the others' bits, unless those of the group, or of its mask, are all off
    /// (`acl_permission_check` of `fs/namei.c`).
    pub(super) fn may(&self, user: User, seen: &Seen, wanted: u32) -> Result<(), Errno> {
        let meta = self.meta(seen);
        let shift = match () {
            () if user.has_capabilities() => return Ok(()),
            () if meta.uid == user.id() => 6,
            () => {
                if let Some(acl) = access(meta)
                    && meta.mode & 0o070 != 0
                {
                    return if acl.allows(user.id(), meta.gid, wanted) { Ok(()) } else { Err(Errno::ACCES) };
                }
                if user.is_in_group(meta.gid) { 3 } else { 0 }
            }
        };
        if meta.mode >> shift & wanted == wanted { Ok(()) } else { Err(Errno::ACCES) }
    }

    /// Walks along `path` (path_resolution(7)), its last name as `last` says.
    pub(super) fn walk(&self, user: User, path: &Text, last: Last) -> Result<Place, Errno> {
        self.walk_to_last(user, path, last)?.looked_up()
    }

    /// The same, except that the last name may be too long.
    pub(super) fn walk_to_last(&self, user: User, path: &Text, last: Last) -> Result<Place, Errno> {
        if path.0.is_empty() {
            return Err(Errno::NOENT);
        }
        if path.0.len() >= PATH_BYTES_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let mut left = names_backwards(path);
        let mut has_slash = path.0.ends_with(b"/");
        let mut links = 0;
        let mut must_be_directory = false;
        let mut end = End::Root;
        let mut here: Vec<(Vec<Text>, Seen)> = vec![(Vec::new(), self.union.root())];
        while let Some(name) = left.pop() {
            let (at, seen) = here.last().ok_or(Errno::NOENT)?;
            let Seen::Directory(stack) = seen else { return Err(Errno::NOTDIR) };
            self.may(user, seen, SEARCH)?;
            end = End::Name;
            match name.as_bytes() {
                b"." => {
                    end = End::Here;
                    continue;
                }
                b".." => {
                    end = End::Above;
                    here.truncate((here.len() - 1).max(1));
                    continue;
                }
                name if name.len() > NAME_BYTES_MAX && !left.is_empty() => return Err(Errno::NAMETOOLONG),
                _ => {}
            }
            let path = [&at[..], std::slice::from_ref(&name)].concat();
            let is_last = left.is_empty();
            if is_last && has_slash && last.slash == Slash::Refused {
                return Err(Errno::ISDIR);
            }
            must_be_directory |= is_last && has_slash && last.slash == Slash::Directory;
            let Some(found) = self.union.child(stack, &name) else {
                return if is_last { Ok(Place { path, seen: None, end, has_slash }) } else { Err(Errno::NOENT) };
            };
            match self.link_content(&found) {
                Some(content) if last.is_followed || must_be_directory || !is_last => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    if is_last {
                        self.may_follow(user, seen, &found)?;
                        has_slash = content.0.ends_with(b"/");
                    }
                    if content.as_bytes().starts_with(b"/") {
                        here.truncate(1);
                        end = End::Root;
                    }
                    left.extend(names_backwards(content));
                }
                _ => here.push((path, found)),
            }
        }
        let (path, seen) = here.pop().ok_or(Errno::NOENT)?;
        if must_be_directory && !matches!(seen, Seen::Directory(_)) {
            return Err(Errno::NOTDIR);
        }
        Ok(Place { path, seen: Some(seen), end, has_slash: has_slash && end == End::Name })
    }

    /// `/proc/sys/fs/protected_symlinks` (proc_sys_fs(5)), of the last name alone (`pick_link` of `fs/namei.c`).
    pub(super) fn may_follow(&self, user: User, directory: &Seen, link: &Seen) -> Result<(), Errno> {
        let (directory, link) = (self.meta(directory), self.meta(link));
        let is_shared = directory.mode & mode::STICKY != 0 && directory.mode & mode::OTHERS_WRITE != 0;
        let is_trusted = link.uid == user.id() || link.uid == directory.uid;
        match self.promises.protected.symlinks && is_shared && !is_trusted {
            true => Err(Errno::ACCES),
            false => Ok(()),
        }
    }

    /// What is at `path`, its last name looked up as `last` says.
    pub(super) fn existing(&self, user: User, path: &Text, last: Last) -> Result<(Vec<Text>, Seen), Errno> {
        self.walk(user, path, last)?.there()
    }

    /// The directory that holds the last name of `path`; the root has none.
    pub(super) fn parent(&self, path: &[Text]) -> Option<(Vec<Text>, Seen)> {
        let (_, parent) = path.split_last()?;
        Some((parent.to_vec(), self.union.at(parent)?))
    }

    /// Where a new name may be looked for: nothing is there (`filename_create` of `fs/namei.c`). Only a directory may be named
    /// with a slash behind it.
    pub(super) fn vacant(&self, user: User, path: &Text, is_directory: bool) -> Result<Vec<Text>, Errno> {
        let place = self.walk_to_last(user, path, Last::NAME)?;
        if place.end != End::Name {
            return Err(Errno::EXIST);
        }
        let place = place.looked_up()?;
        match place.seen {
            Some(_) => Err(Errno::EXIST),
            None if place.has_slash && !is_directory => Err(Errno::NOENT),
            None => Ok(place.path),
        }
    }

    /// Whether `user` may give the name `path` to something (`may_create` of `fs/namei.c`).
    pub(super) fn may_create(&self, user: User, path: &[Text]) -> Result<(), Errno> {
        let (_, parent) = self.parent(path).ok_or(Errno::EXIST)?;
        self.may(user, &parent, WRITE | SEARCH)
    }

    /// Whether `user` may take the name at `path` away (`may_delete` of `fs/namei.c`); `as_directory` says whether a
    /// directory or something else is to stand, or to have stood, there.
    pub(super) fn may_delete(&self, user: User, path: &[Text], victim: &Seen, as_directory: bool) -> Result<(), Errno> {
        let (_, parent) = self.parent(path).ok_or(Errno::BUSY)?;
        self.may(user, &parent, WRITE | SEARCH)?;
        let parent = self.meta(&parent);
        if parent.mode & mode::STICKY != 0 && !user.owns(self.meta(victim)) && !user.owns(parent) {
            return Err(Errno::PERM);
        }
        match (as_directory, matches!(victim, Seen::Directory(_))) {
            (true, false) => Err(Errno::NOTDIR),
            (false, true) => Err(Errno::ISDIR),
            _ => Ok(()),
        }
    }
}

/// The names of the directory that something is in.
pub(super) fn parent_of(path: &[Text]) -> &[Text] {
    path.split_last().map_or(path, |(_, parent)| parent)
}

fn names_backwards(path: &Text) -> Vec<Text> {
    let names = path.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    names.rev().map(Text::from).collect()
}
