//! What lies behind a name: a file, a directory, a link or a node, with its attributes.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::Text;

/// Bits of a mode (`inode(7)`).
pub mod mode {
    #![allow(missing_docs, reason = "inode(7) says what each is")]
    pub const SET_UID: u32 = 0o4000;
    pub const SET_GID: u32 = 0o2000;
    pub const STICKY: u32 = 0o1000;
    pub const GROUP_EXECUTE: u32 = 0o0010;
    pub const OTHERS_WRITE: u32 = 0o0002;
    pub const ALL: u32 = 0o7777;
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Time {
    /// Seconds since 1970, negative before.
    pub seconds: i64,
    /// 0 to 999,999,999, counted forwards from `seconds`.
    pub nanoseconds: u32,
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s {} ns", self.seconds, self.nanoseconds)
    }
}

/// When a file's content changed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// Somebody set it to this.
    Set(Time),
    /// The kernel set it, from its own clock, which is none of a model's business. Each time has a number of its own: as long
    /// as that is the same, so is the time.
    Clock(u64),
}

/// The attributes that every inode has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The twelve bits below the type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// When the content changed last.
    pub mtime: Stamp,
    /// Extended attributes by their full names.
    pub xattrs: BTreeMap<Text, Vec<u8>>,
}

/// A file that is neither regular, nor a directory, nor a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Node {
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
    /// A character device.
    Character {
        /// Its driver.
        major: u32,
        /// Which of the driver's devices.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Its driver.
        major: u32,
        /// Which of the driver's devices.
        minor: u32,
    },
}

/// Where an inode lies: in which layer of a stack, counted from the lowest, and which of its inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct At {
    /// The layer; the upper one comes after the last lower one.
    pub layer: usize,
    /// The inode in it.
    pub inode: usize,
}

/// What a name in the directory of one layer stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// This inode of the same layer.
    Inode(usize),
    /// Nothing, whatever the layers below have: overlayfs's device 0:0, the OCI layer's `.wh.NAME`.
    Whiteout,
}

/// The directory of one layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    /// What this layer says about names; about others it says nothing.
    pub entries: BTreeMap<Text, Entry>,
    /// The directories that show through, nearest first. On disk this is the directory's name, unless an opaque mark
    /// says that nothing shows through or a redirect says that something else does.
    pub below: Vec<At>,
}

/// What kind of thing an inode is, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A regular file.
    File(Vec<u8>),
    /// A directory.
    Directory(Directory),
    /// A symbolic link.
    Symlink(Text),
    /// Anything else.
    Node(Node),
}

/// A file of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    /// Its attributes.
    pub meta: Meta,
    /// Its content.
    pub body: Body,
    /// How many names it has in its layer; a directory has one.
    pub links: u32,
    /// What is to be known of it if it was copied up.
    pub copied: Copied,
}

/// What lies below a copy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copied {
    /// The copy of a file is as long, but its content still lies below (overlayfs, "Metadata only copy up"; `overlay.metacopy`).
    pub content_is_below: bool,
    /// How many names that file has in its own layer.
    pub names_below: u32,
    /// Where the content of a file or the rest of a directory lies since the name does not lead there any more (`overlay.redirect`): a name
    /// in the same directory, or a path. It stays when the content is copied after all.
    pub redirect: Option<Text>,
}

impl Inode {
    /// What it holds, if it is a directory.
    pub fn directory(&self) -> Option<&Directory> {
        match &self.body {
            Body::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// Whether it is one.
    pub fn is_directory(&self) -> bool {
        self.directory().is_some()
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        matches!(self.body, Body::File(_))
    }
}
