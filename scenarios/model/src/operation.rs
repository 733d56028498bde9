//! What a process does to a file tree, and an engine to its layers: the words of every case.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::acl::{self, Acl};
use crate::inode::{Node, Time};
use crate::text::Text;

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum User {
    /// User and group 0 with every capability.
    Root,
    /// User and group 1000 without any.
    Other,
}

/// An open file of a case, by number.
pub type Slot = u8;

/// How a file is opened (`open(2)`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flags {
    /// `O_RDONLY`, `O_WRONLY`, `O_RDWR`, or both bits of these.
    pub access: Access,
    /// `O_CREAT`
    #[serde(default, skip_serializing_if = "is_false")]
    pub create: bool,
    /// `O_EXCL`
    #[serde(default, skip_serializing_if = "is_false")]
    pub exclusive: bool,
    /// `O_TRUNC`
    #[serde(default, skip_serializing_if = "is_false")]
    pub truncate: bool,
    /// `O_APPEND`
    #[serde(default, skip_serializing_if = "is_false")]
    pub append: bool,
    /// `O_DIRECTORY`
    #[serde(default, skip_serializing_if = "is_false")]
    pub directory: bool,
    /// `O_NOFOLLOW`
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_follow: bool,
    /// `O_NOATIME`
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_access_time: bool,
    /// `O_SYNC`
    #[serde(default, skip_serializing_if = "is_false")]
    pub sync: bool,
    /// `O_DSYNC`
    #[serde(default, skip_serializing_if = "is_false")]
    pub data_sync: bool,
    /// `O_DIRECT`, for the opening alone: which reads and writes are then aligned well enough is each file system's own affair, so that
    /// the flag is taken away (`F_SETFL`) before anything is read or written.
    #[serde(default, skip_serializing_if = "is_false")]
    pub direct: bool,
    /// `O_PATH`: a name held, and nothing opened; of the other flags only `O_DIRECTORY` and `O_NOFOLLOW` count.
    #[serde(default, skip_serializing_if = "is_false")]
    pub path_only: bool,
}

impl Flags {
    /// This access, and no flag.
    pub const fn of(access: Access) -> Flags {
        Flags {
            access,
            create: false,
            exclusive: false,
            truncate: false,
            append: false,
            directory: false,
            no_follow: false,
            no_access_time: false,
            sync: false,
            data_sync: false,
            direct: false,
            path_only: false,
        }
    }
}

impl fmt::Debug for Flags {
    /// Those that are set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.access)?;
        let all = [
            (self.create, "create"),
            (self.exclusive, "exclusive"),
            (self.truncate, "truncate"),
            (self.append, "append"),
            (self.directory, "directory"),
            (self.no_follow, "no_follow"),
            (self.no_access_time, "no_access_time"),
            (self.sync, "sync"),
            (self.data_sync, "data_sync"),
            (self.direct, "direct"),
            (self.path_only, "path_only"),
        ];
        all.iter().filter(|(is_set, _)| *is_set).try_for_each(|(_, word)| write!(f, " | {word}"))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What an open file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// `O_RDONLY`
    Read,
    /// `O_WRONLY`
    Write,
    /// `O_RDWR`
    ReadWrite,
    /// The access mode 3: both are asked for, and neither is given (open(2), "Open file descriptions").
    Neither,
}

impl Access {
    /// Whether it may be read from.
    pub fn reads(self) -> bool {
        matches!(self, Access::Read | Access::ReadWrite)
    }

    /// Whether it may be written to.
    pub fn writes(self) -> bool {
        matches!(self, Access::Write | Access::ReadWrite)
    }

    /// Whether one must be allowed to read.
    pub fn asks_to_read(self) -> bool {
        self != Access::Write
    }

    /// Whether one must be allowed to write.
    pub fn asks_to_write(self) -> bool {
        self != Access::Read
    }
}

/// A file by its name or by an open one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// What the path leads to, symbolic links followed.
    Path(Text),
    /// What is open.
    Slot(Slot),
}

