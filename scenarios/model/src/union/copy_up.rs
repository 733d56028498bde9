//! Copying up: what of the layers below gets into the upper layer before it is changed.
//!
//! *Source*: overlayfs, "Non-directories", "Metadata only copy up", "Index"; `fs/overlayfs/copy_up.c`. *Holds*: the merged tree is the same
//! before and after, but for names of one file, which only the index keeps together.

use super::{Moved, ROOT, Seen, Union};
use crate::inode::{At, Body, Directory, Entry, Inode};
use crate::text::Text;

impl Union {
    /// Makes sure that what is at `path`, and every directory above it, lies in the upper layer, with all attributes.
    /// `None` when nothing is there.
    pub fn copy_up(&mut self, path: &[Text]) -> Option<usize> {
        let mut directory = ROOT;
        for (depth, name) in path.iter().enumerate() {
            let stack = self.stack(At { layer: self.lowers.len(), inode: directory });
            let seen = self.child(&stack, name)?;
            let from = seen.top();
            directory = match self.is_upper(from) {
                true => self.link_up(directory, name, from.inode),
                false => self.copy(directory, name, &seen, &path[..=depth]),
            };
        }
        Some(directory)
    }

    /// The same, and its content with it. Content that follows later is written to the copy, which gets a new time; of an empty file
    /// nothing is written (`ovl_copy_up_meta_inode_data` of `fs/overlayfs/copy_up.c`).
    pub fn copy_up_whole(&mut self, path: &[Text]) -> Option<usize> {
        let was_there = self.at(path).is_some_and(|seen| self.is_upper(seen.top()));
        let inode = self.copy_up(path)?;
        let copy = &mut self.upper.inodes[inode];
        let follows = std::mem::take(&mut copy.copied.content_is_below);
        if follows && was_there && matches!(&copy.body, Body::File(bytes) if !bytes.is_empty()) {
            self.touch(inode);
        }
        Some(inode)
    }

    /// Gives a copy that the index has a `name` in the upper `directory`, too, now that the name is used (`ovl_link_up` of
    /// `fs/overlayfs/copy_up.c`). It was counted before.
    fn link_up(&mut self, directory: usize, name: &Text, inode: usize) -> usize {
        if !self.upper.directory(directory).entries.contains_key(name) {
            self.upper.inodes[inode].links += 1;
            self.entries(directory).insert(name.clone(), Entry::Inode(inode));
        }
        inode
    }

    /// Copies `seen` into the upper `directory`.
    fn copy(&mut self, directory: usize, name: &Text, seen: &Seen, path: &[Text]) -> usize {
        let from = seen.top();
        let is_indexed = self.index.takes(self.inode(from));
        let Inode { meta, body, links, .. } = self.inode(from).clone();
        let body = match seen {
            Seen::Directory(stack) => Body::Directory(Directory { below: stack.clone(), ..Directory::default() }),
            Seen::Other(_) => body,
        };
        let inode = self.add(meta, body);
        let copy = &mut self.upper.inodes[inode];
        copy.copied.content_is_below = self.content_stays_below && copy.is_file();
        copy.copied.names_below = links;
        self.name(directory, name, inode);
        if is_indexed && !self.upper.inodes[inode].is_directory() {
            self.index.enter(from, inode, links);
        }
        let to = At { layer: self.lowers.len(), inode };
        self.moved.push(Moved { from, to, path: path.to_vec() });
        inode
    }
}
