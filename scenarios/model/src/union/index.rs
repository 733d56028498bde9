//! overlayfs's index: which copy stands for a file of a lower layer, by whatever name it is reached.
//!
//! *Why*: without it a file with several names falls apart when one of them is copied up. *Source*: the kernel's
//! `Documentation/filesystems/overlayfs.rst`, "Index" and "Non-standard behavior"; `ovl_need_index`, `ovl_nlink_start` and
//! `ovl_cleanup_index` of `fs/overlayfs/util.c`, `ovl_do_copy_up` of `fs/overlayfs/copy_up.c`. *Holds*: it belongs to one upper layer. When
//! that becomes a lower one the index goes, and a name that was never copied up is again what the layers below say it is.

use std::collections::BTreeMap;

use crate::inode::{At, Inode};

/// What is entered when it is copied up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Indexed {
    /// Nothing: `index=off`.
    #[default]
    Nothing,
    /// Files with several names, directories apart: `index=on`.
    Linked,
    /// Everything: `nfs_export=on`.
    Everything,
}

/// A copy, by its number in the upper layer, and how many names stat(2) shows. Those that were never used are counted too, though they
/// are not in the upper layer (`overlay.nlink`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Copy {
    inode: usize,
    names: u32,
}

/// The index of the upper layer. On disk each entry is one more name of the copy, in the work directory.
#[derive(Debug, Clone, Default)]
pub struct Index {
    indexed: Indexed,
    copies: BTreeMap<At, Copy>,
}

impl Index {
    pub(super) fn of(indexed: Indexed) -> Index {
        Index { indexed, copies: BTreeMap::new() }
    }

    /// Whether the copy of a lower `inode` is entered.
    pub(super) fn takes(&self, inode: &Inode) -> bool {
        match self.indexed {
            Indexed::Nothing => false,
            Indexed::Linked => inode.links > 1 && !inode.is_directory(),
            Indexed::Everything => true,
        }
    }

    /// Enters the upper `inode` as the copy of what is at `from`, which has `names` names.
    pub(super) fn enter(&mut self, from: At, inode: usize, names: u32) {
        self.copies.insert(from, Copy { inode, names });
    }

    /// The copy of what is at `from`.
    pub(super) fn copy_of(&self, from: At) -> Option<usize> {
        self.copies.get(&from).map(|copy| copy.inode)
    }

    /// How many names stat(2) shows of the upper `inode`, if it is entered. What has none any more is entered no more.
    pub(super) fn names(&self, inode: usize) -> Option<u32> {
        self.copies.values().find(|copy| copy.inode == inode).map(|copy| copy.names)
    }

    /// The upper `inode` gets a name or loses one.
    pub(super) fn count(&mut self, inode: usize, change: i32) {
        for copy in self.copies.values_mut().filter(|copy| copy.inode == inode) {
            copy.names = copy.names.saturating_add_signed(change);
        }
    }

    /// What is entered, to count its names anew.
    pub(super) fn entries(&mut self) -> impl Iterator<Item = (At, usize, &mut u32)> {
        self.copies.iter_mut().map(|(from, copy)| (*from, copy.inode, &mut copy.names))
    }

    /// That of the next upper layer: nothing is in it.
    pub(super) fn begin_anew(&mut self) {
        self.copies.clear();
    }
}