/// Bytes to write: one letter, many times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fill {
    /// The letter.
    pub letter: char,
    /// How many.
    pub length: u32,
}

impl Fill {
    /// The bytes.
    pub fn bytes(self) -> Vec<u8> {
        vec![self.letter as u8; self.length as usize]
    }
}

/// What `rename` does about a name that is there (`renameat2(2)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replace {
    /// Replaces it.
    Yes,
    /// Refuses (`RENAME_NOREPLACE`).
    No,
    /// Both change places (`RENAME_EXCHANGE`).
    Exchange,
}

/// What `fallocate(2)` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allocate {
    /// Gets room, and makes the file longer.
    Extend,
    /// Gets room behind the end (`FALLOC_FL_KEEP_SIZE`).
    KeepSize,
    /// Makes a hole (`FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE`).
    Punch,
}

/// Whether an extended attribute must be there before (`setxattr(2)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Before {
    /// Either way.
    Any,
    /// It must not (`XATTR_CREATE`).
    Absent,
    /// It must (`XATTR_REPLACE`).
    Present,
}

/// Which access control list (acl(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum List {
    /// The one by which access is decided.
    Access,
    /// The one that what is made in a directory gets.
    Default,
}

impl List {
    /// The extended attribute that holds it.
    pub fn xattr(self) -> &'static str {
        match self {
            List::Access => acl::ACCESS,
            List::Default => acl::DEFAULT,
        }
    }
}

/// One thing done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the fields are the arguments of the system call")]
pub enum Operation {
    /// `open(2)`; what was open in the slot is closed before.
    Open { slot: Slot, path: Text, flags: Flags, mode: u32 },
    /// `open(2)` with `O_TMPFILE` for reading and writing: a file without a name.
    OpenUnnamed { slot: Slot, path: Text, mode: u32 },
    /// `close(2)`
    Close { slot: Slot },
    /// `pwrite(2)`; at the end, if opened so.
    Write { slot: Slot, offset: u32, fill: Fill },
    /// `pread(2)`
    Read { slot: Slot, offset: u32, length: u32 },
    /// A write to a shared mapping of the file, within its size.
    MapWrite { slot: Slot, offset: u32, fill: Fill },
    /// `copy_file_range(2)`
    CopyRange { from: Slot, from_offset: u32, to: Slot, to_offset: u32, length: u32 },
    /// `fallocate(2)`
    Allocate { slot: Slot, how: Allocate, offset: u32, length: u32 },
    /// `truncate(2)`, `ftruncate(2)`
    Truncate { target: Target, length: u32 },
    /// `chmod(2)`, `fchmod(2)`
    Chmod { target: Target, mode: u32 },
    /// `lchown(2)`, `fchown(2)`
    Chown { target: Target, uid: u32, gid: u32 },
    /// `utimensat(2)`, `futimens(2)` with both times the same.
    SetTime { target: Target, time: Time },
    /// `utimensat(2)`, `futimens(2)` with both times now (`UTIME_NOW`).
    Touch { target: Target },
    /// `utimensat(2)` with `AT_SYMLINK_NOFOLLOW`: of a symbolic link itself.
    SetLinkTime { path: Text, time: Time },
    /// `setxattr(2)`, `fsetxattr(2)`
    SetXattr { target: Target, name: Text, value: Text, before: Before },
    /// `lsetxattr(2)`: of a symbolic link itself.
    SetLinkXattr { path: Text, name: Text, value: Text, before: Before },
    /// `setxattr(2)`, `fsetxattr(2)` with an access control list; an empty one removes it.
    SetAcl { target: Target, list: List, acl: Acl },
    /// `removexattr(2)`, `fremovexattr(2)`
    RemoveXattr { target: Target, name: Text },
    /// `mkdir(2)`
    Mkdir { path: Text, mode: u32 },
    /// `mknod(2)`
    Mknod { path: Text, node: Node, mode: u32 },
    /// `mknod(2)` of a regular file.
    MknodFile { path: Text, mode: u32 },
    /// `symlink(2)`
    Symlink { content: Text, path: Text },
    /// `link(2)`
    Link { from: Text, to: Text },
    /// `linkat(2)` of an open file.
    LinkSlot { slot: Slot, to: Text },
    /// `renameat2(2)`
    Rename { from: Text, to: Text, replace: Replace },
    /// `unlink(2)`
    Unlink { path: Text },
    /// `rmdir(2)`
    Rmdir { path: Text },
    /// `readlink(2)`
    ReadLink { path: Text },
    /// `open(2)` and `getdents(2)` with room for one entry at a time, all of it, and then from the middle again.
    List { path: Text },
    /// Threads at once on one file: for each of the `letters` one opens it for reading and writing and writes that letter at a place
    /// of its own, with a `mode` one changes that, and two read all of it again and again meanwhile.
    Race {
        path: Text,
        letters: Text,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<u32>,
    },
    /// Unmounts and mounts again: what the mount kept in memory is gone, the file system below it keeps what it has. Open files are closed
    /// before.
    Remount,
    /// The upper layer becomes a lower one and an empty one lies on top. Open files are closed before.
    Commit,
}

impl Operation {
    /// Every path in it that is walked along.
    pub fn paths_mut(&mut self) -> Vec<&mut Text> {
        match self {
            Operation::Open { path, .. }
            | Operation::OpenUnnamed { path, .. }
            | Operation::Mkdir { path, .. }
            | Operation::Mknod { path, .. }
            | Operation::MknodFile { path, .. }
            | Operation::SetLinkTime { path, .. }
            | Operation::SetLinkXattr { path, .. }
            | Operation::Symlink { path, .. }
            | Operation::Unlink { path }
            | Operation::Rmdir { path }
            | Operation::ReadLink { path }
            | Operation::List { path }
            | Operation::Race { path, .. }
            | Operation::LinkSlot { to: path, .. }
            | Operation::Truncate { target: Target::Path(path), .. }
            | Operation::Chmod { target: Target::Path(path), .. }
            | Operation::Chown { target: Target::Path(path), .. }
            | Operation::SetTime { target: Target::Path(path), .. }
            | Operation::Touch { target: Target::Path(path) }
            | Operation::SetXattr { target: Target::Path(path), .. }
            | Operation::SetAcl { target: Target::Path(path), .. }
            | Operation::RemoveXattr { target: Target::Path(path), .. } => vec![path],
            Operation::Link { from, to } | Operation::Rename { from, to, .. } => vec![from, to],
            _ => Vec::new(),
        }
    }

    /// The open file that it changes by anything but its content.
    pub fn changed_slot(&self) -> Option<Slot> {
        match self {
            Operation::Chmod { target: Target::Slot(slot), .. }
            | Operation::Chown { target: Target::Slot(slot), .. }
            | Operation::SetTime { target: Target::Slot(slot), .. }
            | Operation::Touch { target: Target::Slot(slot) }
            | Operation::SetXattr { target: Target::Slot(slot), .. }
            | Operation::SetAcl { target: Target::Slot(slot), .. }
            | Operation::RemoveXattr { target: Target::Slot(slot), .. }
            | Operation::LinkSlot { slot, .. } => Some(*slot),
            _ => None,
        }
    }

    /// The mode that it gives to something; 0 where it gives none.
    pub fn gives_mode(&self) -> u32 {
        match self {
            Operation::Open { mode, flags, .. } if flags.create => *mode,
            Operation::Chmod { mode, .. } | Operation::Mknod { mode, .. } | Operation::MknodFile { mode, .. } => *mode,
            Operation::Race { mode, .. } => mode.unwrap_or(0),
            _ => 0,
        }
    }

    /// Every word that [`Operation::word`] has.
    pub const WORDS: [&'static str; 36] = [
        "open-path",
        "create",
        "open",
        "open-unnamed",
        "close",
        "write",
        "read",
        "map-write",
        "copy-range",
        "allocate",
        "truncate",
        "chmod",
        "chown",
        "set-time",
        "set-link-time",
        "touch",
        "set-xattr",
        "set-link-xattr",
        "set-acl",
        "remove-acl",
        "remove-xattr",
        "mkdir",
        "mknod",
        "mknod-file",
        "symlink",
        "link",
        "link-slot",
        "exchange",
        "rename",
        "unlink",
        "rmdir",
        "readlink",
        "list",
        "race",
        "remount",
        "commit",
    ];

    /// The word for it in counts and tables.
    pub fn word(&self) -> &'static str {
        match self {
            Operation::Open { flags, .. } if flags.path_only => "open-path",
            Operation::Open { flags, .. } if flags.create => "create",
            Operation::Open { .. } => "open",
            Operation::OpenUnnamed { .. } => "open-unnamed",
            Operation::Close { .. } => "close",
            Operation::Write { .. } => "write",
            Operation::Read { .. } => "read",
            Operation::MapWrite { .. } => "map-write",
            Operation::CopyRange { .. } => "copy-range",
            Operation::Allocate { .. } => "allocate",
            Operation::Truncate { .. } => "truncate",
            Operation::Chmod { .. } => "chmod",
            Operation::Chown { .. } => "chown",
            Operation::SetTime { .. } => "set-time",
            Operation::SetLinkTime { .. } => "set-link-time",
            Operation::Touch { .. } => "touch",
            Operation::SetXattr { .. } => "set-xattr",
            Operation::SetLinkXattr { .. } => "set-link-xattr",
            Operation::SetAcl { .. } => "set-acl",
            Operation::RemoveXattr { name, .. } if name.as_bytes().starts_with(b"system.") => "remove-acl",
            Operation::RemoveXattr { .. } => "remove-xattr",
            Operation::Mkdir { .. } => "mkdir",
            Operation::Mknod { .. } => "mknod",
            Operation::MknodFile { .. } => "mknod-file",
            Operation::Symlink { .. } => "symlink",
            Operation::Link { .. } => "link",
            Operation::LinkSlot { .. } => "link-slot",
            Operation::Rename { replace: Replace::Exchange, .. } => "exchange",
            Operation::Rename { .. } => "rename",
            Operation::Unlink { .. } => "unlink",
            Operation::Rmdir { .. } => "rmdir",
            Operation::ReadLink { .. } => "readlink",
            Operation::List { .. } => "list",
            Operation::Race { .. } => "race",
            Operation::Remount => "remount",
            Operation::Commit => "commit",
        }
    }
}

/// An operation and who does it: a line of a case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Step {
    /// Who.
    pub user: User,
    /// What.
    #[serde(flatten)]
    pub operation: Operation,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.user == User::Other {
            f.write_str("as 1000: ")?;
        }
        write!(f, "{:?}", self.operation)
    }
}

/// What a process learns from an operation that succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// That it is done.
    Done,
    /// How many bytes were written or copied.
    Count(u64),
    /// What was read.
    Bytes(Vec<u8>),
    /// The names in a directory, sorted.
    Names(Vec<Text>),
    /// Something that never should be; the model never gives it.
    Wrong(String),
}

/// Where one of `writers` at once writes its letter, if it does: there must be a place for each in a file of so many bytes.
pub fn race_offset(writer: usize, writers: usize, size_bytes: usize) -> Option<usize> {
    (writers <= size_bytes && writer < writers).then(|| writer * size_bytes / writers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_listed() {
        let source = include_str!("operation.rs");
        let words = source.split("pub fn word(").nth(1).and_then(|rest| rest.split("\n    }\n").next());
        let words = words.into_iter().flat_map(|body| body.split('"').skip(1).step_by(2));
        let given: Vec<&str> = words.filter(|word| *word != "system.").collect();
        assert_eq!(given, Operation::WORDS);
    }
}
